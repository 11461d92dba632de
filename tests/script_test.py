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
            for options in ([], ["--threads", "3", "--partitions", "3"], ["--lua=plain"]):
                done = self.run_script("local glim = require 'glim'\nlocal helper = require 'helper'\n"
                                       f"glim.flow('f'):Ints{{1, 2, 3}}:Map({function}):Sort():Printf('%d\\n'):Run()\n",
                                       *options, cwd=self.folder)
                self.assertEqual((done.returncode, done.stdout), (0, "2\n4\n6\n"), done.stderr)

    def test_a_loop_of_write_row_ends_when_nobody_wants_more(self):
        done = self.run_script("local glim = require 'glim'\n"
                               "glim.flow('f'):Ints{1, 2}:ForEach(function(x) while true do writeRow(x) end end)"
                               ":Limit(3):Printf('%d\\n'):Run()\n", "--memory", "64M")
        self.assertEqual((done.returncode, done.stdout), (0, "1\n1\n1\n"), done.stderr)

    def test_push_pull_pushes_and_gives_the_rows_as_they_are_then(self):
        done = self.run_script("""
local glim = require "glim"
local count = glim.table{name = "count", keys = "sparse", type = "i64", rule = "add"}
print(unpack(count:PushPull({7, 9, 7}, {1, 5, 1}):Get()))
print(unpack(count:PushPull({7, 8}, {1, 0}):Wait():Get()))
local wide = glim.table{name = "wide", keys = 3, width = 2, rule = "assign"}
print(unpack(wide:PushPull({2, 0}, {1.5, 2, 3, 4}):Get()))
print(pcall(function() return count:PushPull({1}, {0.5}):Get() end))
print(pcall(function() return count:PushPull({1}, {1, 2}):Get() end))
print(pcall(function() return count:PushPull({1}) end))
print(unpack(count:Pull({1}):Get()))
""")
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(lines[:3], ["2\t5\t2", "3\t0", "1.5\t2\t3\t4"])
        self.assertIn("i64 cannot hold", lines[3])
        self.assertTrue(lines[4].startswith("false"), lines[4])
        self.assertIn("values are a list of numbers", lines[5])
        self.assertEqual(lines[6], "0")

    def test_push_pull_counts_in_tasks_give_each_number_once(self):
        done = self.run_script("""
local glim = require "glim"
local next_id = glim.table{name = "ids", keys = 1, type = "i64"}
glim.flow("ids"):Range(0, 2000):RoundRobin(4):Map(function() return next_id:PushPull({0}, {1}):Get()[1] end)
  :Sort():Map(function(id) return id, 1 end):Reduce(function(a, b, x, y) return math.max(a, x), b + y end)
  :Printf("%d %d\\n"):Run()
""", "--threads", "4")
        self.assertEqual((done.returncode, done.stdout), (0, "2000 2000\n"), done.stderr)

    def test_rules_may_be_given_by_name(self):
        done = self.run_script("""
local glim = require "glim"
local t = glim.table{name = "t", keys = 1, type = "f64", rule = "sgd rate=0.5", initial = 1}
print(unpack(t:PushPull({0}, {1}):Get()))
print(pcall(glim.table, {name = "u", rule = "sgdd"}))
print(pcall(glim.table, {name = "u", rule = 5}))
""")
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(lines[0], "0.5")
        self.assertIn("sgdd", lines[1])
        self.assertIn("rule must be a rule", lines[2])

    def test_counters_are_shown_at_the_end_and_read_by_the_script(self):
        job = """
local glim = require "glim"
local function count_rows()
  glim.flow("f"):Range(0, 1000):Filter(function(x)
    if x % 3 == 0 then glim.count("bad rows") end
    glim.count("none", 0)
    glim.count("two\\nlines", -x)
    return x < 5
  end):Reduce(function(x, y) return x + y end):Printf("%d\\n"):Run()
end
count_rows()
print(glim.counter("bad rows"), glim.counter("none"), glim.counter("nothing"))
count_rows()
print(glim.counter("bad rows"), glim.counter("two\\nlines"))
""".replace("\\\\", "\\")
        for options in ([], ["--threads", "3", "--partitions", "25"], ["--lua=plain"]):
            done = self.run_script(job, *options)
            self.assertEqual((done.returncode, done.stdout), (0, "10\n334\t0\t0\n10\n668\t-999000\n"), done.stderr)
            self.assertEqual(done.stderr, 2 * "glim: bad rows: 334\nglim: two lines: -499500\n")
        done = self.run_script("require('glim').count('x')")
        self.assertEqual((done.returncode, done.stderr),
                         (1, "glim: job.lua:1: glim.count() is for functions of a flow\n"))

    def test_large_integers_are_taken_by_sources_captured_and_given_back(self):
        job = """
local glim = require "glim"
local large, unsigned, small = 9007199254740993LL, 18446744073709551615ULL, 5LL
local rows = {}
glim.flow("f"):Ints{large, -9223372036854775807LL - 1, 7}:Map(function(x)
  assert(unsigned > 18446744073709551614ULL and small / 2 == 2LL)
  return x, x == large, large
end):Collect(rows):Run()
for _, row in ipairs(rows) do print(row[1], row[2], row[3]) end
print(pcall(function() glim.flow("f"):Ints{unsigned} end))
for _, row in ipairs(rows) do glim.flow("g"):Rows{row}:Printf("%d %v %d\\n"):Run() end
glim.flow("h"):Range(large, large + 2):Printf("%d\\n"):Run()
""".replace("\\\\", "\\")
        for options in ([], ["--lua=plain"]):
            done = self.run_script(job, *options)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(done.stdout.splitlines(), [
                "9007199254740993LL\ttrue\t9007199254740993LL", "-9223372036854775808LL\tfalse\t9007199254740993LL",
                "7\tfalse\t9007199254740993LL", done.stdout.splitlines()[3],
                "9007199254740993 true 9007199254740993", "-9223372036854775808 false 9007199254740993",
                "7 false 9007199254740993", "9007199254740993", "9007199254740994"])
            self.assertIn("Ints expects a whole number, got a cdata", done.stdout.splitlines()[3])


if __name__ == "__main__":
    unittest.main()
