#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lua functions of flows at their borders: setup and teardown, side data, memory, and whatever a function may do wrong.
Each case must end with the right rows or with an error that names step, line and row."""
import os
import subprocess
import tempfile
import unittest

GLIM = os.path.abspath(os.path.join(os.environ.get("GLIM_BUILD", "build/release"), "glim"))


class Functions(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def run_script(self, text, *options):
        path = self.write("job.lua", "local glim = require 'glim'\n" + text)
        return subprocess.run([GLIM, "run", *options, path], capture_output=True, timeout=300)

    def assert_gives(self, text, wanted, *options):
        done = self.run_script(text, *options)
        self.assertEqual((done.returncode, done.stdout.decode()), (0, wanted), done.stderr)

    def assert_fails(self, text, *parts, options=()):
        """In the first line, without a signal."""
        done = self.run_script(text, *options)
        self.assertEqual(done.returncode, 1, done.stderr)
        for part in parts:
            self.assertIn(part, done.stderr.decode(errors="replace").splitlines()[0])
        return done

    def assert_map_fails(self, body, *parts, step="Map", options=()):
        """A function on line 2 whose body is this, on the row (1, "a")."""
        return self.assert_fails(f"glim.flow('f'):Rows{{{{1, 'a'}}}}:{step}(function(x, y) {body} end):Printf('%v\\n'):Run()",
                                 f"{step}(lua job.lua:2): ", 'row (1, "a")', *parts, options=options)

    def assert_map_gives(self, body, wanted, *options, step="Map"):
        self.assert_gives("local rows = {}\n"
                          f"glim.flow('f'):Rows{{{{1, 'a'}}}}:{step}(function(x, y) {body} end):Collect(rows):Run()\n"
                          "for _, row in ipairs(rows) do\n"
                          "  for i = 1, #row do row[i] = tostring(row[i]) end\n"
                          "  print(table.concat(row, ' '))\n"
                          "end", wanted, *options)


class SetupAndTeardown(Functions):
    def test_are_called_once_in_each_task_that_has_rows_and_share_its_variables(self):
        job = """
local sum
local function sums(step) return function(data)
  return data[step](data, function(n) sum = sum + n if step == "FlatMap" then return {} end end, {
    setup = function() sum = 100 writeRow("setup") end,
    teardown = function() writeRow(sum) end,
  })
end end
for _, step in ipairs{"Map", "FlatMap", "ForEach"} do
  local rows = {}
  glim.flow("f"):Range(0, 10):RoundRobin(4):Filter(function(n) return n % 4 < 2 end):Do(sums(step)):Collect(rows):Run()
  for i = 1, #rows do rows[i] = tostring(rows[i][1]) end
  table.sort(rows)
  print(table.concat(rows, " "))
end
"""
        for options in ([], ["--threads", "3", "--partitions", "25"], ["--plain-lua"]):
            self.assert_gives(job, 3 * "112 115 setup setup\n", *options)

    def test_may_stand_beside_any_function_of_rows(self):
        self.assert_gives("""
glim.flow("f"):Range(0, 3):Filter(function(n) return n > floor end, {setup = function() floor = 0 end})
  :ForEachBatch(function(rows) seen = seen + rows:Count() end, {
    setup = function() seen = 0 end, teardown = function() glim.count("seen", seen) end,
  }):Run()
print(glim.counter("seen"))
""", "2\n")

    def test_a_task_without_rows_calls_neither(self):
        self.assert_gives("""
local function no() error("not without rows") end
glim.flow("f"):Ints{}:Map(function(n) return n end, {setup = no, teardown = no}):Printf("%d\\n"):Run()
""", "")

    def test_teardown_ends_when_nobody_wants_more_rows(self):
        self.assert_gives("""
glim.flow("f"):Range(0, 10):Map(function(n) return n end, {teardown = function() while true do writeRow(0) end end})
  :Limit(3):Printf("%d\\n"):Run()
""", "0\n1\n2\n")

    def test_errors_name_the_function(self):
        for name in ("setup", "teardown"):
            self.assert_fails(f"""
glim.flow("f"):Ints{{1}}:Map(function(n) return n end, {{{name} = function() error("no") end}}):Run()
""", "Map(lua job.lua:3): ", f"{name}: job.lua:3: no")
        self.assert_fails("glim.flow('f'):Ints{1}:Map(function() end, {finish = print})",
                          'Map has no option "finish"; it knows setup, teardown')
        self.assert_fails("glim.flow('f'):Ints{1}:Map(function() end, {setup = 1})", 'option "setup" expects a function')
        self.assert_fails("glim.flow('f'):Ints{1}:Map('print', {setup = print})", "a function beside options")
        self.assert_fails("local f = newproxy() glim.flow('f'):Ints{1}:Map(function() end, {setup = function() return f end})",
                          'captures "setup > f", a userdata')


if __name__ == "__main__":
    unittest.main()
