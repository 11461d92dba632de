#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The four programs of the original README, in Lua and in C++, give what coreutils and plain Python give."""
import collections
import os
import random
import re
import subprocess
import tempfile
import unittest

BUILD = os.environ.get("GLIM_BUILD", "build/release")
OPTIONS = ([], ["--threads", "1"], ["--threads", "4"], ["--partitions", "1"], ["--partitions", "25"])


def both(name, *arguments):
    """The standard output of the Lua and of the C++ program, for several options."""
    for options in OPTIONS:
        for command in ([os.path.join(BUILD, "glim"), "run", *options, f"examples/{name}.lua"],
                        [os.path.join(BUILD, f"example_{name}"), *options]):
            done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
            yield command, done


def shell(command):
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"}).stdout


class Examples(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        generator = random.Random(3)
        words = ["word%d" % generator.randrange(500) for _ in range(60000)]
        lines = [" ".join(words[i:i + 7]) for i in range(0, len(words), 7)]
        self.text = self.write("some text.txt", "\n".join(lines) + "\n")
        self.words = collections.Counter(words)

    def write(self, name, content):
        path = os.path.join(self.folder.name, name)
        with open(path, "w") as file:
            file.write(content)
        return path

    def test_wordcount(self):
        for command, done in both("wordcount", self.text):
            self.assertEqual(done.returncode, 0, (command, done.stderr))
            counted = dict(line.rsplit(",", 1) for line in done.stdout.splitlines())
            self.assertEqual({word: int(n) for word, n in counted.items()}, self.words, command)

    def test_wordcount_pipe_is_what_the_shell_says(self):
        expected = shell(f"tr -cs 'A-Za-z0-9' '\\n' < '{self.text}' | grep . | sort | uniq -c")
        for command, done in both("wordcount_pipe", self.text):
            self.assertEqual(done.returncode, 0, (command, done.stderr))
            self.assertEqual(sorted(done.stdout.splitlines()), sorted(expected.splitlines()), command)

    def test_join_csv(self):
        generator = random.Random(5)
        a = [[generator.randrange(60), i, i * 2, f"a{i}", "x"] for i in range(300)]
        b = [[i, generator.randrange(60), f'"b,{i}"'] for i in range(200)]
        files = [self.write(name, "".join(",".join(map(str, row)) + "\n" for row in rows)) for name, rows in (("a.csv", a), ("b.csv", b))]
        expected = sorted("%s,%s,%s" % (left[0], left[3], right[2].strip('"')) for left in a for right in b if left[0] == right[1])
        for command, done in both("join_csv", *files):
            self.assertEqual(done.returncode, 0, (command, done.stderr))
            self.assertEqual(sorted(done.stdout.splitlines()), expected, command)

    def test_join_csv_names_the_line_that_is_wrong(self):
        good, bad = self.write("a.csv", "1,2,3,4,5\n"), self.write("b.csv", "1,2,3\n4,5\n")
        for command, done in both("join_csv", good, bad):
            self.assertEqual(done.returncode, 1, command)
            self.assertRegex(done.stderr.splitlines()[0], r"b\.csv.* line 2")

    def test_parallel(self):
        texts = [f"one two{i} one\n" for i in range(9)]
        paths = [self.write(f"it's $(part) {i};.txt", text) for i, text in enumerate(texts)]
        expected = collections.Counter(re.findall(r"\w+", "".join(texts)))
        pattern = os.path.join(self.folder.name, "it's*.txt")
        for command, done in both("parallel", pattern):
            if "example_parallel" in command[0]:
                done = subprocess.run([*command, *paths], capture_output=True, text=True, timeout=120)
            self.assertEqual(done.returncode, 0, (command, done.stderr))
            counted = dict(line.split("\t") for line in done.stdout.splitlines())
            self.assertEqual({word: int(n) for word, n in counted.items()}, expected, command)


if __name__ == "__main__":
    unittest.main()
