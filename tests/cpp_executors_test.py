#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Flows with functions in C++ on executors, which are the driver's program: the same answer as in one process, also
while executors are killed.

The folder with the programs is in GLIM_BUILD (default: build/release).
"""

import os
import random
import signal
import subprocess
import tempfile
import time
import unittest

from jobs_test import BUILD, TIMEOUT_S, executors_of

PROGRAM = os.path.join(BUILD, "cpp_flows")


class ProgramCase(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="glim-cpp-test-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("GLIM_")}
        self.environment["TMPDIR"] = self.folder

    def start(self, *arguments):
        return subprocess.Popen([PROGRAM, *arguments], cwd=self.folder, env=self.environment, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run_case(self, *arguments, expect=0):
        job = self.start(*arguments)
        out, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual(job.returncode, expect, err)
        return out, err

    def assert_nothing_left(self, processes):
        deadline = time.monotonic() + TIMEOUT_S
        while any(os.path.exists(f"/proc/{number}") for number in processes):
            self.assertLess(time.monotonic(), deadline, "executors outlive their program")
            time.sleep(0.02)
        self.assertEqual([name for name in os.listdir(self.folder) if name.startswith("glim-local")], [])

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
        self.assertEqual(err, "before, to stderr\n")

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


if __name__ == "__main__":
    unittest.main()
