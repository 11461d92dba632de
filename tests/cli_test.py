#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whole programs on bad and odd input.

What is wrong ends in one line on stderr that names the script's line, the step and the thing, a non-zero exit, no file under
its final name, no temporary file and no child. What is only odd (bytes, lengths, line ends) is data and kept as it is.

The folder with the glim binary is in GLIM_BUILD (default: build/release).
"""

import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BUILD = os.path.abspath(os.environ.get("GLIM_BUILD", os.path.join(os.path.dirname(__file__), "..", "build", "release")))
GLIM = os.path.join(BUILD, "glim")
TIMEOUT_S = 120


def sanitized():
    """Builds with a sanitizer are slow; what is large is made smaller for them."""
    try:
        with open(os.path.join(BUILD, "CMakeCache.txt")) as cache:
            return any(line.startswith("GLIM_SANITIZE:") and line.strip().split("=", 1)[1] for line in cache)
    except FileNotFoundError:
        return False


def descendants(pid):
    """Living processes that have `pid` in their environment as GLIM_TEST_MARK: its children, wherever they hang now."""
    mark = f"GLIM_TEST_MARK={pid}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as environ:
                if mark in environ.read().split(b"\0"):
                    found.append(int(entry))
        except OSError:
            pass
    return found


def wait_until(condition):
    """False after a long time."""
    for _ in range(TIMEOUT_S * 50):
        if condition():
            return True
        time.sleep(0.02)
    return False


class Case(unittest.TestCase):
    marks = 0

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name
        Case.marks += 1
        self.mark = f"{os.getpid()}-{Case.marks}"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("GLIM_") or name == "GLIM_BUILD"}
        self.environment["GLIM_TEST_MARK"] = self.mark

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, content):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return path

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def glim(self, *arguments, **keywords):
        """Runs `glim arguments` in the folder; stdin is empty unless given."""
        if "input" not in keywords and "stdin" not in keywords:
            keywords["stdin"] = subprocess.DEVNULL
        keywords.setdefault("stdout", subprocess.PIPE)
        return subprocess.run([GLIM, *arguments], cwd=self.folder, env={**self.environment, **keywords.pop("env", {})},
                              stderr=subprocess.PIPE, timeout=TIMEOUT_S, **keywords)

    def job(self, body):
        """A script whose first line is ours: `body` starts on line 2; if it wants `flow`, that is there."""
        flow = " local flow = glim.flow('f')" if "flow:" in body else ""
        return self.write("job.lua", f"local glim = require 'glim'{flow}\n{body}")

    def run_job(self, body, *options, arguments=(), **keywords):
        return self.glim("run", *options, self.job(body), *arguments, **keywords)

    def assert_fails(self, done, *parts, code=1, lines=1):
        """One line that starts with `glim: ` and has the parts, in this order; what a child said may stand before it."""
        text = done.stderr.decode()
        self.assertEqual(done.returncode, code, text)
        errors = text.splitlines()
        self.assertGreater(len(errors), 0)
        self.assertEqual(len(errors), lines, text)
        at = 0
        self.assertTrue(errors[-1].startswith("glim: "), text)
        for part in parts:
            place = errors[-1].find(part, at)
            self.assertGreaterEqual(place, 0, f"{part!r} in {text}")
            at = place + len(part)
        self.assert_nothing_left()

    def assert_nothing_left(self):
        self.assertEqual([name for name in os.listdir(self.folder) if ".tmp-" in name], [])
        self.assertTrue(wait_until(lambda: not descendants(self.mark)), "processes are left")

    def assert_gives(self, done, output):
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertEqual(done.stdout, output if isinstance(output, bytes) else output.encode())


class CommandLine(Case):
    def test_help_has_an_example_and_succeeds(self):
        for command in ([], ["run"], ["explain"], ["version"]):
            done = self.glim(*command, "--help")
            self.assertEqual((done.returncode, done.stderr), (0, b""), command)
            self.assertIn(b"Example:\n  glim " + (command[0].encode() if command else b"run"), done.stdout)

    def test_version(self):
        self.assertRegex(self.glim("version").stdout, rb"^glim \d+\.\d+\.\d+\n$")
        self.assertEqual(self.glim("--version").stdout, self.glim("version").stdout)

    def test_misuse_is_one_line_and_exit_code_2(self):
        script = self.job("print('ran')")
        for arguments, *parts in (
                ([], "a command is needed", "glim --help"),
                (["job.lua"], "to run a script: glim run job.lua", ""),
                (["frobnicate"], 'no command "frobnicate"', "run, explain, e, repl, init, master, server, agent, status, drain, logs, cancel, table, dataset, version"),
                (["--frobnicate"], "see glim --help"),
                (["run"], "script is required", "glim run --help"),
                (["explain"], "script is required", "glim explain --help"),
                (["version", "extra"], "extra", "glim version --help"),
                (["run", "--frobnicate", script], "--frobnicate", "glim run --help"),
                (["run", "--threads", "0", script], "--threads", "1 to 4096", '"0"'),
                (["run", "--threads", "many", script], "--threads", "many"),
                (["run", "--threads"], "--threads"),
                (["run", "--partitions", "70000", script], "--partitions", "1 to 65536", '"70000"'),
                (["run", "--memory", "some", script], '--memory: "some" is not a size', "512M"),
                (["run", "--memory", "-5", script], '--memory: "-5" is not a size'),
                (["run", "--memory", "1e30T", script], "--memory", "is not a size"),
                (["run", "--memory", "0", script], "--memory 0: at least 1M is needed"),
                (["run", "--memory", "100K", script], "--memory 100K: at least 1M is needed"),
                (["run", "--lua-memory", "100K", script], "--lua-memory 100K: at least 1M is needed"),
                (["run", "--files", "nothing", script], '--files: "', 'nothing": no such file'),
                (["run", "--lua", "fast", script], '--lua takes auto or plain, got "fast"'),
                (["run", "--on", "mars", script], "--on mars: there is no such engine")):
            with self.subTest(arguments):
                done = self.glim(*arguments)
                self.assert_fails(done, *parts, code=2)
                self.assertEqual(done.stdout, b"")

    def test_options_may_come_from_the_environment_and_are_checked_there(self):
        script = self.job("flow:Ints{1}:Printf('%d\\n'):Run()")
        self.assert_gives(self.glim("run", script, env={"GLIM_THREADS": "2", "GLIM_MEMORY": "64M"}), "1\n")
        self.assert_fails(self.glim("run", script, env={"GLIM_THREADS": "x"}), "--threads", code=2)
        self.assert_fails(self.glim("run", script, env={"GLIM_MEMORY": "x"}), "--memory", code=2)

    def test_what_follows_the_script_is_the_scripts(self):
        script = self.job("print(#arg, arg[1], arg[2], arg[3])")
        self.assert_gives(self.glim("run", script, "--threads", "-h", "--"), "3\t--threads\t-h\t--\n")
        self.assert_gives(self.glim("run", "--threads=2", script, ""), "1\t\tnil\tnil\n")

    def test_a_script_from_stdin(self):
        self.assert_gives(self.glim("run", "-", "x", input=b"print(arg[1])"), "x\n")
        self.assert_fails(self.glim("run", "-", input=b"print(arg[1])\nx.y = 1"), "stdin:2: ", "global 'x'")
        self.assert_gives(self.glim("run", "-"), "")

    def test_explain_says_which_way_lua_functions_run(self):
        script = self.job("""
