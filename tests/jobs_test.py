#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Flows on executors (--on local:N): the same answer as in one process, also while executors are killed.

The folder with the glim binary is in GLIM_BUILD (default: build/release). GLIM_KILL_SCHEDULES: how many runs have their
executors killed and stopped at random, 3 when not given.
"""

import os
import random
import signal
import subprocess
import tempfile
import time
import unittest

BUILD = os.path.abspath(os.environ.get("GLIM_BUILD", os.path.join(os.path.dirname(__file__), "..", "build", "release")))
GLIM = os.path.join(BUILD, "glim")
TIMEOUT_S = 120

# Each is a script; `in.csv` and `words.txt` lie in its folder. What it prints must not depend on the engine.
FLOWS = {
    "word count": """
        flow:TextFile("words.txt"):FlatMap(function(line) return line:gmatch("%w+") end)
          :Map(function(word) return word, 1 end):ReduceBy(function(x, y) return x + y end):Sort():Print()""",
    "what is sorted is in total order": """
        flow:TextFile("words.txt"):FlatMap(function(line) return line:gmatch("%w+") end):Partition(7):Sort():Print()""",
    "sums of doubles are rounded alike": """
        flow:Range(1, 200000):Map(function(n) return n % 17, 1 / n end):ReduceBy(glim.sum):Sort():Print()""",
    "joins": """
        local left = flow:Input(glim.csv{"in.csv", header = true})
        local right = flow:Range(0, 50):Map(function(n) return n, "r" .. n end)
        left:Join(right):Sort():Print()
        left:LeftOuterJoin(right):Sort():Print()
        left:FullOuterJoin(right:Filter(function(n) return n % 2 == 0 end)):Sort():Print()
        left:SemiJoin(right):Sort():Print()
        left:AntiJoin(right):Sort():Print()
        left:HashJoin(right):Sort():Print()
        left:CoGroup(right):Map(function(k, a, b) return k, #a, #b end):Sort():Print()""",
    "groups": """
        flow:Input(glim.csv{"in.csv", header = true}):GroupBy():Map(function(k, list) return k, #list end):Sort():Print()""",
    "limits and tops": """
        flow:Range(0, 100000):Partition(5):Limit(10, 20):Print()
        flow:Range(0, 100000):Map(function(n) return (n * 7919) % 100003 end):Top(5):Print()""",
    "index and sample": """
        flow:TextFile("words.txt"):ZipWithIndex():Filter(function(a, b) return b % 100 == 0 end):Print()
        flow:TextFile("words.txt"):Sample(0.05, 3):Print()
        flow:Range(0, 10000):RoundRobin(3):Sample(0.01, 9):Print()""",
    "a cache and a table are read again": """
        local squares = flow:Range(0, 1000):Map(function(n) return n % 10, n * n end):Cache()
        squares:ReduceBy(glim.sum):Sort():Print()
        flow:Run()
        squares:Filter(function(k) return k == 3 end):Limit(3):Print()
        local names = flow:Range(0, 10):Map(function(n) return n, "name " .. n end):AsTable()
        squares:Limit(15):Map(function(k, v) return names[k], v end):Print()""",
    "tables that parts of a union and other tables are made with": """
        local names = flow:Range(0, 10):Map(function(n) return n, "name " .. n end):AsTable()
        local more = flow:Range(0, 10):Map(function(n) return n, names[n] .. "!" end):AsTable()
        local words = flow:TextFile("words.txt"):Map(function(line) return #line, 1 end)
        words:Map(function(n) return names[n % 10], 1 end):Union(words:Map(function(n) return more[n % 10], 2 end), words)
          :Partition(3):ReduceBy(glim.sum):Sort():Print()""",
    "programs": """
        flow:TextFile("words.txt"):Pipe("tr a-z A-Z"):Limit(5):Print()
        flow:Strings{"a b", "$(c)", "'d"}:PipeAsArgs("echo got $1"):Print()""",
    "unions, rows of the script and of standard input": """
        local a = flow:Lines{"x", "y"}
        a:Union(flow:TextFile("words.txt"):Limit(3), flow:Lines{"z"}):Print()
        flow:TextFile("-"):Map(function(line) return #line, line end):Sort():Print()""",
    "standard input as a table that functions read": """
        local lengths = flow:TextFile("-"):Map(function(line) return line, #line end):AsTable()
        flow:Lines{"one", "two", "three"}:Map(function(word) return word, lengths[word] end):Print()""",
    "standard input joined with what executors have": """
        local counts = flow:TextFile("words.txt"):FlatMap(function(line) return line:gmatch("%w+") end)
          :Map(function(word) return word, 1 end):ReduceBy(glim.sum)
        flow:TextFile("-"):Map(function(line) return line == "one" and "the" or "a", line end):HashJoin(counts):Print()
        flow:TextFile("-"):Union(counts:Map(function(word) return word end)):Filter(function(w) return #w < 4 end):Print()""",
    "files of one piece and in parts": """
        flow:Range(0, 1000):WriteCsv("out.csv")
        flow:Range(0, 1000):RoundRobin(3):WriteText("parts", {per_partition = true})
        flow:Run()
        flow = glim.flow("again")
        flow:Input(glim.csv{"out.csv", numbers = true}):Reduce(glim.sum):Print()
        flow:TextFile("parts/*"):Map(function(n) return tonumber(n) end):Reduce(glim.sum):Print()""",
    "bytes that sinks write": """
        local function rows()
          return flow:Range(0, 30000):Map(function(n)
            return n, n % 3 == 0 and "say \\"" .. n .. "\\",\\nthen" or "plain", n % 7 == 0 and n / 3 or nil, n % 2 == 0
          end)
        end
        rows():WriteCsv("a.csv")
        rows():WriteTsv("a.tsv")
        rows():WriteJsonLines("a.jsonl", {"n", "text", "third", "even"})
        rows():WriteText("a.txt.gz")
        rows():Map(function(n, text) return text end):WriteBinary("a.bin")
        rows():Limit(5):WriteCsv("few.csv")
        rows():Filter(function(n) return n < 0 end):WriteCsv("none.csv")
        rows():Map(function(n) return ("long"):rep(n % 2 == 0 and 1 or 20000) end):Limit(100):WriteText("long.txt")
        rows():Printf("%d <%s> %v %v\\n")
        rows():PipeOut(io.stdout)
        flow:Run()
        for _, name in ipairs{"a.csv", "a.tsv", "a.jsonl", "a.txt.gz", "a.bin", "few.csv", "none.csv", "long.txt"} do
          local file = io.open(name, "rb")
          print(name, #file:read("*a"))
          file:close()
        end
        glim.flow("text"):TextFile("a.txt.gz"):Limit(3, 20000):Print():Run()
        for line in io.lines("a.jsonl") do io.write(line, "\\n") end
        for line in io.lines("a.csv") do io.write(line, "\\n") end""",
    "sinks that share their rows": """
        local rows = flow:TextFile("words.txt"):FlatMap(function(line) return line:gmatch("%w+") end)
          :Map(function(word) return word, 1 end):ReduceBy(glim.sum):Sort()
        rows:WriteCsv("a.csv")
        rows:WriteJsonLines("a.jsonl", {"word", "count"})
        local few = rows:Filter(function(word, count) return count % 5 == 0 end):Partition(4)
        few:WriteText("few.txt")
        few:Print()
        few:Map(function(word) return #word, 1 end):ReduceBy(glim.sum):Sort():Print()
        flow:Run()
        for _, name in ipairs{"a.csv", "a.jsonl", "few.txt"} do
          for line in io.lines(name) do io.write(line, "\\n") end
        end
        flow = glim.flow("nothing more"):Range(0, 1):Print()""",
    "captured variables": """
        local stop, count = {the = true, a = true}, 0
        local function clean(word) return word:lower() end
        flow:TextFile("words.txt"):FlatMap(function(line) return line:gmatch("%a+") end):Map(clean)
          :Filter(function(word) return not stop[word] end):Map(function(w) return w, 1 end):ReduceBy(glim.sum)
          :Top(10, glim.order_by(2, glim.descending), glim.order_by(1)):Print()""",
    "what comes back to the script": """
        local rows = {} flow:Range(0, 100):Map(function(n) return n, n * n end):Collect(rows):Run()
        print(#rows, rows[10][2])
        local big = rows[50][2]
        local more = {} glim.flow("next"):Range(0, 5):Map(function(n) return n + big end):Collect(more):Run()
        for _, row in ipairs(more) do print(row[1]) end""",
}


