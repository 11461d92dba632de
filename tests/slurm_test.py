#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Flows and tables in allocations of a real Slurm, of one machine (slurm_cluster.py): the same answer as in one process,
also while nodes are killed, and nothing left afterwards. Skipped where Debian's packages of Slurm are missing.

The folder with the glim binary is in GLIM_BUILD (default: build/release).
"""

import os
import signal
import subprocess
import tempfile
import time
import unittest

from agents_test import ENDLESS, WORK, wait_until
from jobs_test import FLOWS, GLIM, TIMEOUT_S, text_of
from quickstart_engines_test import HAS_TEXT, learn
from slurm_cluster import MISSING, SlurmCluster, parent_of, processes

NODES = 4


def name_of(number):
    try:
        with open(f"/proc/{number}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""


@unittest.skipIf(MISSING, "Slurm: there is no " + ", ".join(MISSING))
class SlurmTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="glim-slurm-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.slurm = SlurmCluster(folder.name, NODES)
        cls.addClassCleanup(cls.slurm.end)
        cls.slurm.start()

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="glim-slurm-flow-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.temporary = os.path.join(self.folder, "tmp")
        os.mkdir(self.temporary)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GLIM_", "SLURM_"))}
        self.environment = {**kept, **self.slurm.environment, "TMPDIR": self.temporary}

    def start(self, script, *options, on="slurm", before=()):
        with open(os.path.join(self.folder, "job.lua"), "w") as file:
            file.write(script)
        return subprocess.Popen([*before, GLIM, "run", "--on", on, *options, "job.lua"], cwd=self.folder, text=True,
                                env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run_script(self, script, *options, expect=0, stdin="three\none\nfour\n", **more):
        job = self.start(script, *options, **more)
        out, err = job.communicate(stdin, timeout=TIMEOUT_S)
        self.assertEqual(job.returncode, expect, err)
        return out, err

    def agents(self):
        """Process ids of the agents of this test's programs, by node."""
        found = {}
        for number, _ in processes():
            try:
                with open(f"/proc/{number}/environ", "rb") as file:
                    variables = dict(part.split("=", 1) for part in file.read().decode(errors="replace").split("\0") if "=" in part)
            except OSError:
                continue
            if variables.get("GLIM_CHILD", "").startswith("agent") and "SLURMD_NODENAME" in variables and (
                    variables.get("TMPDIR") == self.temporary):
                if name_of(number) == "glim" and name_of(parent_of(number)) == "slurmstepd":
                    found[variables["SLURMD_NODENAME"]] = number
        return found

    def await_nothing_left(self):
        wait_until("agents have ended", lambda: not self.agents())
        wait_until("allocations to be given back", lambda: self.slurm.jobs() == "")
        wait_until("folders to be gone", lambda: not os.listdir(self.temporary))

    def test_the_answer_is_that_of_one_process(self):
        with open(os.path.join(self.folder, "words.txt"), "w") as file:
            file.write(text_of(1000))
        for name in ("word count", "what comes back to the script", "sums of doubles are rounded alike"):
            script = f'local glim = require "glim"\nlocal flow = glim.flow("f")\n{FLOWS[name]}\nflow:Run()\n'
            with self.subTest(flow=name):
                expected = self.run_script(script, on="embedded")[0]
                self.assertEqual(self.run_script(script, on="slurm:nodes=3")[0], expected)
        self.await_nothing_left()

    def test_tables_are_on_the_nodes(self):
        script = """
            local glim = require "glim"
            local t = glim.table{name = "t", type = "i64", rule = glim.add(), replicas = 2}
            glim.flow("f"):Range(0, 10000):Map(function(n) return n % 10, 1 end):PushTo(t):Run()
            glim.flow("g"):Range(0, 3):Lookup(t, 1):Print():Run()
            """
        self.assertEqual(self.run_script(script, on="slurm:nodes=2")[0], "0,1000\n1,1000\n2,1000\n")
        self.await_nothing_left()

    def test_within_an_allocation_it_is_used(self):
        script = 'local glim = require "glim" glim.flow("f"):Range(0, 3):ForEach(function() print("x") end):Run()'
        salloc = ("salloc", "--quiet", "--nodes=2")
        self.assertEqual(self.run_script(script, before=salloc)[0], "x\nx\nx\n")
        err = self.run_script(script, on="slurm:nodes=3", before=salloc, expect=3)[1]
        self.assertIn("has 2 nodes, and 3 are wanted", err)
        self.await_nothing_left()

    def test_a_node_that_is_killed_is_replaced(self):
        expected = self.run_script(WORK, "--partitions", "12", on="embedded")[0]
        job = self.start(WORK, "--partitions", "12", on="slurm:nodes=2")
        before = wait_until("two agents", lambda: len(self.agents()) == 2 and self.agents())
        time.sleep(0.5)
        victim = max(before)
        self.slurm.kill_node(victim)
        out, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual((job.returncode, out), (0, expected), err)
        job = self.start(ENDLESS, on=f"slurm:nodes={NODES - 1}")
        wait_until("the other nodes", lambda: len(self.agents()) >= NODES - 2)
        job.send_signal(signal.SIGINT)
        job.communicate(timeout=TIMEOUT_S)
        self.slurm.start_node(victim)
        self.slurm.run("scontrol", "update", "NodeName=" + victim, "State=RESUME")
        wait_until("the node to be back", lambda: self.slurm.run("sinfo", "-h", "-t", "idle", "-o", "%D").stdout.strip() == str(NODES))

    def test_an_agent_that_is_killed_is_started_again(self):
        job = self.start(ENDLESS)
        (node, number), = wait_until("the agent", self.agents).items()
        os.kill(number, signal.SIGKILL)
        wait_until("another agent", lambda: self.agents().get(node, number) != number)
        self.assertIsNone(job.poll())
        job.send_signal(signal.SIGINT)
        job.communicate(timeout=TIMEOUT_S)
        # By the signal itself when it came before the run had begun.
        self.assertIn(job.returncode, (130, -signal.SIGINT))
        self.await_nothing_left()

    def test_nothing_is_left_of_a_program_that_is_killed(self):
        job = self.start(ENDLESS, on="slurm:nodes=2")
        wait_until("two agents", lambda: len(self.agents()) == 2)
        job.kill()
        job.communicate(timeout=TIMEOUT_S)
        self.await_nothing_left()

    def test_files_travel(self):
        with open(os.path.join(self.folder, "words.txt"), "w") as file:
            file.write("from the program\n")
        script = """
            local glim = require "glim"
            local flow = glim.flow("f")
            flow:Range(0, 4):RoundRobin(2):Map(function(n) return n, io.open(glim.file("words.txt")):read("*l") end):Sort():Printf("%d %s\\n")
            flow:Strings{"a"}:Pipe([[cat > /dev/null; cat "$GLIM_FILES/words.txt"]]):Printf("%s\\n")
            flow:Run()"""
        for on in ("embedded", "slurm:nodes=2"):
            out, err = self.run_script(script, "--files", "words.txt", on=on)
            self.assertEqual(out, "".join(f"{n} from the program\n" for n in range(4)) + "from the program\n", err)
        self.await_nothing_left()

    def test_what_a_cache_holds_stays_what_it_was(self):
        script = """
            local glim = require "glim"
            local flow = glim.flow("f")
            local drawn = flow:Range(0, 3000):RoundRobin(4):Map(function(n) return n, math.random() end):Cache()
            flow:Run()
            for _ = 1, 3 do drawn:Map(function(n, x) return x * n end):Reduce(glim.sum):Printf("%.17g\\n"):Run() end
            drawn:Map(function(n) return n end):Reduce(glim.sum):Printf("%d\\n"):Run()
            """
        *sums, numbers = self.run_script(script, on="slurm:nodes=2")[0].split()
        self.assertEqual((len(sums), len(set(sums)), numbers), (3, 1, str(sum(range(3000)))))
        self.await_nothing_left()

    def test_files_of_all_nodes_are_read_although_an_agent_is_away(self):
        with open(os.path.join(self.folder, "own.log"), "w") as file:
            file.write("x\ny\n")
        # The machine is one, so all nodes have the same file.
        script = """
            local glim = require "glim"
            for run = 1, 2 do
              glim.flow("f"):TextFile("own.log", {per_host = true, host_name = true}):Printf("%s %s\\n"):Run()
              print("run " .. run)
              io.stdout:flush()
              while run == 1 and not io.open("go") do os.execute("sleep 0.05") end
            end"""
        job = self.start(script, on="slurm:nodes=2")
        first = list(iter(job.stdout.readline, "run 1\n"))
        agents = self.agents()
        self.assertEqual(first, [f"{line} {node}\n" for node in sorted(agents) for line in "xy"])
        away = agents[max(agents)]
        os.kill(away, signal.SIGSTOP)
        time.sleep(4)  # It is dead to the master, but its node is still ours.
        with open(os.path.join(self.folder, "go"), "w"):
            time.sleep(1)
        os.kill(away, signal.SIGCONT)
        out, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual((job.returncode, out.splitlines(True)), (0, [*first, "run 2\n"]), err)
        self.assertNotIn("are not read", err)
        self.await_nothing_left()

    @unittest.skipUnless(HAS_TEXT, "needs C headers and Perl modules")
    def test_the_quickstart_learns_the_same(self):
        expected = learn(self.folder, self.environment, "--threads", "4")
        self.assertEqual(learn(self.folder, self.environment, "--on", "slurm:nodes=4"), expected)
        self.await_nothing_left()

    def test_what_slurm_does_not_give_is_told(self):
        script = 'local glim = require "glim" glim.flow("f"):Range(0, 3):Print():Run()'
        err = self.run_script(script, on="slurm:partition=none", expect=3)[1]
        self.assertIn("invalid partition specified: none", err)
        self.assertIn("glim: --on slurm:partition=none: Slurm does not give what was asked for", err)
        self.assertIn('"colour=red" is none of nodes=N, ', self.run_script(script, on="slurm:colour=red", expect=2)[1])
        self.assertIn("nodes takes a number", self.run_script(script, on="slurm:nodes=x", expect=2)[1])
        self.slurm.run("scontrol", "update", "NodeName=n1", "State=DRAIN", "Reason=test")
        self.addCleanup(self.slurm.run, "scontrol", "update", "NodeName=n1", "State=RESUME")
        job = self.start(script, on=f"slurm:nodes={NODES}")
        line = job.stderr.readline()
        self.assertRegex(line, f"waiting for Slurm to give {NODES} nodes \\(.+\\); Ctrl-C gives up")
        job.send_signal(signal.SIGINT)
        job.communicate(timeout=TIMEOUT_S)
        self.assertEqual(job.returncode, 130)
        self.await_nothing_left()


if __name__ == "__main__":
    unittest.main()
