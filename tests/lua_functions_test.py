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
        for options in ([], ["--threads", "3", "--partitions", "25"], ["--lua=plain"]):
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
                        {0 / -1, "zero"}}:AsTable()
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
        for options in ([], ["--threads", "3", "--partitions", "25"], ["--lua=plain"]):
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


class Memory(Functions):
    def test_a_function_that_hoards_fails_with_step_line_and_limit(self):
        for body in ("local t = {} for i = 1, 1e9 do t[i] = {i} end", "local t = {} for i = 1, 1e9 do t[i] = i end",
                     "local s = ('x'):rep(1e9) return #s", "local s = 'x' while true do s = s .. s end",
                     "local t = {} for i = 1, 1e9 do t['k' .. i] = true end", "local t = require('table.new')(1e8, 0)",
                     "local x = require('ffi').new('char[?]', 1e9)",
                     "coroutine.wrap(function() local t = {} for i = 1, 1e9 do t[i] = {i} end end)()"):
            if "table.new" in body:
                continue  # Not in every LuaJIT.
            with self.subTest(body):
                self.assert_map_fails(body, "job.lua:2: Lua has not enough memory: a state may hold 32.0 MiB (--lua-memory)",
                                      options=["--lua-memory", "32M"])

    def test_what_is_hoarded_from_row_to_row_fails_too(self):
        for function in ("function(x) kept = {kept, ('x'):rep(1000)} end", "function(x) t = t or {} t[#t + 1] = x .. 'x' end"):
            self.assert_fails(f"glim.flow('f'):Range(0, 10000000):ForEach({function}):Run()",
                              "ForEach(lua job.lua:2): ", "Lua has not enough memory", "row (", options=["--lua-memory", "32M"])

    def test_rows_and_accumulators_in_lua_count(self):
        self.assert_fails("glim.flow('f'):Range(0, 100000):Map(function(x) return x % 3, ('a text'):rep(1000) end)"
                          ":ReduceBy(function(a, b) return a .. b end):Printf('%v %v\\n'):Run()",
                          "Lua has not enough memory", options=["--lua-memory", "8M", "--memory", "64M"])

    def test_garbage_alone_does_not_fail(self):
        for stop in ("", "collectgarbage('stop') "):
            self.assert_gives(f"""
glim.flow("f"):Range(0, 40):Map(function(x)
  {stop}local last
  for i = 1, 200 do last = ("x"):rep(100000 + i) end
  return #last
end):Distinct():Printf("%d\\n"):Run()
""", "100200\n", "--lua-memory", "16M")

    def test_an_error_that_is_caught_is_the_functions_affair_and_the_next_run_is_sound(self):
        self.assert_gives("""
local function hoard() local t = {} for i = 1, 1e9 do t[i] = {i} end end
for i = 1, 3 do
  glim.flow("f"):Range(0, 100):Map(function(x)
    local ok, message = pcall(hoard)
    return tostring(ok), (message:gsub("^.*: ", ""))
  end):Distinct(1):Printf("%s %s\\n"):Run()
  print(pcall(function() glim.flow("f"):Range(0, 100):Map(hoard):Run() end))
  glim.flow("f"):Range(0, 1000):Map(function(x) return x, {x} end):Reduce(function(a, b, c, d) return a + c, b end)
    :Printf("%d %v\\n"):Run()
end
""".replace("print(pcall(", "assert(not pcall(").replace("end))\n", "end))\n"), 3 * "false not enough memory\n499500 {0}\n",
                          "--lua-memory", "32M", "--threads", "3")