flow:Ints{1}:Filter(function(n) return n > limit end):Map(function(n) return n * 2 end):Map(function(n) return n end, {setup = print})
  :Printf("%d\\n"):Run()""")
        done = self.glim("explain", script)
        for part in (b'(at most 1 row, plain Lua: line 3: the global "limit")', b"(at most 1 row, kernel)",
                     b"(at most 1 row, plain Lua: setup or teardown may assign what it captures)"):
            self.assertIn(part, done.stdout)
        self.assertEqual(self.glim("explain", "--lua", "plain", script).stdout.count(b"plain Lua: --lua=plain)"), 3)

    def test_explain_runs_nothing(self):
        script = self.job("flow:TextFile('no such file'):Map(function(x) return x end):WriteText('out'):Run()")
        done = self.glim("explain", script)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"Map", done.stdout)
        self.assertEqual(os.listdir(self.folder), ["job.lua"])


class Scripts(Case):
    def test_a_script_that_is_not_there(self):
        self.assert_fails(self.glim("run", "missing.lua"), '"missing.lua": no such file')
        self.assert_fails(self.glim("run", self.folder), self.folder, "is a folder")

    @unittest.skipIf(os.geteuid() == 0, "root may read everything")
    def test_a_script_that_may_not_be_read(self):
        os.chmod(self.job(""), 0)
        self.assert_fails(self.glim("run", "job.lua"), '"job.lua": permission denied')

    def test_an_empty_script_is_fine(self):
        self.assert_gives(self.glim("run", self.write("empty.lua", "")), "")

    def test_syntax_errors_name_the_line(self):
        self.assert_fails(self.run_job("local x = = 3"), "job.lua:2: unexpected symbol near '='")
        self.assert_fails(self.glim("run", self.write("binary.lua", b"\x7fELF\0\1\2")), "binary.lua:1: ")

    def test_a_first_line_for_the_shell_keeps_the_line_numbers(self):
        self.assert_fails(self.glim("run", self.write("tool.lua", "#!/usr/bin/env -S glim run\nerror('x')")), "tool.lua:2: x")

    def test_runtime_errors_name_the_line(self):
        for body, message in (("local t\nt.x = 1", "job.lua:3: attempt to index local 't'"),
                              ("error('words')", "job.lua:2: words"),
                              ("error('usage: job FILE', 0)", "glim: usage: job FILE"),
                              ("error({1})", "job.lua:2: (error object is a table value)"),
                              ("error()", "job.lua:2: (error object is a nil value)"),
                              ("error(setmetatable({}, {__tostring = function() return 'an object' end}))", "job.lua:2: an object")):
            with self.subTest(body):
                self.assert_fails(self.run_job(body), message)

    def test_a_deeper_error_shows_the_way_below_its_line(self):
        done = self.run_job("local function inner() error('deep') end\ninner()")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.splitlines()[0], b"glim: job.lua:2: deep")
        self.assertIn(b"job.lua:3: in main chunk", done.stderr)

    def test_the_exit_code_of_os_exit_is_kept(self):
        self.assertEqual(self.run_job("os.exit(7)").returncode, 7)

    def test_a_flow_that_is_never_run_is_told(self):
        done = self.run_job("flow:Ints{1}:Run()\nglim.flow('forgotten'):Ints{1}:Printf('%d\\n')\n")
        self.assertEqual((done.returncode, done.stdout), (0, b""))
        self.assertEqual(done.stderr.decode(),
                         'glim: warning: job.lua:3: the flow "forgotten" was never run; end it with :Run()\n')

    def test_an_error_can_be_caught_and_the_script_goes_on(self):
        self.assert_gives(self.run_job("print(pcall(function() flow:TextFile('none'):Run() end))\n"
                                       "glim.flow('g'):Ints{1}:Printf('%d\\n'):Run()"),
                          'false\tjob.lua:2: TextFile: "none": no such file\n1\n')


class Arguments(Case):
    """A wrong argument is told at the line of the call, with the name of the step and what came instead."""

    def assert_call_fails(self, call, *parts):
        with self.subTest(call):
            done = self.run_job(f"local data = glim.flow('g'):Ints{{1, 2}}\n{call}\n")
            self.assert_fails(done, "job.lua:3: ", *parts)
            self.assertEqual(done.stdout, b"")

    def test_steps(self):
        for step in ("Map", "FlatMap", "Filter", "ForEach", "ForEachBatch", "Reduce", "ReduceBy"):
            for argument, got in (("", "nothing"), ("nil", "nil"), ("3", "3"), ("{}", "a table"), ("true", "true"), ("data", "a userdata")):
                self.assert_call_fails(f"data:{step}({argument})", f"{step} expects a function, got {got}")
        for call in ("Select", "Sort", "GroupBy", "SortBy", "ReduceBy(function() end, ", "Join(data, ", "Partition(2, "):
            step, opening = call.split("(")[0], call if "(" in call else call + "("
            self.assert_call_fails(f"data:{opening}true)", f'{step} expects a whole number, got true')
            self.assert_call_fails(f"data:{opening}1.5)", f"{step} expects a whole number, got 1.5")
            self.assert_call_fails(f"data:{opening}0):Run()", f"{step}: field 0 does not exist")
            self.assert_call_fails(f"data:{opening}1e15)", step, "1000000000000000")
        for step in ("Limit", "Partition", "RoundRobin", "Top"):
            self.assert_call_fails(f"data:{step}()", f"{step} expects a whole number, got nothing")
            self.assert_call_fails(f"data:{step}({{}})", f"{step} expects a whole number, got a table")
            self.assert_call_fails(f"data:{step}(-1):Run()", f"{step}(-1")
        for step in ("Partition", "RoundRobin"):
            self.assert_call_fails(f"data:{step}(0):Run()", f"{step}(0): there can be 1 to 65536 partitions")
            self.assert_call_fails(f"data:{step}(1e9):Run()", f"{step}(1000000000): there can be 1 to 65536 partitions")
            self.assert_call_fails(f"data:{step}(1e12):Run()", step, "1000000000000")
        for step in ("Pipe", "PipeAsArgs", "Printf", "WriteText"):
            self.assert_call_fails(f"data:{step}()", f"{step} expects a string, got nothing")
            self.assert_call_fails(f"data:{step}(print)", f"{step} expects a string, got a function")
        for step in ("Pipe", "PipeAsArgs", "WriteText"):
            self.assert_call_fails(f"data:{step}(''):Run()", f"{step} needs ")
        for step in ("Lookup", "PushTo"):
            self.assert_call_fails(f"data:{step}(3)", f"{step} expects a table made by glim.table, got 3")
        for step in ("Collect", "SaveFirstRowTo"):
            self.assert_call_fails(f"data:{step}(3)", f"{step} expects a table to fill, got 3")
        self.assert_call_fails("data:Select():Run()", "Select needs at least one field")
        self.assert_call_fails("data:SortBy():Run()", "SortBy needs at least one field")
        self.assert_call_fails("data:Join(3)", "Join expects a glim dataset, got 3")
        self.assert_call_fails("data:Join(flow:Ints{1}):Run()", "Join: both datasets must belong to the same flow")
        self.assert_call_fails("data:Output(3)", "Output expects a function, got 3")
        self.assert_call_fails("data:Fprintf('%d')", "Fprintf expects an open file such as io.stdout")
        self.assert_call_fails("local f = io.open('x', 'w') f:close() data:Fprintf(f, '%d')", "Fprintf: the file is closed")
        self.assert_call_fails("data.Map(print)", "with a colon")
        self.assert_call_fails("data:Prinft('%d')", "has no Prinft; did you mean Printf?")

    def test_sources(self):
        for call, *parts in (("TextFile()", "TextFile expects a string, got nothing"),
                             ("TextFile(3)", "TextFile expects a string, got 3"),
                             ("TextFile{}:Run()", "TextFile needs the name of a file"),
                             ("TextFile{{}}", "TextFile expects a string, got a table"),
                             ("TextFile('a', 3)", "TextFile expects a table of options"),
                             ("TextFile('a', {recursiv = true})", 'TextFile has no option "recursiv"; it knows recursive'),
                             ("TextFile('a', {recursive = 3})", 'TextFile: option "recursive" expects true or false, got 3'),
                             ("Strings()", "Strings expects a string, got nothing"),
                             ("Ints{'x'}", 'Ints expects a whole number, got the string "x"'),
                             ("Range(1)", "Range expects a whole number, got nothing"),
                             ("Rows(3)", "Rows expects a list of lists, got 3"),
                             ("Rows{{1}, 3}", "Rows expects a list as row 2, got 3"),
                             ("Rows{{print}}", "Rows: row 1: a function cannot be a value of a row"),
                             ("Input(3)", "Input expects a format", "got 3"),
                             ("Input(glim.csv{}):Run()", "Input: the CSV needs the name of a file"),
                             ("Input(glim.csv{'a', header = 1})", 'glim.csv: option "header" expects true or false, got 1'),
                             ("Input(glim.csv{'a', delimiter = 'ab'})", "glim.csv: option \"delimiter\" must be one byte, got \"ab\""),
                             ("Table(3)", "Table expects a table made by glim.table, got 3"),
                             ("Table('none')", 'Table: there is no table "none"'),
                             ("Init(3)", "Init expects a string, got 3"),
                             ("TextFiel('a')", "has no TextFiel; did you mean TextFile?")):
            self.assert_call_fails("flow:" + call, *parts)
        self.assert_call_fails("glim.flow({})", "glim.flow expects a string, got a table")
        self.assert_call_fails("glim.glob('none*')", '"none*": no file matches')

    def test_formats_are_checked_before_the_run(self):
        for text, *parts in (("%z\\n", "Printf: format", "byte 1", "no verb %z"),
                             ("100%", "Printf: format", "ends before the verb"),
                             ("%99999999999d", "Printf: format", "a width or precision above"),
                             ("%d %d\\n", "takes 2 columns, the row has 1: (1)"),
                             ("x\\n", "takes 0 columns, the row has 1: (1)")):
            self.assert_call_fails(f"data:Printf('{text}'):Run()", *parts)
        self.assert_call_fails("glim.flow('h'):Rows{{1}, {'x'}}:Printf('%d'):Run()", "%d takes a whole number", 'row ("x")')


class Functions(Case):
    def assert_flow_fails(self, steps, *parts, options=()):
        with self.subTest(steps):
            self.assert_fails(self.run_job(f"flow:{steps}:WriteText('out'):Run()", *options), "job.lua:2: ", *parts)
            self.assertEqual(os.listdir(self.folder), ["job.lua"])

    def test_an_error_in_a_task_shows_step_line_and_row(self):
        for options in ([], ["--lua=plain"], ["--threads", "3", "--partitions", "3"]):
            for step in ("Map", "FlatMap", "Filter", "ForEach"):
                self.assert_flow_fails(f"Strings{{'a', 'b'}}:{step}(function(s) return s.x.y end)", f"{step}(lua job.lua:2): job.lua:2: ",
                                       "attempt to index field 'x'", 'row ("', options=options)
            self.assert_flow_fails("Strings{'a'}:Map(function(s) error('oh') end)", "Map", "job.lua:2: oh", 'row ("a")', options=options)
            self.assert_flow_fails("Strings{'a'}:Map(function(s) error({}) end)", "Map", "job.lua:2: (error object is a table value)",
                                   'row ("a")', options=options)
            self.assert_flow_fails("Strings{'a'}:Map(function(s) error() end)", "Map", "job.lua:2: (error object is a nil", options=options)
            self.assert_flow_fails("Strings{'a'}:Map(function(s) error('a\\nb') end)", "Map", "a b", 'row ("a")', options=options)
            self.assert_flow_fails("Strings{'a'}:Map(function(s) return print end)", "Map", "a function cannot be a value of a row",
                                   'row ("a")', options=options)
            self.assert_flow_fails("Strings{'a'}:FlatMap(function(s) return 3 end)", "FlatMap", "must return an iterator or a table",
                                   'row ("a")', options=options)

    def test_an_error_in_a_fold(self):
        for step, fields in (("Reduce", "{1}, {2}"), ("ReduceBy", "{'k', 1}, {'k', 2}")):
            done = self.run_job(f"flow:Rows{{{fields}}}:{step}(function(a, b) error('odd sum') end):WriteText('out'):Run()")
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr.decode().splitlines()[0], rf"^glim: job.lua:2: {step}\(.*: job.lua:2: odd sum, row \(2\)$")
            self.assertEqual(os.listdir(self.folder), ["job.lua"])

    def test_an_error_in_a_batch_function_and_in_a_callback(self):
        self.assert_flow_fails("Strings{'a'}:ForEachBatch(function(rows) error('batch') end)", "ForEachBatch", "job.lua:2: batch")
        self.assert_fails(self.run_job("flow:Strings{'a'}:Output(function(s) error('taken') end):Run()"),
                          "job.lua:2: Output: job.lua:2: taken", 'row ("a")')

    def test_a_run_within_a_run(self):
        self.assert_fails(self.run_job("flow:Ints{1}:Output(function() glim.flow('inner'):Ints{2}:Run() end):Run()"),
                          'job.lua:2: Output: job.lua:2: the flow "inner" cannot run yet', "row (1)")

    def test_lua_as_text(self):
        self.assert_flow_fails("""Strings{'a'}:Map("function(s) return s.x.y end")""", "Map(lua function", "lua:1: attempt", 'row ("a")')
        self.assert_flow_fails("""Strings{'a'}:Map("function(s) return")""", "Map: lua:1: 'end' expected")
        self.assert_flow_fails("Strings{'a'}:Map('3')", "Map(lua 3): a function is needed, this is a number")

    def test_a_field_that_is_not_there(self):
        for step in ("Select(3)", "Sort(3)", "GroupBy(3)", "SortBy(3)", "Top(1, 3)", "Partition(2, 3)"):
            self.assert_flow_fails(f"Strings{{'a'}}:{step}", "there is no field 3, the row has 1: (\"a\")")

    def test_memory_that_does_not_suffice_names_the_step(self):
        self.assert_flow_fails("Range(1, 300000):Map(function(n) return 1, n end):GroupBy()", "GroupBy(field 1): the step needs",
                               "for rows are in use; raise them with --memory", options=["--memory", "1M"])


class Sources(Case):
    def assert_source_fails(self, source, *parts):
        with self.subTest(source):
            self.assert_fails(self.run_job(f"flow:{source}:WriteText('out'):Run()"), "job.lua:2: ", *parts)
            self.assertNotIn("out", os.listdir(self.folder))

    def test_what_is_not_there(self):
        os.mkdir(self.path("empty"))
        self.assert_source_fails("TextFile('none')", 'TextFile: "none": no such file')
        self.assert_source_fails("TextFile{'job.lua', 'none'}", 'TextFile: "none": no such file')
        self.assert_source_fails("TextFile('job.lua/none')", 'TextFile: "job.lua/none": no such file')
        self.assert_source_fails("TextFile('none*.txt')", 'TextFile: "none*.txt": no file matches')
        self.assert_source_fails("TextFile('none/**')", 'TextFile: "none/**": no file matches')
        self.assert_source_fails("TextFile('empty')", 'TextFile: "empty": no file in this folder')
        self.assert_source_fails("TextFile('.', {pattern = '*.pm'})", 'TextFile: ".": no file in this folder matches "*.pm"')
        self.assert_source_fails("Input(glim.csv('none.csv'))", 'Input: "none.csv": no such file')

    @unittest.skipIf(os.geteuid() == 0, "root may read everything")
    def test_what_may_not_be_read(self):
        os.chmod(self.write("secret", "x\n"), 0)
        self.assert_source_fails("TextFile('secret')", 'TextFile: "secret": permission denied')

    def test_csv_mistakes_name_file_line_got_and_expected(self):
        self.write("short.csv", "1,2\n\n3\n")
        self.write("long.csv", '1,"2\n2"\n1,2,3\n')
        self.write("quote.csv", '1,2\n"3,4\n')
        self.write("header.csv", "a,b\n1\n")
        self.write("good.csv", "1,2\n" * 5000 + "3\n")
        self.assert_source_fails("Input(glim.csv('short.csv'))", 'Input: "short.csv" line 3: 1 column, expected 2')
        self.assert_source_fails("Input(glim.csv('long.csv'))", 'Input: "long.csv" line 3: 3 columns, expected 2')
        self.assert_source_fails("Input(glim.csv('quote.csv'))", 'Input: "quote.csv" line 2: a quote is opened and never closed')
        self.assert_source_fails("Input(glim.csv{'header.csv', header = true})", 'Input: "header.csv" line 2: 1 column, expected 2')
        self.assert_source_fails("Input(glim.csv('good.csv'))", 'Input: "good.csv" line 5001: 1 column, expected 2')

    def test_stdin(self):
        for source in ("Stdin()", "TextFile('-')", "Input(glim.csv('-'))"):
            job = f"flow:{source}:Printf('[%s]\\n'):Run()"
            with self.subTest(source):
                self.assert_gives(self.run_job(job, input=b"a\nb"), "[a]\n[b]\n")
                self.assert_gives(self.run_job(job), "")
                closed = subprocess.run(["sh", "-c", f"exec {shlex.quote(GLIM)} run job.lua <&-"], cwd=self.folder, env=self.environment,
                                        capture_output=True, timeout=TIMEOUT_S)
                self.assert_fails(closed, "job.lua:2: ", "standard input: is closed")
                folder = os.open(self.folder, os.O_RDONLY)
                self.addCleanup(os.close, folder)
                self.assert_fails(self.run_job(job, stdin=folder), "job.lua:2: ", "standard input: is a folder")

    def test_nested_folders(self):
        for name in ("tree/b/x.txt", "tree/a.txt", "tree/b/c/y.txt", "tree/.hidden/z.txt", "tree/b/w.pm"):
            self.write(name, name + "\n")
        read = lambda source: self.run_job(f"flow:{source}:Printf('%s\\n'):Run()")
        self.assert_gives(read("TextFile('tree')"), "tree/a.txt\n")
        self.assert_gives(read("TextFile('tree', {recursive = true})"), "tree/a.txt\ntree/b/c/y.txt\ntree/b/w.pm\ntree/b/x.txt\n")
        self.assert_gives(read("TextFile('tree/**/*.txt')"), "tree/a.txt\ntree/b/c/y.txt\ntree/b/x.txt\n")
        self.assert_gives(read("TextFile('tree/[b]/?.txt')"), "tree/b/x.txt\n")

    def test_many_files_and_few_descriptors(self):
        count = 500 if sanitized() else 5000
        for i in range(count):
            self.write(f"many/{i}", f"{i}\n")
        few = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        self.assert_gives(self.run_job("flow:TextFile('many'):Reduce(function(a, b) return tonumber(a) + tonumber(b) end)"
                                       ":Printf('%v\\n'):Run()", "--threads", "4", preexec_fn=few), f"{count * (count - 1) // 2}\n")


class Data(Case):
    """Bytes go through as they are, by every road."""
    ROADS = ("", ":Map(function(line) return line end)", ":Pipe('cat')", ":Partition(3):Sort()",
             ":Map(function(line) return line, 1 end):ReduceBy(function(a, b) return a + b end):Select(1)", ":GroupBy():Select(1)")

    def assert_kept(self, content, lines, roads=ROADS):
        """The file's lines, in any order."""
        self.write("in", content)
        for road in roads:
            for options in ([], ["--threads", "3", "--partitions", "3"], ["--lua=plain"]):
                with self.subTest(road=road, options=options):
                    done = self.run_job(f"flow:TextFile('in'){road}:WriteText('out'):Run()", *options)
                    self.assert_gives(done, "")
                    out = self.read("out")
                    self.assertEqual(sorted(out.split(b"\n")), sorted([*lines, b""]))
                    self.assertEqual(out[-1:], b"\n" if lines else b"")

    def test_binary_bytes(self):
        self.assert_kept(b"\0\xff\xfe\n\0a\0\n" + bytes(b for b in range(256) if b not in b"\t\n") + b"\n",
                         [b"\0\xff\xfe", b"\0a\0", bytes(b for b in range(256) if b not in b"\t\n")])

    def test_utf8(self):
        words = ["Gr\u00fc\u00dfe", "\u65e5\u672c\u8a9e", "\U0001f600", "\u202eabc", "\ufeffmark", "e\u0301"]
        self.assert_kept("\n".join(words) + "\n", [word.encode() for word in words])

    def test_empty_file(self):
        self.assert_kept(b"", [])

    def test_last_line_without_newline(self):
        self.assert_kept(b"a\nb", [b"a", b"b"])

    def test_carriage_returns_of_text_are_data(self):
        self.assert_kept(b"a\r\nb\r\r\n\rc\r", [b"a\r", b"b\r\r", b"\rc\r"])

    def test_lines_of_zero_bytes(self):
        self.assert_kept(b"\na\n", [b"", b"a"])
        self.assert_kept(b"\n\n\n", [b"", b"", b""], roads=Data.ROADS[:4])

    def test_csv_has_quotes_line_ends_and_a_byte_order_mark(self):
        self.write("in.csv", b'\xef\xbb\xbfa,b\r\n"x,""y""\nz",\r\n"",2')
        self.assert_gives(self.run_job("flow:Input(glim.csv('in.csv')):Printf('[%s][%s]\\n'):Run()"), '[a][b]\n[x,"y"\nz][]\n[][2]\n')

    def test_strings_of_zero_bytes_are_keys(self):
        self.assert_gives(self.run_job("flow:Rows{{'', 1}, {'a', 2}, {'', 3}, {'\\0', 4}}:ReduceBy(function(a, b) return a + b end)"
                                       ":Sort():Printf('%q %d\\n'):Run()"), '"" 4\n"\\x00" 4\n"a" 2\n')

    def test_a_line_of_100_megabytes(self):
        size = (8 if sanitized() else 100) << 20
        long = b"x" * size
        self.write("in", long + b"\nend")
        for road in ("", ":Pipe('cat')", ":Map(function(line) return line end)"):
            with self.subTest(road):
                self.assert_gives(self.run_job(f"flow:TextFile('in'){road}:WriteText('out'):Run()"), "")
                self.assertTrue(self.read("out") == long + b"\nend\n")
        os.remove(self.path("out"))


