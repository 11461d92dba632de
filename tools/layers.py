#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who may include whom, and who may call the system.

Each folder of src/ has a rank; it includes itself and folders of lower rank, nothing else, so that a folder can be read, built and
tested without the ones above it. A public header (include/glim/) counts as part of the folder that implements it. The CMake line
of a folder (glim_folder(NAME USES ...)) must name what it includes, or something that uses it in turn.

Only src/env/posix touches the operating system; whoever needs the clock, files, processes or dice asks env, so that a test can
hand out its own. src/app, tests and benchmarks are free to. A line with a reason to differ says `// allow(system): reason`.

A new folder or public header is entered in the tables below.
"""

import os
import re
import sys

from source import Problem, allowed, code_only, is_cxx, is_test_code, run

RANKS = {
    "base": 0,
    "env": 1,
    "batch": 2, "partition": 2,
    "net": 3, "spill": 3,
    "flow": 4, "udf": 4, "io": 4, "table": 4,
    "plan": 5, "exchange": 5, "param": 5,
    "ops": 6,
    "exec": 7,
    "cluster": 8,
    "engine": 9,
    "client": 10, "learn": 10, "web": 10,
    "script": 11,  # The Lua module `glim` that job scripts see.
    "app": 12,
}

# include/glim/NAME.h belongs to this folder.
PUBLIC_HEADERS = {
    "hash": "base",
    "status": "base",
    "text": "base",
    "value": "batch",
    "batch": "batch",
    "sources": "batch",  # Plain data, which flow and io both speak.
    "sinks": "batch",
    "batch_builder": "batch",
    "channel": "batch",
    "folds": "batch",
    "side_table": "batch",
    "files": "udf",
    "udf": "udf",
    "native": "udf",
    "flow": "flow",
    "partitioner": "table",
    "table_spec": "table",
    "future": "param",
    "table": "param",
    "session": "client",
    "training": "client",
    "glim": "client",
}

# Headers by which a program talks to the kernel, or to a file behind env's back.
_SYSTEM_HEADERS = re.compile(
    r"(sys|netinet|arpa|net|linux|asm)/.*|"
    r"(unistd|fcntl|poll|signal|pthread|dlfcn|netdb|dirent|termios|spawn|sched|glob|ftw|pwd|grp|syslog|ifaddrs|semaphore|mqueue|"
    r"aio|utime|ucontext|setjmp|execinfo)\.h|"
    r"csignal|csetjmp|filesystem|fstream")

# Calls by which it reads the clock, sleeps, throws dice or starts processes: pattern, what it is, what to use instead.
_SYSTEM_CALLS = [
    (re.compile(r"\b(?:system|steady|high_resolution|utc|file)_clock\s*::\s*now\b|\w*[Cc]lock\s*::\s*now\s*\("),
     "reads the clock", "take the time from env's clock"),
    (re.compile(r"\bstd\s*::\s*time\s*\(|(?<![\w:.>])time\s*\(\s*(?:NULL|nullptr|0|&\w+)\s*\)|\b(?:clock_)?gettime(?:ofday)?\s*\("),
     "reads the clock", "take the time from env's clock"),
    (re.compile(r"\bthis_thread\s*::\s*sleep_(?:for|until)\b|(?<![\w:.>])(?:u|nano)?sleep\s*\("),
     "sleeps", "wait on env's clock"),
    (re.compile(r"\brandom_device\b|(?<![\w:.>])(?:std\s*::\s*)?s?rand\s*\(|\bgetrandom\s*\("),
     "throws dice", "take random numbers from env"),
    (re.compile(r"(?<![\w.>])(?:std\s*::\s*)?(?:secure_)?getenv\s*\(|(?<![\w:.>])(?:set|unset|put)env\s*\("),
     "reads the environment", "let app/ read it and pass it down"),
    (re.compile(r"(?<![\w:.>])(?:v?fork|popen|posix_spawnp?|exec[lv]p?e?)\s*\(|(?<![\w.>])(?:std\s*::\s*|::\s*)?system\s*\("),
     "starts a process", "start it through env"),
    (re.compile(r"(?<![\w.>])(?:std\s*::\s*)?(?:fopen|freopen|tmpfile)\s*\("),
     "opens a file", "open it through env"),
]

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^">\n]+)[">]', re.MULTILINE)
_CMAKE_FOLDER = re.compile(r"^\s*glim_folder\(\s*(\w+)([^)]*)\)", re.MULTILINE)


def folder_of(path):
    """The folder of src/ that a file counts as, None for files outside (tests/, bench/, examples/)."""
    parts = path.split("/")
    if parts[0] == "src" and len(parts) > 2:
        return parts[1]
    if path.startswith("include/glim/"):
        return PUBLIC_HEADERS.get(path[len("include/glim/"):-len(".h")])
    return None


def problems(tree):
    uses = _cmake_uses(tree)
    yield from _cmake_problems(uses)
    for path in tree.paths():
        if not is_cxx(path) or path.split("/")[0] not in ("src", "include", "tests", "bench", "examples", "sim"):
            continue
        text = tree.read(path)
        code = code_only(text)
        yield from _include_problems(tree, path, code, uses)
        if _may_not_call_system(path):
            yield from _system_problems(path, text, code)


def _include_problems(tree, path, code, uses):
    top, mine = path.split("/")[0], folder_of(path)
    if top == "include" and mine is None:
        yield Problem(path, 1, "this public header is in no folder's name; add it to PUBLIC_HEADERS in tools/layers.py")
        return
    if top == "src" and mine is None:
        yield Problem(path, 1, "a source file lives in a folder of src/, not in src/ itself")
        return
    if top == "src" and mine not in RANKS:
        yield Problem(path, 1, f"folder {mine} has no rank; add it to RANKS in tools/layers.py")
        return

    for match in _INCLUDE.finditer(code):
        quote, name = match.groups()
        line = code.count("\n", 0, match.start(1)) + 1
        target = "include/" + name if name.startswith("glim/") else "src/" + name
        if quote == "<" and not name.startswith("glim/"):
            continue
        if not tree.exists(target):
            if top in ("tests", "bench", "sim", "examples") and (tree.exists(name) or tree.exists(f"{os.path.dirname(path)}/{name}")):
                continue
            yield Problem(path, line, f'"{name}" is neither in src/ nor in include/; write includes from there, as "folder/file.h"')
            continue
        theirs = folder_of(target)
        if theirs is None:
            if target.startswith("include/"):  # Reported at the header itself.
                continue
            yield Problem(path, line, f'"{name}" lives in no folder of src/')
        elif top == "examples" and target.startswith("src/"):
            yield Problem(path, line, f'examples show what users can do: include public headers ("glim/..."), not "{name}"')
        elif mine is not None and theirs in RANKS:
            yield from _rank_problems(path, line, name, target, mine, theirs, uses)


def _rank_problems(path, line, name, target, mine, theirs, uses):
    if path.startswith("include/"):
        if target.startswith("src/"):
            yield Problem(path, line, f'a public header includes public headers only, not "{name}"')
        elif RANKS[theirs] > RANKS[mine]:
            yield Problem(path, line, f'"{name}" belongs to {theirs} (rank {RANKS[theirs]}), above {mine} (rank {RANKS[mine]}); '
                          "declare the name instead, or move the code up")
        return
    same_rank_ok = path.endswith("_test.cc")
    if theirs != mine and (RANKS[theirs] > RANKS[mine] or RANKS[theirs] == RANKS[mine] and not same_rank_ok):
        yield Problem(path, line, f'{mine} (rank {RANKS[mine]}) includes "{name}" of {theirs} (rank {RANKS[theirs]}); a folder '
                      "includes only itself and folders of lower rank: move the code, or hand it in from above")
    elif theirs != mine and not path.endswith("_test.cc") and mine in uses and theirs not in _closure(mine, uses):
        yield Problem(path, line, f'{mine} includes "{name}", but its line in CMakeLists.txt does not say so; add {theirs} '
                      f"to USES of glim_folder({mine} ...)")


def _may_not_call_system(path):
    return path.split("/")[0] in ("src", "include", "sim") and not path.startswith(("src/env/posix/", "src/app/")) \
        and not is_test_code(path)


def _system_problems(path, text, code):
    excused = allowed(text)
    for number, line in enumerate(code.split("\n"), 1):
        if "system" in excused.get(number, ()):
            continue
        include = _INCLUDE.match(line)
        if include and include.group(1) == "<" and _SYSTEM_HEADERS.fullmatch(include.group(2)):
            yield Problem(path, number, f"only src/env/posix includes <{include.group(2)}>; ask env for what it gives")
        for pattern, what, instead in _SYSTEM_CALLS:
            match = pattern.search(line)
            if match:
                yield Problem(path, number, f"`{match.group().strip()}` {what}, which only src/env/posix does; {instead}")


def _cmake_uses(tree):
    """{folder: the folders that its glim_folder line names}."""
    if not tree.exists("CMakeLists.txt"):
        return {}
    text = re.sub(r"#[^\n]*", "", tree.read("CMakeLists.txt"))
    uses = {}
    for name, arguments in _CMAKE_FOLDER.findall(text):
        words = re.split(r"\bLINKS\b", arguments)[0].split()
        uses[name] = [w for w in words if w != "USES"]
    return uses


def _cmake_problems(uses):
    for name, used in uses.items():
        if name not in RANKS:
            yield Problem("CMakeLists.txt", 0, f"folder {name} has no rank; add it to RANKS in tools/layers.py")
            continue
        for other in used:
            if other not in RANKS or RANKS[other] >= RANKS[name]:
                yield Problem("CMakeLists.txt", 0, f"glim_folder({name} ...) uses {other}, which is not of lower rank")


def _closure(name, uses):
    seen, todo = set(), [name]
    while todo:
        for other in uses.get(todo.pop(), ()):
            if other not in seen:
                seen.add(other)
                todo.append(other)
    return seen


if __name__ == "__main__":
    sys.exit(run(problems))
