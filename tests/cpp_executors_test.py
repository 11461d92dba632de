#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Flows with functions in C++ on executors, which are the driver's program: the same answer as in one process, also
while executors are killed.

The folder with the programs is in GLIM_BUILD (default: build/release).
"""

import os
import platform
import random
import signal
import subprocess
import time
import unittest

from agents_test import ClusterCase, send, wait_until
from jobs_test import BUILD, TIMEOUT_S, FolderCase, executors_of

PROGRAM = os.path.join(BUILD, "cpp_flows")


class ProgramCase(FolderCase):
    def start(self, *arguments):
        return subprocess.Popen([PROGRAM, *arguments], cwd=self.folder, env=self.environment, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run_case(self, *arguments, expect=0):
        job = self.start(*arguments)
        out, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual(job.returncode, expect, err)
        return out, err

    def kill_some(self, job, executors, chance, kills_max):
        """Until the job ends; the processes that it had, and how many were killed."""
        seen, killed = set(), 0
        while job.poll() is None:
            time.sleep(0.1 + chance.random() * 0.4)
            alive = executors()
            seen.update(alive)
            if alive and killed < kills_max:
                try:
                    os.kill(chance.choice(alive), signal.SIGKILL)
                    killed += 1
                except ProcessLookupError:
                    pass
        return seen, killed


class LocalTest(ProgramCase):
    def test_functions_run_on_executors(self):
        self.assertEqual(self.run_case("where")[0], "hello\nhere\n")
        self.assertEqual(self.run_case("where", "--on", "local:2")[0], "hello\non executors\n")
        self.assertEqual(self.run_case("where", "--on", "local:2", "--cpp", "here")[0], "hello\nhere\n")

    def test_the_answer_is_that_of_one_process(self):
        for case in ("steps", "two", "loop"):
            for partitions in ("1", "5"):
                expected = self.run_case(case, "--partitions", partitions)[0]
                for on in ("local:1", "local:2", "local:3"):
                    with self.subTest(case=case, on=on, partitions=partitions):
                        self.assertEqual(self.run_case(case, "--on", on, "--partitions", partitions)[0], expected)

    def test_datasets_on_disk_are_read_by_all(self):
        expected = self.run_case("kept", "--dataset-dir", "sets")[0]
        self.assertEqual(expected.count("\n"), 1 + 4 * 3000)
        for on in ("local:1", "local:3"):
            for folder in ("sets", "sets-of-" + on):  # One that is there, and one that is made.
                for _ in range(2):
                    self.assertEqual(self.run_case("kept", "--on", on, "--dataset-dir", folder)[0], expected)

    def test_executors_that_are_killed_are_done_without(self):
        expected = self.run_case("long", "--partitions", "12")[0]
        for seed in range(int(os.environ.get("GLIM_KILL_SCHEDULES", "2"))):
            chance = random.Random(seed)
            job = self.start("long", "--partitions", "12", "--on", f"local:{chance.randrange(1, 4)}")
            seen, killed = self.kill_some(job, lambda: executors_of(job.pid), chance, 3)  # A task is tried four times.
            out, err = job.communicate(timeout=TIMEOUT_S)
            with self.subTest(seed=seed, killed=killed):
                self.assertEqual((job.returncode, out), (0, expected), err)
                self.assertGreater(killed, 0)
                self.assert_nothing_left(seen)

    def test_what_main_prints_comes_out_once(self):
        out, err = self.run_case("prints", "--on", "local:3", "--partitions", "6")
        lines = out.splitlines()
        rows = [f"row {round} {n}" for round in range(2) for n in range(100)]
        self.assertEqual(sorted(lines), sorted(["hello", "before", "between", "between", *rows]))
        self.assertEqual(lines[:2] + lines[102:103] + lines[-1:], ["hello", "before", "between", "between"])
        self.assertEqual(err.count("before, to stderr"), 1)

    def test_a_main_that_builds_something_else_is_told(self):
        err = self.run_case("other", "--on", "local:2", expect=1)[1]
        self.assertIn("the driver's program, started as an executor, was built for another plan: step 3, Print:", err)
        err = self.run_case("ends", "--on", "local:2", expect=1)[1]
        self.assertIn("built for another plan: its main ended after 0 runs, and run 1 is wanted", err)

    def test_a_main_that_cannot_be_followed_has_its_functions_to_itself(self):
        for case in ("table", "own"):
            self.assertEqual(self.run_case(case, "--on", "local:2")[0].splitlines()[-1], "here", case)

    def test_a_function_that_ends_its_executor_ends_the_run(self):
        err = self.run_case("dies", "--on", "local:2", expect=1)[1]
        self.assertIn("task 1 of stage 1 was tried 4 times", err)

    def test_a_wrong_option_is_told(self):
        self.assertIn("--cpp takes executors or here", self.run_case("where", "--cpp", "there", expect=2)[1])


class AgentsTest(ClusterCase):
    """The same on agents, which get the program by its hash."""

    def start_case(self, *arguments, on=None, program=PROGRAM):
        on = on or "standalone://" + self.master.address
        return subprocess.Popen([program, *arguments, "--on", on, *self.key], cwd=self.folder, env=self.environment,
                                text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run_case(self, *arguments, expect=0, **how):
        job = self.start_case(*arguments, **how)
        out, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual(job.returncode, expect, err)
        return out, err

    def programs_of(self, agent):
        """Name and inode of each program that the agent has."""
        folder = os.path.join(self.folder, agent.folder, "programs")
        return {name: os.stat(os.path.join(folder, name)).st_ino for name in os.listdir(folder)}

    def test_the_answer_is_that_of_one_process(self):
        self.make_cluster(2)
        self.assertEqual(self.run_case("where")[0], "hello\non executors\n")
        for case in ("steps", "two", "loop"):
            with self.subTest(case=case):
                expected = self.run_case(case, "--partitions", "5", on="embedded")[0]
                self.assertEqual(self.run_case(case, "--partitions", "5")[0], expected)
        self.assertIn("built for another plan", self.run_case("other", expect=1)[1])
        self.await_nothing_left()

    def make_other_program(self):
        """The same with other bytes."""
        other = os.path.join(self.folder, "other_program")
        with open(PROGRAM, "rb") as source, open(other, "wb") as copy:
            copy.write(source.read() + b"x")
        os.chmod(other, 0o755)
        return other

    def sizes_of_programs(self, agent):
        folder = os.path.join(self.folder, agent.folder, "programs")
        return sorted(os.stat(os.path.join(folder, name)).st_size for name in os.listdir(folder))

    def test_an_agent_of_another_architecture_has_a_binary_of_its_own(self):
        # Such an agent thinks that it is there; its programs are ours none the less.
        elsewhere = ["setarch", "linux32"]
        try:
            there = subprocess.run([*elsewhere, "uname", "-m"], check=True, capture_output=True, text=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError) as error:
            self.skipTest(f"setarch does not work here: {error}")
        here = platform.machine()
        self.make_cluster(0)
        self.agents = [self.add_agent("other", prefix=elsewhere)]
        self.await_agents(1)
        self.assertIn(f"agent other is on {there}, and the program is there for {here}: --binary {there}=PATH names one",
                      self.run_case("where", expect=1)[1])
        other = self.make_other_program()
        self.assertEqual(self.run_case("where", "--binary", f"{there}={other}")[0], "hello\non executors\n")
        self.assertEqual(self.sizes_of_programs(self.agents[0]), [os.stat(other).st_size])
        # Each has its own.
        self.agents.append(self.add_agent("same"))
        self.await_agents(2)
        expected = self.run_case("steps", "--partitions", "5", on="embedded")[0]
        self.assertEqual(self.run_case("steps", "--partitions", "5", "--binary", f"{here}=/nowhere,{there}={other}")[0],
                         expected)
        self.assertEqual(self.sizes_of_programs(self.agents[1]), [os.stat(PROGRAM).st_size])
        self.assertIn(f"--binary {there}: ", self.run_case("where", "--binary", f"{there}=/nowhere", expect=1)[1])
        self.assertIn("--binary takes ARCHITECTURE=PATH", self.run_case("where", "--binary", "program", expect=2)[1])
        self.await_nothing_left()

    def test_an_agent_keeps_the_program(self):
        self.make_cluster(1)
        agent = self.agents[0]
        self.run_case("where")
        kept = self.programs_of(agent)
        self.assertEqual(len(kept), 1)
        self.run_case("where")
        agent.restart()
        self.await_agents(1)
        self.run_case("where")
        self.assertEqual(self.programs_of(agent), kept)
        # Another program is another one, though it does the same; one that was damaged is fetched anew.
        other = self.make_other_program()
        self.assertEqual(self.run_case("where", program=other)[0], "hello\non executors\n")
        self.assertEqual(len(self.programs_of(agent)), 2)
        agent.kill()
        name = next(iter(kept))
        path = os.path.join(self.folder, agent.folder, "programs", name)
        with open(path, "r+b") as file:
            file.truncate(1000)
        agent.start()
        self.await_agents(1)
        self.assertEqual(self.run_case("where")[0], "hello\non executors\n")
        self.assertEqual(os.stat(path).st_size, os.stat(PROGRAM).st_size)
        self.await_nothing_left()

    def test_whoever_is_killed_the_answer_is_the_same(self):
        self.make_cluster(2)
        expected = self.run_case("long", "--partitions", "12", on="embedded")[0]
        chance = random.Random(5)
        job = self.start_case("long", "--partitions", "12")
        losses = 0
        while job.poll() is None:
            time.sleep(0.2 + chance.random() * 0.4)
            executors = [number for agent in self.agents for number in agent.children()]
            if losses == 3 or not executors:
                continue
            losses += 1
            if losses == 2:
                chance.choice(self.agents).restart()
            else:
                send(chance.choice(executors), signal.SIGKILL)
        out, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual((job.returncode, out), (0, expected), err)
        self.assertGreater(losses, 0)
        self.await_nothing_left()

    def test_a_driver_that_is_killed_frees_everything(self):
        self.make_cluster(2)
        job = self.start_case("long", "--partitions", "12")
        wait_until("executors", lambda: all(agent.children() for agent in self.agents))
        job.kill()
        job.communicate(timeout=TIMEOUT_S)
        self.await_nothing_left()
        wait_until("memory to be free", lambda: all(a["memory_used_bytes"] == 0 for a in self.status()["agents"]))


if __name__ == "__main__":
    unittest.main()
