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


class SideData(Functions):
    TABLES = """
local flow = glim.flow("f")
local names = flow:Rows{{1, "a"}, {2, "b"}, {2, "c"}, {9007199254740993LL, "large"}, {"k", "text"}, {true, "yes"}, {1.5, "half"},
                        {-0.0, "zero"}}:AsTable()
local list = flow:Strings{"x", "y"}:Map(function(text) return text:upper() end):AsTable()
local wide = flow:Rows{{1, "a", 5}, {2, nil, n = 3}}:AsTable()
"""

    def test_is_read_like_a_table(self):
        job = self.TABLES + """
flow:Ints{1, 2, 3}:Map(function(i) return i, names[i], list[i], #names, #list end):Printf("%v %v %v %d %d\\n")
flow:Ints{1}:Map(function() return names[9007199254740993LL], names.k, names[true], names[1.5], names[0] end)
  :Printf("%v %v %v %v %v\\n")
flow:Ints{1}:Map(function() return names[{}], names[0/0], names[nil], list[0], list[3], list[1.5], list.x, list[print] end)
  :Printf("%v %v %v %v %v %v %v %v\\n")
flow:Ints{1}:Map(function() return wide[1][1], wide[1][2], wide[2].n, wide[2][1], wide[3] end):Printf("%v %v %v %v %v\\n")
flow:Ints{1}:FlatMap(function()
  for key, value in glim.pairs(names) do writeRow(tostring(key), value) end
  for key, value in glim.pairs(list) do writeRow(key, value) end
  for key, value in glim.pairs{own = 1} do writeRow(key, value) end
end):Printf("%v %v\\n")
flow:Ints{1, 2, 2}:Reduce(function(a, b) return names[b] end):Printf("%v\\n")
flow:Run()
"""
        for options in ([], ["--threads", "3", "--partitions", "25"], ["--plain-lua"]):
            self.assert_gives(job, "1 a X 7 2\n2 c Y 7 2\n3 nil nil 7 2\n" "large text yes half zero\n"
                              "nil nil nil nil nil nil nil nil\n" "a 5 2 nil nil\n"
                              "1 a\n2 c\n9007199254740993LL large\nk text\ntrue yes\n1.5 half\n-0 zero\n1 X\n2 Y\nown 1\n"
                              "c\n", *options)

    def test_is_worked_out_before_its_readers_in_every_run(self):
        job = """
local flow = glim.flow("f")
local data = flow:Range(0, 10):Map(function(x) return x, x * x end)
local squares = data:AsTable()
data:Map(function(x, y) return squares[x] - y end):Distinct():Printf("%d\\n"):Run()
for i = 1, 2 do
  flow:Ints{3}:Map(function(x) return squares[x] end):Printf("%d\\n"):Run()
end
local again = flow:Ints{3, 4}:Map(function(x) return x, squares[x] + 1 end):AsTable()
flow:Ints{4}:Map(function(x) return again[x] end):Printf("%d\\n"):Run()
"""
        for options in ([], ["--threads", "3", "--partitions", "25"]):
            self.assert_gives(job, "0\n9\n9\n17\n", *options)
        done = subprocess.run([GLIM, "explain", self.write("job.lua", "local glim = require 'glim'\n" + job)], capture_output=True,
                              text=True, timeout=60)
        self.assertIn("  write  AsTable\n", done.stdout)
        self.assertIn("  table  from stage ", done.stdout)

    def test_large_tables_are_found_whole_by_many_tasks(self):
        self.assert_gives("""
local flow = glim.flow("f")
local table = flow:Range(0, 200000):Map(function(x) return "key " .. x, x end):AsTable()
flow:Range(0, 400000):Map(function(x) return table["key " .. x] == (x < 200000 and x or nil) and #table == 200000, 1 end)
  :ReduceBy(function(x, y) return x + y end):Printf("%v %d\\n"):Run()
""", "true 400000\n", "--threads", "4", "--partitions", "7")

    def test_mistakes_are_told(self):
        self.assert_fails(self.TABLES + "print(names[1])", "job.lua:8: ", "while that runs")
        self.assert_fails(self.TABLES + "glim.flow('o'):Ints{1}:Map(function() return names[1] end):Run()",
                          "Map reads a table that AsTable made of another flow")
        self.assert_fails("local f = glim.flow('f') local t = f:Rows{{nil, 1, n = 2}}:AsTable()\n"
                          "f:Ints{1}:Map(function() return t[1] end):Run()", "AsTable: a key of a table is nil, row (nil, 1)")
        self.assert_fails("local f = glim.flow('f') local t = f:Rows{{1, 1}, {2}}:AsTable()\n"
                          "f:Ints{1}:Map(function() return t[1] end):Run()", "AsTable: a table has rows of 2 fields here and of 1")
        self.assert_fails(self.TABLES + "flow:Ints{1}:Map(function() names[1] = 2 end):Run()", "job.lua:8: ", "cannot be changed",
                          "row (1)")
        self.assert_fails(self.TABLES + "flow:Ints{1}:Map(function() for i in pairs(names) do end end):Run()", "job.lua:8: ",
                          "got userdata", "row (1)")
        for limit in ("AsTable{memory = '1M'}", "AsTable()"):
            self.assert_fails(f"local f = glim.flow('f') local t = f:Range(0, 1000000):{limit}\n"
                              "f:Ints{1}:Map(function() return t[1] end):Run()", "AsTable: ", "1.0 MiB", options=["--memory", "1M"])
        self.assert_fails("glim.flow('f'):Ints{1}:AsTable{memory = 'some'}", "AsTable: ", "is not a size")
        self.assert_fails("glim.flow('f'):Ints{1}:AsTable{size = 1}", 'AsTable has no option "size"; it knows memory')
        self.assert_fails("glim.flow('f'):Ints{1}:AsTable(5)", "AsTable expects a table of options")


if __name__ == "__main__":
    unittest.main()