class Pipes(Case):
    def assert_pipe_fails(self, steps, *parts, lines=1):
        with self.subTest(steps):
            self.assert_fails(self.run_job(f"flow:{steps}:WriteText('out'):Run()"), "job.lua:2: ", *parts, lines=lines)
            self.assertNotIn("out", os.listdir(self.folder))

    def test_commands_that_fail(self):
        self.assert_pipe_fails("Ints{1}:Pipe('no-such-command 2>&-')", 'Pipe("no-such-command 2>&-"): ', "was not found (exit code 127)")
        self.assert_pipe_fails("Ints{1}:Pipe('exit 3')", 'Pipe("exit 3"): the command exited with 3')
        self.assert_pipe_fails("Ints{1}:Pipe('cat; false')", "the command exited with 1")
        self.assert_pipe_fails("Ints{1}:Pipe('if')", 'Pipe("if"): the command exited with 2', lines=2)  # The shell says more.
        self.assert_pipe_fails("Ints{1}:Pipe('kill -9 $$')", "ended by signal 9 (SIGKILL)")
        self.assert_pipe_fails("Ints{1}:Pipe('kill -SEGV $$')", "ended by signal 11 (SIGSEGV)")
        self.assert_pipe_fails("Range(1, 200000):Pipe('head -1; exit 5')", "exited with 5")
        self.assert_pipe_fails("Strings{'good', 'bad'}:PipeAsArgs('test $1 = good')",
                               'PipeAsArgs("test $1 = good"): the command exited with 1', 'row ("bad")')
        self.assert_pipe_fails("Strings{'a\\0b'}:PipeAsArgs('echo $1')",
                               "a field with a zero byte cannot be an argument", 'row ("a\\x00b")')

    def test_a_failing_command_ends_its_neighbours(self):
        self.assert_pipe_fails("Range(1, 10):RoundRobin(4):Pipe('read x; test $x != 1 && exec sleep 1000; exit 9')", "exited with 9")

    def test_a_command_may_stop_reading(self):
        self.assert_gives(self.run_job("flow:Range(1, 500000):Pipe('head -1'):Printf('%s\\n'):Run()"), "1\n")
        self.assert_gives(self.run_job("flow:Range(1, 500000):Pipe('true'):Printf('%s\\n'):Run()"), "")
        self.assert_gives(self.run_job("flow:Range(1, 500000):Pipe('exec <&-; echo done'):Printf('%s\\n'):Run()"), "done\n")

    def test_a_command_that_nobody_listens_to_any_more_is_ended(self):
        self.assert_gives(self.run_job("flow:Ints{1}:Pipe('yes'):Limit(2):Printf('%s\\n'):Run()"), "y\ny\n")
        self.assert_nothing_left()

    def test_what_a_command_says_on_stderr_passes_through(self):
        done = self.run_job("flow:Ints{1}:Pipe('cat; echo by the way >&2'):Printf('%s\\n'):Run()")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"1\n", b"by the way\n"))

    def test_a_command_that_leaves_a_child_behind(self):
        self.assert_gives(self.run_job("flow:Ints{1}:Pipe('sleep 1000 >/dev/null & cat'):Printf('%s\\n'):Run()"), "1\n")
        self.assert_nothing_left()

    def test_arguments_are_never_parsed_by_the_shell(self):
        hostile = ["a b", "$(touch hacked)", "`touch hacked`", "; touch hacked", "it's", 'say "hi"', "-n", "--help", "*", "~", "\\", "$1",
                   "${2}", "a\\nb", "", " ", "#", "!!", "\u00e9", "&& touch hacked", "| cat", "> hacked", "'$(touch hacked)'"]
        values = ", ".join("[=[%s]=]" % value for value in hostile) + ", 'line\\none'"
        for command in ('printf "<%s>\\n" $1', 'printf "<%s>\\n" "$1"', 'printf "<%s>\\n" ${1}', 'printf "<%s>\\n" "$@"'):
            with self.subTest(command):
                done = self.run_job(f"flow:Strings{{{values}}}:PipeAsArgs([=[{command}]=]):Printf('%s\\n'):Run()")
                self.assert_gives(done, "".join(f"<{value}>\n" for value in hostile + ["line\none"]))
                self.assertEqual(os.listdir(self.folder), ["job.lua"])
        self.assert_gives(self.run_job("flow:Rows{{'a', 'b c'}}:PipeAsArgs([=[echo $# '$1' \\$1 $2x]=]):Printf('%s\\n'):Run()"),
                          "2 $1 $1 b cx\n")


