# SPDX-License-Identifier: Apache-2.0
"""What the checks share: which files there are, what a C++ line says without its comments, and how a problem is reported.

A check is a module with `problems(tree)`, which yields Problem values, and a `main()`; it reads files and changes nothing. Its test
plants a mistake in a temporary tree and expects to see it, so a check that went blind fails.
"""

import os
import re
import subprocess
import sys
from collections import namedtuple

# One finding: where, what is wrong, and what to do about it.
Problem = namedtuple("Problem", "path line text")

_NOT_OURS = {"build", "__pycache__"}
_ALLOW = re.compile(r"//\s*allow\((\w+)\):\s*\S+")


class Tree:
    """The files of one working tree, by path relative to its root."""

    def __init__(self, root):
        self.root = os.path.abspath(root)
        self._paths = None
        self._texts = {}

    def paths(self):
        """Files that git tracks or would track; without git, all but build/ and hidden folders."""
        if self._paths is None:
            self._paths = sorted(p for p in self._from_git() or self._walk() if os.path.isfile(self.full(p)))
        return self._paths

    def full(self, path):
        return os.path.join(self.root, path)

    def exists(self, path):
        return os.path.exists(self.full(path))

    def read(self, path):
        """The file's text; bytes that are not UTF-8 come back as surrogates."""
        if path not in self._texts:
            with open(self.full(path), encoding="utf-8", errors="surrogateescape", newline="") as file:
                self._texts[path] = file.read()
        return self._texts[path]

    def _from_git(self):
        if not os.path.exists(self.full(".git")):
            return None
        listing = subprocess.run(
            ["git", "-C", self.root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        if listing.returncode != 0:
            return None
        return [os.fsdecode(p) for p in listing.stdout.split(b"\0") if p]

    def _walk(self):
        found = []
        for folder, folders, files in os.walk(self.root):
            folders[:] = [f for f in folders if f not in _NOT_OURS and (f == ".ci" or not f.startswith("."))]
            found += [os.path.relpath(os.path.join(folder, f), self.root) for f in files]
        return found


def is_cxx(path):
    return path.endswith((".h", ".cc"))


def is_test_code(path):
    """Code that users never run: it may look at the real clock, write files, throw."""
    return path.endswith(("_test.cc", "_test.h", "_bench.cc", "_fuzz.cc")) or path.split("/")[0] in ("tests", "bench")


def allowed(text):
    """The rules that the comments of each line excuse: {line number: {rule}}. `// allow(RULE): reason` excuses its own line, or
    the next one when it stands alone."""
    rules = {}
    for number, line in enumerate(text.split("\n"), 1):
        for rule in _ALLOW.findall(line):
            alone = line.strip().startswith("//")
            rules.setdefault(number + 1 if alone else number, set()).add(rule)
    return rules


_TOKEN = re.compile(
    r'//[^\n]*'
    r'|/\*.*?\*/'
    r'|R"(?P<delimiter>[^()\\\s]{0,16})\(.*?\)(?P=delimiter)"'
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])*'",
    re.DOTALL)


def code_only(text):
    """The C++ text with comments and the insides of literals blanked, line by line as long as before. Include lines stay."""
    def blank(match):
        token = match.group()
        line_start = text.rfind("\n", 0, match.start()) + 1
        if token[0] == '"' and re.match(r"\s*#\s*include\b", text[line_start:match.start()]):
            return token
        return re.sub(r"[^\n]", " ", token) if token.startswith("/") else re.sub(r"[^\n]", "_", token)
    return _TOKEN.sub(blank, text)


def run(problems, root=None):
    """The main() of a check: prints what it finds, file:line first so that editors can jump there. Exit status 1 when any."""
    count = 0
    for problem in problems(Tree(root or os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))):
        where = f"{problem.path}:{problem.line}" if problem.line else problem.path
        print(f"{where}: {problem.text}", file=sys.stderr)
        count += 1
    return 1 if count else 0
