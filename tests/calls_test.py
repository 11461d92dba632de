#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every call of the Lua module, with more than it takes: arguments too many, options that it does not know, and lists with
names in them are errors, never passed over. A new call needs a line here.
"""
import os
import subprocess
import tempfile
import unittest

BUILD = os.path.abspath(os.environ.get("GLIM_BUILD", "build/release"))

JOB = r"""
local glim = require "glim"
local flow = glim.flow("calls")
local data = flow:Rows{{1, 2}}
local other = flow:Rows{{1, 2}}
local table_of = glim.table{name = "t"}
local future = table_of:Pull{1}
local worker = glim.table{name = "of-workers"}:Join{worker = 0, workers = 1}
local training = glim.training{folder = "training"}
local function f(...) return ... end

-- What each call takes at most; `options` is which argument is a table of options. "fields": any number of fields;
-- "any": any number of what is not looked at, or of datasets.
local calls = {
  {"a dataset", data, {
    Map = {f, {}, options = 2}, FlatMap = {f, {}, options = 2}, Filter = {f, {}, options = 2}, ForEach = {f, {}, options = 2},
    ForEachBatch = {f, {}, options = 2}, Reduce = {f}, LocalReduce = {f}, ReduceByKey = {f},
    ReduceBy = {f, fields = 2}, LocalReduceBy = {f, fields = 2},
    Select = {fields = 1}, SelectKV = {1, 2}, Partition = {2, fields = 2}, PartitionByKey = {2}, As = {fields = 1},
    Limit = {1, 1}, LocalLimit = {1, 1}, Sample = {0.5, 1}, ZipWithIndex = {1}, RoundRobin = {1}, Broadcast = {1}, MergeTo = {1},
    MergeSortedTo = {1, fields = 2}, Union = {fields = 1},
    GroupBy = {fields = 1}, LocalGroupBy = {fields = 1}, GroupByKey = {}, Distinct = {fields = 1}, LocalDistinct = {fields = 1},
    DistinctByKey = {}, Sort = {fields = 1}, LocalSort = {fields = 1}, SortByKey = {}, SortBy = {fields = 1}, LocalSortBy = {fields = 1},
    Top = {1, fields = 2}, LocalTop = {1, fields = 2}, Cache = {}, AsTable = {{}, options = 1},
    Do = {function(d) return d end}, OnDisk = {function(d) return d end}, Hint = "any",
    Join = {other, fields = 2}, LeftOuterJoin = {other, fields = 2}, RightOuterJoin = {other, fields = 2}, FullOuterJoin = {other, fields = 2},
    SemiJoin = {other, fields = 2}, AntiJoin = {other, fields = 2}, HashJoin = {other, fields = 2}, CoGroup = {other, fields = 2},
    JoinByKey = {other}, LeftOuterJoinByKey = {other}, RightOuterJoinByKey = {other}, FullOuterJoinByKey = {other}, CoGroupByKey = {other},
    Pipe = {"cat", {}, options = 2}, PipeAsArgs = {"echo", {}, options = 2}, Lookup = {table_of, 1}, PushTo = {table_of},
    Print = {"csv"}, Printf = {"%v"}, Fprintf = {io.stdout, "%v"}, Printlnf = {"%v"}, Fprintlnf = {io.stdout, "%v"}, PipeOut = {io.stdout},
    WriteText = {"a", {}, options = 2}, WriteBinary = {"b", {}, options = 2}, WriteCsv = {"c", {}, options = 2}, WriteTsv = {"d", {}, options = 2},
    WriteJsonLines = {"e", {"a", "b"}, {}, options = 3}, WriteSql = {"sqlite:a.db", "t", {}, options = 3},
    Output = {f}, OutputRow = {f}, Collect = {{}}, SaveFirstRowTo = {{}}, Show = {1}, Run = {},
  }},
  {"a flow", flow, {
    TextFile = {"a", {}, options = 2}, ZipFile = {"a", {}, options = 2}, Stdin = {}, Strings = {{"a"}}, Lines = {{"a"}}, Ints = {{1}}, Range = {1, 2},
    Rows = {{{1}}}, Input = {glim.csv("a")}, Sql = {"sqlite:a.db", "t", {}, options = 3}, Generate = {f, 1}, Source = {f}, Init = {""},
    Read = {io.stdin}, Listen = {"tcp", ":0", {}, options = 3}, Table = {table_of}, FromDisk = {"a"}, Run = {},
  }},
  {"a table", table_of, {
    Push = {{1}, {1}}, Pull = {{1}}, PushPull = {{1}, {1}}, Save = {"folder", {}, options = 2}, Describe = {}, Drop = {}, Handle = {},
    PullRange = {1, 1}, PushRange = {1, {1}}, PullRows = {{1}}, PushRows = {{1}, {1}}, PullColumns = {{1}}, PushColumns = {{1}, {1}},
    Join = {{worker = 0, workers = 1}, options = 1}, RemoveWorker = {0},
  }},
  {"a worker", worker, {Push = {{1}, {1}}, Pull = {{1}}, Clock = {}, Barrier = {}, Leave = {}}},
  {"a future", future, {Wait = {}, Get = {}}},
  {"a training", training, {Table = {{name = "v"}, options = 1}, Run = {flow}, PassesDone = {}}},
  {"glim", nil, {
    flow = {"name"}, file = {"a"}, field = {fields = 1}, on = {fields = 1}, order_by = {1, glim.descending}, glob = {"*", {}, options = 2}, counter = {"a"},
    csv = {"a", {}, options = 2}, tsv = {"a", {}, options = 2}, json_lines = {"a", {}, options = 2}, fixed_width = {"a", {widths = {1}}, options = 2},
    add = {}, assign = {}, min = {}, max = {}, sgd = {{}, options = 1}, adagrad = {{}, options = 1}, adam = {{}, options = 1}, ftrl = {{}, options = 1},
    table = {{name = "u"}, options = 1}, open_table = {"t"}, load_table = {"folder", "name"}, training = {{folder = "b"}, options = 1}, list_tables = {}, seconds = {}, quantiles = "any",
  }},
}
-- Those that functions of a flow may call, where there is no time to count what they are given.
local in_functions = {hash = true, partition = true, count = true, log = true, parse_json = true, pairs = true}

