#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Wall clocks that jump by hours and years, forwards and backwards, each process's in its own way, while a flow shuffles, a program
pushes and workers train on a standalone cluster. Nothing may be taken for dead, expire or wait because of it: leases, deadlines
and retries go by the monotonic clock. own_clock/ stands between the processes and their clocks.

The folder with the glim binary is in GLIM_BUILD (default: build/release).
"""

import os
import random
import re
import struct
import subprocess
import threading
import unittest

from agents_test import WORK, ClusterCase, wait_until
from jobs_test import GLIM, TIMEOUT_S

DAY_S = 86400
JUMPS_S = (0, -3600, 3600, -400 * DAY_S, 400 * DAY_S, 17, -17, 30 * DAY_S, -2 * DAY_S)
OWN_CLOCK = os.path.join(os.path.dirname(GLIM), "libown_clock.so")

TRAIN = """
    local glim = require "glim"
    local weights = glim.table{name = "w", type = "f64", keys = 64, shards = 4, replicas = 2, consistency = "bsp"}
    local keys = {}
    for k = 0, 63 do keys[#keys + 1] = k end
    local worker
    glim.flow("train"):Range(0, 3):RoundRobin(3):ForEach(function(row)
      for clock = 1, 100 do
        local seen, push = worker:Pull(keys):Get(), {}
        for i = 1, #keys do push[i] = (clock + row - seen[i]) / (i + 3) end
        worker:Push(keys, push):Wait()
        worker:Clock()
      end
    end, {
      setup = function() worker = weights:Join{worker = glim.partition() - 1, workers = 3} end,
      teardown = function() worker:Leave() end,
    }):Run()
    print(table.concat(weights:Pull(keys):Get(), " "))
    """


class ClockJumpsTest(ClusterCase):
    def setUp(self):
        super().setUp()
        if not os.path.exists(OWN_CLOCK):
            self.skipTest("clocks of their own are for builds without a sanitizer")
        self.clocks = []
        self.plain = self.environment

    def with_own_clock(self, offset_s=0):
        """Processes that are started now, and their children, share a clock which others do not have."""
        path = os.path.join(self.folder, f"clock{len(self.clocks)}")
        with open(path, "wb") as file:
            file.write(struct.pack("q", offset_s))
        self.clocks.append(path)
        self.environment = {**self.plain, "LD_PRELOAD": OWN_CLOCK, "OWN_CLOCK": path}

    def set_clock(self, path, offset_s):
        with open(path, "r+b", buffering=0) as file:
            file.write(struct.pack("q", offset_s))

    def year(self):
        return int(subprocess.run(["date", "-u", "+%Y"], env=self.environment, text=True, check=True, capture_output=True).stdout)

    def jump(self, ended):
        chance = random.Random(11)
        while not ended.wait(0.05):
            self.set_clock(chance.choice(self.clocks), chance.choice(JUMPS_S))

    def make_jumping_cluster(self):
        self.with_own_clock()
        self.master = self.add("master", "m")
        self.agents = []
        for n in range(3):
            self.with_own_clock()
            self.agents.append(self.add_agent(f"a{n}", "--server"))
        self.environment = self.plain
        self.await_agents(3)
        wait_until("servers", lambda: sum(server["alive"] for server in self.status()["servers"]) == 3)

    def test_clocks_that_jump_change_nothing(self):
        work = (WORK, TRAIN)
        expected = [self.run_script(script, "--threads", "3", on="embedded")[0] for script in work]
        self.make_jumping_cluster()
        ended = threading.Event()
        jumper = threading.Thread(target=self.jump, args=(ended,))
        jumper.start()
        try:
            for script, answer in zip(work, expected):
                self.with_own_clock()
                job = self.start(script, "--threads", "3", "--partitions", "3")
                out, err = job.communicate("", timeout=TIMEOUT_S)
                self.assertEqual((job.returncode, out), (0, answer), err)
                for word in ("lost", "silent", "again", "dead"):
                    self.assertNotRegex(err, rf"\b{word}\b")
        finally:
            ended.set()
            jumper.join()
        self.environment = self.plain
        status = self.status()
        self.assertEqual([job["state"] for job in status["jobs"]], ["done", "done"])
        self.assertTrue(all(server["alive"] for server in status["servers"]))
        self.await_nothing_left()
        # Members that were there all the time, not ones that died and came again.
        for node in self.nodes:
            self.assertNotRegex(node.said(), r"lost|silent|dead", node.folder)

    def test_a_master_whose_clock_goes_back_over_its_start_keeps_its_history(self):
        self.with_own_clock(800 * DAY_S)
        year = self.year()
        self.master = self.add("master", "m")
        self.agents = [self.add_agent("a0")]
        self.await_agents(1)
        script = 'local glim = require "glim" glim.flow("NAME"):Range(0, 3):Print():Run()'
        self.run_script(script.replace("NAME", "later"))
        self.set_clock(self.clocks[0], -400 * DAY_S)
        self.assertIn(year - self.year(), (3, 4))
        self.master.restart()
        self.await_agents(1)
        self.run_script(script.replace("NAME", "earlier"))
        jobs = self.status()["jobs"]
        self.assertEqual([(job["flow"], job["state"]) for job in jobs], [("later", "done"), ("earlier", "done")])
        log = subprocess.run([GLIM, "logs", "--master", self.master.address], env=self.environment, text=True, cwd=self.folder,
                             capture_output=True, check=True, timeout=TIMEOUT_S).stdout
        self.assertRegex(log, r'^\d{4}-\d\d-\d\d .* "earlier" from ')
        shown = subprocess.run([GLIM, "status", "--master", self.master.address], env=self.environment, text=True,
                               cwd=self.folder, capture_output=True, check=True, timeout=TIMEOUT_S).stdout
        self.assertFalse(re.search(r"-\d+(\.\d+)? ?(s|min|h|d)\b", shown), shown)


if __name__ == "__main__":
    unittest.main()
