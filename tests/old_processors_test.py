#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The binary on processors that have less than this one, with qemu-user (package qemu-user or qemu-user-static) in their place.

Skipped where there is no qemu, and for builds with a sanitizer. The folder with the glim binary is in GLIM_BUILD (default: build/release).
"""
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_test import sanitized  # noqa: E402

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
BUILD = os.path.abspath(os.environ.get("GLIM_BUILD", os.path.join(ROOT, "build", "release")))
QEMU = shutil.which("qemu-x86_64") or shutil.which("qemu-x86_64-static")
# Of 2006, with SSSE3 and no more; and what every x86-64 has.
PROCESSORS = ("core2duo", "qemu64")


@unittest.skipIf(QEMU is None, "there is no qemu-x86_64")
@unittest.skipIf(platform.machine() != "x86_64", "for x86-64")
@unittest.skipIf(sanitized(), "sanitizers do not run in qemu")
class OldProcessors(unittest.TestCase):
    def run_on(self, processor, *command):
        done = subprocess.run([QEMU, "-cpu", processor, *command], capture_output=True, timeout=500)
        self.assertEqual(done.returncode, 0, (processor, done.stderr[-2000:]))
        return done.stdout

    def test_word_count_gives_what_it_gives_here(self):
        script = os.path.join(ROOT, "examples", "wordcount.lua")
        with tempfile.NamedTemporaryFile() as text:
            for i in range(20000):
                text.write(b"a line of words, some of them longer than others: %d, \xc3\xa4hnlich\n" % (i * i % 997))
            text.flush()
            command = [os.path.join(BUILD, "glim"), "run", "--threads", "2", script, text.name]
            here = subprocess.run(command, capture_output=True, timeout=500, check=True).stdout
            self.assertGreater(len(here.splitlines()), 100)
            for processor in PROCESSORS:
                self.assertEqual(sorted(self.run_on(processor, *command).splitlines()), sorted(here.splitlines()), processor)

    def test_csv_gives_what_it_gives_here(self):
        script = os.path.join(ROOT, "bench", "flow", "group.lua")
        with tempfile.TemporaryDirectory() as folder:
            text, out = os.path.join(folder, "in.csv"), os.path.join(folder, "out.csv")
            with open(text, "w") as file:
                file.writelines(f"key{i % 23},{i * 0.37:.3f}\n" for i in range(20000))
            answers = []
            for processor in (None, *PROCESSORS):
                command = [os.path.join(BUILD, "glim"), "run", "--threads", "1", script, out, text]
                if processor is None:
                    subprocess.run(command, capture_output=True, timeout=500, check=True)
                else:
                    self.run_on(processor, *command)
                with open(out, "rb") as file:
                    answers.append(sorted(file.read().splitlines()))
            self.assertEqual(len(answers[0]), 23)
            for processor, answer in zip(PROCESSORS, answers[1:]):
                self.assertEqual(answer, answers[0], processor)

    def test_masks_of_bytes_pass_their_tests(self):
        program = os.path.join(BUILD, "base_test")
        if not os.path.exists(program):
            self.skipTest("there is no base_test")
        for processor in PROCESSORS:
            self.assertIn(b"[  PASSED  ]", self.run_on(processor, program, "--gtest_filter=*ByteMasks*:Decimal*:Crc32c*"))


if __name__ == "__main__":
    unittest.main()