class Sinks(Case):
    def test_a_folder_that_does_not_exist(self):
        self.assert_fails(self.run_job("flow:Ints{1}:WriteText('none/out'):Run()"),
                          'job.lua:2: WriteText: saving "none/out": "none": no such folder')
        self.assert_fails(self.run_job("flow:Ints{1}:WriteText('job.lua/out'):Run()"), 'saving "job.lua/out": ')

    def test_a_folder_in_the_place_of_the_file(self):
        os.mkdir(self.path("out"))
        self.assert_fails(self.run_job("flow:Ints{1}:WriteText('out'):Run()"), 'WriteText: saving "out": it is a folder')

    @unittest.skipIf(os.geteuid() == 0, "root may write everywhere")
    def test_a_folder_that_may_not_be_written(self):
        os.mkdir(self.path("locked"), 0o500)
        self.assert_fails(self.run_job("flow:Ints{1}:WriteText('locked/out'):Run()"),
                          'WriteText: saving "locked/out": ', "permission denied")

    def test_an_older_file_is_replaced_when_all_is_there_and_kept_when_not(self):
        self.write("out", "old\n")
        self.assert_fails(self.run_job("flow:Range(1, 100000):Map(function(x) if x == 99999 then error('late') end return x end)"
                                       ":WriteText('out'):Run()"), "late", "row (99999)")
        self.assertEqual(self.read("out"), b"old\n")
        self.assert_gives(self.run_job("flow:Ints{1}:WriteText('out'):Run()"), "")
        self.assertEqual(self.read("out"), b"1\n")

    def test_two_sinks_into_one_file(self):
        self.assert_fails(self.run_job("local d = flow:Ints{1} d:WriteText('out') d:WriteText('./out') flow:Run()"),
                          'WriteText("./out"): this flow writes that file already')
        self.assertEqual(os.listdir(self.folder), ["job.lua"])

    def test_two_sinks_into_two_files(self):
        self.assert_gives(self.run_job("local d = flow:Ints{1} d:WriteText('a') d:WriteText('b') flow:Run()"), "")
        self.assertEqual((self.read("a"), self.read("b")), (b"1\n", b"1\n"))

    def test_when_one_of_two_sinks_fails_no_file_appears(self):
        self.assert_fails(self.run_job("local d = flow:Ints{1} d:WriteText('a')\n"
                                       "d:Map(function() error('oh') end):WriteText('b') flow:Run()"), "oh", "row (1)")
        self.assertNotIn("b", os.listdir(self.folder))

    def test_a_device_is_written_in_place(self):
        """Only with what a wrong program could not break: root may replace what is in /dev."""
        os.mkfifo(self.path("pipe"))
        reader = os.open(self.path("pipe"), os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        self.assert_gives(self.run_job("flow:Ints{1}:WriteText('pipe'):Run()"), "")
        self.assertEqual(os.read(reader, 10), b"1\n")
        self.assertEqual(self.run_job("flow:Ints{1}:Run()", "--stats-file", "pipe").returncode, 0)
        self.assertEqual(os.read(reader, 1), b"[")
        with open(self.path("captured"), "wb") as captured:
            self.run_job("flow:Ints{1}:WriteText('/proc/self/fd/1'):Run()", stdout=captured)
        self.assertEqual(self.read("captured"), b"1\n")

    def test_a_full_disk(self):
        small = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))
        self.assert_fails(self.run_job("flow:Range(1, 1000000):WriteText('out'):Run()", preexec_fn=small),
                          'job.lua:2: WriteText: saving "out": ', "file too large")
        self.assertEqual(os.listdir(self.folder), ["job.lua"])
        # A loop without end, too: its rows do not fit into memory.
        for step, name in (("Sort()", "Sort(1)"), ("Partition(2):LocalDistinct()", "Partition(2, field 1)")):
            self.assert_fails(self.run_job("flow:Ints{1}:ForEach(function(x) while true do writeRow(x) end end)"
                                           f":{step}:WriteText('out'):Run()", "--memory", "4M", "--tmp-dir", ".",
                                           preexec_fn=small), f"job.lua:2: ", name, "--tmp-dir", '".": file too large')
            self.assertEqual(os.listdir(self.folder), ["job.lua"])
        self.assert_fails(self.run_job("flow:Range(1, 300000):Sort():Run()", "--memory", "1M", "--tmp-dir", "none"),
                          "--tmp-dir", '"none": no such folder')
        with open("/dev/full", "wb") as full:
            self.assert_fails(self.run_job("flow:Range(1, 1000000):WriteText('/proc/self/fd/1'):Run()", stdout=full),
                              'saving "/proc/self/fd/1": ', "disk full")
        tiny = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
        self.assert_fails(self.run_job("flow:Ints{1}:Run()", "--stats-file", "stats.json", preexec_fn=tiny),
                          '--stats-file: saving "stats.json": ', "file too large")
        self.assertEqual(os.listdir(self.folder), ["job.lua"])
        self.assert_fails(self.run_job("flow:Range(1, 9):Fprintf(io.open('/dev/full', 'w'), '%d'):Run()"), "Fprintf", "disk full")

    @unittest.skipIf(os.geteuid() != 0 or not shutil.which("mount"), "only root may mount")
    def test_a_full_file_system(self):
        os.mkdir(self.path("small"))
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", self.path("small")], capture_output=True).returncode != 0:
            self.skipTest("mounting is not possible here")
        self.addCleanup(subprocess.run, ["umount", self.path("small")])
        self.assert_fails(self.run_job("flow:Range(1, 1000000):WriteText('small/out'):Run()"), 'saving "small/out": ', "disk full")
        self.assertEqual(os.listdir(self.path("small")), [])