local checked = 0
local function must_fail(where, wanted, call, self, arguments, count)
  local ok, message
  if self then
    ok, message = pcall(call, self, unpack(arguments, 1, count))
  else
    ok, message = pcall(call, unpack(arguments, 1, count))
  end
  checked = checked + 1
  if ok then print(where .. ": no error") elseif not message:find(wanted) then print(where .. ": " .. message) end
end

for _, kind in ipairs(calls) do
  local name, self, list = unpack(kind)
  local functions = self and getmetatable(self).__index or glim
  for call in pairs(list) do
    if rawget(functions, call) == nil then print(name .. " has no " .. call) end
  end
  for call, fn in pairs(functions) do
    local where, takes = name .. ": " .. call, list[call]
    if type(fn) ~= "function" then
      takes = "any"                                    -- A value, such as glim.sum.
    end
    if takes == nil then
      if self or not in_functions[call] then print(where .. ": no line in this test") end
    elseif takes ~= "any" then
      local count = #takes
      if takes.fields then
        takes[takes.fields] = {by = 1}
        must_fail(where, "without names", fn, self, takes, takes.fields)
      else
        takes[count + 1] = "too much"
        must_fail(where, "takes", fn, self, takes, count + 1)
      end
      if takes.options then
        local options = takes[takes.options]
        options.nonsense = true
        must_fail(where, "no option \"nonsense\"", fn, self, takes, takes.options)
        options.nonsense = nil
        options[1] = "value"
        must_fail(where, "options have names", fn, self, takes, takes.options)
      end
    end
  end
end

-- Lists are lists.
for _, list in ipairs{{a = 1}, {1, nil, 3}, {1, n = 1}} do
  for _, call in ipairs{"Ints", "Strings", "Rows", "TextFile"} do
    must_fail(call, "without names and nils", flow[call], flow, {list}, 1)
  end
end
must_fail("a row with a name", "it has the key \"a\"", flow.Rows, flow, {{{a = 1}}}, 1)
must_fail("a row with the field 0", "it has the key 0", flow.Rows, flow, {{{[0] = 1}}}, 1)
must_fail("files and options twice", "without names", glim.csv, nil, {{"a", header = true}, {nonsense = true}}, 2)
must_fail("files with options beside", "without names", glim.csv, nil, {{"a", header = true}, {numbers = true}}, 2)
must_fail("folds with names", "without names", data.Reduce, data, {{glim.sum, by = 1}}, 1)
must_fail("a nil before a field", "got nil", data.Distinct, data, {nil, 2}, 2)

-- nils at the end are as good as nothing, and so are calls within the bounds.
data:Limit(1, nil):Select(1, nil):Print("csv", nil):Run(nil)
print(checked > 150 and "checked" or checked)
"""


class Calls(unittest.TestCase):
    def test_more_than_a_call_takes_is_an_error(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "job.lua")
            with open(path, "w") as file:
                file.write(JOB)
            done = subprocess.run([os.path.join(BUILD, "glim"), "run", path], cwd=folder, capture_output=True, text=True, timeout=120)
        self.assertEqual((done.stdout, done.returncode), ("1\nchecked\n", 0), done.stderr)


if __name__ == "__main__":
    unittest.main()
