#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trainings whose processes are stopped and killed: each row counts exactly once in each pass, whatever becomes of executors in a
run, and of the program between two snapshots.

The folder with the glim binary is in GLIM_BUILD (default: build/release).
"""

import os
import random
import signal
import time
import unittest

from agents_test import ClusterCase, send, wait_until
from jobs_test import TIMEOUT_S, ScriptCase, executors_of

FILES, LINES = 24, 200
ROWS = FILES * LINES
PASSES = 3

# A table counts how often each line was pushed, in slow pieces, so that a task that is broken off has pushed a part.
COUNT = """
    local function count(batch)
      local ffi = require "ffi"
      ffi.cdef "int usleep(unsigned);"
      local lines = batch:Column(1)
      for first = 1, #lines, 20 do
        local keys, ones = {}, {}
        for i = first, math.min(first + 19, #lines) do keys[#keys + 1], ones[#ones + 1] = tonumber(lines[i]), 1 end
        counts:Push(keys, ones):Wait()
        ffi.C.usleep(%d)
      end
    end
    """
CHECK = """
    local keys, low, high = {}, math.huge, 0
    for i = 1, ROWS do keys[i] = i - 1 end
    for _, n in ipairs(counts:Pull(keys):Get()) do low, high = math.min(low, n), math.max(high, n) end
    print(low, high)
    """


def script(body, pause_us=6000):
    head = f'local glim = require "glim"\nlocal ROWS, PASSES = {ROWS}, {PASSES}\n'
    return head + body.replace("COUNT", COUNT % pause_us).replace("CHECK", CHECK)


ONE_PASS = """
    local counts = glim.table{name = "counts", keys = ROWS, type = "i64"OPTIONS}
    COUNT
    glim.flow("train"):TextFile("part-*"):ForEachBatch(count):Run()
    CHECK
    """
PASSES_FROM_SNAPSHOTS = """
    local training = glim.training{folder = "train", passes = PASSES, every = 0.1}
    local counts = training:Table{name = "counts", keys = ROWS, type = "i64"}
    COUNT
    local flow = glim.flow("train")
    flow:TextFile("part-*")STEPS:ForEachBatch(count)
    training:Run(flow)
    CHECK
    """


class TrainingCase:
    def write_parts(self):
        for number in range(FILES):
            self.write(f"part-{number:02}", "".join(f"{number * LINES + i}\n" for i in range(LINES)))

    def read_state(self):
        try:
            with open(os.path.join(self.folder, "train", "training")) as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def train_with_kills(self, text, kills, *options):
        """Kills the program up to `kills` times, each time when there is a newer snapshot, until it ends; then runs it once more. How
        many snapshots in the midst of a pass it went on from."""
        chance = random.Random(len(options) + kills)
        within = 0
        for _ in range(kills):
            before = self.read_state()
            job = self.start(text, *options)
            wait_until("a snapshot", lambda: job.poll() is not None or self.read_state() != before)
            time.sleep(chance.random() * 0.3)
            job.send_signal(signal.SIGKILL)  # Does nothing to one that has ended: machines differ in how far it gets.
            err = job.communicate(timeout=TIMEOUT_S)[1]
            self.assertIn(job.returncode, (0, -signal.SIGKILL), err)
            if job.returncode == 0:
                break
            within += "stage " in self.read_state()
        out, err = self.run_script(text, *options)
        self.assertEqual(out.split(), [str(PASSES), str(PASSES)], err)
        self.assertIn(f"passes {PASSES}\n", self.read_state())
        return within


class LocalTest(ScriptCase, TrainingCase):
    def test_parts_of_executors_that_are_stopped_and_killed_count_once(self):
        self.write_parts()
        job = self.start(script(ONE_PASS.replace("OPTIONS", ""), 10000), "--on", "local:3", "--threads", "3", "--partitions", str(FILES))
        wait_until("executors", lambda: len(executors_of(job.pid)) >= 3)
        time.sleep(0.5)
        executors = executors_of(job.pid)
        send(executors[0], signal.SIGSTOP)  # Taken for lost after three seconds: what it had is another one's then.
        send(executors[1], signal.SIGKILL)
        time.sleep(3.5)
        send(executors[0], signal.SIGCONT)  # What it does late has no effect.
        out, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual((job.returncode, out.split()), (0, ["1", "1"]), err)
        self.assertIn("what it had is done again", err)
        self.assert_nothing_left(executors)

    # Whoever makes the folder first is alive, and does not go on with its part before another one pushes what it was to push. That one
    # does not go on, either, before the first one was refused and has ended with an error.
    SLOW = """
        local glim = require "glim"
        local ROWS = ROW_COUNT
        local counts = glim.table{name = "counts", keys = ROWS, type = "i64"}
        local function count(batch)
          local ffi = require "ffi"
          ffi.cdef "int mkdir(const char *, unsigned); int access(const char *, int); int usleep(unsigned);"
          local lines = batch:Column(1)
          local mine = "slow-" .. lines[1]
          local slow = ffi.C.mkdir("slow", 448) == 0 and ffi.C.mkdir(mine, 448) == 0
          local second = not slow and ffi.C.access(mine, 0) == 0
          for first = 1, #lines, 20 do
            local keys, ones = {}, {}
            for i = first, math.min(first + 19, #lines) do keys[#keys + 1], ones[#ones + 1] = tonumber(lines[i]), 1 end
            while slow and first == 41 and counts:Pull{keys[1]}:Get()[1] == 0 do ffi.C.usleep(20000) end
            while second and first == 61 and ffi.C.access("refused", 0) ~= 0 do ffi.C.usleep(20000) end
            local ok, message = pcall(function() counts:Push(keys, ones):Wait() end)
            if slow then print(first, ok, message) end
            if not ok then ffi.C.mkdir("refused", 448) error(message) end
            if second and first == 61 then ffi.C.usleep(500000) end
          end
        end
        glim.flow("train"):TextFile("part-*"):ForEachBatch(count):Run()
        CHECK
        """

    def test_a_part_that_an_executor_is_slow_with_is_begun_elsewhere(self):
        self.write_parts()
        job = self.start(self.SLOW.replace("ROW_COUNT", str(ROWS)).replace("CHECK", CHECK),
                         "--on", "local:3", "--threads", "3", "--partitions", str(FILES))
        out, err = job.communicate(timeout=TIMEOUT_S)
        lines = out.splitlines()
        self.assertEqual((job.returncode, lines[:2], lines[-1]), (0, ["1\ttrue\tnil", "21\ttrue\tnil"], "1\t1"), out + err)
        # What it brings late is refused, and that is no error of its function.
        self.assertTrue(lines[2].startswith("41\tfalse\t"), out)
        self.assertEqual(len(lines), 4, out)

    def test_rows_are_pulled_ahead(self):
        """Each task has two pulls under way at the end of its rows, and all the time; futures are also left alone."""
        text = """
            local glim = require "glim"
            local weights = glim.table{name = "weights", keys = 1000, type = "f32"}
            local sums = glim.table{name = "sums", keys = 1, type = "i64"}
            local keys, values = {}, {}
            for i = 1, 1000 do keys[i], values[i] = i - 1, i end
            weights:Push(keys, values):Wait()
            weights:Pull(keys) weights:PullRange(0, 1000) weights:Pull{1000}
            local function train(batch)
              local waiting, sum = {}, 0
              local function add()
                local got = table.remove(waiting, 1):Get()
                for i = 1, #got do sum = sum + got[i] end
              end
              local numbers = batch:Column(1)
              for first = 1, #numbers, 50 do
                local asked = {}
                for i = first, math.min(first + 49, #numbers) do asked[#asked + 1] = numbers[i] % 1000 end
                waiting[#waiting + 1] = weights:Pull(asked)
                if #waiting > 2 then add() end
              end
              while #waiting > 0 do add() end
              sums:Push({0}, {sum}):Wait()
            end
            glim.flow("train"):Range(0, 20000):RoundRobin(5):ForEachBatch(train):Run()
            print(sums:Pull{0}:Get()[1], #weights:PullRange(0, 1000):Wait():Get(), pcall(function() weights:Pull{1000}:Get() end))
            """
        wanted = f"{20 * 500 * 1001}\t1000\tfalse\t"
        for on in ("embedded", "local:2"):
            with self.subTest(on=on):
                out = self.run_script(text, "--on", on)[0]
                self.assertTrue(out.startswith(wanted), out)
                self.assertIn('"weights": key 1000 is out of range', out)

    def test_a_training_goes_on_from_the_midst_of_a_pass(self):
        self.write_parts()
        for on in ("embedded", "local:2"):
            with self.subTest(on=on):
                os.makedirs(os.path.join(self.folder, "train"), exist_ok=True)
                text = script(PASSES_FROM_SNAPSHOTS.replace("STEPS", ""))
                options = ("--on", on, "--threads", "2", "--partitions", str(FILES))
                self.assertGreater(self.train_with_kills(text, 4, *options), 0)
                # It is done: nothing is trained again, and the table is there.
                out = self.run_script(text, *options)[0]
                self.assertEqual(out.split(), [str(PASSES), str(PASSES)])
                self.assertEqual([name for name in sorted(os.listdir(os.path.join(self.folder, "train")))
                                  if not name.startswith("snapshot-")], ["lock", "training"])
            for root, folders, files in os.walk(os.path.join(self.folder, "train"), topdown=False):
                for name in files:
                    os.remove(os.path.join(root, name))
                for name in folders:
                    os.rmdir(os.path.join(root, name))

    def test_so_does_one_whose_parts_are_partitions(self):
        self.write_parts()
        text = script(PASSES_FROM_SNAPSHOTS.replace("STEPS", ":Sort():RoundRobin(32)"))
        self.assertGreater(self.train_with_kills(text, 3, "--on", "local:2", "--threads", "2"), 0)

    def test_rows_that_may_be_others_are_gone_on_with_between_passes(self):
        self.write_parts()
        text = script(PASSES_FROM_SNAPSHOTS.replace("STEPS", ':Pipe("cat"):RoundRobin(8)'), 5000)
        self.assertEqual(self.train_with_kills(text, 1, "--on", "local:2", "--threads", "2"), 0)

    def test_executors_that_are_killed_while_snapshots_are_taken(self):
        self.write_parts()
        job = self.start(script(PASSES_FROM_SNAPSHOTS.replace("STEPS", "")), "--on", "local:3", "--threads", "3",
                         "--partitions", str(FILES))
        for _ in range(3):
            time.sleep(0.6)
            executors = executors_of(job.pid)
            if executors:
                send(executors[-1], signal.SIGKILL)
        out, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual((job.returncode, out.split()), (0, [str(PASSES), str(PASSES)]), err)
        self.assertIn("what it had is done again", err)

    def test_mistakes_are_told(self):
        self.write_parts()
        text = script(PASSES_FROM_SNAPSHOTS.replace("STEPS", ""))
        options = ("--partitions", str(FILES), "--threads", "2")
        self.train_with_kills(text.replace("passes = PASSES", "passes = PASSES, every = 0"), 0, *options)
        # More passes are made of what is there.
        more = text.replace("PASSES =", "PASSES_ =").replace("passes = PASSES", "passes = 5").replace("ROWS, PASSES_ =", "ROWS, P =")
        job = self.start(more, *options)
        wait_until("a snapshot in a pass", lambda: "passes 3" in self.read_state() and "stage" in self.read_state())
        job.kill()
        job.communicate(timeout=TIMEOUT_S)
        for wrong, words in (
                (more.replace("part-*", "part-1*"), "files, steps or --partitions have changed"),
                (more.replace(":ForEachBatch", ":Filter(function() return true end):ForEachBatch"), "have changed"),
                (more.replace(":ForEachBatch", ":Cache():ForEachBatch"), "this pass fills a Cache"),
                (more.replace('"counts"', '"others"'), 'its snapshot has no table "others"'),
                (more.replace("every", "evry"), "evry"),
                ('local glim = require "glim" glim.training{folder = "train"}:Run(glim.flow("f"):Range(0, 1))', "none was made"),
                ('local glim = require "glim" glim.training{}:Table{name = "t"}', "needs a folder")):
            with self.subTest(words=words):
                self.assertIn(words, self.run_script(wrong, *options, expect=1)[1])
        self.assertEqual(self.run_script(more, *options)[0].split(), ["5", "5"])
        with open(os.path.join(self.folder, "train", "training"), "r+b") as file:
            file.seek(20)
            file.write(b"#")
        self.assertIn("its checksum is wrong", self.run_script(more, *options, expect=1)[1])


class AgentsTest(ClusterCase, TrainingCase):
    def make_all(self):
        self.make_cluster(2)
        self.servers = [self.add("server", f"s{n}", "--master", self.master.address, "--memory", "1G") for n in range(2)]
        wait_until("servers", lambda: sum(s["alive"] for s in self.status()["servers"]) == 2)
        self.write_parts()

    def test_parts_of_executors_that_are_stopped_and_killed_count_once(self):
        self.make_all()
        job = self.start(script(ONE_PASS.replace("OPTIONS", ", replicas = 2"), 10000), "--partitions", str(FILES))
        wait_until("executors", lambda: all(agent.children() for agent in self.agents))
        time.sleep(0.5)
        stopped, killed = self.agents[0].children()[0], self.agents[1].children()[0]
        send(stopped, signal.SIGSTOP)
        send(killed, signal.SIGKILL)
        time.sleep(3.5)
        send(stopped, signal.SIGCONT)
        out, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual((job.returncode, out.split()), (0, ["1", "1"]), err)
        self.await_nothing_left()

    def test_a_training_whose_tables_outlive_its_program_goes_on(self):
        self.make_all()
        text = script(PASSES_FROM_SNAPSHOTS.replace("STEPS", "").replace('"i64"', '"i64", replicas = 2'))
        self.assertGreater(self.train_with_kills(text, 4, "--partitions", str(FILES)), 0)
        # Somebody else's table of that name is left alone.
        other = text.replace('"train"', '"elsewhere"', 1)
        self.assertIn('there is a table "counts" already', self.run_script(other, "--partitions", str(FILES), expect=1)[1])
        self.await_nothing_left()

    # What a rolled back training says first.
    LOST = r'training in "train": \d+ of 16 shards of table "counts" are lost with the servers that held them; '

    def start_with_one_replica(self, agents, servers):
        self.make_cluster(agents)
        self.servers = [self.add("server", f"s{n}", "--master", self.master.address, "--memory", "1G") for n in range(servers)]
        wait_until("servers", lambda: sum(s["alive"] for s in self.status()["servers"]) == servers)
        self.write_parts()
        text = script(PASSES_FROM_SNAPSHOTS.replace("STEPS", "").replace('"i64"', '"i64", replicas = 1'), 20000)
        return self.start(text.replace("every = 0.1", "every = 2"), "--partitions", str(FILES))

    def await_snapshot_in_a_pass(self, job):
        wait_until("a snapshot in a pass", lambda: job.poll() is not None or "stage" in self.read_state())

    def test_tables_that_are_lost_with_their_servers_are_rolled_back(self):
        job = self.start_with_one_replica(agents=2, servers=3)
        wait_until("a part", lambda: [j for j in self.status()["jobs"] if j["tasks_done"] > 0])
        self.assertIn("snapshot 0\n", self.read_state())
        self.servers[0].kill()
        self.await_snapshot_in_a_pass(job)
        self.servers[1].kill()
        out, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual((job.returncode, out.split()), (0, [str(PASSES), str(PASSES)]), err)
        self.assertRegex(err, self.LOST + "there is no snapshot yet, so all is rolled back, and it begins anew\n")
        self.assertRegex(err, self.LOST + r"all tables are rolled back to snapshot \d+, behind \d whole passes")
        self.await_nothing_left()

    def test_servers_that_are_killed_while_snapshots_are_written(self):
        """With two replicas nothing is lost but the snapshot that was being written."""
        self.make_all()
        text = script(PASSES_FROM_SNAPSHOTS.replace("STEPS", "").replace('"i64"', '"i64", replicas = 2'), 60000)
        job = self.start(text, "--partitions", str(FILES))
        for server in self.servers:
            before = self.read_state()
            wait_until("a snapshot in a pass", lambda: "stage" in self.read_state() and self.read_state() != before)
            self.assertIsNone(job.poll())
            server.restart()
            wait_until("the shards to be on both", lambda: all(
                table["complete"] == table["shards"] for table in self.status()["tables"]))
        out, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual((job.returncode, out.split()), (0, [str(PASSES), str(PASSES)]), err)
        self.assertNotIn("rolled back", err)
        self.await_nothing_left()

    def test_so_are_those_of_a_program_that_computes_itself(self):
        job = self.start_with_one_replica(agents=0, servers=2)
        self.await_snapshot_in_a_pass(job)
        self.servers[0].kill()
        self.assertRegex(job.stderr.readline(), self.LOST + r"all tables are rolled back to snapshot \d+, behind \d whole passes")
        # Without any server there is no way on.
        self.servers[1].kill()
        err = job.communicate(timeout=TIMEOUT_S)[1]
        self.assertEqual(job.returncode, 1, err)
        self.assertIn('16 of 16 shards of table "counts" are lost with the servers that held them', err)


if __name__ == "__main__":
    unittest.main()
