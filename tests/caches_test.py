#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What Cache() holds, read by tasks of executors: the same answer as in one process, and the same rows in each run, also
while executors are killed.

The folder with the glim binary is in GLIM_BUILD (default: build/release).
"""

import random
import re
import signal
import subprocess
import time
import unittest

from agents_test import ClusterCase, send, wait_until
from jobs_test import GLIM, TIMEOUT_S, ScriptCase, executors_of, text_of

# Each reads caches in runs behind the one that filled them.
FLOWS = {
    "steps behind a cache": """
        local words = flow:TextFile("words.txt"):FlatMap(function(line) return line:gmatch("%w+") end):Cache()
        flow:Run()
        words:Map(function(word) return word, 1 end):ReduceBy(glim.sum):Sort():Print()
        words:Distinct():Limit(7):Print()
        words:Sample(0.01, 3):Print()
        words:ZipWithIndex():Filter(function(a, b) return b % 1000 == 0 end):Print()
        words:Pipe("wc -l"):Print()
        words:Top(5):Print()""",
    "what is only written": """
        local squares = flow:Range(0, 1000):Map(function(n) return n, n * n end):Cache()
        flow:Run()
        squares:Print()
        squares:WriteCsv("squares.csv")
        flow:Run()
        glim.flow("g"):TextFile("squares.csv"):Limit(3):Print():Run()""",
    "sums of doubles are rounded alike": """
        local parts = flow:Range(1, 100000):Map(function(n) return n % 17, 1 / n end):Partition(5):Cache()
        flow:Run()
        parts:Map(function(k, x) return k, x * 3 end):ReduceBy(glim.sum):Sort():Print()
        parts:Reduce(glim.sum):Print()""",
    "caches with each other, and with what is none": """
        local left = flow:Range(0, 500):Map(function(n) return n % 50, n end):Cache()
        local right = flow:Range(0, 60):Map(function(n) return n, "r" .. n end):Partition(4):Cache()
        flow:Run()
        left:Join(right):Sort():Print()
        right:HashJoin(left):Sort():Print()
        left:Map(function(a, b) return b end):Union(right:Map(function(a, b) return b end),
          flow:TextFile("-"):Map(function(line) return line end)):Map(function(x) return x end):Print()
        left:Union(flow:Range(0, 50):Map(function(n) return n, -n end)):ReduceBy(glim.sum):Sort():Print()
        local names = right:AsTable()
        left:Limit(9):Map(function(k, v) return names[k], v end):Print()""",
    "a cache of a cache, and one without rows": """
        local all = flow:Range(0, 1000):Cache()
        flow:Run()
        local some = all:Filter(function(n) return n % 7 == 0 end):Cache()
        local none = all:Filter(function(n) return n < 0 end):RoundRobin(3):Cache()
        flow:Run()
        some:Map(function(n) return -n end):Reduce(glim.sum):Print()
        none:Map(function(n) return n end):Print()
        none:Union(some):Map(function(n) return 1 end):Reduce(glim.sum):Print()""",
    "rows pushed to a table": """
        local words = flow:TextFile("words.txt"):FlatMap(function(line) return line:gmatch("%w+") end)
          :Map(function(word) return #word, 1 end):Cache()
        flow:Run()
        local counts = glim.table{name = "counts", keys = "sparse", type = "i64", rule = "add"}
        words:PushTo(counts)
        flow:Run()
        flow:Table(counts):Sort():Print()""",
}

# The rows are of chance: made twice they would be others.
AGAIN_AND_AGAIN = """
    local glim = require "glim"
    local flow = glim.flow("again")
    local rows = flow:Range(0, 20000):Map(function(n) return n, math.random(1, 1000000000) end):Partition(7):Cache()
    for i = 1, %d do
      rows:Map(function(n, x) local s = 0 for i = 1, %d do s = (s + x * i) %% 1000003 end return n %% 100, x end)
        :ReduceBy(glim.sum):Sort():Map(function(k, sum) return k .. "=" .. sum end)
        :Reduce(function(a, b) return a .. " " .. b end):Print()
      flow:Run()
      io.write("go on?\\n") io.flush() io.read()
    end
    """


class CachesTest(ScriptCase):
    def setUp(self):
        super().setUp()
        self.write("words.txt", text_of(2000))

    def test_the_answer_is_that_of_one_process(self):
        for name, body in FLOWS.items():
            script = f'local glim = require "glim"\nlocal flow = glim.flow("f")\n{body}\nflow:Run()\n'
            for partitions in ((), ("--partitions", "5")):
                expected = self.run_script(script, *partitions)[0]
                self.assertTrue(expected)
                for on in ("local:1", "local:3"):
                    with self.subTest(flow=name, on=on, partitions=partitions):
                        self.assertEqual(self.run_script(script, "--on", on, *partitions)[0], expected)

    def test_a_cache_may_be_larger_than_the_memory(self):
        script = """
            local glim = require "glim"
            local flow = glim.flow("large")
            local rows = flow:Range(0, 30000):Map(function(n) return n, ("x"):rep(500) .. n end):Partition(9):Cache()
            flow:Run()
            for i = 1, 3 do
              rows:Map(function(n, text) return #text, n end):ReduceBy(glim.sum):Sort():Print()
              flow:Run()
            end
            """
        self.assertEqual(self.run_script(script, "--on", "local:2", "--memory", "64M")[0], self.run_script(script)[0])
        self.assertEqual(self.run_script(script, "--memory", "24M")[0], self.run_script(script)[0])

    def test_the_rows_stay_the_same_while_executors_are_killed(self):
        job = self.start(AGAIN_AND_AGAIN % (6, 2000), "--on", "local:3", "--partitions", "12")
        chance = random.Random(2)
        seen, lines = set(), []
        for turn in range(6):
            lines.append(job.stdout.readline())
            self.assertEqual(job.stdout.readline(), "go on?\n")
            executors = executors_of(job.pid)
            seen.update(executors)
            if turn in (1, 2):  # Between runs: one, and all.
                for number in executors[: 1 if turn == 1 else None]:
                    send(number, signal.SIGKILL)
            job.stdin.write("yes\n")
            job.stdin.flush()
            if turn in (0, 3, 4):  # And while one is under way.
                time.sleep(chance.random() * 0.4)
                victims = executors_of(job.pid)
                seen.update(victims)
                if victims:
                    send(chance.choice(victims), signal.SIGKILL)
        out, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual((job.returncode, out), (0, ""), err)
        self.assertGreater(len(lines[0]), 100)
        self.assertEqual(lines, lines[:1] * 6)
        self.assert_nothing_left(seen)


class CachesOnAgentsTest(ClusterCase):
    def log_of(self, job):
        logs = subprocess.run([GLIM, "logs", "--master", self.master.address, job], env=self.environment, text=True,
                              cwd=self.folder, capture_output=True, timeout=TIMEOUT_S)
        return logs.stdout if logs.stdout.endswith(" done\n") else None

    def test_tasks_run_where_their_rows_are(self):
        self.make_cluster(1)
        job = self.start(AGAIN_AND_AGAIN % (6, 10))
        lines = []
        for turn in range(6):
            lines.append(job.stdout.readline())
            self.assertEqual(job.stdout.readline(), "go on?\n")
            if turn == 3:
                for number in self.agents[0].children():
                    send(number, signal.SIGKILL)
            job.stdin.write("yes\n")
            job.stdin.flush()
        out, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual((job.returncode, out), (0, ""), err)
        self.assertEqual(lines, lines[:1] * 6)
        # The first run fills the cache. An executor that has read a partition keeps it; a new one has none.
        jobs = self.status()["jobs"]
        self.assertEqual(len(jobs), 6)
        last, here = None, []
        for run in jobs:
            log = wait_until("its log", lambda run=run: self.log_of(run["id"]))
            executors = re.findall(r" executor at (\S+)", log)
            read = re.findall(r"(\d+) of 7 tasks ran where a cache keeps their rows\n", log)
            if len(executors) == 1 and read:  # On a machine that is slow enough more may be lost.
                self.assertEqual(read, ["7" if executors == last else "0"], log)
            here += read
            last = executors if read else None
        self.assertIn("7", here)
        self.await_nothing_left()


if __name__ == "__main__":
    unittest.main()
