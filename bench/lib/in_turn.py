# SPDX-License-Identifier: Apache-2.0
"""Times whole programs in turn and prints medians, spreads and ratios: what the benchmarks here have in common.

One round runs every program once, so that a slow moment of the machine hits all of them; the first round only warms caches.
"""
import dataclasses
import os
import statistics
import subprocess
import tempfile
import time

BUILD = os.environ.get("GLIM_BUILD", "build/release")


@dataclasses.dataclass
class Program:
    name: str
    command: list
    env: dict = dataclasses.field(default_factory=dict)
    reads: str = ""   # Its standard input; "" for none.
    writes: str = ""  # Where its answer is: a file that it makes, or "" for its standard output, which goes to a file then.
    may_fail: bool = False  # In the first round; it is left out of the others then, and `failure` says why.
    failure: str = ""
    seconds: list = dataclasses.field(default_factory=list)
    processor_seconds: list = dataclasses.field(default_factory=list)
    peak_bytes: list = dataclasses.field(default_factory=list)  # Of the largest of its processes.

    def median(self):
        return statistics.median(self.seconds)

    def run(self, answer):
        """Once; its answer is in the file `answer` afterwards. Gives seconds, processor seconds and peak bytes."""
        with open(self.reads or os.devnull, "rb") as stdin, open(answer, "wb") as stdout, tempfile.TemporaryFile() as stderr:
            start = time.perf_counter()
            # Not subprocess.run: wait4 alone tells the memory of this child.
            child = subprocess.Popen(self.command, stdin=stdin, stdout=stdout, stderr=stderr, env={**os.environ, **self.env})
            _, status, used = os.wait4(child.pid, 0)
            seconds = time.perf_counter() - start
            child.returncode = os.waitstatus_to_exitcode(status)
            if child.returncode != 0:
                stderr.seek(0)
                self.failure = stderr.read().decode(errors="replace")[-1000:].strip() or f"exit code {child.returncode}"
                if not self.may_fail:
                    raise SystemExit(f"{self.name} failed: {self.failure}")
        if self.writes and not self.failure:
            os.replace(self.writes, answer)
        return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


def run(programs, rounds, check=None):
    """check(program, answer file) is called after the first round's run of each, before any time counts."""
    with tempfile.TemporaryDirectory(dir="build") as folder:
        answer = os.path.join(folder, "answer")
        for turn in range(rounds + 1):
            for program in programs:
                if program.failure:
                    continue
                seconds, processor, peak = program.run(answer)
                if turn == 0 and check and not program.failure:
                    check(program, answer)
                if turn > 0:
                    program.may_fail = False
                    program.seconds.append(seconds)
                    program.processor_seconds.append(processor)
                    program.peak_bytes.append(peak)


def print_table(title, programs, base, amount=0, unit=""):
    """Ratios are how many times faster than `base` (a Program) each is; `amount` of `unit` is done by each."""
    print(f"\n{title} (wall seconds, median of {len(base.seconds)} in turn)")
    print(f"{'':44} {'median':>8} {'min':>8} {'max':>8} {'cpu':>8} {'MB':>6} {'ratio':>7}" + (f" {unit:>14}" if unit else ""))
    for program in programs:
        if program.failure:
            print(f"{program.name:44} failed: {program.failure.splitlines()[-1][:100]}")
            continue
        median = program.median()
        line = (f"{program.name:44} {median:8.3f} {min(program.seconds):8.3f} {max(program.seconds):8.3f} "
                f"{statistics.median(program.processor_seconds):8.3f} {max(program.peak_bytes) / 1e6:6.0f} {base.median() / median:7.2f}")
        print(line + (f" {amount / median:14.1f}" if unit else ""), flush=True)
