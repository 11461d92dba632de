#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tables whose keys lie where a function in C++ says, over several processes: children of local:N have the function,
other programs do what does not need it, and say what is missing.

The folder with the programs is in GLIM_BUILD (default: build/release).
"""

import subprocess
import unittest

from agents_test import ClusterCase, wait_until
from cpp_executors_test import PROGRAM, ProgramCase
from jobs_test import GLIM, TIMEOUT_S

PLACED = "350 rows, 0 misplaced, sum 2900\n"


class LocalTest(ProgramCase):
    def test_executors_have_what_was_registered_before_the_first_session(self):
        for on in ("embedded", "local:2"):
            self.assertEqual(self.run_case("placed", "--on", on)[0], "hello\n" + PLACED)

    def test_executors_say_what_they_lack(self):
        self.assertEqual(self.run_case("late", "--on", "embedded")[0], "hello\n" + PLACED)
        err = self.run_case("late", "--on", "local:2", expect=1)[1]
        self.assertIn('table "places": this program has no partitioner "late"; register it', err)

    def test_a_function_that_nobody_has_is_named(self):
        err = self.run_case("nowhere", expect=1)[1]
        self.assertIn('table "places": this program has no partitioner "nobody"', err)


class ClusterTest(ClusterCase):
    def run_program(self, *command, expect=0):
        job = subprocess.run(command, cwd=self.folder, env=self.environment, text=True, stdin=subprocess.DEVNULL,
                             capture_output=True, timeout=TIMEOUT_S)
        self.assertEqual(job.returncode, expect, job.stderr)
        return job.stdout, job.stderr

    def glim_table(self, *arguments, **how):
        return self.run_program(GLIM, "table", *arguments, "--master", self.master.address, **how)

    def test_another_program_does_what_does_not_need_it(self):
        self.make_cluster(1)
        self.add("server", "s", "--master", self.master.address)
        on = ("--on", "standalone://" + self.master.address)
        # Executors on agents are not the program; so its flow runs in the program itself.
        self.assertEqual(self.run_program(PROGRAM, "placed", *on)[0], "hello\n" + PLACED)
        out = self.glim_table("describe", "places")[0]
        self.assertIn("partitioner  by customer\n", out)
        self.assertIn("keys stored  350\n", out)
        self.assertIn('"partitioner": "by customer"', self.glim_table("describe", "places", "--json")[0])
        self.assertIn("places", self.glim_table("list")[0])
        self.glim_table("save", "places", "model")
        lacks = 'this program has no partitioner "customer"; register it'
        self.assertIn(lacks, self.glim_table("load", "model", "--name", "again", expect=1)[1])
        self.write("push.lua", 'require("glim").open_table("places"):Push({7}, {1}):Wait()')
        self.assertIn(lacks, self.run_program(GLIM, "run", *on, "push.lua", expect=1)[1])
        self.write("count.lua", 'local glim = require "glim"\n'
                                'glim.flow("count"):Table(glim.open_table("places"))'
                                ':Map(function(key, n) return n end):Reduce(glim.sum):Printf("%d\\n"):Run()')
        self.assertEqual(self.run_program(GLIM, "run", *on, "count.lua")[0], "20000\n")
        self.glim_table("drop", "places")
        wait_until("no table", lambda: not self.status()["tables"])


if __name__ == "__main__":
    unittest.main()
