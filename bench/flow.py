#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What flows cost, beside a hand-written program, GNU sort, mawk, and with --peers DuckDB and Polars.

    ./dev bench flow [--peers] [--only WORK,...] [--mb 200] [--rows 2000000] [--rounds 5] [--threads 2] [--results bench/results]

Inputs are made once and kept in build/bench; DuckDB and Polars go into a virtual environment in build/peers. The programs of a work run in turn,
and their answers are compared before any time counts. Results go to flow.json, flow.md and flow.svg in the folder of --results; those of
works that are not asked for stay as they are. Limits of memory are in the proportion to the input that 256 MB have to 1 GB of records, and 512
MB to two files of 10 M rows.
"""
import argparse
import dataclasses
import os
import shutil
import subprocess
import sys
import venv

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
import inputs  # noqa: E402
import report  # noqa: E402
from in_turn import BUILD, Program, print_table, run  # noqa: E402

PEERS = ("duckdb", "polars")
HEADING = """# What flows cost

Made by `./dev bench flow`; the marks are those of the project's plan, for 2 cores. Losing cases stay in. All answers of a work were equal.

![chart](flow.svg)
"""


@dataclasses.dataclass
class Work:
    title: str
    programs: list           # The first is what ratios are to.
    marks: list              # (program, at most so many times, program), or (program, at most so many seconds)
    ordered: bool = False    # The answer's rows have an order.
    amount: float = 0        # What each program does, of `unit`.
    unit: str = ""
    gains: list = dataclasses.field(default_factory=list)  # (program, itself with one thread); the first is the mark of the others.


def answer(path, ordered):
    """Something that equal answers share: of rows in any order, their number and the sum of their hashes."""
    count = total = 0
    with open(path, "rb") as file:
        for line in file:
            count += 1
            total += hash((count, line) if ordered else line)
    return count, total


class Bench:
    def __init__(self, options):
        self.options = options
        self.threads = str(options.threads)
        self.out = os.path.join(inputs.FOLDER, "out")
        self.python = self.install_peers() if options.peers else None

    @staticmethod
    def install_peers():
        folder = os.path.join("build", "peers")
        python = os.path.join(folder, "bin", "python")
        if not os.path.exists(python):
            venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PEERS], check=True)
        return python

    # ---- programs ----

    def glim(self, name, script, *arguments, options=(), threads=None, writes=True):
        command = [os.path.join(BUILD, "glim"), "run", "--threads", threads or self.threads, *options, script]
        return Program(name, [*command, *([self.out] if writes else []), *arguments], writes=self.out if writes else "")

    def peers(self, work, *files, memory=0):
        if not self.python:
            return []
        return [Program({"duckdb": "DuckDB", "polars": "Polars"}[peer],
                        [self.python, "bench/flow/peers.py", peer, work, self.threads, str(memory), self.out, *files], writes=self.out,
                        may_fail=memory > 0)
                for peer in PEERS if not (memory and peer == "polars")]

    def gnu_sort(self, file, memory):
        return Program("GNU sort", ["sort", "--parallel", self.threads, "-S", memory, "-o", self.out, file], {"LC_ALL": "C"}, writes=self.out)

    def mawk(self, script, file):
        return [Program("mawk", ["mawk", script, file], {"LC_ALL": "C"})] if shutil.which("mawk") else []

    # ---- works ----

    def words(self, text, kind, what):
        def by_hand(threads):
            return Program(f"by hand, {threads} threads" if threads != "1" else "by hand, 1 thread",
                           [os.path.join(BUILD, "wordcount_by_hand"), threads, text])
        cpp = os.path.join(BUILD, "wordcount_bench")
        lua = "examples/wordcount.lua"
        awk = r"""{ gsub(/[^A-Za-z0-9]+/, " "); for (i = 1; i <= NF; ++i) ++n[$i] } END { for (w in n) print w "," n[w] }"""
        programs = [by_hand(self.threads), Program("Glim, C++ functions", [cpp, "--threads", self.threads, text]),
                    self.glim("Glim, Lua functions", lua, text, writes=False),
                    by_hand("1"), Program("Glim, C++ functions, 1 thread", [cpp, "--threads", "1", text]),
                    self.glim("Glim, Lua functions, 1 thread", lua, text, threads="1", writes=False),
                    *self.peers(kind, text)]
        if self.options.mb <= 200:  # It takes more than a minute for a gigabyte.
            programs += self.mawk(awk, text)
        marks = [("Glim, C++ functions", 1.25, programs[0].name), ("Glim, Lua functions", 1.4, programs[0].name)]
        marks += [("Glim, Lua functions", 1, peer) for peer in ("DuckDB", "Polars")]
        gains = [("Glim, C++ functions", "Glim, C++ functions, 1 thread"), ("Glim, Lua functions", "Glim, Lua functions, 1 thread")]
        return Work(f"word count, {self.options.mb} MB of {what}", programs, marks, gains=[(programs[0].name, programs[3].name), *gains])

    def work_words(self):
        return self.words(inputs.zipf_text(self.options.mb), "words", "generated text")

    def work_real_words(self):
        return self.words(inputs.machine_text(self.options.mb), "words-any", "C headers")

    def work_sort(self, memory=0):
        rows = self.options.rows
        file = inputs.records(rows)
        limit = max(16, rows * 256 // 10_000_000) if memory else 0
        options = ["--memory", f"{limit}M"] if limit else []
        programs = [self.glim("Glim", "bench/flow/sort.lua", file, options=options), self.gnu_sort(file, f"{limit}M" if limit else "60%"),
                    *self.peers("sort", file, memory=limit)]
        marks = [("Glim", 1, program.name) for program in programs[1:]]
        return Work(f"sort, {rows:,} lines of 100 bytes" + (f", within {limit} MB" if limit else ""), programs, marks, ordered=True)

    def work_sort_limited(self):
        return self.work_sort(memory=1)

    def work_join(self, memory=0):
        rows = self.options.rows
        files = inputs.join_sides(rows)
        limit = max(32, rows * 512 // 10_000_000) if memory else 0
        options = ["--memory", f"{limit}M"] if limit else []
        programs = [self.glim("Glim", "bench/flow/join.lua", *files, options=options), *self.peers("join", *files, memory=limit)]
        return Work(f"join of two CSV files of {rows:,} rows, result written" + (f", within {limit} MB" if limit else ""), programs,
                    [("Glim", 1 if limit else 0.6, "DuckDB")])

    def work_join_limited(self):
        return self.work_join(memory=1)

    def work_group_few(self, count=1000):
        rows = self.options.rows
        file = inputs.groups(rows, count)
        awk = r"""BEGIN { FS = "," } { s[$1] += $2 } END { for (k in s) print k "," s[k] }"""
        programs = [self.glim("Glim", "bench/flow/group.lua", file), *self.peers("group", file), *self.mawk(awk, file)]
        return Work(f"group by and sum, {rows:,} rows of CSV, {count:,} groups", programs, [("Glim", 1, peer) for peer in ("DuckDB", "Polars")])

    def work_group_many(self):
        return self.work_group_few(self.options.rows // 2)

    def work_json(self):
        rows = self.options.rows // 2
        file = inputs.events(rows)
        programs = [self.glim("Glim", "bench/flow/json.lua", file), *self.peers("json", file)]
        return Work(f"JSON lines, {os.path.getsize(file) // 1_000_000} MB, filter and project", programs, [("Glim", 1, "DuckDB")])

    def work_pipe(self):
        file = inputs.zipf_text(self.options.mb)
        cat = Program("cat to cat, in sh", ["sh", "-c", f"cat '{file}' | cat"])
        return Work(f'{self.options.mb} MB of lines through Pipe("cat")', [cat, self.glim("Glim", "bench/flow/pipe.lua", file)],
                    [("Glim", self.options.mb / 600)], amount=self.options.mb, unit="MB/s")

    def work_processes(self):
        count = 3000
        shell = Program("sh, a loop", ["sh", "-c", f"for i in $(seq {count}); do sh -c 'echo $1' sh $i; done"])
        return Work(f"{count} processes of PipeAsArgs, two at a time", [shell, self.glim("Glim", "bench/flow/processes.lua", str(count), writes=False)],
                    [("Glim", count / 1500)], amount=count, unit="processes/s")

    def work_first_row(self):
        return Work("start of a process to its first row", [self.glim("Glim", "bench/flow/first_row.lua", writes=False), *self.peers("one")],
                    [("Glim", 0.02)])

    def work_tiny(self):
        return Work("1,000 flows of three rows and a ReduceBy, one process", [self.glim("Glim", "bench/flow/tiny.lua", "1000", writes=False)],
                    [("Glim", 1)])

    # ---- at work ----

    def command(self, name):
        return f"./dev bench flow --mb {self.options.mb} --rows {self.options.rows} --only {name}"

    def measure(self, name):
        if name == "linear":
            return self.measure_linear()
        work = getattr(self, "work_" + name)()
        answers = {}
        run(work.programs, self.options.rounds, lambda program, path: answers.update({program.name: answer(path, work.ordered)}))
        for program in work.programs:
            if not program.failure and answers[program.name] != answers[work.programs[0].name]:
                raise SystemExit(f"{name}: {program.name} answers otherwise than {work.programs[0].name}: {answers}")
        print_table(work.title, work.programs, work.programs[0], work.amount, work.unit)
        return {"title": work.title, "command": self.command(name), "rounds": self.options.rounds,
                "programs": [report.of_program(program) for program in work.programs], "marks": self.marks(work)}

    @staticmethod
    def marks(work):
        found = {program.name: program for program in work.programs}
        marks = []
        for program, most, *peers in work.marks:
            if not peers:
                seconds = found[program].median()
                done = f", {work.amount / seconds:,.0f} {work.unit}" if work.unit else ""
                marks.append({"text": f"{program}: {seconds:.3f} s{done} (mark: at most {most:.3g} s)", "met": seconds <= most})
                continue
            peer = peers[0]
            if peer in found and found[peer].failure:
                marks.append({"text": f"{program} against {peer}, which failed", "met": None})
            elif program in found and peer in found:
                times = found[program].median() / found[peer].median()
                marks.append({"text": f"{program}: {times:.2f} times the time of {peer} (mark: at most {most:g})", "met": times <= most})
        gains = [(program, found[alone].median() / found[program].median()) for program, alone in work.gains]
        for program, gain in gains[1:]:
            marks.append({"text": f"{program}: two threads are {gain:.2f} times as fast as one, {gains[0][0]} {gains[0][1]:.2f} (mark: 0.95 of that)",
                          "met": gain >= 0.95 * gains[0][1]})
        return marks

    def measure_linear(self):
        """Time per byte from 10 MB to all of --mb, less what it takes to start."""
        sizes = [size for size in (10, 100, 1000) if size < self.options.mb] + [self.options.mb]
        start = self.glim("Glim, no rows", "bench/flow/first_row.lua", writes=False)
        # Few words of a small file have been seen before: a part of what differs is the text's, and so by hand as well.
        texts = [(mb, inputs.machine_text(mb)) for mb in sizes]
        works = {
            "word count": [self.glim(f"Glim, word count, {mb} MB", "examples/wordcount.lua", file, writes=False) for mb, file in texts],
            "word count by hand": [Program(f"by hand, word count, {mb} MB", [os.path.join(BUILD, "wordcount_by_hand"), self.threads, file])
                                   for mb, file in texts],
            "sum by key": [self.glim(f"Glim, sum by key, {mb} MB", "bench/flow/group.lua", inputs.repeated_groups(mb)) for mb in sizes],
        }
        programs = [program for of_work in works.values() for program in of_work]
        run([start, *programs], self.options.rounds)
        title = f"word count of C headers and sums of 1,000 keys in CSV, {sizes[0]} to {sizes[-1]} MB"
        print_table(title, programs, programs[0])
        marks = []
        for work, of_work in works.items():
            started = start.median() if of_work[0].name.startswith("Glim") else 0
            per_mb = [(program.median() - started) / mb for program, mb in zip(of_work, sizes)]
            text = ", ".join(f"{1000 * seconds:.2f} ms/MB at {mb} MB" for seconds, mb in zip(per_mb, sizes))
            text = f"{work}: {text}; {max(per_mb) / min(per_mb):.2f} from the least to the most"
            marks.append({"text": text + (" (mark: within 1.5 of each other)" if started else ""),
                          "met": max(per_mb) <= 1.5 * min(per_mb) if started else None})
        return {"title": title, "command": self.command("linear"), "rounds": self.options.rounds,
                "programs": [report.of_program(program) for program in programs], "marks": marks}


def main():
    works = [name[len("work_"):] for name in vars(Bench) if name.startswith("work_")] + ["linear"]
    parser = argparse.ArgumentParser(description=__doc__ + "\nWorks: " + ", ".join(works) + ".", formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=lambda text: text.split(","), default=works)
    parser.add_argument("--mb", type=int, default=200, help="of text")
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peers", action="store_true", help="install and run DuckDB and Polars")
    parser.add_argument("--results", default=os.path.join("bench", "results"))
    options = parser.parse_args()
    if unknown := set(options.only) - set(works):
        parser.error(f"there is no work {', '.join(sorted(unknown))}; there are {', '.join(works)}")
    bench = Bench(options)
    results = report.read(os.path.join(options.results, "flow.json"))
    for name in options.only:
        results[name] = bench.measure(name)
        report.write(options.results, "flow", HEADING, {name: results[name] for name in works if name in results})


main()
