#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What went wrong in the system whose flow interface Glim has, and what Glim gives instead.

Each failure was seen in Gleam (github.com/chrislusf/gleam), mostly as soon as there was more than one partition, so each is run for
several --threads and --partitions. The answers are worked out here, in plain Python.

The folder with the glim binary is in GLIM_BUILD (default: build/release).
"""

import collections
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from agents_test import ENDLESS, WORK, ClusterCase, wait_until

BUILD = os.path.abspath(os.environ.get("GLIM_BUILD", os.path.join(os.path.dirname(__file__), "..", "build", "release")))
TIMEOUT_S = 120
OPTIONS = [[]] + [["--threads", str(threads), "--partitions", str(partitions)]
                  for threads, partitions in ((1, 1), (1, 25), (2, 2), (2, 3), (4, 3), (4, 25))]


class OriginalFailures(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name

    def write(self, name, content):
        with open(os.path.join(self.folder, name), "w") as file:
            file.write(content)

    def runs(self, body):
        """The job, run with each of OPTIONS. It starts with a flow called `flow`."""
        self.write("job.lua", "local glim = require 'glim'\nlocal flow = glim.flow('failure')\n" + body)
        for options in OPTIONS:
            yield subprocess.run([os.path.join(BUILD, "glim"), "run", *options, "job.lua"], cwd=self.folder, text=True,
                                 capture_output=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)

    def lines_of(self, body):
        for done in self.runs(body):
            self.assertEqual((done.returncode, done.stderr), (0, ""), done.args)
            yield done.args, done.stdout.splitlines()

    def assert_gives(self, body, expected):
        """These lines, in any order."""
        for command, lines in self.lines_of(body):
            self.assertEqual(sorted(lines), sorted(expected), command)

    def assert_gives_in_order(self, body, expected):
        expected = list(expected)
        for command, lines in self.lines_of(body):
            self.assertEqual(lines, expected, command)

    # 1. The word count of its README counted words twice over two partitions: 33,199 rows for 17,978 words.
    def test_word_count_over_partitions_has_each_word_once(self):
        generator = random.Random(1)
        words = ["word%d" % (generator.paretovariate(0.7) % 3000) for _ in range(30000)]
        self.write("words.txt", "".join(" ".join(words[i:i + 9]) + "\n" for i in range(0, len(words), 9)))
        counted = [f"{word},{count}" for word, count in collections.Counter(words).items()]
        for partitions in (2, 7):
            self.assert_gives(f"""
              flow:TextFile("words.txt"):Partition({partitions})
                :FlatMap(function(line) return line:gmatch("%w+") end)
                :Map(function(word) return word, 1 end)
                :ReduceBy(function(x, y) return x + y end)
                :Printf("%s,%d\\n"):Run()""", counted)

    # 2. ReduceBy on a field other than 1 lost and repeated groups over two partitions: the second half looked for the keys where
    # they stood in the source, not in front, where the first half had put them.
    def test_reduce_by_of_a_later_field_has_each_key_once(self):
        sums = collections.Counter()
        for n in range(500):
            sums[n % 7, n % 3] += n
        self.assert_gives("""
          flow:Range(0, 500):RoundRobin(2)
            :Map(function(n) return n, n % 3, n % 7 end)
            :ReduceBy(function(x, y) return x + y end, 3, 2)
            :Printf("%d %d %d\\n"):Run()""", [f"{a} {b} {total}" for (a, b), total in sums.items()])

    # 3. Sort(2) over two partitions was not sorted, Distinct(2) gave six rows for three values: merged by fields that had moved.
    def test_sort_and_distinct_of_a_later_field_over_partitions(self):
        numbers = [n * 7919 % 1009 for n in range(1000)]
        self.assert_gives_in_order("""
          flow:Range(0, 1000):Map(function(n) return "x", n * 7919 % 1009, n end):Partition(2, 3):Sort(2):Select(2)
            :Printf("%d\\n"):Run()""", map(str, sorted(numbers)))
        self.assert_gives("""
          flow:Range(0, 6):Map(function(n) return n, n % 3 end):RoundRobin(2):Distinct(2):Select(2):Printf("%d\\n"):Run()""", "012")

    # 4. The top two of 10, 9, 8, 7 over two partitions were 8, 7 in one version and 10, 8 in another: descending streams went
    # through an ascending merge.
    def test_top_of_partitions_is_the_top_of_all(self):
        self.assert_gives_in_order('flow:Ints{10, 9, 8, 7}:RoundRobin(2):Top(2):Printf("%d\\n"):Run()', ["10", "9"])
        self.assert_gives_in_order('flow:Ints{10, 9, 8, 7}:RoundRobin(2):Top(2, 1):Printf("%d\\n"):Run()', ["7", "8"])

    # 5. HashJoin gave every row the last row of the small side, whatever the key; an older version forgot all but the last row of
    # a key that the small side had twice.
    def test_hash_join_gives_the_pairs_of_equal_keys(self):
        small = [(2, "b"), (3, "c"), (3, "cc"), (11, "none")]
        self.assert_gives("""
          local small = flow:Rows{{2, "b"}, {3, "c"}, {3, "cc"}, {11, "none"}}
          flow:Range(0, 10):RoundRobin(3):HashJoin(small):Printf("%d %s\\n"):Run()""",
                          [f"{n} {text}" for n in range(10) for key, text in small if key == n])

    # 6. A join of one partition with three gave one of five pairs, or three: only some of the right side's partitions were read.
    def test_join_of_one_partition_with_three_gives_all_pairs(self):
        pairs = [f"{n} l{n} r{n}" for n in range(5)]
        left, right = 'flow:Range(0, 5):Map(function(n) return n, "l" .. n end)', 'flow:Range(0, 5):Map(function(n) return n, "r" .. n end)'
        for left_moved, right_moved in (("", ":RoundRobin(3)"), (":Partition(1)", ":Partition(3)"), (":RoundRobin(3)", "")):
            self.assert_gives(f'{left}{left_moved}:Join({right}{right_moved}):Printf("%d %s %s\\n"):Run()', pairs)

    # 7. CoGroup labelled the groups that only the right side has with a key of the left.
    def test_co_group_labels_groups_of_the_right_with_their_own_key(self):
        self.assert_gives("""
          local left, right = flow:Rows{{1, "a"}, {4, "d"}, {1, "aa"}}, flow:Rows{{2, "B"}, {4, "D"}, {3, "C"}}
          left:Partition(2):CoGroup(right:Partition(2)):Printf("%d %v %v\\n"):Run()""",
                          ['1 {{a}, {aa}} {}', '2 {} {{B}}', '3 {} {{C}}', '4 {{d}} {{D}}'])

    # 8. MergeSortedTo of 7 partitions to 2, and Sort of 25, ended the program while the flow was built.
    def test_merges_of_uneven_partitions(self):
        self.assert_gives_in_order('flow:Range(0, 100):RoundRobin(25):Sort():Printf("%d\\n"):Run()', map(str, range(100)))
        self.assert_gives_in_order("""
          flow:Range(0, 100):RoundRobin(7):LocalSort():MergeSortedTo(2):MergeSortedTo(1):Printf("%d\\n"):Run()""", map(str, range(100)))
        # Each of the two is sorted by itself: sort -c says so, by its exit status.
        self.assert_gives('flow:Range(0, 100):RoundRobin(7):LocalSort():MergeSortedTo(2):Pipe("sort -nc && echo yes"):Printf("%s\\n"):Run()',
                          ["yes", "yes"])

    # 9. A function or program that failed lost the rows after it, and the run exited with 0. Pipe and then Sort gave nothing at all.
    def test_what_fails_fails_the_run(self):
        for step, named in ((':Map(function(n) return n < 40 and n or n.x end)', "Map(lua"),
                            (':Map("function(n) error(\'no\') end")', "Map(lua"),
                            (':Filter(function(n) return n.x end)', "Filter(lua"),
                            (':ReduceBy(function(x, y) return x.y end, 2)', "ReduceBy(field 2"),
                            (':Pipe("glim-no-such-program")', 'Pipe("glim-no-such-program")'),
                            (':Pipe("cat; exit 3")', 'Pipe("cat; exit 3")'),
                            (':Pipe("cat; exit 3"):Sort()', 'Pipe("cat; exit 3")'),
                            (':PipeAsArgs("test $1 -lt 40")', "PipeAsArgs")):
            for done in self.runs(f'flow:Range(0, 100):RoundRobin(2):Map(function(n) return n, n % 2 end){step}:WriteText("out"):Run()'):
                self.assertEqual(done.returncode, 1, (step, done.args))
                # A shell writes what it has to say in pieces, between which our line may come.
                told = [line for line in done.stderr.splitlines() if "glim: job.lua" in line]
                self.assertEqual(len(told), 1, (done.stderr, done.args))
                self.assertIn(named, told[0])
                self.assertFalse(os.path.exists(os.path.join(self.folder, "out")), "what looks complete is not")

    def test_pipe_and_then_sort_gives_the_sorted_lines(self):
        self.assert_gives_in_order('flow:Range(0, 50):RoundRobin(3):Pipe("cat"):Sort():Printf("%s\\n"):Run()', sorted(map(str, range(50))))

    # 14. A line of more than 64 KiB from a Pipe hung the flow; from a file it cut the rest of the file off.
    def test_long_lines_pass(self):
        long = 3 << 20
        self.write("long.txt", "a\n" + "b" * long + "\nc\n")
        for source in ('flow:TextFile("long.txt")', 'flow:Strings{"long.txt"}:PipeAsArgs("cat $1")', 'flow:TextFile("long.txt"):Pipe("cat")'):
            self.assert_gives(f'{source}:Map(function(line) return #line end):Printf("%d\\n"):Run()', ["1", str(long), "1"])

    # 15. Each row that a function got cost two calls of the system, each that it gave two more.
    def test_rows_do_not_cost_calls_of_the_system(self):
        rows = 200_000
        counted = """
          local function calls()
            local text = io.open("/proc/self/io"):read("*a")
            return text:match("syscr: (%d+)") + text:match("syscw: (%d+)")
          end
          local before = calls()
          """
        steps = {"Lua": 'Map(function(n) return n + 1, n end)', "a program": 'Pipe("cat")'}
        for name, step in steps.items():
            for command, lines in self.lines_of(f"""{counted}
              flow:Range(0, {rows}):{step}:Map(function(a) return 1 end):Reduce(glim.sum):Printf("%d\\n"):Run()
              print(calls() - before)"""):
                self.assertEqual(lines[0], str(rows), (name, command))
                self.assertLess(int(lines[1]), rows // 20, (name, command))


class OriginalClusterFailures(ClusterCase):
    # 10. The rows of an executor that was killed were missing, and the driver exited with 0.
    def test_rows_of_a_killed_executor_are_made_again(self):
        self.make_cluster(2)
        expected = self.run_script(WORK, "--partitions", "12", on="embedded")[0]
        job = self.start(WORK, "--partitions", "12")
        os.kill(wait_until("an executor", self.agents[0].children)[0], signal.SIGKILL)
        out, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual((job.returncode, out), (0, expected), err)

    # 11. When an agent was killed half of the rows came, then the driver hung and did not end on SIGTERM.
    def test_a_killed_agent_is_done_without_and_the_driver_can_be_ended(self):
        self.make_cluster(2)
        expected = self.run_script(WORK, "--partitions", "12", on="embedded")[0]
        job = self.start(WORK, "--partitions", "12")
        wait_until("an executor", self.agents[0].children)
        self.agents[0].kill()
        out, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual((job.returncode, out), (0, expected), err)
        job = self.start(ENDLESS)
        wait_until("the job", lambda: [j for j in self.status()["jobs"] if j["state"] == "running"])
        self.agents[1].kill()
        time.sleep(0.2)
        job.send_signal(signal.SIGTERM)
        out, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual(job.returncode, 128 + signal.SIGTERM, err)

    # 12. Nine groups of tasks on four slots stood still; after a cancel their executors kept the slots.
    def test_nine_stages_run_on_four_slots_and_cancelled_ones_free_them(self):
        self.make_cluster(2)
        stages = "flow:Range(0, 300000):Map(function(n) return n % 1000, n, string.rep('x', n % 50) end)"
        for stage in range(8):
            stages += f":Map(function(k, n, text) return (k * 7 + {stage}) % 1000, n, text end):Partition({4 + stage % 3})"
        script = ('local glim = require "glim" local flow = glim.flow("nine")\n' + stages +
                  ":Map(function(k, n, text) return k, n + #text end):ReduceBy(glim.sum):Sort():Print()\nflow:Run()")
        memory = ("--memory", "64M")
        expected = self.run_script(script, *memory, on="embedded")[0]
        self.assertEqual(self.run_script(script, *memory)[0], expected)
        job = self.start(ENDLESS)
        running = wait_until("the job", lambda: [j for j in self.status()["jobs"] if j["state"] == "running"])
        subprocess.run([os.path.join(BUILD, "glim"), "cancel", running[0]["id"], "--master", self.master.address], check=True)
        job.communicate(timeout=TIMEOUT_S)
        self.await_nothing_left()
        self.assertEqual(self.run_script(script, *memory)[0], expected)

    # 13. Eight bytes of garbage to the data port ended the agent.
    def test_garbage_at_ports_ends_nobody(self):
        self.make_cluster(1)
        job = self.start(ENDLESS)
        wait_until("the job", lambda: self.status()["jobs"])
        executor, = self.agents[0].children()
        ports = [int(node.address.rsplit(":", 1)[1]) for node in (self.master, self.agents[0])]
        sockets = [os.readlink(f"/proc/{executor}/fd/{name}") for name in os.listdir(f"/proc/{executor}/fd")]
        with open("/proc/net/tcp") as file:
            for line in list(file)[1:]:
                fields = line.split()
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:  # It listens.
                    ports.append(int(fields[1].rsplit(":", 1)[1], 16))
        self.assertEqual(len(ports), 3)
        numbers = random.Random(7)
        for port in ports:
            for size in (8, 8, 48, 1000):
                with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
                    connection.sendall(numbers.randbytes(size))
        time.sleep(0.2)
        self.assertEqual(self.agents[0].children(), [executor])
        self.assertTrue(all(node.process.poll() is None for node in self.nodes))
        self.assertIsNone(job.poll())
        job.kill()
        job.communicate(timeout=TIMEOUT_S)

    # 15. Each row that a function got cost two calls of the system, each that it gave two more.
    def test_rows_do_not_cost_an_executor_calls_of_the_system(self):
        self.make_cluster(1)
        out, _ = self.run_script("""
            local glim = require "glim"
            local flow = glim.flow("calls")
            local rows = flow:Range(0, 200000):Map(function(n) return n % 1000, n end):Partition(4):Map(function(k, n) return k, n + 1 end)
            rows:Pipe("cat"):Map(function(text) return 1 end):Reduce(glim.sum):Printf("%d\\n")
            rows:ReduceBy(glim.sum):Map(function() return 1 end):Reduce(glim.sum):Printf("%d\\n")
            flow:Run()
            -- All by the one executor, which is still there.
            glim.flow("counted"):Range(0, 1):ForEach(function()
              local text = io.open("/proc/self/io"):read("*a")
              print(text:match("syscr: (%d+)") + text:match("syscw: (%d+)"))
            end):Run()
            """)
        one, other, calls = map(int, out.split())
        self.assertEqual((one, other), (200000, 1000))
        self.assertTrue(0 < calls < 10000, calls)


if __name__ == "__main__":
    unittest.main()
