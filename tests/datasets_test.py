#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Datasets that outlive their program: OnDisk keeps rows under a name, FromDisk and later runs read them; the same rows
wherever the flow runs, whole or not there when processes are killed, and `glim dataset` that lists and drops them.

The folder with the glim binary is in GLIM_BUILD (default: build/release).
"""

import json
import os
import random
import signal
import subprocess
import time
import unittest

from agents_test import ClusterCase, send, wait_until
from jobs_test import GLIM, TIMEOUT_S, FolderCase, ScriptCase, executors_of, text_of

# Keeps rows that are others each time they are made.
MAKE = """
    local glim = require "glim"
    local flow = glim.flow("make")
    flow:Range(0, 20000):Pipe("sed s/$/$RANDOM_WORD/"):Map(function(line) return #line, line end):Partition(7):As("size", "line")
      :OnDisk("words")
    flow:Run()
    """
READ = """
    local glim = require "glim"
    local flow = glim.flow("read")
    flow:FromDisk("words"):Select("line"):Map(function(line) return line:sub(-3), 1 end):ReduceBy(glim.sum):Sort():Print()
    flow:FromDisk("words"):Limit(3):Print("csv")
    flow:FromDisk("words"):Pipe("wc -l"):Print()
    flow:FromDisk("words"):Reduce(function(a, b, c, d) return math.max(a, c), b < d and b or d end):Print()
    flow:Run()
    """
# What a flow gives must be the same when it makes the dataset, when it reads it, and with Cache in the place of OnDisk.
FLOWS = {
    "steps behind it": """
        local words = flow:TextFile("words.txt"):FlatMap(function(line) return line:gmatch("%w+") end):KEEP("a")
        words:Map(function(word) return word, 1 end):ReduceBy(glim.sum):Sort():Print()
        words:Sample(0.01, 3):Print()
        words:ZipWithIndex():Filter(function(a, b) return b % 1000 == 0 end):Print()
        words:Pipe("wc -l"):Print()""",
    "sums of doubles are rounded alike": """
        local parts = flow:Range(1, 100000):Map(function(n) return n % 17, 1 / n end):Partition(5):KEEP("b")
        parts:Map(function(k, x) return k, x * 3 end):ReduceBy(glim.sum):Sort():Print()""",
    "one of another": """
        local all = flow:Range(0, 1000):KEEP("all")
        local some = all:Filter(function(n) return n % 7 == 0 end):KEEP("some")
        local none = all:Filter(function(n) return n < 0 end):RoundRobin(3):KEEP("none")
        some:Map(function(n) return -n end):Reduce(glim.sum):Print()
        none:Union(some):Map(function(n) return 1 end):Reduce(glim.sum):Print()""",
    "values of all kinds": """
        local rows = flow:Rows{{1, "a\\tb", true}, {2.5, "", false}, {nil, "h\u00e9", {1, {"x"}}}}:KEEP("kinds")
        rows:Print("json")""",
    "names": """
        local rows = flow:Input(glim.csv{"in.csv", header = true}):KEEP("named")
        rows:Select("b"):Print("csv")
        rows:WriteCsv("out.csv", {header = {"a", "b"}})""",
}


class DatasetsTest(ScriptCase):
    def setUp(self):
        super().setUp()
        self.write("words.txt", text_of(2000))
        self.write("in.csv", "a,b\n1,2\n3,4\n")
        self.environment["GLIM_DATASET_DIR"] = os.path.join(self.folder, "sets")
        self.environment["RANDOM_WORD"] = "abc"

    def glim(self, *arguments, expect=0):
        done = subprocess.run([GLIM, *arguments], cwd=self.folder, env=self.environment, text=True, capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=TIMEOUT_S)
        self.assertEqual(done.returncode, expect, done.stderr)
        return done.stdout if expect == 0 else done.stderr

    def names(self):
        return [one["name"] for one in json.loads(self.glim("dataset", "list", "--json"))]

    def left_over(self):
        folder = os.path.join(self.folder, "sets")
        return [name for name in os.listdir(folder) if name.startswith(".")] if os.path.isdir(folder) else []

    def test_the_answer_is_that_of_a_cache(self):
        for name, body in FLOWS.items():
            script = f'local glim = require "glim"\nlocal flow = glim.flow("f")\n{body}\nflow:Run()\n'
            cached = script
            for part in ("a", "b", "all", "some", "none", "kinds", "named"):
                cached = cached.replace(f'KEEP("{part}")', "Cache()")
            expected = self.run_script(cached)[0]
            self.assertTrue(expected)
            kept = script.replace("KEEP", "OnDisk")
            for made_on in ("embedded", "local:2"):
                for one in self.names():
                    self.glim("dataset", "drop", one)
                for on in (made_on, "embedded", "local:2", "local:1"):
                    with self.subTest(flow=name, made_on=made_on, on=on):
                        self.assertEqual(self.run_script(kept, "--on", on)[0], expected)
        self.assertEqual(self.left_over(), [])

    def test_another_program_reads_what_one_has_made(self):
        self.run_script(MAKE)
        expected = self.run_script(READ)[0]
        self.assertIn("abc,20000\n", expected)
        self.environment["RANDOM_WORD"] = "xyz"  # What is there is not made again.
        self.run_script(MAKE)
        for on in ("embedded", "local:1", "local:3"):
            self.assertEqual(self.run_script(READ, "--on", on)[0], expected)
        self.glim("dataset", "drop", "words")
        self.run_script(MAKE, "--on", "local:2")
        self.assertIn("xyz,20000\n", self.run_script(READ)[0])

    def test_what_stands_before_it_is_not_looked_at(self):
        script = """
            local glim = require "glim"
            local flow = glim.flow("f")
            flow:Input(glim.csv{"in.csv", header = true}):Select("b"):OnDisk("b"):Sort("b"):Print("csv"):Run()
            """
        first = self.run_script(script)[0]
        self.assertEqual(first, "b\n2\n4\n")
        os.remove(os.path.join(self.folder, "in.csv"))
        self.assertEqual(self.run_script(script)[0], first)
        self.assertEqual(self.run_script(script, "--on", "local:2")[0], first)

    def test_it_is_listed_described_and_dropped(self):
        self.assertEqual(self.glim("dataset", "list"), "DATASET  ROWS  PARTITIONS  ON DISK  MADE  READ\n")
        self.run_script(MAKE)
        self.assertIn("words    20000  7           ", self.glim("dataset", "list"))
        told = self.glim("dataset", "describe", "words")
        for line in ("rows        20000\n", "columns     size, line\n", "made by     Range, Pipe, Map, Partition, As\n"):
            self.assertIn(line, told)
        one = json.loads(self.glim("dataset", "describe", "words", "--json"))
        self.assertEqual((one["rows"], one["partitions"], one["columns"]), (20000, 7, ["size", "line"]))
        self.assertEqual(self.glim("dataset", "drop", "words"), "")
        where = os.path.join(self.folder, "sets")
        for verb in ("describe", "drop"):
            self.assertEqual(self.glim("dataset", verb, "words", expect=1), f'glim: there is no dataset "words" in "{where}"\n')
            self.assertIn("a dataset's name is", self.glim("dataset", verb, "../words", expect=1))
        self.assertEqual(self.names(), [])

    def test_what_is_wrong_is_one_line(self):
        def fails(script, *parts):
            told = self.run_script(script, expect=1)[1].splitlines()
            self.assertEqual(len(told), 1, told)
            for part in parts:
                self.assertIn(part, told[0])
        fails(READ, 'FromDisk: there is no dataset "words" in "')
        head = 'local glim = require "glim"\nlocal flow = glim.flow("f")\n'
        fails(head + 'flow:Range(0, 3):OnDisk("a/b"):Run()', "OnDisk: a dataset's name is 1 to 64 of", '"a/b"')
        fails(head + 'flow:Range(0, 3):OnDisk("x") flow:Range(0, 4):OnDisk("x") flow:Run()', 'keeps two datasets as "x"')
        self.run_script(head + 'flow:Range(0, 3):OnDisk("x"):Run()')
        fails(head + 'flow:Range(0, 3):Sort():OnDisk("x"):Run()', 'dataset "x" was made by Range, here it would be by Range, Sort',
              "glim dataset drop x")
        path = os.path.join(self.folder, "sets", "x", "rows")
        with open(path, "r+b") as file:
            file.seek(14)
            file.write(b"?")
        fails(head + 'flow:FromDisk("x"):Print():Run()', "FromDisk", path, "damaged")
        os.truncate(path, 50)
        fails(head + 'flow:FromDisk("x"):Print():Run()', "FromDisk", 'dataset "x"', path, "damaged")
        self.assertEqual(self.names(), [])
        self.glim("dataset", "drop", "x")

    def test_a_run_that_fails_keeps_nothing(self):
        self.run_script("""
            local glim = require "glim"
            glim.flow("f"):Range(0, 100000):Map(function(n) if n == 99999 then error("no") end return n end):OnDisk("x"):Run()
            """, expect=1)
        self.assertEqual((self.names(), self.left_over()), ([], []))

    def test_those_that_were_not_read_for_longest_make_way(self):
        script = """
            local glim = require "glim"
            glim.flow("f"):Range(0, 100000):Pipe("cat"):OnDisk(arg[1]):Run()
            """
        self.write("make.lua", script)
        for name in ("one", "two", "three"):
            self.glim("run", "make.lua", name)
            time.sleep(0.02)
        self.glim("e", 'range(0, 1):Union(range(0, 1))')  # Which reads none.
        self.glim("run", "make.lua", "one")
        size = json.loads(self.glim("dataset", "describe", "one", "--json"))["disk_bytes"]
        megabytes = 3 * size // (1 << 20) + 1
        for number in range(6):
            self.glim("run", "--dataset-disk", f"{megabytes}M", "make.lua", f"more{number}")
            total = sum(one["disk_bytes"] for one in json.loads(self.glim("dataset", "list", "--json")))
            self.assertLessEqual(total, megabytes << 20)
            self.glim("run", "make.lua", "one")  # It is read, and so it stays.
            time.sleep(0.02)
        self.assertIn("one", self.names())
        self.assertNotIn("two", self.names())
        self.assertIn("more5", self.names())

    def test_a_program_that_is_killed_leaves_it_whole_or_not_there(self):
        chance = random.Random(7)
        script = MAKE.replace("20000", "100000")
        begin = time.monotonic()
        self.run_script(script)
        took = time.monotonic() - begin
        expected = self.run_script(READ)[0]
        made = 0
        for turn in range(8):
            self.glim("dataset", "drop", "words") if self.names() else None
            job = self.start(script, *(("--on", "local:2") if turn % 3 == 0 else ()))
            time.sleep(took * (0.5 + 0.6 * chance.random()))
            job.kill()
            job.communicate(timeout=TIMEOUT_S)
            if self.names():
                made += 1
                self.assertEqual(self.run_script(READ)[0], expected)
        # What such a program has left behind goes with the next one, a minute later.
        left = self.left_over()
        for name in left:
            path = os.path.join(self.folder, "sets", name)
            os.utime(path, (time.time() - 120, time.time() - 120))
        self.glim("dataset", "drop", "words") if self.names() else None
        self.run_script(script)
        self.assertEqual(self.run_script(READ)[0], expected)
        self.assertEqual(self.left_over(), [])

    def test_of_two_programs_the_first_has_the_name(self):
        jobs = []
        for word in ("abc", "xyz", "uvw"):
            self.environment["RANDOM_WORD"] = word
            jobs.append(self.start(MAKE))
        for job in jobs:
            out, err = job.communicate(timeout=TIMEOUT_S)
            self.assertEqual(job.returncode, 0, err)
        self.assertEqual(self.names(), ["words"])
        self.assertRegex(self.run_script(READ)[0], "(abc|xyz|uvw),20000\n")
        self.assertEqual(self.left_over(), [])

    def test_who_reads_it_goes_on_when_it_is_dropped(self):
        self.run_script(MAKE)
        script = """
            local glim = require "glim"
            local flow = glim.flow("again")
            local rows = flow:FromDisk("words")
            for i = 1, 3 do
              rows:Map(function(size, line) return size end):Reduce(glim.sum):Print()
              flow:Run()
              io.write("go on?\\n") io.flush() io.read()
            end
            """
        for on in ("embedded", "local:2"):
            job = self.start(script, "--on", on)
            lines = []
            for turn in range(3):
                lines.append(job.stdout.readline())
                self.assertEqual(job.stdout.readline(), "go on?\n")
                if turn == 0:
                    self.glim("dataset", "drop", "words")
                for number in executors_of(job.pid):
                    send(number, signal.SIGKILL)
                job.stdin.write("yes\n")
                job.stdin.flush()
            out, err = job.communicate(timeout=TIMEOUT_S)
            self.assertEqual((job.returncode, out), (0, ""), err)
            self.assertEqual(lines, lines[:1] * 3)
            self.run_script(MAKE)


class DatasetsOnAgentsTest(ClusterCase):
    def test_executors_read_what_the_program_has(self):
        self.environment["GLIM_DATASET_DIR"] = os.path.join(self.folder, "sets")
        self.environment["RANDOM_WORD"] = "abc"
        self.make_cluster(2)
        self.run_script(MAKE)
        expected = self.run_script(READ, on="embedded")[0]
        self.assertIn("abc,20000\n", expected)
        job = self.start(READ)
        for _ in range(3):
            victims = [number for agent in self.agents for number in agent.children()]
            if victims:
                send(victims[0], signal.SIGKILL)
            time.sleep(0.1)
        out, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual((job.returncode, out), (0, expected), err)
        self.await_nothing_left()


if __name__ == "__main__":
    unittest.main()