class StandardOutput(Case):
    PRINTS = {"Printf": "flow:Range(1, 200000):Printf('%d\\n'):Run()", "print": "for i = 1, 200000 do print(i) end",
              "print in a task": "flow:Range(1, 200000):ForEach(function(x) print(x) end):Run()", "one line": "print('x')"}

    def shell(self, command):
        return subprocess.run(["sh", "-c", command], cwd=self.folder, env={**self.environment, "GLIM": GLIM}, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=TIMEOUT_S)

    def test_a_full_disk(self):
        for name, body in self.PRINTS.items():
            with self.subTest(name), open("/dev/full", "wb") as full:
                self.assert_fails(self.run_job(body, stdout=full), "standard output: ")
        with open("/dev/full", "wb") as full:
            self.assert_fails(self.glim("version", stdout=full), "standard output: ")
            self.assert_fails(self.glim("explain", self.job("flow:Ints{1}:Run()"), stdout=full), "job.lua:2: ", "standard output: ")

    def test_it_is_closed(self):
        for name, body in self.PRINTS.items():
            with self.subTest(name):
                self.job(body)
                self.assert_fails(self.shell('exec "$GLIM" run job.lua >&-'), "standard output: ")
        self.job("flow:Ints{1}:WriteText('out'):Run()")
        self.assert_gives(self.shell('exec "$GLIM" run job.lua >&- <&-'), "")
        self.assertEqual(self.read("out"), b"1\n")

    def test_a_reader_that_leaves_ends_the_program(self):
        for name, body in {**self.PRINTS, "endless": "flow:Ints{1}:Pipe('yes'):Printf('%s\\n'):Run()",
                           "endless print": "while true do print(1) end"}.items():
            if name == "one line":
                continue
            with self.subTest(name):
                self.job(body)
                done = self.shell('{ "$GLIM" run job.lua; echo $? > code; } | head -n 1')
                self.assertEqual(len(done.stdout.splitlines()), 1)
                # As of a program that SIGPIPE ended.
                self.assertEqual((self.read("code"), done.stderr), (b"141\n", b""))
                self.assert_nothing_left()


