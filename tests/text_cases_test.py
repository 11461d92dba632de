#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the glim program prints, as text: the files testdata/*.txt beside this one.

A case is a command for the shell, a line `----`, and what the command prints (stdout, then stderr, then its exit status
when that is not 0), up to a blank line. Lines with # before a command are comments. `--rewrite` puts in what the program says
now; read the diff as you would read code.
"""
import glob
import os
import subprocess
import sys
import tempfile
import unittest

BUILD = os.path.abspath(os.environ.get("GLIM_BUILD", "build/release"))
FILES = sorted(glob.glob(os.path.join(os.path.dirname(os.path.abspath(__file__)), "testdata", "*.txt")))


def run(command):
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PATH": BUILD + os.pathsep + os.environ["PATH"], "LC_ALL": "C"}
        done = subprocess.run(["sh", "-c", command], cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    text = (done.stdout + done.stderr).decode()
    if text and not text.endswith("\n"):
        text += "(no newline)\n"
    return text + (f"exit status {done.returncode}\n" if done.returncode else "")


def cases(path):
    """Of a file: [comment, command, answer]; the last may have no command."""
    comment, command, answer, part = "", "", "", 0
    with open(path) as file:
        for line in file:
            if part == 0 and (line.startswith("#") or line == "\n"):
                comment += line
            elif part < 2 and line == "----\n":
                part = 2
            elif part < 2:
                command += line
                part = 1
            elif line != "\n":
                answer += line
            else:
                yield comment, command, answer
                comment, command, answer, part = "\n", "", "", 0
    if command or comment.strip():
        yield comment, command, answer


class TextCases(unittest.TestCase):
    def test_files(self):
        self.assertTrue(FILES)
        count = 0
        for path in FILES:
            for _, command, answer in cases(path):
                if not command:
                    continue
                count += 1
                with self.subTest(os.path.basename(path), command=command):
                    self.assertEqual(run(command), answer)
        self.assertGreater(count, 10)


def rewrite():
    for path in FILES:
        text = "".join(comment + (f"{command}----\n{run(command)}" if command else "") for comment, command, _ in cases(path))
        with open(path, "w") as file:
            file.write(text)


if __name__ == "__main__":
    if sys.argv[1:] == ["--rewrite"]:
        rewrite()
    else:
        unittest.main()
