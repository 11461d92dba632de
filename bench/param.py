#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What tables on servers cost, beside what this machine can do in the same run.

    ./dev bench param [--rounds 5] [--results bench/results]

Results go to param.json, param.md and param.svg in the folder of --results.
"""
import argparse
import html
import json
import os
import statistics
import subprocess

BUILD = os.environ.get("GLIM_BUILD", os.path.join("build", "release"))
HEADING = """# What tables on servers cost

Made by `./dev bench param`: a master, two servers and a client in one process, each with its own loop, over loopback TCP or shared memory, on 2 cores, which all of them
share. The marks are those of the project's plan. Losing cases stay in.

![chart](param.svg)

| | median | lowest | highest | |
|---|---|---|---|---|
"""
# Name, words, unit.
ROWS = [
    ("probe_stream", "plain sockets, 1 MB at a time", "GB/s"),
    ("tcp_dense_shared", "Glim over TCP, pushes of a row of 1 MB, from where it lies", "GB/s"),
    ("tcp_dense", "the same, copied in the call", "GB/s"),
    ("probe_ring", "copies through a ring", "GB/s"),
    ("shm_dense_shared", "Glim over shared memory, pushes of a row of 1 MB, from where it lies", "GB/s"),
    ("shm_dense", "the same, copied in the call", "GB/s"),
    ("probe_ping_pong", "plain sockets, ping-pong of 64 bytes", "us"),
    ("tcp_one_key", "Glim over TCP, a thread pulls one key", "us"),
    ("shm_one_key", "Glim over shared memory, a thread pulls one key", "us"),
    ("pinned_probe_ping_pong", "plain sockets, ping-pong, all on one core", "us"),
    ("pinned_tcp_one_key", "Glim over TCP, one key, all on one core", "us"),
    ("pinned_shm_one_key", "Glim over shared memory, one key, all on one core", "us"),
    ("tcp_push_1", "Glim over TCP, pushes of 100,000 keys", "M keys/s"),
    ("tcp_pull_1", "Glim over TCP, pulls of 100,000 keys", "M keys/s"),
    ("shm_push_1", "Glim over shared memory, pushes of 100,000 keys", "M keys/s"),
    ("shm_pull_1", "Glim over shared memory, pulls of 100,000 keys", "M keys/s"),
    ("shm_push_2", "the same pushes to two replicas", "M keys/s"),
    ("shm_pull_2", "pulls of a table of two replicas", "M keys/s"),
    ("tcp_push_2", "pushes to two replicas over TCP", "M keys/s"),
    ("tcp_pull_2", "pulls of a table of two replicas over TCP", "M keys/s"),
]
# Words, what is measured, beside what (or None), the least (or, when negative, the most) that it may be.
MARKS = [
    ("dense pushes over TCP, of a TCP stream", "tcp_dense_shared", "probe_stream", 0.75),
    ("dense pushes over shared memory, of copies through a ring", "shm_dense_shared", "probe_ring", 0.6),
    ("one key over TCP, of a TCP ping-pong", "tcp_one_key", "probe_ping_pong", -2),
    ("one key over shared memory, of a TCP ping-pong", "shm_one_key", "probe_ping_pong", -2),
    ("one key over TCP, of a TCP ping-pong, all on one core", "pinned_tcp_one_key", "pinned_probe_ping_pong", -2),
    ("one key over shared memory, of a TCP ping-pong, all on one core", "pinned_shm_one_key", "pinned_probe_ping_pong", -2),
    ("sparse pushes over shared memory, M keys/s", "shm_push_1", None, 20),
    ("sparse pulls over shared memory, M keys/s", "shm_pull_1", None, 20),
    ("pushes to two replicas, of those to one", "shm_push_2", "shm_push_1", 0.45),
]


def measure(rounds):
    values = {}
    bench = [os.path.join(BUILD, "param_bench"), "--rounds", str(rounds)]
    # On one core no wake-up has to wait for another one to come out of its sleep, which takes what the kernel and chance make of it.
    core = {min(os.sched_getaffinity(0))}
    for prefix, options, pin in (("", [], None), ("pinned_", ["--only", "one_key"], lambda: os.sched_setaffinity(0, core))):
        output = subprocess.run(bench + options, check=True, capture_output=True, text=True, preexec_fn=pin).stdout
        for line in output.splitlines():
            name, value = line.split()
            values.setdefault(prefix + name, []).append(float(value))
    return {name: {"median": statistics.median(found), "min": min(found), "max": max(found)} for name, found in values.items()}


def marks_of(results):
    marks = []
    for words, name, beside, bound in MARKS:
        value = results[name]["median"] / (results[beside]["median"] if beside else 1)
        met = value >= bound if bound > 0 else value <= -bound
        marks.append({"text": f"{words}: {value:.2f} (mark: at {'least' if bound > 0 else 'most'} {abs(bound):g})", "met": met})
    return marks


def chart(results):
    """A bar for each, as long as its share of the largest of its unit."""
    bar, label, row, pieces, y = 380, 400, 18, [], 10
    largest = {}
    for name, _, unit in ROWS:
        largest[unit] = max(largest.get(unit, 0), results[name]["median"])
    for name, words, unit in ROWS:
        median = results[name]["median"]
        width = max(1.0, bar * median / largest[unit])
        colour = "#b8b8b8" if "probe" in name else "#2a6fb0"
        pieces.append(f'<text x="{label - 8}" y="{y + 13}" text-anchor="end">{html.escape(words)}</text>'
                      f'<rect x="{label}" y="{y + 2}" width="{width:.1f}" height="{row - 4}" fill="{colour}"/>'
                      f'<text x="{label + width + 6:.1f}" y="{y + 13}">{median:.3g} {unit}</text>')
        y += row
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{label + bar + 110}" height="{y + 10}" font-family="sans-serif" font-size="12">\n'
            '<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(pieces) + "\n</svg>\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--results", default=os.path.join("bench", "results"))
    options = parser.parse_args()
    results = measure(options.rounds)
    marks = marks_of(results)
    lines = [f"| {words} | {results[name]['median']:.3g} | {results[name]['min']:.3g} | {results[name]['max']:.3g} | {unit} |" for name, words, unit in ROWS]
    text = HEADING + "\n".join(lines) + f"\n\nMedians of {options.rounds} rounds.\n\n" + "\n".join(
        f"- {'Met' if mark['met'] else '**Missed**'}: {mark['text']}" for mark in marks) + "\n"
    print(text)
    os.makedirs(options.results, exist_ok=True)
    for ending, content in (("json", json.dumps({"results": results, "marks": marks}, indent=1) + "\n"), ("md", text), ("svg", chart(results))):
        with open(os.path.join(options.results, f"param.{ending}"), "w", encoding="utf-8") as file:
            file.write(content)


main()
