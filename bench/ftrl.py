#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Logistic regression with FTRL, from text to weights: examples/a9a in C++ and Lua, beside Vowpal Wabbit.

    ./dev bench ftrl [--rows 1000000] [--rounds 5] [--peers]

The text is a9a repeated to the number of rows, in the order of the file. --peers installs Vowpal Wabbit (pip, into a virtual environment in
build/) and runs it with the same rule; its own test part's log-loss is printed too. Rows per second count whole processes.
"""
import argparse
import lzma
import os
import re
import subprocess
import sys
import tempfile
import venv

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from in_turn import BUILD, Program, print_table, run  # noqa: E402

VOWPAL_WABBIT = "vowpalwabbit==9.11.9"
TRAIN_VW = """
import sys
from vowpalwabbit import Workspace
Workspace("--ftrl --ftrl_alpha 0.1 --ftrl_beta 1 --loss_function logistic -b 18 --quiet -d " + sys.argv[1]).finish()
"""


def peer_python():
    folder = os.path.join("build", "peers")
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(python):
        venv.create(folder, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", VOWPAL_WABBIT], check=True)
    return python


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = {}
        for name in ("a9a", "a9a.t"):
            paths[name] = os.path.join(folder, name)
            with lzma.open(f"examples/data/{name}.xz") as packed, open(paths[name], "wb") as file:
                file.write(packed.read())
        with open(paths["a9a"], "rb") as file:
            lines = file.read().splitlines(keepends=True)
        big = os.path.join(folder, "big")
        with open(big, "wb") as file, open(big + ".vw", "wb") as vw:
            for i in range(options.rows):
                line = lines[i % len(lines)]
                file.write(line)
                vw.write(line.replace(b" ", b" | ", 1))
        # Few test rows: what is measured is training.
        few = os.path.join(folder, "few")
        with open(few, "wb") as file:
            file.writelines(lines[:100])
        arguments = [big, few, "--seed", "0"]
        programs = []
        for threads in ("2", "1"):
            programs += [
                Program(f"Glim, C++, --threads {threads}", [os.path.join(BUILD, "example_a9a"), "--threads", threads, *arguments]),
                Program(f"Glim, Lua, --threads {threads}", [os.path.join(BUILD, "glim"), "run", "--threads", threads, "examples/a9a.lua", *arguments]),
            ]
        base = programs[2]
        if options.peers:
            python = peer_python()
            base = Program("Vowpal Wabbit, reading its own format", [python, "-c", TRAIN_VW, big + ".vw"])
            programs += [base, Program("(python, import vowpalwabbit)", [python, "-c", "import vowpalwabbit"])]
        run(programs, options.rounds)
        print_table(f"FTRL over {options.rows} rows of a9a, text to weights", programs, base, options.rows / 1e6, "M rows/s")
        for command in ([os.path.join(BUILD, "example_a9a")], [os.path.join(BUILD, "glim"), "run", "examples/a9a.lua"]):
            done = subprocess.run([*command, paths["a9a"], paths["a9a.t"]], capture_output=True, text=True, check=True)
            print("learned from one shuffled pass:", re.search(r"log-loss .*", done.stdout.splitlines()[-1]).group(0))


main()