def text_of(count):
    numbers = random.Random(4)
    words = [f"w{numbers.randrange(300)}" for _ in range(100)] + ["the", "a", "The"]
    return "".join(" ".join(numbers.choices(words, k=8)) + "\n" for _ in range(count))


def executors_of(parent):
    """The process ids of executors that a process has started."""
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/stat") as stat:
                of_parent = int(stat.read().rsplit(")", 1)[1].split()[1]) == parent
            with open(f"/proc/{number}/environ", "rb") as variables:
                if of_parent and b"GLIM_CHILD=executor" in variables.read():
                    found.append(int(number))
        except OSError:
            pass
    return sorted(found)


class FolderCase(unittest.TestCase):
    """A folder of its own for each test."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="glim-jobs-test-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("GLIM_")}
        self.environment["TMPDIR"] = self.folder

    def assert_nothing_left(self, processes):
        deadline = time.monotonic() + TIMEOUT_S
        while any(os.path.exists(f"/proc/{number}") for number in processes):
            self.assertLess(time.monotonic(), deadline, "executors outlive their program")
            time.sleep(0.02)
        self.assertEqual([name for name in os.listdir(self.folder) if name.startswith("glim-local")], [])


class ScriptCase(FolderCase):
    """Flows in Lua, run there."""

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w") as file:
            file.write(text)

    def start(self, script, *options):
        self.write("job.lua", script)
        return subprocess.Popen([GLIM, "run", *options, "job.lua"], cwd=self.folder, env=self.environment, text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run_script(self, script, *options, stdin="three\none\nfour\n", expect=0):
        job = self.start(script, *options)
        out, err = job.communicate(stdin, timeout=TIMEOUT_S)
        self.assertEqual(job.returncode, expect, err)
        return out, err


class JobsTest(ScriptCase):
    def test_the_answer_is_that_of_one_process(self):
        self.write("words.txt", text_of(3000))
        self.write("in.csv", "key,value\n" + "".join(f'{n * 7 % 61},"v{n}, \n quoted"\n' for n in range(500)))
        for name, body in FLOWS.items():
            script = f'local glim = require "glim"\nlocal flow = glim.flow("f")\n{body}\nflow:Run()\n'
            expected = self.run_script(script)[0]
            self.assertTrue(expected)
            for on in ("local:1", "local:3"):
                for partitions in ("1", "5") if on == "local:3" else ("3",):
                    with self.subTest(flow=name, on=on, partitions=partitions):
                        same = self.run_script(script, "--partitions", partitions)[0]
                        self.assertEqual(self.run_script(script, "--on", on, "--partitions", partitions)[0], same)
            with self.subTest(flow=name):
                self.assertEqual(self.run_script(script, "--on", "local:2")[0], expected)

    WORK = """
        local glim = require "glim"
        glim.flow("long"):Range(0, 60000)
          :Map(function(n) local s = 0 for i = 1, 3000 do s = (s + n * i) % 1000003 end return s % 500, n end)
          :ReduceBy(function(a, b) return a + b end)
          :Map(function(k, v) local s = 0 for i = 1, 200000 do s = (s + k * i) % 1000003 end return k, v, s end)
          :Sort():Printf("%d,%d,%d\\n"):Run()
        """

    def kill_some(self, job, chance, kills_max, pause_s=0.3):
        """Until the job ends; the processes that it had, and how many were killed or stopped."""
        seen, killed, stopped = set(), 0, []
        while job.poll() is None:
            time.sleep(0.05 + chance.random() * pause_s)
            executors = executors_of(job.pid)
            seen.update(executors)
            victim = chance.choice(executors) if executors and killed < kills_max else None
            try:
                if victim is not None and chance.random() < 0.25:
                    os.kill(victim, signal.SIGSTOP)
                    stopped.append((time.monotonic() + chance.random() * 4, victim))
                elif victim is not None:
                    os.kill(victim, signal.SIGKILL)
                killed += victim is not None
                for until, number in stopped:
                    if until < time.monotonic():
                        os.kill(number, signal.SIGCONT)
            except ProcessLookupError:
                pass
        return seen, killed

    def test_executors_that_are_killed_are_done_without(self):
        expected = self.run_script(self.WORK, "--partitions", "12")[0]
        for seed in range(int(os.environ.get("GLIM_KILL_SCHEDULES", "3"))):
            chance = random.Random(seed)
            job = self.start(self.WORK, "--partitions", "12", "--on", f"local:{chance.randrange(1, 5)}")
            seen, killed = self.kill_some(job, chance, 3)  # A task is tried four times.
            out, err = job.communicate(timeout=TIMEOUT_S)
            with self.subTest(seed=seed, killed=killed):
                self.assertEqual((job.returncode, out), (0, expected), err)
                self.assertGreater(killed, 0)
                self.assert_nothing_left(seen)

    def test_an_executor_that_is_stopped_is_done_without(self):
        expected = self.run_script(self.WORK, "--partitions", "12")[0]
        job = self.start(self.WORK, "--partitions", "12", "--on", "local:2")
        while not executors_of(job.pid):
            time.sleep(0.02)
        time.sleep(0.3)
        executors = executors_of(job.pid)
        os.kill(executors[0], signal.SIGSTOP)
        out, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual((job.returncode, out), (0, expected), err)
        self.assert_nothing_left(executors)

    # Whoever renames the token waits for what never comes: one task, once. What comes after goes on without its process.
    STUCK = """
        local glim = require "glim"
        local flow = glim.flow("f")
        flow:Range(0, 6000):RoundRobin(6):Map(function(n)
          local ffi = require "ffi"
          ffi.cdef "int rename(const char*, const char*); int access(const char*, int); int usleep(unsigned);"
          if n == 7 and ffi.C.rename("token", "taken") == 0 then
            while ffi.C.access("never", 0) ~= 0 do ffi.C.usleep(50000) end
          end
          return n % 10, n
        end):ReduceBy(glim.sum):Partition(3):Map(function(k, n) return k, n + 1 end):Sort():Print()
        flow:Run()
        glim.flow("g"):Range(0, 6000):RoundRobin(6):Map(function(n) return n end):Reduce(glim.sum):Print():Run()
        """

    def test_a_task_that_takes_much_longer_than_others_is_begun_elsewhere(self):
        expected = self.run_script(self.STUCK)[0]
        self.write("token", "")
        job = self.start(self.STUCK, "--on", "local:2", "--threads", "2", "--stats")
        self.addCleanup(job.kill)
        seen, deadline = set(), time.monotonic() + TIMEOUT_S
        while job.poll() is None:
            self.assertLess(time.monotonic(), deadline, "nobody else does the task")
            seen.update(executors_of(job.pid))
            time.sleep(0.05)
        out, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual((job.returncode, out), (0, expected), err)
        self.assertTrue(os.path.exists(os.path.join(self.folder, "taken")))
        self.assertIn(", 1 begun a second time, being slow\n", err)
        self.assert_nothing_left(seen)

    def test_a_limit_that_has_its_rows_stops_tasks_in_other_processes(self):
        # The first two tasks run in two processes and have enough together. All others wait for what never comes.
        script = """
            local glim = require "glim"
            local flow = glim.flow("f")
            flow:Range(0, 6000):RoundRobin(6):Map(function(n)
              local ffi = require "ffi"
              ffi.cdef "int access(const char*, int); int usleep(unsigned);"
              while n % 6 > 1 and ffi.C.access("never", 0) ~= 0 do ffi.C.usleep(50000) end
              return n
            end):Limit(3, 999):Print()
            flow:Run()
            """
        job = self.start(script, "--on", "local:2", "--threads", "2")
        self.addCleanup(job.kill)
        out, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual((job.returncode, out), (0, "5994\n1\n7\n"), err)

    def test_a_mistake_of_a_function_is_told_as_in_one_process(self):
        script = """
            local glim = require "glim"
            glim.flow("f"):Range(0, 100):Map(function(n) if n == 77 then error("no 77") end return n end):Print():Run()
            """
        alone, together = (self.run_script(script, *on, expect=1) for on in ((), ("--on", "local:2")))
        self.assertEqual(together, alone)

    def test_a_row_that_a_sink_cannot_write_is_told_as_in_one_process(self):
        script = """
            local glim = require "glim"
            glim.flow("f"):Range(0, 100):Map(function(n) return n == 77 and 0 / 0 or n end):WriteJsonLines("out.jsonl", {"n"}):Run()
            """
        alone, together = (self.run_script(script, *on, expect=1) for on in ((), ("--on", "local:2")))
        self.assertIn("WriteJsonLines", alone[1])
        self.assertEqual(together, alone)
        self.assertEqual(os.listdir(self.folder), ["job.lua"])

    def test_a_function_that_kills_its_executor_ends_the_run(self):
        script = """
            local glim = require "glim"
            local ffi = require "ffi"
            glim.flow("f"):Range(0, 10):Map(function(n)
              require("ffi").cdef "void abort(void);"
              require("ffi").C.abort()
              return n
            end):Print():Run()
            """
        out, err = self.run_script(script, "--on", "local:2", expect=1)
        self.assertEqual(out, "")
        self.assertIn("task 1 of stage 1 was tried 4 times", err)

    def test_what_functions_print_comes_out_before_the_run_ends(self):
        script = """
            local glim = require "glim"
            glim.flow("f"):Range(0, 5000):ForEach(function(n) print("row", n) end):Run()
            print("done")
            """
        lines = self.run_script(script, "--on", "local:3", "--partitions", "6")[0].splitlines()
        self.assertEqual(lines[-1], "done")
        self.assertEqual(sorted(lines[:-1]), sorted(f"row\t{n}" for n in range(5000)))

    def test_counters_and_stats_are_of_all_processes(self):
        script = """
            local glim = require "glim"
            glim.flow("f"):Range(0, 1000):Map(function(n) if n % 3 == 0 then glim.count("threes") end return n end)
              :Reduce(glim.sum):Print():Run()
            """
        out, err = self.run_script(script, "--on", "local:2", "--stats", "--partitions", "4")
        self.assertEqual(out, "499500\n")
        self.assertIn("threes", err)
        self.assertIn("334", err)
        self.assertRegex(err, r"Map\(lua job.lua:3\) +1,000 +1,000")

    def test_tasks_that_are_tried_again_are_told_of(self):
        script = """
            local glim = require "glim"
            glim.flow("f"):Range(0, 1000):RoundRobin(4):Map(function(n)
              local ffi = require "ffi"
              ffi.cdef "int rename(const char*, const char*); void abort(void);"
              if n == 77 and ffi.C.rename("token", "taken") == 0 then ffi.C.abort() end
              return n
            end):Reduce(glim.sum):Print():Run()
            """
        self.write("token", "")
        out, err = self.run_script(script, "--on", "local:2", "--stats")
        self.assertEqual(out, "499500\n")
        self.assertRegex(err, r"stage 2, 4 tasks, .* s, \d tried again\n")

    def test_rows_that_become_bytes_are_counted_as_rows(self):
        script = """
            local glim = require "glim"
            glim.flow("f"):Range(0, 100000):WriteCsv("out.csv"):Run()
            """
        err = self.run_script(script, "--on", "local:2", "--stats", "--partitions", "4")[1]
        self.assertRegex(err, r'WriteCsv bytes\("out.csv"\) +100,000 +100,000')
        self.assertRegex(err, r"write WriteCsv +100,000 +100,000")

    def test_tables_are_shared_by_tasks(self):
        script = """
            local glim = require "glim"
            local counts = glim.table{name = "counts", type = "i64", rule = glim.add()}
            local flow = glim.flow("f")
            flow:Range(0, 10000):Map(function(n) return n % 10, 1 end):PushTo(counts)
            flow:Run()
            flow:Range(0, 5):Lookup(counts, 1):Print()
            flow:Range(0, 3):Map(function(n) return counts:Pull({n}):Get()[1] end):Print()
            flow:Run()
            """
        expected = self.run_script(script, "--partitions", "3")[0]
        self.assertEqual(self.run_script(script, "--on", "local:2", "--partitions", "3")[0], expected)

    # Rows as they are read; rows that come in another order when they went to disk; pushes of functions; rows that are
    # others each time, which go to two tables.
    PUSHES = """
        local glim = require "glim"
        local function slow(n) local s = 0 for i = 1, 2000 do s = (s + n * i) % 1000003 end return s end
        local function new(name) return glim.table{name = name, type = "i64", rule = glim.add(), shards = 3} end
        local read, spilled, called, batches = new("read"), new("spilled"), new("called"), new("batches")
        local flow = glim.flow("pushes")
        local some = function(n) return n % 50 == 0 end
        flow:Range(0, 3000000):Filter(some):Map(function(n) return slow(n) % 5000, n end):PushTo(read)
        flow:Range(0, 200000):Map(function(n) return n * 7919 % 50021, n end):ReduceBy(function(a, b) return a + b end)
          :Map(function(k, v) return k, v + slow(k) end):PushTo(spilled)
        flow:Range(0, 3000000):Filter(some):Filter(function(n) return slow(n) % 20 == 0 end)
          :ForEach(function(n) called:Push({n % 100, n % 7}, {n, 1}) end)
        flow:Range(0, 60000):Distinct():ForEachBatch(function(rows)
          local keys, values = {}, {}
          for i, n in ipairs(rows:Column(1)) do keys[i], values[i] = slow(n) % 1000, n end
          batches:Push(keys, values):Wait()
        end)
        flow:Run()
        flow = glim.flow("look")
        for _, counts in ipairs{read, spilled, called, batches} do
          flow:Range(0, 60000):Lookup(counts, 1):Map(function(k, v) return v, k % 1000 * v end):Reduce(glim.sum):Print()
        end
        flow:Run()
        """
    # Rows that are others each time are pushed to two tables, which must be equal.
    CHANCE = """
        local glim = require "glim"
        local function slow(n) local s = 0 for i = 1, 4000 do s = (s + n * i) % 1000003 end return s end
        local function new(name) return glim.table{name = name, type = "i64", rule = glim.add(), shards = 3} end
        local first, second = new("first"), new("second")
        local flow = glim.flow("pushes")
        local rows = flow:Range(0, 100000):RoundRobin(6):Filter(function(n) return (os.clock() * 1e7 + n) % 2 < 1 end)
        rows:Map(function(n) return slow(n) % 1000, n end):PushTo(first)
        rows:Distinct():Map(function(n) return slow(n) % 1000, n end):PushTo(second)
        flow:Run()
        flow = glim.flow("look")
        flow:Range(0, 1000):Lookup(first, 1):Lookup(second, 1):Filter(function(_, a, b) return a ~= b end):Print()
        flow:Range(0, 1000):Lookup(first, 1):Filter(function(_, a) return a > 0 end):Reduce(glim.count):Print()
        flow:Run()
        """

    def test_tasks_that_are_run_again_push_once(self):
        for script in (self.PUSHES, self.CHANCE):
            self.push_while_killing(script)

    def push_while_killing(self, script):
        options = ("--partitions", "6", "--memory", "8M")
        expected = self.run_script(script, *options)[0]
        self.assertTrue(expected)
        for seed in range(int(os.environ.get("GLIM_KILL_SCHEDULES", "3"))):
            chance = random.Random(seed)
            job = self.start(script, *options, "--on", f"local:{chance.randrange(1, 4)}")
            seen, killed = self.kill_some(job, chance, 3, pause_s=1.5)  # A task is tried four times.
            out, err = job.communicate(timeout=TIMEOUT_S)
            with self.subTest(seed=seed, killed=killed):
                self.assertEqual((job.returncode, out), (0, expected), err)
                self.assertGreater(killed, 0)
                self.assert_nothing_left(seen)

    def test_an_executor_that_is_lost_between_runs_is_replaced(self):
        script = """
            local glim = require "glim"
            for i = 1, 2 do
              glim.flow("f"):Range(0, 10):Reduce(glim.sum):Print():Run()
              io.write("go on?\\n") io.flush() io.read()
            end
            """
        job = self.start(script, "--on", "local:1")
        for _ in range(2):
            self.assertEqual([job.stdout.readline() for _ in range(2)], ["45\n", "go on?\n"])
            victims = executors_of(job.pid)
            self.assertEqual(len(victims), 1)
            os.kill(victims[0], signal.SIGKILL)
            time.sleep(0.5)
            job.stdin.write("yes\n")
            job.stdin.flush()
        out, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual((job.returncode, out), (0, ""), err)

    def test_what_was_read_once_is_there_when_it_is_needed_again(self):
        script = """
            local glim = require "glim"
            local function slow(n) local s = 0 for i = 1, 200000 do s = (s + n * i) % 1000003 end return s end
            local counts = glim.flow("f"):TextFile("-"):Map(function(line) return tonumber(line) % 2000, 1 end)
              :ReduceBy(glim.sum):Partition(6):Map(function(k, n) return k, n end)
            -- Nobody waits for standard input any more.
            counts:Partition(5):Map(function(k, n) slow(k) return k, n end):Reduce(glim.sum):Print():Run()
            """
        lines = "".join(f"{n}\n" for n in range(20000))
        expected = self.run_script(script, stdin=lines)[0]
        job = self.start(script, "--on", "local:2")
        job.stdin.write(lines)
        job.stdin.close()
        job.stdin = None
        chance = random.Random(1)
        seen, killed = self.kill_some(job, chance, 3, pause_s=0.5)
        out, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual((job.returncode, out), (0, expected), err)
        self.assertGreater(killed, 0)
        self.assert_nothing_left(seen)

    def test_a_task_that_pushes_by_chance_is_not_run_twice(self):
        script = """
            local glim = require "glim"
            local counts = glim.table{name = "counts", type = "i64", rule = glim.add()}
            local pushed
            glim.flow("f"):Range(0, 60000000):ForEach(function(n)
              counts:Push({math.random(10)}, {1}):Wait()
              if not pushed then pushed = true print("pushed") end
            end):Run()
            """
        job = self.start(script, "--on", "local:2", "--threads", "2")
        for _ in range(2):
            self.assertEqual(job.stdout.readline(), "pushed\n")
        executors = executors_of(job.pid)
        os.kill(executors[0], signal.SIGKILL)
        out, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual(job.returncode, 1, err)
        self.assertRegex(err, "task [0-9]+ of stage 1 pushes to a table and was lost with its executor; .* not tried "
                              "again: its function mentions math.random")
        self.assert_nothing_left(executors)

    def test_ctrl_c_ends_all(self):
        job = self.start(self.WORK.replace("60000", "60000000"), "--on", "local:2")
        while len(executors_of(job.pid)) < 2:
            time.sleep(0.02)
        time.sleep(0.5)
        executors = executors_of(job.pid)
        job.send_signal(signal.SIGINT)
        job.communicate(timeout=TIMEOUT_S)
        self.assertEqual(job.returncode, 130)
        self.assert_nothing_left(executors)

    def test_executors_end_with_a_program_that_is_killed(self):
        job = self.start(self.WORK.replace("60000", "60000000"), "--on", "local:2")
        while len(executors_of(job.pid)) < 2:
            time.sleep(0.02)
        executors = executors_of(job.pid)
        job.kill()
        job.communicate(timeout=TIMEOUT_S)
        deadline = time.monotonic() + TIMEOUT_S
        while any(os.path.exists(f"/proc/{number}") for number in executors):
            self.assertLess(time.monotonic(), deadline, "executors outlive their program")
            time.sleep(0.02)


if __name__ == "__main__":
    unittest.main()
