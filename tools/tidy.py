#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small rules that a machine can keep, so that reviews can speak of larger things.

Source files (C++, Python, shell, Lua, CMake):
  licence    the SPDX line stands first (second after #!)
  ascii      ASCII only; bytes of other languages are written as escapes
  unfinished no to-do marks: finish it, or describe it in an issue
  length     at most 900 lines; a longer file holds two things
  blanks     no blank at the end of a line, no tab in C++, Python and Lua, a newline at the end of the file
C++:
  essay      a header opens with a comment that says what it holds
  once       a header has #pragma once
  throw      no throw in src/ and include/: failures are a Status
  assert     no assert(: use CHECK, which stays on in production
All files:
  size       nothing above 1 MB in the repository
Documents (*.md):
  link       a relative link leads to a file, and to a heading of it
  name       a file or folder named in ARCHITECTURE.md exists

A line with a reason to differ from throw or assert says `// allow(throw): reason`, on itself or on the line above.
"""

import os
import re
import sys

from source import Problem, allowed, code_only, is_cxx, is_test_code, run

LICENCE = "SPDX-License-Identifier: Apache-2.0"
LINES_MAX = 900
BYTES_MAX = 1000 * 1000

_COMMENT = {".h": "//", ".cc": "//", ".c": "//", ".py": "#", ".sh": "#", ".cmake": "#", ".lua": "--", ".toml": "#"}
_NAMED = {"CMakeLists.txt": "#", "dev": "#", ".ci/run": "#"}
_UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX)\b")
_THROW = re.compile(r"\bthrow\b")
_ASSERT = re.compile(r"\bassert\s*\(|<cassert>|<assert\.h>")
_NAME_IN_TEXT = re.compile(r"`([\w.{},*/-]+)`")
_EXTENSIONS = (".h", ".cc", ".py", ".sh", ".lua", ".md", ".txt", ".cmake", ".toml")


def problems(tree):
    for path in tree.paths():
        size = os.path.getsize(tree.full(path))
        if size > BYTES_MAX:
            yield Problem(path, 0, f"is {size} bytes; nothing above {BYTES_MAX} goes into the repository (compress it, or make it)")
            continue
        if _comment_of(path):
            yield from _source_problems(tree, path)
        if is_cxx(path):
            yield from _cxx_problems(tree, path)
        if path.endswith(".md"):
            yield from _link_problems(tree, path)
        if path == "ARCHITECTURE.md":
            yield from _name_problems(tree, path)


def _comment_of(path):
    if "/testdata/" in path:
        return None
    return _NAMED.get(path) or _NAMED.get(os.path.basename(path) if path.endswith("CMakeLists.txt") else path) \
        or _COMMENT.get(os.path.splitext(path)[1])


def _source_problems(tree, path):
    text = tree.read(path)
    lines = text.split("\n")
    first = lines[1] if lines[0].startswith("#!") and len(lines) > 1 else lines[0]
    wanted = f"{_comment_of(path)} {LICENCE}"
    if first != wanted:
        yield Problem(path, 1, f"the first line is not the licence; write `{wanted}`")
    if not text.endswith("\n"):
        yield Problem(path, len(lines), "the last line has no newline")
    if len(lines) - 1 > LINES_MAX:
        yield Problem(path, 0, f"has {len(lines) - 1} lines, more than {LINES_MAX}; which two things does it hold?")
    tabs = path.endswith((".h", ".cc", ".py", ".lua"))
    for number, line in enumerate(lines, 1):
        if not line.isascii():
            column = next(i for i, c in enumerate(line) if ord(c) > 127)
            yield Problem(path, number, f"column {column + 1} is not ASCII; write it as an escape, or in other words")
        if _UNFINISHED.search(line):
            yield Problem(path, number, "a to-do mark; finish it, or describe it in an issue and take the mark out")
        if line != line.rstrip():
            yield Problem(path, number, "blanks at the end of the line")
        if tabs and "\t" in line:
            yield Problem(path, number, "a tab; write blanks, or \\t in a literal")


def _cxx_problems(tree, path):
    text = tree.read(path)
    code = code_only(text)
    if path.endswith(".h"):
        essay = re.match(r"//[^\n]*\n//\n((?://[^\n]*\n)+)", text)
        if not essay or len(re.findall(r"\w+", essay.group(1))) < 5:
            yield Problem(path, 1, "after the licence and an empty `//`, say what this header holds, why so, and who may call it")
        if not re.search(r"^#pragma once$", code, re.MULTILINE):
            yield Problem(path, 1, "a header has #pragma once")
    excused = allowed(text)
    ours = path.startswith(("src/", "include/")) and not is_test_code(path)
    for number, line in enumerate(code.split("\n"), 1):
        excuse = excused.get(number, ())
        if ours and _THROW.search(line) and "throw" not in excuse:
            yield Problem(path, number, "throw; return a Status (at a door where others' code expects it: `// allow(throw): reason`)")
        if _ASSERT.search(line) and "assert" not in excuse:
            yield Problem(path, number, "assert; CHECK says more and stays on in production")


def _link_problems(tree, path):
    text = re.sub(r"^```.*?^```", lambda m: re.sub(r"[^\n]", " ", m.group()), tree.read(path), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`\n]*`", lambda m: " " * len(m.group()), text)
    for match in re.finditer(r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)|^\[[^\]]+\]:\s+(\S+)", text, re.MULTILINE):
        target = match.group(1) or match.group(2)
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        line = text.count("\n", 0, match.start()) + 1
        file, _, anchor = target.partition("#")
        full = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
        if file.startswith("/") or full.startswith("..") or not tree.exists(full):
            yield Problem(path, line, f"the link {target} leads nowhere")
        elif anchor and full.endswith(".md") and anchor not in _anchors(tree.read(full)):
            yield Problem(path, line, f"{full} has no heading for the link #{anchor}")


def _anchors(text):
    """The anchors that the headings of a document get: lower case, no punctuation, blanks as hyphens."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    found = set()
    for heading in re.findall(r"^#+\s+(.*?)\s*#*$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        count = sum(1 for a in found if re.fullmatch(re.escape(anchor) + r"(-\d+)?", a))
        found.add(f"{anchor}-{count}" if anchor in found else anchor)
    return found


def _name_problems(tree, path):
    """`folder/file.cc` is looked for in the root, src/ and include/, a name without folder everywhere; a.{h,cc} means both."""
    text = tree.read(path)
    basenames = {os.path.basename(p) for p in tree.paths()}
    for match in _NAME_IN_TEXT.finditer(text):
        name = match.group(1)
        if not ("/" in name and (name.endswith("/") or "." in os.path.basename(name))) and not name.endswith(_EXTENSIONS):
            continue
        line = text.count("\n", 0, match.start()) + 1
        for one in _braces(name):
            if "*" in one:
                pattern = re.compile(re.escape(one).replace(r"\*", "[^/]*"))
                there = any(pattern.fullmatch(p) or pattern.fullmatch(re.sub(r"^(src|include)/", "", p)) for p in tree.paths())
            elif "/" in one.rstrip("/") or one.endswith("/"):
                there = any(tree.exists(os.path.join(base, one)) for base in ("", "src", "include"))
            else:
                there = one in basenames
            if not there:
                yield Problem(path, line, f"`{one}` does not exist")


def _braces(name):
    match = re.search(r"\{([^{}]*)\}", name)
    if not match:
        return [name]
    return [n for part in match.group(1).split(",") for n in _braces(name[:match.start()] + part + name[match.end():])]


if __name__ == "__main__":
    sys.exit(run(problems))
