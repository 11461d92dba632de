#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What job scripts may do in whole programs: modules beside the script, functions that give many rows, tables."""
import os
import subprocess
import tempfile
import unittest

GLIM = os.path.abspath(os.path.join(os.environ.get("GLIM_BUILD", "build/release"), "glim"))


class Scripts(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.folder = self.scratch.name

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        return path

    def run_script(self, text, *options, cwd=None):
        return subprocess.run([GLIM, "run", *options, self.write("jobs/job.lua", text)], cwd=cwd, capture_output=True,
                              text=True, timeout=300)

    def test_a_module_beside_the_script_is_found_by_script_and_tasks(self):
        self.write("jobs/helper.lua", "local M = {} function M.twice(x) return 2 * x end return M\n")
        for function in ("function(x) return helper.twice(x) end", "function(x) return require('helper').twice(x) end",
                         "\"function(x) return require('helper').twice(x) end\""):
            for options in ([], ["--threads", "3", "--partitions", "3"], ["--plain-lua"]):
                done = self.run_script("local glim = require 'glim'\nlocal helper = require 'helper'\n"
                                       f"glim.flow('f'):Ints{{1, 2, 3}}:Map({function}):Sort():Printf('%d\\n'):Run()\n",
                                       *options, cwd=self.folder)
                self.assertEqual((done.returncode, done.stdout), (0, "2\n4\n6\n"), done.stderr)

    def test_a_loop_of_write_row_ends_when_nobody_wants_more(self):
        done = self.run_script("local glim = require 'glim'\n"
                               "glim.flow('f'):Ints{1, 2}:ForEach(function(x) while true do writeRow(x) end end)"
                               ":Limit(3):Printf('%d\\n'):Run()\n", "--memory", "64M")
        self.assertEqual((done.returncode, done.stdout), (0, "1\n1\n1\n"), done.stderr)

    def test_a_loop_of_write_row_without_end_meets_the_memory_budget(self):
        done = self.run_script("local glim = require 'glim'\n"
                               "glim.flow('f'):Ints{1}:ForEach(function(x) while true do writeRow(x) end end)"
                               ":Sort():Printf('%d\\n'):Run()\n", "--memory", "64M")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("budget of 64.0 MiB", done.stderr.splitlines()[0])


if __name__ == "__main__":
    unittest.main()
