#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Flows on a standalone cluster: a master and agents as real processes, the same answer as in one process. chaos.py has
what happens while processes are killed and stopped at random.

The folder with the glim binary is in GLIM_BUILD (default: build/release).
"""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
import unittest

from jobs_test import FLOWS, GLIM, TIMEOUT_S, executors_of, text_of

WORK = """
    local glim = require "glim"
    local flow = glim.flow("long")
    local sums = flow:Range(0, 60000)
      :Map(function(n) local s = 0 for i = 1, 3000 do s = (s + n * i) % 1000003 end return s % 500, n end)
      :ReduceBy(function(a, b) return a + b end)
    sums:Map(function(k, v) local s = 0 for i = 1, 100000 do s = (s + k * i) % 1000003 end return k, v, s end)
      :Sort():Printf("%d,%d,%d\\n")
    sums:Map(function(k, v) return k % 10, v end):HashJoin(flow:Range(0, 10):Map(function(n) return n, "n" .. n end))
      :GroupBy():Map(function(k, list) return k, #list end):Sort():Printf("%d %d\\n")
    flow:Run()
    """
ENDLESS = WORK.replace("60000", "600000000")


def wait_until(what, holds):
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        found = holds()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {TIMEOUT_S} s")
        time.sleep(0.02)


def send(process, number):
    try:
        os.kill(process, number)
    except ProcessLookupError:
        pass


class Node:
    """A process of the cluster, started again on the same port and folder after it was killed."""

    def __init__(self, cluster, role, folder, *options, prefix=(), address="127.0.0.1:0"):
        self.cluster, self.role, self.folder, self.options, self.prefix = cluster, role, folder, options, prefix
        self.address = address
        self.start()

    def start(self):
        self.errors = open(os.path.join(self.cluster.folder, self.folder + ".err"), "a")
        self.process = subprocess.Popen(
            [*self.prefix, GLIM, self.role, "--address", self.address, "--dir", self.folder, *self.options],
            cwd=self.cluster.folder, env=self.cluster.environment, text=True, stdout=subprocess.PIPE, stderr=self.errors)
        line = self.process.stdout.readline()
        assert line.startswith("listening "), (line, self.said())
        self.address = line.split()[1]

    def said(self):
        with open(self.errors.name) as file:
            return file.read()

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        code = self.process.wait(TIMEOUT_S)
        self.process.stdout.close()
        self.errors.close()
        return code

    def restart(self):
        self.kill()
        self.start()

    def children(self):
        """The process ids of executors."""
        return executors_of(self.process.pid)


class ClusterCase(unittest.TestCase):
    """A cluster of its own for each test, in a folder of its own."""

    key = ()

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="glim-agents-test-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("GLIM_")}
        self.environment["TMPDIR"] = self.folder
        self.nodes = []
        self.addCleanup(self.end_all)

    def end_all(self):
        for node in self.nodes:
            if node.process.poll() is None:
                node.process.send_signal(signal.SIGCONT)
                node.kill()

    def add(self, role, folder, *options, **how):
        self.nodes.append(Node(self, role, folder, *options, **how))
        return self.nodes[-1]

    def add_agent(self, name, *options, **how):
        return self.add("agent", name, "--name", name, "--master", self.master.address, "--memory", "2G", "--cores", "2",
                        *options, **how)

    def make_cluster(self, agents, *options):
        self.master = self.add("master", "m")
        self.agents = [self.add_agent(f"a{n}", *options) for n in range(agents)]
        self.await_agents(agents)

    def status(self):
        job = subprocess.run([GLIM, "status", "--json", "--master", self.master.address, *self.key], env=self.environment,
                             cwd=self.folder, text=True, capture_output=True, timeout=TIMEOUT_S)
        return json.loads(job.stdout) if job.returncode == 0 else None

    def await_agents(self, count):
        def are_there():
            status = self.status()
            return status and sum(agent["alive"] for agent in status["agents"]) == count
        wait_until(f"{count} agents", are_there)

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w") as file:
            file.write(text)

    def start(self, script, *options, on=None):
        self.write("job.lua", script)
        return subprocess.Popen([GLIM, "run", "--on", on or "standalone://" + self.master.address, *self.key, *options,
                                 "job.lua"],
                                cwd=self.folder, env=self.environment, text=True, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run_script(self, script, *options, on=None, stdin="three\none\nfour\n", expect=0):
        job = self.start(script, *options, on=on)
        out, err = job.communicate(stdin, timeout=TIMEOUT_S)
        self.assertEqual(job.returncode, expect, err)
        return out, err

    def await_nothing_left(self):
        wait_until("executors have ended", lambda: not any(agent.children() for agent in self.agents))
        for agent in self.agents:
            left = os.listdir(os.path.join(self.folder, agent.folder, "tmp"))
            self.assertEqual(left, [])


class AgentsTest(ClusterCase):
    def test_the_answer_is_that_of_one_process(self):
        self.make_cluster(2)
        self.write("words.txt", text_of(3000))
        self.write("in.csv", "key,value\n" + "".join(f'{n * 7 % 61},"v{n}, \n quoted"\n' for n in range(500)))
        for name, body in FLOWS.items():
            script = f'local glim = require "glim"\nlocal flow = glim.flow("f")\n{body}\nflow:Run()\n'
            with self.subTest(flow=name):
                expected = self.run_script(script, on="embedded")[0]
                self.assertEqual(self.run_script(script)[0], expected)
        self.await_nothing_left()

    def test_a_driver_that_is_killed_frees_everything(self):
        self.make_cluster(2)
        job = self.start(ENDLESS)
        wait_until("executors", lambda: all(agent.children() for agent in self.agents))
        self.assertTrue(all(agent["memory_used_bytes"] > 0 for agent in wait_until(
            "agents to tell", lambda: [a for a in self.status()["agents"] if a["executors"] == 1] or None)))
        job.kill()
        job.communicate(timeout=TIMEOUT_S)
        self.await_nothing_left()
        wait_until("memory to be free", lambda: all(a["memory_used_bytes"] == 0 for a in self.status()["agents"]))
        # Its end is on record.
        wait_until("the job to be lost", lambda: self.status()["jobs"][0]["state"] == "lost")

    def test_a_job_is_cancelled(self):
        self.make_cluster(2)
        job = self.start(ENDLESS)
        running = wait_until("the job", lambda: self.status()["jobs"])
        self.assertEqual((running[0]["flow"], running[0]["state"]), ("long", "running"))
        cancel = [GLIM, "cancel", "--master", self.master.address]
        subprocess.run([*cancel, running[0]["id"]], check=True, timeout=TIMEOUT_S)
        out, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual(job.returncode, 1)
        self.assertIn("cancelled by `glim cancel`", err)
        self.await_nothing_left()
        again = subprocess.run([*cancel, running[0]["id"]], text=True, capture_output=True, timeout=TIMEOUT_S)
        self.assertEqual(again.returncode, 1)
        self.assertEqual(again.stderr, f'glim: no job "{running[0]["id"]}" is running\n')
        # What has ended is known to the next master, too.
        self.run_script('local glim = require "glim" glim.flow("short"):Range(0, 3):Print():Run()')
        before = [(job["flow"], job["state"]) for job in self.status()["jobs"]]
        self.assertEqual(before, [("long", "cancelled"), ("short", "done")])
        self.master.restart()
        self.assertEqual([(job["flow"], job["state"]) for job in self.status()["jobs"]], before)

    def log_of(self, *options, expect=0):
        logs = subprocess.run([GLIM, "logs", "--master", self.master.address, *options], env=self.environment, text=True,
                              cwd=self.folder, capture_output=True, timeout=TIMEOUT_S)
        self.assertEqual(logs.returncode, expect, logs.stderr)
        return logs.stdout if expect == 0 else logs.stderr

    def test_a_full_disk_is_named_with_its_agent(self):
        small = os.path.join(self.folder, "a0")
        os.mkdir(small)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "none", small], capture_output=True).returncode != 0:
            self.skipTest("mounting is not possible here")
        self.addCleanup(subprocess.run, ["umount", small], check=True)
        self.addCleanup(self.end_all)  # Before the folder goes.
        self.make_cluster(1)
        script = """
            local glim = require "glim"
            glim.flow("f"):Range(0, 3000000):Map(function(n) return n * 7919 % 1000003 * 1.37, n end):Sort()
              :Map(function(a, b) return b end):Reduce(glim.max):Print():Run()
            """
        _, err = self.run_script(script, "--memory", "24M", expect=1)
        self.assertIn("on a0: ", err)
        self.assertIn("disk full", err)
        self.await_nothing_left()
        # The agent goes on.
        self.run_script(script.replace("3000000", "3000"), "--memory", "24M")

    def test_tables_are_read_where_their_shards_are(self):
        self.master = self.add("master", "m")
        # Two machines, as far as addresses tell.
        self.agents = [self.add_agent(f"a{n}", "--server", address=f"127.0.0.{n + 2}:0") for n in range(2)]
        self.await_agents(2)
        wait_until("servers", lambda: sum(server["alive"] for server in self.status()["servers"]) == 2)
        out, _ = self.run_script("""
            local glim = require "glim"
            local table = glim.table{name = "squares", type = "f64", keys = "sparse", shards = 8, replicas = 1}
            local keys, values = {}, {}
            for n = 1, 2000 do keys[n], values[n] = n, n * n end
            table:Push(keys, values):Wait()
            glim.flow("sum"):Table(table):Map(function(key, value)
              local s = 0
              for i = 1, 100000 do s = (s + key * i) % 1000003 end
              return value + 0 * s
            end):Reduce(glim.sum):Printf("%d\\n"):Run()
            """, "--partitions", "8")
        self.assertEqual(out, f"{sum(n * n for n in range(1, 2001))}\n")
        told = re.search(r"(\d) of 8 tasks ran where the shards are that they read", self.log_of())
        self.assertTrue(told, self.log_of())
        # Who has nothing left takes what others wait with.
        self.assertGreaterEqual(int(told[1]), 6, self.log_of())

    def test_logs_tell_of_a_job(self):
        self.make_cluster(2)
        self.assertEqual(self.log_of(expect=1), "glim: there was no job yet\n")
        self.assertIn("16 hexadecimal digits", self.log_of("../m", expect=1))
        self.run_script("""
            local glim = require "glim"
            glim.flow("talks"):Range(0, 40):RoundRobin(4):Map(function(n) print("row " .. n) return n % 3, 1 end)
              :ReduceBy(glim.sum):Sort():Print():Run()
            """)
        log = self.log_of()
        self.assertRegex(log, r'^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} "talks" from ')
        for row in range(40):
            self.assertEqual(log.count(f"row {row}\n"), 1, log)
        self.assertIn("executor at 127.0.0.1:", log)
        self.assertRegex(log, r"stage 1 of \d: \d+ tasks\n")
        self.assertTrue(log.endswith(" done\n"), log)
        # One that fails says why; the log of the first stays what it was, also for the next master.
        self.run_script('local glim = require "glim" glim.flow("f"):Range(0, 9):Map(function(n) error("no " .. n) end):Print():Run()',
                        expect=1)
        self.assertRegex(self.log_of(), r"failed: .*no \d")
        self.master.restart()
        first = self.status()["jobs"][0]["id"]
        self.assertEqual(self.log_of(first), log)

    def test_logs_follow_a_job(self):
        self.make_cluster(2)
        job = self.start(ENDLESS)
        wait_until("the job", lambda: self.status()["jobs"])
        follow = subprocess.Popen([GLIM, "logs", "--follow", "--master", self.master.address], env=self.environment,
                                  cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertIn('"long" from ', follow.stdout.readline())
        victim = wait_until("an executor", lambda: self.agents[0].children())[0]
        send(victim, signal.SIGKILL)
        while "what it had is done again" not in follow.stdout.readline():
            self.assertIsNone(follow.poll())
        job.send_signal(signal.SIGINT)
        job.communicate(timeout=TIMEOUT_S)
        out, err = follow.communicate(timeout=TIMEOUT_S)
        self.assertEqual((follow.returncode, err), (0, ""))
        self.assertTrue(out.endswith("cancelled: interrupted\n"), out)
        self.await_nothing_left()

    def test_ctrl_c_ends_the_executors(self):
        self.make_cluster(2)
        job = self.start(ENDLESS)
        wait_until("executors", lambda: all(agent.children() for agent in self.agents))
        job.send_signal(signal.SIGINT)
        job.communicate(timeout=TIMEOUT_S)
        self.assertEqual(job.returncode, 130)
        self.await_nothing_left()

    def test_an_agent_that_comes_later_takes_part(self):
        self.make_cluster(1)
        job = self.start(ENDLESS)
        wait_until("an executor", self.agents[0].children)
        self.agents.append(self.add_agent("late"))
        wait_until("an executor on the late one", self.agents[1].children)
        # And the first one goes, in peace.
        self.assertEqual(self.agents[0].kill(signal.SIGTERM), 0)
        time.sleep(0.5)
        self.assertIsNone(job.poll())
        job.kill()
        job.communicate(timeout=TIMEOUT_S)

    def test_several_jobs_at_once(self):
        self.make_cluster(2)
        expected = self.run_script(WORK, "--partitions", "4", on="embedded")[0]
        jobs = []
        for _ in range(4):
            jobs.append(self.start(WORK, "--partitions", "4"))
            wait_until("the script to be read", lambda: len(self.status()["jobs"]) == len(jobs))
        for job in jobs:
            out, err = job.communicate(timeout=TIMEOUT_S)
            self.assertEqual((job.returncode, out), (0, expected), err)
        self.await_nothing_left()

    def test_agents_are_chosen_by_label_and_number(self):
        self.make_cluster(1, "--label", "ssd")
        self.agents.append(self.add_agent("plain"))
        self.await_agents(2)
        master = "standalone://" + self.master.address
        job = self.start(ENDLESS, on=master + "?label=ssd")
        wait_until("an executor", self.agents[0].children)
        job.kill()
        job.communicate(timeout=TIMEOUT_S)
        self.assertEqual(self.agents[1].children(), [])
        self.await_nothing_left()
        job = self.start(ENDLESS, on=master + "?executors=1")
        wait_until("an executor", lambda: any(agent.children() for agent in self.agents))
        time.sleep(0.5)
        self.assertEqual(sum(len(agent.children()) for agent in self.agents), 1)
        job.kill()
        job.communicate(timeout=TIMEOUT_S)
        err = self.run_script(WORK, on=master + "?label=gpu", expect=1)[1]
        self.assertIn("has no living agent with label gpu", err)

    def test_too_little_memory_says_what_is_free(self):
        self.make_cluster(1)
        err = self.run_script(WORK, "--memory", "4G", expect=1)[1]
        self.assertIn("agent a0 has 2048 MiB of 2048 MiB free for executors, and 4096 MiB are wanted", err)

    def test_two_agents_do_not_share_a_folder_or_a_port(self):
        self.make_cluster(1)
        for address, folder, message in (("127.0.0.1:0", "a0", '"a0" is in use by another process'),
                                         (self.agents[0].address, "b", "in use")):
            second = subprocess.run([GLIM, "agent", "--master", self.master.address, "--dir", folder, "--address", address],
                                    cwd=self.folder, text=True, capture_output=True, timeout=TIMEOUT_S)
            self.assertEqual(second.returncode, 1)
            self.assertIn(message, second.stderr)
            self.assertEqual(second.stderr.count("\n"), 1)

    def test_an_agent_keeps_a_server_running(self):
        self.make_cluster(2, "--server")
        script = """
            local glim = require "glim"
            local t = glim.table{name = "t", type = "i64", rule = glim.add(), replicas = 2}
            glim.flow("f"):Range(0, 10000):Map(function(n) return n % 10, 1 end):PushTo(t):Run()
            glim.flow("g"):Range(0, 3):Lookup(t, 1):Print():Run()
            """
        wait_until("servers", lambda: sum(server["alive"] for server in self.status()["servers"]) == 2)
        self.assertEqual(self.run_script(script)[0], "0,1000\n1,1000\n2,1000\n")

    def test_modules_and_relative_files_are_those_of_the_program(self):
        """Agents have other current folders than programs, and none of their modules."""
        os.makedirs(os.path.join(self.folder, "away"))
        os.makedirs(os.path.join(self.folder, "mods"))
        self.write("mods/m.lua", 'local n = require "mods.n" return {f = function(x) return n.g(x) + 1 end}')
        self.write("mods/n.lua", "return {g = function(x) return x * 10 end}")
        self.write("in.txt", "hello\n")
        home, self.folder = self.folder, os.path.join(self.folder, "away")
        self.make_cluster(1)
        self.folder = home
        script = """
            local glim = require "glim"
            glim.flow("f"):TextFile("in.txt"):Map(function(line) return require("MODULE").f(#line) end):Print():Run()
            """
        self.assertEqual(self.run_script(script.replace("MODULE", "mods.m"))[0], "51\n")
        err = self.run_script(script.replace("MODULE", "mods.none"), expect=1)[1]
        self.assertEqual(err, self.run_script(script.replace("MODULE", "mods.none"), on="embedded", expect=1)[1])
        self.assertIn("module 'mods.none' not found: no file './mods/none.lua'", err)

    def test_a_file_that_is_missing_names_the_machine(self):
        self.make_cluster(1)
        self.write("in.txt", "hello\n")
        err = self.run_script("""
            local glim = require "glim"
            local flow = glim.flow("f")
            flow:Range(0, 1):Map(function(n) os.remove("in.txt") return n, n end):ReduceBy(glim.sum)
              :HashJoin(flow:TextFile("in.txt"):Map(function(line) return 0, line end)):Print()
            flow:Run()
            """, expect=1)[1]
        self.assertRegex(err, 'on a0: .*"in.txt": no such file')

    def test_a_step_of_slurm_that_ends_while_it_starts_leaves_nothing(self):
        temporary = os.path.join(self.folder, "tmp")
        os.mkdir(temporary)
        subprocess.run([GLIM, "init"], cwd=self.folder, check=True, stdout=subprocess.DEVNULL)
        with open(os.path.join(self.folder, "cluster.key")) as file:
            key = file.read()
        # What its launcher says: a master (here none), a name, a folder, and no server.
        variables = {"GLIM_CHILD": "\n".join(["agent", "127.0.0.1:1", "n1", "step", "0"]), "TMPDIR": temporary}
        for _ in range(20):
            step = subprocess.Popen([GLIM], env={**os.environ, **variables}, stdin=subprocess.PIPE, text=True,
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            step.stdin.write(f"{len(key)}\n{key}")
            step.stdin.flush()
            while step.poll() is None and not os.listdir(temporary):
                pass  # At once, in the milliseconds before it listens.
            step.terminate()
            step.communicate(timeout=TIMEOUT_S)
            self.assertEqual(os.listdir(temporary), [])

    def test_with_keys_only_those_who_have_them_take_part(self):
        for folder in ("keys", "others"):
            subprocess.run([GLIM, "init", "--dir", folder], cwd=self.folder, check=True, stdout=subprocess.DEVNULL)
        self.key = ("--key", "keys/client.key")
        self.master = self.add("master", "m", "--key", "keys/cluster.key")
        self.agents = [self.add_agent("a0", "--key", "keys/cluster.key")]
        self.await_agents(1)
        script = 'local glim = require "glim" glim.flow("f"):Range(0, 3):Print():Run()'
        self.assertEqual(self.run_script(script)[0], "0\n1\n2\n")
        # Executors are where their agent is: an address that stands for all of a machine leads nobody to another one.
        def log():
            jobs = self.status()["jobs"]
            return jobs and subprocess.run(
                [GLIM, "logs", jobs[-1]["id"], "--master", self.master.address, *self.key], env=self.environment,
                cwd=self.folder, text=True, capture_output=True, timeout=TIMEOUT_S).stdout
        wait_until("an executor in the log", lambda: "executor at " in (log() or ""))
        self.assertIn("executor at 127.0.0.1:", log())
        self.key = ("--key", "others/client.key")
        self.run_script(script, expect=3)
        stranger = subprocess.run([GLIM, "agent", "--master", self.master.address, "--dir", "b", "--address", "127.0.0.1:0",
                                   "--key", "others/cluster.key"],
                                  cwd=self.folder, text=True, capture_output=True, timeout=TIMEOUT_S)
        self.assertEqual(stranger.returncode, 1)
        self.assertIn("glim: the master at ", stranger.stderr)


if __name__ == "__main__":
    unittest.main()