class Interrupts(Case):
    def start(self, body, *options, **keywords):
        return subprocess.Popen([GLIM, "run", *options, self.job(body)], cwd=self.folder, env=self.environment, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, **{"stdin": subprocess.DEVNULL, **keywords})

    def assert_ends(self, process, number, code):
        """The signal ends it, with this exit code, and nothing is left."""
        process.send_signal(number)
        out, errors = process.communicate(timeout=TIMEOUT_S)
        self.assertEqual(process.returncode, code, errors)
        self.assert_nothing_left()
        return out, errors

    def test_a_run_is_cancelled_in_order(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
            for step in ("Pipe('touch started; sleep 1000 & cat; sleep 1000')", "PipeAsArgs('touch started; sleep 1000')"):
                with self.subTest(step, signal=number):
                    process = self.start(f"flow:Ints{{1}}:{step}:WriteText('out'):Run()")
                    self.assertTrue(wait_until(lambda: os.path.exists(self.path("started"))))
                    _, errors = self.assert_ends(process, number, code)
                    self.assertEqual(errors, b"glim: interrupted\n")
                    os.remove(self.path("started"))
                    self.assertEqual(os.listdir(self.folder), ["job.lua"])

    def test_a_run_that_computes(self):
        for steps in ("WriteText('out')", "Reduce(function(a, b) return a + b end):WriteText('out')", "ForEach(function(x) end)"):
            with self.subTest(steps):
                process = self.start(f"io.stdout:write('started') io.stdout:flush() flow:Range(1, 1e12):{steps}:Run()")
                self.assertEqual(process.stdout.read(7), b"started")
                time.sleep(0.1)  # Into the run, most likely; before it the signal would only end the program by itself.
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=TIMEOUT_S)
                self.assertIn(process.returncode, (130, -signal.SIGINT))
                self.assert_nothing_left()
                self.assertNotIn("out", os.listdir(self.folder))

    def test_while_stdin_is_read(self):
        read, write = os.pipe()
        self.addCleanup(os.close, write)
        process = self.start("flow:Stdin():Printf('%s\\n'):Run()", stdin=read)
        os.close(read)
        os.write(write, b"first\n")
        self.assertEqual(process.stdout.readline(), b"first\n")
        _, errors = self.assert_ends(process, signal.SIGINT, 130)
        self.assertEqual(errors, b"glim: interrupted\n")

    def test_outside_of_runs_a_signal_ends_the_program_at_once(self):
        for loop in ("while true do end", "io.read()"):
            with self.subTest(loop):
                read, write = os.pipe()
                process = self.start(f"flow:Ints{{1}}:Printf('%d\\n'):Run() {loop}", stdin=read)
                os.close(read)
                self.assertEqual(process.stdout.readline(), b"1\n")
                time.sleep(0.05)  # Out of the run, most likely; else the test is weaker, not wrong.
                process.send_signal(signal.SIGINT)
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=TIMEOUT_S)
                self.assertIn(process.returncode, (130, -signal.SIGINT))
                os.close(write)
                self.assert_nothing_left()

    def test_an_endless_function_and_its_neighbours_end_with_the_program(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            process = self.start("local d = flow:Ints{1} d:Pipe('touch started; sleep 1000'):WriteText('a')\n"
                                 "d:Map(function(x) while true do end end):WriteText('b') flow:Run()", "--threads", "2")
            self.assertTrue(wait_until(lambda: os.path.exists(self.path("started"))))
            _, errors = self.assert_ends(process, number, code)
            self.assertEqual(errors, b"glim: interrupted\n")
            os.remove(self.path("started"))
            self.assertEqual(os.listdir(self.folder), ["job.lua"])

    def test_a_second_signal_ends_an_endless_function_at_once(self):
        process = self.start("local d = flow:Ints{1} d:Pipe('touch started; sleep 1000'):WriteText('a')\n"
                             "d:Map(function(x) while true do end end):WriteText('b') flow:Run()", "--threads", "2")
        self.assertTrue(wait_until(lambda: os.path.exists(self.path("started"))))
        process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=TIMEOUT_S)
        self.assertEqual(process.returncode, 143)
        self.assertTrue(wait_until(lambda: not descendants(self.mark)), "processes are left")

    def test_a_caught_interrupt_still_ends_later_runs(self):
        process = self.start("print(pcall(function() flow:Ints{1}:Pipe('touch started; sleep 1000'):Run() end))\n"
                             "glim.flow('g'):Ints{1}:Printf('%d\\n'):Run()")
        self.assertTrue(wait_until(lambda: os.path.exists(self.path("started"))))
        out, _ = self.assert_ends(process, signal.SIGINT, 130)
        self.assertEqual(out, b"false\tjob.lua:2: interrupted\n")

    def test_a_killed_program_takes_its_commands_along(self):
        process = self.start("flow:Ints{1}:Pipe('touch started; sleep 1000 & sleep 1000'):Run()")
        self.assertTrue(wait_until(lambda: os.path.exists(self.path("started"))))
        self.assert_ends(process, signal.SIGKILL, -signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(unittest.main())
