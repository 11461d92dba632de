#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random flows give in many processes what they give in one, bit by bit: on --on local:3, and on a master with agents.

A number is a flow in Lua: sources that are empty, skewed, with nils and mixed types, steps of all kinds, several ends,
which go to standard output, to files, to tables. A few flows make a job, which runs in one process, on local:3 and on
the cluster, with the same partitions; what it prints and writes must be equal. What a flow gives may depend on the order
of its rows, since that is the same everywhere, too; where little memory is given, rows come in another order from disk,
so there steps and ends are those that order does not change.

A job that fails prints the line that runs its flow again. The folder with the glim binary is
in GLIM_BUILD (default: build/release). GLIM_RANDOM_FLOWS: how many flows, GLIM_RANDOM_FLOWS_FROM: the first one's number.
"""

import gzip
import itertools
import os
import random
import re
import shutil
import unittest

from agents_test import ClusterCase, wait_until
from jobs_test import text_of

FLOWS = int(os.environ.get("GLIM_RANDOM_FLOWS", "150"))
FIRST = int(os.environ.get("GLIM_RANDOM_FLOWS_FROM", "1"))
FLOWS_OF_A_JOB = 15

# For functions to capture. All datasets have three fields, the second of which is a number, and no field is a list.
PRELUDE = """
local glim = require "glim"
local some = {w1 = true, the = true, hot = true, [3] = true}
local function text(value) return (tostring(value):gsub("%s", "_")) end
local function show(rows) for _, row in ipairs(rows) do print(row[1], row[2], row[3]) end end
"""

# `{n}` are small numbers drawn anew; rows come one from one, or fewer, or more.
ROW_STEPS = [
    ":Map(function(a, b, c) return c, b, a end)",
    ":Map(function(a, b, c) return b % {n}, b + 1, c end)",
    ":Map(function(a, b, c) return b % 10 < 9 and 'hot' or a, b, c end)",
    ":Map(function(a, b, c) if b % 3 ~= 0 then return a, b * 7919 % 10007, c end end)",
    ":Map(function(a, b, c) return some[a] and 'some' or text(a), 1 / (b + 0.5), c end)",
    ":Map(function(a, b, c) return nil, b, text(c) end)",
    ":FlatMap(function(a, b, c) local n = math.floor(b % 3) return function() n = n - 1 if n >= 0 then return a, n, c end end end)",
    ":FlatMap(function(a, b, c) return text(c):gmatch('%w') end):Map(function(w) return w, 1, nil end)",
    ":ForEach(function(a, b, c) writeRow(a, b, c) if b % 4 == 1 then writeRow(c, b, a) end end)",
    ":Filter(function(a, b, c) return b % {n} ~= 0 end)",
    ":Filter(function(a, b, c) return a ~= nil and not some[a] end)",
    ":Filter(function(a, b, c) return b < -1e15 end)",
    ":Select(3, 2, 1)", ":Select(1, 2, 1)", ":SelectKV({3}, {2, 1})",
    ":As('k', 'n', 't'):Select('t', 'n', 'k')",
    ":Sample(0.7, {n})",
    ":Do(function(data) return data:Map(function(a, b, c) return a, b - 1, c end) end)",
]
MOVES = [":Partition({n})", ":Partition({n}, 2)", ":Partition({n}, 3, 1)", ":RoundRobin({n})", ":RoundRobin(7):MergeTo(2)"]
# What these give does not depend on the order of rows.
FOLDS = [
    ":ReduceBy({glim.max, glim.min})",
    ":ReduceBy({glim.min, glim.count}, 3):Map(function(c, a, n) return a, n, c end)",
    ":ReduceBy(function(n, c, m, d) return math.max(n, m), text(c) < text(d) and text(c) or text(d) end)",
    ":LocalReduceBy({glim.max, glim.max}):ReduceBy({glim.max, glim.max})",
    ":Reduce({glim.count_distinct, glim.max, glim.count}):Map(function(a, b, c) return a, b or 0, c end)",
    ":GroupBy():Map(function(k, ns) return k, #ns, 'group' end)",
    ":Distinct()", ":LocalDistinct():Distinct()",
    ":SortBy(1, 2, 3)", ":SortBy(glim.order_by(2, glim.descending), 1, glim.order_by(3, glim.descending))",
    ":Top({n}, glim.order_by(2, glim.descending), 1, 3)", ":LocalTop({n}, 2, 1, 3):Top({n}, 2, 1, 3)",
    ":RoundRobin(3):LocalSortBy(1, 2, 3):MergeSortedTo(1, 1, 2, 3)",
]
# What these give does.
IN_ORDER = [
    ":Limit({n}, {n})", ":LocalLimit({n})", ":ZipWithIndex({n}):Map(function(a, b, c, i) return a, i, c end)",
    ":Sort()", ":LocalSort(3)", ":Sort(2)", ":Distinct(1)", ":LocalDistinct(3)", ":Top({n})",
    ":ReduceBy(glim.sum, 1, 3):Map(function(a, c, b) return a, b, c end)",
    ":ReduceBy(function(n, c, m) return n + m, c end)",
    ":LocalReduceBy(function(n, c, m) return n + m, c end)",
    ":GroupBy(1):Map(function(k, ns, cs) return k, #ns, text(cs[1]) end)",
    ":LocalGroupBy(3, 1):Map(function(c, a, ns) return a, ns[#ns], c end)",
    ":Map(function(a, b, c) return text(a), b, text(c) end):Pipe('cat'):Map(function(a, b, c) return a, tonumber(b), c end)",
    ":Limit(3):Map(function(a, b, c) return text(a), b, text(c) end):PipeAsArgs('echo \"$1\" end')"
    ":Map(function(line) return line, #line, 'echo' end)",
]
UNIONS = [":Union({other})", ":Union({other}, {this})"]
# The right side has a row for each key, so that nothing explodes.
JOINS = [
    ":Join({other}):Map(function(a, b, c, n, d) return a, b + n, d end)",
    ":HashJoin({other}):Map(function(a, b, c, n, d) return c, b - n, d end)",
    ":LeftOuterJoin({other}):Map(function(a, b, c, n, d) return a, b + (n or 0), d end)",
    ":RightOuterJoin({other}):Map(function(a, b, c, n, d) return a, b or n, c end)",
    ":FullOuterJoin({other}):Map(function(a, b, c, n, d) return a, (b or 0) + (n or 0), d end)",
    ":SemiJoin({other})", ":AntiJoin({other})",
    ":CoGroup({other}):Map(function(k, left, right) return k, #left, #right end)",
]
# What these keep of a key, or of the right side, must fit into memory.
WHOLE = (":GroupBy", ":CoGroup", ":HashJoin", ":Reduce({glim.count_distinct")
SOURCES = [
    "flow:Range(0, {size}):Map(function(n) return n % 17, n, 't' .. n % 5 end)",
    "flow:Range(0, {size}):RoundRobin({n}):Map(function(n) return n % 100 < 95 and 'hot' or n, n * 31 % 1009, n % 2 == 0 end)",
    "flow:Range(0, {size}):Map(function(n) return n % 3 == 0 and n / 2 or nil, 1 / (n + 1), n % 7 end)",
    "flow:Range(0, 0):Map(function(n) return n, n, n end)",
    "flow:Rows({rows})",
    "flow:TextFile('words.txt'):FlatMap(function(line) return line:gmatch('%w+') end):Map(function(w) return w, #w, w:sub(1, 1) end)",
    "flow:TextFile('words.txt.gz'):Map(function(line) return line:match('%w+'), #line, line:sub(-4) end)",
    "flow:TextFile('parts/*'):Map(function(line) return line, #line, nil end)",
    "flow:TextFile('empty.txt'):Map(function(line) return line, #line, line end)",
    "flow:Input(glim.csv{'in.csv', header = true, numbers = true}):Map(function(key, value) return key, key * 3, value end)",
]


class Maker:
    """The flow of a number."""

    def __init__(self, number, small):
        self.number, self.small, self.chance = number, small, random.Random(number)
        self.lines, self.names = [], []

    def draw(self, choices, **values):
        fit = [text for text in choices if not (self.small and text.startswith(WHOLE))]
        text = self.chance.choice(fit)
        while "{n}" in text:
            text = text.replace("{n}", str(self.chance.choice((1, 2, 3, 5, 8))), 1)
        for name, value in values.items():
            text = text.replace("{" + name + "}", value)
        return text

    def value(self, *more):
        return self.chance.choice((*more, "true", "false", "''", "0", "4", "4.5", "-3", "'w1'", "'the'", "'a longer text, \"quoted\"'"))

    def source(self):
        rows = ", ".join(f"{{{self.value('nil')}, {self.chance.randrange(-5, 50)}, {self.value()}}}"
                         for _ in range(self.chance.choice((0, 1, 30))))
        return self.draw(SOURCES, rows=f"{{{rows}}}", size=str(self.chance.choice((1, 10, 1000, 20000))))

    def add(self, expression):
        self.names.append(f"d{len(self.names)}")
        self.lines.append(f"local {self.names[-1]} = {expression}")

    def step(self):
        kind = self.chance.choices(("row", "move", "fold", "order", "union", "join", "table", "cache"), (8, 4, 5, 4, 1, 3, 1, 1))[0]
        last, other = self.names[-1], self.chance.choice(self.names)
        if kind == "order" and self.small:
            kind = "fold"
        if kind == "row":
            step = self.draw(ROW_STEPS)
        elif kind == "move":
            step = self.draw(MOVES)
        elif kind == "fold":
            step = self.draw(FOLDS)
        elif kind == "order":
            step = self.draw(IN_ORDER)
        elif kind == "union":
            step = self.draw(UNIONS, other=other, this=last)
            if last.endswith("u") or other.endswith("u"):  # Twice as many again.
                step = ":Limit(2000)" if not self.small else ":Distinct()"
            self.lines.append(f"local {last}u = {last}{step}")
            self.names.append(f"{last}u")
            return
        elif kind == "join":
            step = self.draw(JOINS, other=f"{other}:ReduceBy({{glim.max, glim.min}})")
        elif kind == "cache":
            step = ":Cache()"
        else:
            self.lines.append(f"local t{len(self.names)} = {other}:Map(function(a, b, c) if a ~= nil then return a, b end end)"
                              f":ReduceBy(glim.max):AsTable()")
            step = f":Map(function(a, b, c) return a, b, t{len(self.names)}[a] end)"
        self.add(last + step)

    def end(self, data, index):
        if self.small:
            data += ":SortBy(1, 2, 3)"
        kind = self.chance.choice(("print", "print", "collect", "csv", "parts", "limit", "push"))
        if kind == "print":
            return f"{data}:Print()", ""
        if kind == "limit":
            return f"{data}:Limit(7, 2):Print()", ""
        if kind == "csv":
            return f'{data}:WriteCsv("out/{self.number}-{index}.csv")', ""
        if kind == "parts":
            return f'{data}:RoundRobin(3):WriteTsv("out/{self.number}-{index}", {{per_partition = true}})', ""
        if kind == "collect":
            return f"local rows{index} = {{}} {data}:Collect(rows{index})", f"show(rows{index})"
        table = f"sums{index}"
        self.lines.append(f'local {table} = glim.table{{name = "t{self.number}_{index}", type = "i64", rule = glim.add(), shards = 3}}')
        return (f"{data}:Map(function(a, b, c) return math.floor(b) % 50, 1 end):PushTo({table})",
                f"flow:Range(0, 50):Lookup({table}, 1):Print() flow:Run()")

    def script(self):
        for _ in range(self.chance.choice((1, 2, 2))):
            self.add(self.source())
        for _ in range(self.chance.randrange(1, 9)):
            self.step()
        for run in range(self.chance.choice((1, 1, 2))):
            ends = [self.names[-1], *self.chance.sample(self.names, min(len(self.names), self.chance.randrange(2)))]
            begun, after = zip(*(self.end(data, 10 * run + i) for i, data in enumerate(ends)))
            self.lines += [*begun, "flow:Run()", *after]
        body = "\n  ".join(self.lines)
        return f'do local flow = glim.flow("f{self.number}") print("flow {self.number}")\n  {body}\nend\n'


class RandomFlowsTest(ClusterCase):
    def outcome(self, script, options, on):
        """What it prints, and the files that it writes."""
        out = os.path.join(self.folder, "out")
        shutil.rmtree(out, ignore_errors=True)
        os.mkdir(out)
        job = self.start(script, *options, on=on)
        printed, err = job.communicate("", timeout=300)
        if job.returncode != 0:
            return f"{printed}{err}", {}
        files = {}
        for folder, _, names in os.walk(out):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    files[os.path.relpath(os.path.join(folder, name), out)] = file.read()
        return printed, files

    def check(self, numbers):
        """None, or the number of the flow that differs, how, and the job."""
        job = numbers[0] // FLOWS_OF_A_JOB
        small = job % 4 == 3
        options = ["--threads", "3", "--partitions", "1257"[job % 4], *(("--memory", "16M") if small else ())]
        script = PRELUDE + "".join(Maker(number, small).script() for number in numbers) + 'print "the end"\n'
        expected, files = self.outcome(script, options, "embedded")
        if not expected.endswith("the end\n"):
            return re.findall("^flow ([0-9]+)$", expected, re.M)[-1], expected, script
        for on in ("local:3", None):
            printed, written = self.outcome(script, options, on)
            number, where = numbers[0], on or "standalone"
            for got, there in itertools.zip_longest(printed.splitlines(), expected.splitlines()):
                if got != there:
                    return number, f"{where} gives {got!r}, one process {there!r}\n{printed[-1000:]}", script
                number = int(got.split()[1]) if got.startswith("flow ") else number
            for name in sorted(files | written):
                if files.get(name) != written.get(name):
                    return int(re.match("[0-9]+", name)[0]), f"{where}: out/{name} is not as in one process", script
        return None

    def test_the_answer_is_that_of_one_process(self):
        # Agents and their executors are one machine here; rows between them are packed all the same.
        self.environment["GLIM_PACK_ALWAYS"] = "1"
        self.make_cluster(2, "--server")
        wait_until("servers", lambda: sum(server["alive"] for server in self.status()["servers"]) == 2)
        self.write("words.txt", text_of(400))
        self.write("empty.txt", "")
        self.write("in.csv", "key,value\n" + "".join(f'{n * 7 % 61},"v{n}, \n quoted"\n' for n in range(300)))
        with gzip.open(os.path.join(self.folder, "words.txt.gz"), "wt") as file:
            file.write(text_of(100))
        os.mkdir(os.path.join(self.folder, "parts"))
        for part, lines in enumerate((0, 1, 500, 0, 3)):
            self.write(f"parts/{part}.txt", "".join(f"line {n * part % 97}\n" for n in range(lines)))
        for _, numbers in itertools.groupby(range(FIRST, FIRST + FLOWS), lambda number: number // FLOWS_OF_A_JOB):
            different = self.check(list(numbers))
            if different is not None:
                number, how, script = different
                again = f"GLIM_RANDOM_FLOWS_FROM={number} GLIM_RANDOM_FLOWS=1 python3 tests/random_flows_test.py"
                self.fail(f"flow {number} of\n{script}\n{how}\nagain: {again}")


if __name__ == "__main__":
    unittest.main()
