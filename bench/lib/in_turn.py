# SPDX-License-Identifier: Apache-2.0
"""Times whole programs in turn and prints medians, spreads and ratios: what the benchmarks here have in common.

One round runs every program once, so that a slow moment of the machine hits all of them; the first round only warms caches.
"""
import dataclasses
import os
import resource
import statistics
import subprocess
import time

BUILD = os.environ.get("GLIM_BUILD", "build/release")


@dataclasses.dataclass
class Program:
    name: str
    command: list
    env: dict = dataclasses.field(default_factory=dict)
    reads: str = ""  # Its standard input; "" for none.
    seconds: list = dataclasses.field(default_factory=list)
    processor_seconds: list = dataclasses.field(default_factory=list)
    output: bytes = b""


def children_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(programs, rounds):
    for turn in range(rounds + 1):
        for program in programs:
            with open(program.reads or os.devnull, "rb") as stdin:
                processor, start = children_seconds(), time.perf_counter()
                done = subprocess.run(program.command, stdin=stdin, capture_output=True, env={**os.environ, **program.env})
                seconds, processor = time.perf_counter() - start, children_seconds() - processor
            if done.returncode != 0:
                raise SystemExit(f"{program.name} failed: {done.stderr.decode(errors='replace')[-1000:]}")
            program.output = done.stdout
            if turn > 0:
                program.seconds.append(seconds)
                program.processor_seconds.append(processor)


def print_table(title, programs, base, amount=0, unit=""):
    """Ratios are how many times faster than `base` (a Program) each is; `amount` of `unit` is done by each."""
    print(f"\n{title} (wall seconds, median of {len(base.seconds)} in turn)")
    print(f"{'':44} {'median':>8} {'min':>8} {'max':>8} {'cpu':>8} {'ratio':>7}" + (f" {unit:>14}" if unit else ""))
    for program in programs:
        median = statistics.median(program.seconds)
        line = (f"{program.name:44} {median:8.3f} {min(program.seconds):8.3f} {max(program.seconds):8.3f} "
                f"{statistics.median(program.processor_seconds):8.3f} {statistics.median(base.seconds) / median:7.2f}")
        print(line + (f" {amount / median:14.1f}" if unit else ""))
