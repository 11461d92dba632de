#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The quickstart learns to tell C from Perl, and word counts agree with a plain count, for every number of threads and partitions."""
import collections
import os
import random
import re
import subprocess
import tempfile
import unittest

BUILD = os.environ.get("GLIM_BUILD", "build/release")
GLIM = os.path.join(BUILD, "glim")


def run(*arguments, stdin=""):
    return subprocess.run([GLIM, "run", *arguments], input=stdin, capture_output=True, text=True, timeout=300)


class Quickstart(unittest.TestCase):
    PROGRAMS = {"Lua": [GLIM, "run", "--threads", "2", "examples/quickstart.lua"], "C++": [os.path.join(BUILD, "example_quickstart"), "--threads", "2"]}

    @unittest.skipUnless(os.path.isdir("/usr/share/perl") and os.path.isdir("/usr/include"), "needs C headers and Perl modules")
    def test_tells_c_from_perl(self):
        for program, command in self.PROGRAMS.items():
            with self.subTest(program), tempfile.TemporaryDirectory() as folder:
                model = os.path.join(folder, "model")
                done = subprocess.run([*command, "--sources", "150", "--model", model, "--ask"], input="my $x = shift;\n#define FOO 1\n",
                                      capture_output=True, text=True, timeout=300)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(done.stderr, "")
                auc = float(re.search(r"AUC ([0-9.]+)", done.stdout).group(1))
                self.assertGreater(auc, 0.95)
                self.assertTrue(os.path.isdir(model))
                asked = dict(reversed(line.strip().split(" % C   ")) for line in done.stdout.splitlines() if " % C   " in line)
                self.assertLess(float(asked["my $x = shift;"]), 50)
                self.assertGreater(float(asked["#define FOO 1"]), 50)

    def test_a_wrong_option_is_an_error(self):
        done = run("examples/quickstart.lua", "--nonsense")
        self.assertEqual(done.returncode, 1)
        self.assertIn("unknown option --nonsense", done.stderr)


class WordCount(unittest.TestCase):
    def test_equals_a_plain_count(self):
        generator = random.Random(7)
        words = ["w%d" % generator.randrange(2000) for _ in range(200000)]
        text = "".join(word + generator.choice([" ", "\n", ", ", "\t", "\r\n"]) for word in words)
        expected = collections.Counter(re.findall(r"[A-Za-z0-9]+", text))
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "text")
            with open(path, "w", newline="") as file:
                file.write(text)
            for options in ([], ["--threads", "1"], ["--threads", "4"], ["--partitions", "3"], ["--partitions", "25"], ["--lua=plain"]):
                done = run(*options, "examples/wordcount.lua", path)
                self.assertEqual(done.returncode, 0, done.stderr)
                counted = dict(line.rsplit(",", 1) for line in done.stdout.splitlines())
                self.assertEqual({word: int(count) for word, count in counted.items()}, dict(expected), options)

    def test_a_missing_file_is_named(self):
        done = run("examples/wordcount.lua", "/no/such/file")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, "")
        self.assertIn("/no/such/file", done.stderr.splitlines()[0])


if __name__ == "__main__":
    unittest.main()
