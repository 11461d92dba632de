#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Files that travel with a program (--files): the same on all engines, in Lua, in C++ and in programs of Pipe.

The folder with the programs is in GLIM_BUILD (default: build/release).
"""

import os
import signal
import subprocess
import unittest

from agents_test import ClusterCase, send, wait_until
from jobs_test import BUILD, GLIM, TIMEOUT_S, executors_of

PROGRAM = os.path.join(BUILD, "cpp_flows")

# Two runs; between them whoever tests may do something, and then writes a line.
TWO_RUNS = r"""
    local glim = require "glim"
    local function first_line(path) local file = assert(io.open(path)) local line = file:read("*l") file:close() return line end
    local function run(name)
      local flow = glim.flow(name)
      flow:Range(0, 6):RoundRobin(3):Map(function(n) return n, first_line(glim.file("words.txt")) end):Sort():Printf("%d %s\n")
      flow:Strings{"a", "b"}:Pipe([["$GLIM_FILES/tool.sh"]]):Printf("%s\n")
      flow:Run()
    end
    run("first")
    print("between") io.stdout:flush()
    io.read()
    run("second")
    """


class TravelTest(ClusterCase):
    def setUp(self):
        super().setUp()
        os.mkdir(os.path.join(self.folder, "data"))
        self.write("data/words.txt", "one\n")
        self.write("data/tool.sh", '#!/bin/sh\nwhile read -r row; do echo "$row of $(cat "$GLIM_FILES/words.txt")"; done\n')
        os.chmod(os.path.join(self.folder, "data/tool.sh"), 0o755)

    def start(self, script, *options, on=None):
        self.write("job.lua", script)
        where = ["--on", on or "standalone://" + self.master.address]
        return subprocess.Popen([GLIM, "run", *where, *options, "job.lua"], cwd=self.folder, env=self.environment, text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run_between(self, between, *options, on=None, expect=0):
        """The two runs; what each printed, and stderr."""
        job = self.start(TWO_RUNS, "--files", "data/words.txt,data/tool.sh", *options, on=on)
        first = ""
        for line in job.stdout:
            if line == "between\n":
                break
            first += line
        between(job)
        second, err = job.communicate("\n", timeout=TIMEOUT_S)
        self.assertEqual(job.returncode, expect, err)
        return first, second, err

    def rows_with(self, word):
        return "".join(f"{n} {word}\n" for n in range(6)) + f"a of {word}\nb of {word}\n"

    def assert_no_folders(self):
        """Of programs in this folder, of executors in those of agents."""
        def left():
            names = [name for name in os.listdir(self.folder) if name.startswith("glim-")]
            for node in self.nodes:
                if node.role == "agent":
                    names += os.listdir(os.path.join(self.folder, node.folder, "tmp"))
            return names
        wait_until("folders to be gone", lambda: not left())

    def test_a_file_that_changes_between_runs(self):
        self.make_cluster(2)
        for on in ("embedded", "local:1", "local:3", None):
            with self.subTest(on=on):
                self.write("data/words.txt", "one\n")
                # Of the same size, and within a tick of the disk's clock.
                first, second, _ = self.run_between(lambda job: self.write("data/words.txt", "two\n"), on=on)
                self.assertEqual((first, second), (self.rows_with("one"), self.rows_with("two")))
                self.assert_no_folders()

    def test_executors_that_are_killed_between_runs(self):
        self.make_cluster(2)
        for on in ("local:2", None):
            with self.subTest(on=on):
                self.write("data/words.txt", "one\n")

                def between(job):
                    executors = executors_of(job.pid) if on else [n for agent in self.agents for n in agent.children()]
                    self.assertEqual(len(executors), 2)
                    for number in executors:
                        send(number, signal.SIGKILL)
                    self.write("data/words.txt", "three and more\n")
                first, second, _ = self.run_between(between, on=on)
                self.assertEqual((first, second), (self.rows_with("one"), self.rows_with("three and more")))
                self.assert_no_folders()

    def test_nothing_is_left_of_a_program_that_is_killed(self):
        self.make_cluster(1)
        for on in ("embedded", "local:2", None):
            with self.subTest(on=on):
                self.run_between(lambda job: job.kill(), on=on, expect=-signal.SIGKILL)
                self.assert_no_folders()

    def test_many_pieces_arrive_whole(self):
        self.make_cluster(2)
        with open(os.path.join(self.folder, "large"), "wb") as file:
            file.write(bytes(range(256)) * (3 * 4096 + 1))
        self.write("empty", "")
        script = """
            local glim = require "glim"
            glim.flow("large"):Range(0, 2):RoundRobin(2)
              :Pipe('while read -r n; do cksum < "$GLIM_FILES/large"; wc -c < "$GLIM_FILES/empty"; done'):Print():Run()"""
        answers = set()
        for on in ("embedded", None):
            job = self.start(script, "--files=large,empty", on=on)
            out, err = job.communicate(timeout=TIMEOUT_S)
            self.assertEqual(job.returncode, 0, err)
            answers.add(out)
        self.assertEqual(len(answers), 1, answers)
        self.assertIn(f" {256 * (3 * 4096 + 1)}", answers.pop())

    def test_a_wrong_file_ends_the_program_before_it_runs(self):
        os.mkdir(os.path.join(self.folder, "other"))
        self.write("other/words.txt", "")
        with open(os.path.join(self.folder, "huge"), "wb") as file:
            file.truncate((1 << 30) + 1)
        for files, error in ((("nothing",), '/nothing": no such file'),
                             (("data",), '/data" is a folder, and only files travel'),
                             (("/dev/null",), '"/dev/null" is no plain file, and only files travel'),
                             (("data/words.txt,",), "a file without a name"),
                             (("data/words.txt,other/words.txt",), '/other/words.txt" have one name, and would be one file'),
                             (("data/words.txt,huge",), '/huge" there are 1024 MiB of files, and 1024 may travel')):
            for on in ("embedded", "local:2"):
                with self.subTest(files=files, on=on):
                    job = self.start("print('runs')", "--files", *files, on=on)
                    out, err = job.communicate(timeout=TIMEOUT_S)
                    self.assertEqual((job.returncode, out), (2, ""), err)
                    self.assertEqual(len(err.splitlines()), 1, err)
                    self.assertTrue(err.startswith("glim: --files: "), err)
                    self.assertIn(error, err)
        self.assert_no_folders()

    def test_a_file_that_is_gone_before_a_run(self):
        self.make_cluster(1)
        for on in ("embedded", "local:2", None):
            with self.subTest(on=on):
                self.write("data/words.txt", "one\n")
                err = self.run_between(lambda job: os.remove(os.path.join(self.folder, "data/words.txt")), on=on, expect=1)[2]
                self.assertIn("--files: ", err)
                self.assertIn('/data/words.txt": no such file', err)

    def test_a_name_that_is_none_of_them(self):
        self.make_cluster(1)
        script = 'local glim = require "glim" glim.flow("f"):Range(0, 3):Map(function(n) return glim.file("NAME") end):Print():Run()'
        for on in ("embedded", "local:1", None):
            for name, options, error in (("x", ("--files", "data/words.txt"), '"x" does not travel with this program: --files does not name it'),
                                         ("../x", ("--files", "data/words.txt"), "they are called by their last names")):
                with self.subTest(on=on, name=name):
                    job = self.start(script.replace("NAME", name), *options, on=on)
                    err = job.communicate(timeout=TIMEOUT_S)[1]
                    self.assertEqual(job.returncode, 1, err)
                    self.assertIn("glim.file: ", err)
                    self.assertIn(error, err)

    def test_a_program_in_a_program_has_files_of_its_own(self):
        self.write("inner.lua", 'local glim = require "glim" print(io.open(glim.file("words.txt")):read("*l"))')
        self.write("data/more", "more\n")
        for options, expected in (("", "one\n"), ("--files other/words.txt", "other\n")):
            os.makedirs(os.path.join(self.folder, "other"), exist_ok=True)
            self.write("other/words.txt", "other\n")
            script = f'os.execute("{GLIM} run {options} inner.lua") ' + 'print(io.open(require("glim").file("words.txt")):read("*l"))'
            job = self.start(script, "--files", "data/words.txt,data/more", on="embedded")
            out, err = job.communicate(timeout=TIMEOUT_S)
            self.assertEqual((job.returncode, out), (0, expected + "one\n"), err)
        self.assert_no_folders()

    def test_functions_in_cpp(self):
        self.make_cluster(2)
        for on in ("embedded", "local:2", "standalone://" + self.master.address):
            with self.subTest(on=on):
                job = subprocess.run([PROGRAM, "files", "--on", on, "--files", "data/words.txt"], cwd=self.folder,
                                     env=self.environment, text=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S)
                self.assertEqual((job.returncode, job.stdout), (0, "hello\n0 one\n1 one\n2 one\n3 one\nnone of them\n"), job.stderr)
                self.assert_no_folders()


if __name__ == "__main__":
    unittest.main()