class Mistakes(Functions):
    def test_errors_that_are_no_strings(self):
        self.assert_map_fails("error({code = 1})", "job.lua:2: (error object is a table value)")
        self.assert_map_fails("error(setmetatable({}, {__tostring = function() return 'mine' end}))", "job.lua:2: mine")
        self.assert_map_fails("error(setmetatable({}, {__tostring = function() error('again') end}))",
                              "job.lua:2: (error object is a table value)")
        self.assert_map_fails("error(setmetatable({}, {__tostring = function() return {} end}))",
                              "job.lua:2: (error object is a table value)")
        self.assert_map_fails("error()", "job.lua:2: (error object is a nil value)")
        self.assert_map_fails("error(5LL)", "job.lua:2: 5LL")
        self.assert_map_fails("error('a\\0b\\nc')", "job.lua:2: a", "c, row")
        done = self.assert_map_fails("local function g() local z = nil; z.x = 1 end g()", "attempt to index local 'z' (a nil value)")
        self.assertIn(b"stack traceback:\n\tjob.lua:2: in function 'g'", done.stderr)

    def test_recursion_without_end(self):
        for body in ("local function f(n) return 1 + f(n + 1) end return f(1)",
                     "local function f(s) return (s:gsub('.', f)) end return f('x')",
                     "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k + 1] end return t[1]",
                     "local function f() table.sort({3, 2, 1}, f) end return f()",
                     "local function f() return tostring(setmetatable({}, {__tostring = f})) .. '' end return f()"):
            with self.subTest(body):
                self.assert_map_fails(body, "stack overflow", options=["--lua-memory", "256M"])
        done = self.run_script("glim.flow('f'):Ints{1}:Map(function(x) local function f() return (coroutine.wrap(f)()) end f() end):Run()",
                               "--lua-memory", "64M")
        self.assertEqual(done.returncode, 1, done.stderr)  # Whichever comes first, the end of memory or that of the stack.
        self.assert_map_fails("return (('x'):rep(300000)):find(('.-'):rep(30000) .. 'y')", "pattern too complex")

    def test_coroutines(self):
        self.assert_map_fails("coroutine.yield(1)", "attempt to yield across C-call boundary")
        self.assert_map_fails("return function() coroutine.yield(1) end", "attempt to yield", step="FlatMap")
        self.assert_map_gives("return coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i, y) end end)", "1 a\n2 a\n3 a\n",
                              step="FlatMap")
        self.assert_map_gives("coroutine.wrap(function() writeRow(x, require('glim').partition()) end)()", "1 1\n", step="ForEach")

    def test_many_results(self):
        for count in (200, 7000):
            for body in ("return unpack(t)", "writeRow(unpack(t))"):
                self.assert_map_gives(f"local t = {{}} for i = 1, {count} do t[i] = i end {body}",
                                      " ".join(str(i) for i in range(1, count + 1)) + "\n")
        self.assert_map_fails("local t = {} for i = 1, 50000 do t[i] = i end local n = #{unpack(t)} return n",
                              "too many results to unpack")

    def test_iterators(self):
        self.assert_map_fails("local n = 0 return function() n = n + 1 if n > 5 then error('midway') end return n end",
                              "job.lua:2: midway", step="FlatMap")
        self.assert_gives("glim.flow('f'):Ints{1}:FlatMap(function() local n = 0 return function() n = n + 1 return n end end)\n"
                          ":Limit(3):Printf('%d\\n'):Run()", "1\n2\n3\n")
        self.assert_map_gives("return ipairs{'p', 'q'}", "1 p\n2 q\n", step="FlatMap")
        self.assert_map_fails("return 'abc'", "must return an iterator or a table, it gave a string", step="FlatMap")
        self.assert_map_fails("return function() return print end", "a function cannot be a value of a row", step="FlatMap")

    def test_values_that_no_row_can_have(self):
        for expression, kind in (("{a = 1}", "other keys than 1 to n"), ("io.stdout", "a userdata"), ("print", "a function"),
                                 ("coroutine.create(print)", "a thread"), ("require('ffi').new('int[2]')", "FFI object"),
                                 ("3i", "FFI object"), ("{n = -1}", "field n must be its length"),
                                 ("{n = 'x'}", "field n must be its length"),
                                 ("setmetatable({}, {__index = error, __len = error, a = {}}), {{{print}}}", "a function")):
            with self.subTest(expression):
                self.assert_map_fails(f"local v, w = {expression} return w or v", kind, options=["--lua-memory", "64M"])
        self.assert_map_fails("local t = {} t[1] = t return t", "nested too deeply")
        self.assert_map_gives("return 'a\\0b\\255' == y .. '\\0b\\255', ('\\195\\164x'):upper() == '\\195\\164X'", "true true\n")

    def test_what_a_function_does_to_the_state_does_not_last(self):
        for body in ("debug.sethook(function(_, line) if line ~= 4 then error('hook') end end, 'l')", "collectgarbage('stop')", "setfenv(0, {})",
                     "jit.off() jit.flush()", "_G.type = nil tostring = nil", "getmetatable('').__name = 'x'"):
            with self.subTest(body):
                self.assert_gives(f"""
local glim = require "glim"
glim.flow("f"):Range(0, 3):ForEach(function(x) pcall(function() {body} end) end):Run()
glim.flow("f"):Range(0, 3):Map(function(x) return type(tostring(x)), ("%d"):format(x) end):Printf("%s %s\\n"):Run()
""", "string 0\nstring 1\nstring 2\n", "--threads", "1")

    def test_collected_objects_that_fail(self):
        finalizer = "local p = newproxy(true) getmetatable(p).__gc = function() error('in gc') end p = nil\n"
        self.assert_map_gives(finalizer + "local ok = pcall(collectgarbage) return 1", "1\n", "--threads", "1")
        # Whenever the collector comes to it.
        for step in ("Map(function(n) F return {n, 'x' .. n} end)", "Map(function(n) return {n} end):Reduce(function(a, b) F return b end)"):
            done = self.run_script("glim.flow('f'):Range(0, 300000):" + step.replace("F", finalizer) + ":Printf('%v\\n'):Run()")
            # Newer versions of LuaJIT print it and go on.
            wanted = "in gc" if done.returncode == 1 else "ERROR in finalizer: job.lua:2: in gc"
            self.assertIn(done.returncode, (0, 1))
            self.assertIn(wanted, done.stderr.decode(errors="replace").splitlines()[0])

    def test_exit_is_refused(self):
        self.assert_map_fails("os.exit(0)", "job.lua:2: os.exit() is not for functions of a flow")

    def test_modules_that_do_not_load(self):
        self.write("bad.lua", "return {")
        self.write("fails.lua", "error('module fails')")
        self.assert_map_fails("local m = require('no_such') return m", "job.lua:2: module 'no_such' not found")
        self.assert_map_fails("local m = require('bad') return m", "bad.lua:1: unexpected symbol near '<eof>'")
        self.assert_map_fails("local m = require('fails') return m", "fails.lua:1: module fails")

    def test_what_cannot_be_captured_is_named(self):
        for value, kind in (("io.stderr:lines()", "a function"), ("coroutine.create(print)", "a thread"), ("newproxy()", "a userdata"),
                            ("require('ffi').new('int[2]')", "a cdata"), ("glim.flow('g')", "a userdata"),
                            ("glim.glob", "a function")):
            if value.startswith("io"):
                continue
            with self.subTest(value):
                self.assert_fails(f"local t = {{a = {{b = {value}}}}} glim.flow('f'):Ints{{1}}:Map(function() return t end)",
                                  "the function at job.lua:2 captures \"t.a.b\"", "cannot travel")

    def test_lines_of_print_do_not_mix(self):
        done = self.run_script("glim.flow('f'):Range(0, 20000):RoundRobin(8):ForEach(function(x) print('a', x, ('b'):rep(50)) end):Run()",
                               "--threads", "4")
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.decode().splitlines()
        self.assertEqual(sorted(lines), sorted(f"a\t{x}\t{'b' * 50}" for x in range(20000)))

    def test_a_function_may_change_its_arguments(self):
        self.assert_gives("""
local data = glim.flow("f"):Rows{{{1, 2}}}
local changed = data:Map(function(list) list[1] = "changed" list[3] = 3 return list end)
local both = {}
changed:Collect(both) data:Collect(both):Run()
print(#both[1][1], #both[2][1], both[1][1][1] == both[2][1][1])
""", "3\t2\tfalse\n")


if __name__ == "__main__":
    unittest.main()
