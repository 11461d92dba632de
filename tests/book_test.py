# SPDX-License-Identifier: Apache-2.0
"""Runs every code block of README.md and docs/book, so that the text stays true.

lua   a job script, run by `glim run` in an empty folder; a text block right after it is what it must print. One that begins with
      `-- NAME.lua` is put into the file's folder under that name instead
cpp   a whole program, compiled against include/ (syntax only)
sh    lines `glim ...` are run in one empty folder per file, where datasets with names are kept too, a text block right after it is what they must print; lines
      `./dev VERB ...` must name a verb of ./dev. `glim master &` and `glim server &` go on until the end of the file; they listen
      at free ports, and 127.0.0.1:45326 in other lines is where the master does
Anything else fails: a block that nobody checks goes stale.

The folder with the glim binary is in GLIM_BUILD (default: build/release).
"""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.abspath(os.environ.get("GLIM_BUILD", os.path.join(ROOT, "build", "release")))
TIMEOUT_S = 120
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def documents():
    book = os.path.join(ROOT, "docs", "book")
    return ["README.md"] + [os.path.join("docs", "book", name) for name in sorted(os.listdir(book)) if name.endswith(".md")]


def blocks(text):
    """(kind, content, line, expected output or None); a text block that follows a lua or sh block belongs to it."""
    found = list(_FENCE.finditer(text))
    result = []
    for i, match in enumerate(found):
        kind, content = match.groups()
        follows = i > 0 and found[i - 1].group(1) in ("lua", "sh") and text[found[i - 1].end():match.start()].strip() == ""
        if kind == "text" and follows:
            result[-1][3] = content
        else:
            result.append([kind, content, text.count("\n", 0, match.start()) + 1, None])
    return result


MASTER = "127.0.0.1:45326"


class BookTest(unittest.TestCase):
    def setUp(self):
        self.nodes = []
        self.master = None
        self.datasets = ""

    def stop_nodes(self):
        for node in self.nodes:
            node.kill()
            node.wait()
            node.stdout.close()
        self.nodes, self.master = [], None

    def environment(self):
        environment = dict(os.environ, PATH=BUILD + os.pathsep + os.environ.get("PATH", ""), GLIM_DATASET_DIR=self.datasets)
        if self.master:
            environment["GLIM_MASTER"] = self.master
        return environment

    def start_node(self, command, folder):
        environment = dict(self.environment(), GLIM_ADDRESS="127.0.0.1:0")
        node = subprocess.Popen(command.replace(MASTER, self.master or MASTER).split(), cwd=folder, env=environment, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.nodes.append(node)
        line = node.stdout.readline()
        self.assertTrue(line.startswith("listening "), f"{command}: {line}")
        if command.split()[1] == "master":
            self.master = line.split()[1]

    def run_program(self, command, folder):
        environment = self.environment()
        if self.master and isinstance(command, str):
            command = command.replace(MASTER, self.master)
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S,
                              stdin=subprocess.DEVNULL, shell=isinstance(command, str))
        self.assertEqual(done.returncode, 0, f"{command}\n{done.stdout}{done.stderr}")
        return done.stdout

    def check_lua(self, content, expected, folder):
        named = re.match(r"-- (\w+\.lua)\n", content)
        if named:
            with open(os.path.join(folder, named.group(1)), "w") as file:
                file.write(content)
            return
        with tempfile.TemporaryDirectory(dir=folder) as inner:
            with open(os.path.join(inner, "job.lua"), "w") as file:
                file.write(content)
            output = self.run_program([os.path.join(BUILD, "glim"), "run", "job.lua"], inner)
            if expected is not None:
                self.assertEqual(output, expected)

    def check_cpp(self, content, folder):
        path = os.path.join(folder, "program.cc")
        with open(path, "w") as file:
            file.write(content)
        compiler = os.environ.get("CXX", "g++")
        self.run_program([compiler, "-std=c++20", "-fsyntax-only", "-I" + os.path.join(ROOT, "include"), path], folder)

    def check_sh(self, content, expected, folder):
        output = ""
        with open(os.path.join(ROOT, "dev")) as file:
            verbs = set(re.findall(r"^#: (\w+)", file.read(), re.MULTILINE))
        for line in content.splitlines():
            words = line.split("#")[0].split()
            if words[:1] == ["glim"] and words[-1] == "&":
                self.start_node(" ".join(words[:-1]), folder)
            elif words[:1] == ["glim"]:
                output += self.run_program(line, folder)
            elif words[:1] == ["./dev"]:
                self.assertIn((words + [""])[1], verbs, line)
            else:
                self.fail(f"a line that nobody checks: {line}")
        if expected is not None:
            self.assertEqual(output, expected)

    def test_every_block_does_what_the_text_says(self):
        for name in documents():
            with open(os.path.join(ROOT, name)) as file:
                text = file.read()
            self.assertEqual(len(re.findall(r"^\s*```", text, re.MULTILINE)), 2 * len(_FENCE.findall(text)), f"{name}: a fence is not closed, or indented")
            with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as at_end:
                at_end.callback(self.stop_nodes)
                self.datasets = os.path.join(folder, "datasets")
                for kind, content, line, expected in blocks(text):
                    with self.subTest(f"{name}:{line}"):
                        if kind == "lua":
                            self.check_lua(content, expected, folder)
                        elif kind == "cpp":
                            self.check_cpp(content, folder)
                        elif kind == "sh":
                            self.check_sh(content, expected, folder)
                        else:
                            self.fail(f"a block of kind \"{kind}\", which nobody checks")


if __name__ == "__main__":
    sys.exit(unittest.main())
