#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Word count of real text: Glim with C++ and with Lua functions, beside one mawk and `tr | sort | uniq -c`.

    ./dev bench wordcount [--mb 200] [--rounds 5] [--threads N]

The text is this machine's C headers, repeated to the size. All answers are compared before anything is printed.
"""
import argparse
import os
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from in_turn import BUILD, Program, print_table, run  # noqa: E402


def make_text(path, size):
    pieces = []
    for folder, _, names in sorted(os.walk("/usr/include")):
        for name in sorted(names):
            with open(os.path.join(folder, name), "rb") as file:
                pieces.append(file.read())
            if pieces[-1] and not pieces[-1].endswith(b"\n"):
                pieces.append(b"\n")
    text = b"".join(pieces)
    with open(path, "wb") as file:
        while file.tell() < size:
            file.write(text[:size - file.tell()])


def counts(output):
    """{word: count} from lines of `word,count`, `word count` or uniq's `count word`."""
    found = {}
    for line in output.decode(errors="surrogateescape").splitlines():
        first, last = line.replace(",", " ").split()
        word, count = (last, first) if line.startswith(" ") else (first, last)
        found[word] = int(count)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="of Glim; 0: all cores")
    options = parser.parse_args()
    threads = ["--threads", str(options.threads)] if options.threads else []
    with tempfile.TemporaryDirectory() as folder:
        text = os.path.join(folder, "text")
        make_text(text, options.mb * 1_000_000)
        glim = [os.path.join(BUILD, "glim"), "run", *threads]
        one_thread = [os.path.join(BUILD, "glim"), "run", "--threads", "1"]
        programs = [
            Program("Glim, C++ functions", [os.path.join(BUILD, "wordcount_bench"), *threads, text]),
            Program("Glim, Lua functions", [*glim, "examples/wordcount.lua", text]),
            Program("Glim, Lua functions, one thread", [*one_thread, "examples/wordcount.lua", text]),
            Program("Glim, Lua functions, --lua=plain", [*glim, "--lua=plain", "examples/wordcount.lua", text]),
        ]
        shell = {"LC_ALL": "C"}
        awk = r"""{ gsub(/[^A-Za-z0-9]+/, " "); for (i = 1; i <= NF; ++i) ++n[$i] } END { for (w in n) print w, n[w] }"""
        if shutil.which("mawk"):
            programs.append(Program("mawk", ["mawk", awk, text], shell))
        pipeline = f"tr -cs A-Za-z0-9 '\\n' < '{text}' | grep . | sort | uniq -c"
        programs.append(Program("tr | sort | uniq -c", ["sh", "-c", pipeline], shell))
        run(programs, options.rounds)
        wanted = counts(programs[0].output)
        for program in programs:
            if counts(program.output) != wanted:
                raise SystemExit(f"{program.name} counts otherwise than {programs[0].name}")
        base = next((program for program in programs if program.name == "mawk"), programs[-1])
        print_table(f"Word count of {options.mb} MB, {len(wanted)} different words", programs, base, options.mb, "MB/s")


main()
