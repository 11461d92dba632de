#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each header compiles alone, so that nobody has to know what to include before it.

A header that a source file includes before anything else is compiled alone by the build. Any other is compiled here as the only include of an
empty file (1 to 3 s each). What was good is remembered in build/headers.json under
a hash of the compiler, its flags and every project file that the compilation read; a second run compiles only what changed.
Include paths of libraries come from the pkg_check_modules lines of CMakeLists.txt.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile

from source import Problem, run

CACHE = "build/headers.json"


def problems(tree, jobs=2, compiler=None):
    compiler = compiler or os.environ.get("CXX", "g++")
    flags = ["-std=c++20", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Iinclude", "-Isrc"] + _library_flags(tree)
    first = _first_includes(tree)
    headers = [p for p in tree.paths()
               if p.endswith(".h") and p.startswith(("include/", "src/")) and re.sub(r"^(include|src)/", "", p) not in first]
    version = subprocess.run([compiler, "--version"], stdout=subprocess.PIPE, check=True).stdout
    salt = version + "\0".join(flags).encode()
    good = _load(tree)
    todo = [h for h in headers if h not in good or _key(tree, salt, good[h]["reads"]) != good[h]["key"]]

    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
        results = list(pool.map(lambda h: _compile(tree, compiler, flags, h), todo))
    found = []
    for header, (reads, error) in zip(todo, results):
        if error:
            good.pop(header, None)
            found.append(Problem(header, 0, "does not compile alone; include what it uses:\n" + error))
        else:
            good[header] = {"reads": reads, "key": _key(tree, salt, reads)}
    _save(tree, {h: good[h] for h in headers if h in good})
    return found


def _first_includes(tree):
    """What the build's source files include first, by the name that stands there."""
    firsts = set()
    for path in tree.paths():
        if path.startswith("src/") and path.endswith(".cc"):
            include = re.search(r"(?m)^#include (.*)$", tree.read(path))
            if include and include.group(1).startswith('"'):
                firsts.add(include.group(1).strip('"'))
    return firsts


def _compile(tree, compiler, flags, header):
    """(project files read, None) or (None, what the compiler said)."""
    name = re.sub(r"^(include|src)/", "", header)
    with tempfile.TemporaryDirectory() as scratch:
        deps = os.path.join(scratch, "deps")
        done = subprocess.run(
            [compiler, *flags, "-fsyntax-only", "-MMD", "-MF", deps, "-MT", "x", "-x", "c++", "-"],
            cwd=tree.root, input=f'#include "{name}"\n', text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        # A warning is not an error here, but it is one that every user of the header would see.
        if done.returncode != 0 or done.stdout:
            return None, "\n".join(done.stdout.splitlines()[:12])
        with open(deps, encoding="utf-8") as file:
            words = file.read().replace("\\\n", " ").split()[1:]
    return sorted({w for w in words if w.startswith(("include/", "src/"))} | {header}), None


def _key(tree, salt, reads):
    digest = hashlib.sha256(salt)
    for path in reads:
        try:
            with open(tree.full(path), "rb") as file:
                digest.update(path.encode() + b"\0" + hashlib.sha256(file.read()).digest())
        except OSError:
            return None
    return digest.hexdigest()


def _library_flags(tree):
    """What pkg-config says of the libraries that CMakeLists.txt finds by it."""
    if not tree.exists("CMakeLists.txt"):
        return []
    modules = re.findall(r"pkg_check_modules\(\w+ (?:REQUIRED )?IMPORTED_TARGET ([\w.+-]+)\)", tree.read("CMakeLists.txt"))
    flags = []
    for module in modules:
        asked = subprocess.run(["pkg-config", "--cflags", module], stdout=subprocess.PIPE, text=True, check=False)
        flags += [f for f in asked.stdout.split() if f not in flags]
    return flags


def _load(tree):
    try:
        with open(tree.full(CACHE), encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def _save(tree, good):
    os.makedirs(os.path.dirname(tree.full(CACHE)), exist_ok=True)
    scratch = tree.full(CACHE) + ".part"
    with open(scratch, "w", encoding="utf-8") as file:
        json.dump(good, file, indent=1, sort_keys=True)
    os.replace(scratch, tree.full(CACHE))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--jobs", type=int, default=2)
    options = arguments.parse_args()
    sys.exit(run(lambda tree: problems(tree, options.jobs)))
