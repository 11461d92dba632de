#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What it costs to run a flow on other processes: the smallest job, word count, a join and a shuffle, beside one process.

    ./dev bench cluster [--rounds 5] [--megabytes 200] [--rows 2000000] [--shuffle-megabytes 1000] [--results bench/results]

All that is compared is run in turn, so that what else the machine does meets all alike. Results go to cluster.json and
cluster.md in the folder of --results.
"""
import argparse
import json
import os
import socket
import statistics
import subprocess
import tempfile
import threading
import time

GLIM = os.path.join(os.path.abspath(os.environ.get("GLIM_BUILD", os.path.join("build", "release"))), "glim")
ENGINES = ("embedded", "local:2", "standalone")

TINY = """
local glim = require "glim"
for i = 1, tonumber(arg[1]) do
  local rows = {}
  glim.flow("tiny"):Range(0, 10):Map(function(n) return n, n * n end):Collect(rows):Run()
  assert(#rows == 10)
end
"""
WORD_COUNT = """
local glim = require "glim"
glim.flow("word count"):TextFile("text.txt"):FlatMap(function(line) return line:gmatch("%w+") end)
  :Map(function(word) return word, 1 end):ReduceBy(function(x, y) return x + y end):WriteText("out.txt"):Run()
"""
JOIN = """
local glim = require "glim"
local flow = glim.flow("join")
flow:Input(glim.csv{"left.csv"}):Join(flow:Input(glim.csv{"right.csv"})):WriteCsv("out.csv"):Run()
"""
SHUFFLE = """
local glim = require "glim"
local text = ("x"):rep(992)
glim.flow("shuffle"):Range(0, tonumber(arg[1])):Map(function(n) return n, text end):Partition(8)
  :Map(function(n, s) return #s end):Reduce(glim.sum):Print():Run()
"""


def make_inputs(folder, megabytes, rows):
    text = b""
    for path in sorted(os.listdir("/usr/share/common-licenses")):
        with open(os.path.join("/usr/share/common-licenses", path), "rb") as file:
            text += file.read()
    with open(os.path.join(folder, "text.txt"), "wb") as file:
        for _ in range(megabytes * 1_000_000 // len(text) + 1):
            file.write(text)
    for name, factor in (("left.csv", 7), ("right.csv", 13)):
        with open(os.path.join(folder, name), "w") as file:
            file.writelines(f"{n * factor % rows},{name[0]}{n}\n" for n in range(rows))


class Cluster:
    """A master and two agents of one core each."""

    def __init__(self, folder):
        self.processes, self.folder = [], folder
        self.master = self.start("master", "m")
        for name in ("a", "b"):
            self.start("agent", name, "--name", name, "--master", self.master, "--cores", "1", "--memory", "4G")
        while self.alive() < 2:
            time.sleep(0.05)

    def start(self, role, folder, *options):
        process = subprocess.Popen([GLIM, role, "--address", "127.0.0.1:0", "--dir", folder, *options], cwd=self.folder, text=True,
                                   stdout=subprocess.PIPE)
        self.processes.append(process)
        return process.stdout.readline().split()[1]

    def alive(self):
        status = subprocess.run([GLIM, "status", "--json", "--master", self.master], capture_output=True, check=True).stdout
        return sum(agent["alive"] for agent in json.loads(status)["agents"])

    def end(self):
        for process in self.processes:
            process.terminate()
            process.wait()


def run(folder, cluster, engine, script, *arguments):
    path = os.path.join(folder, "bench.lua")
    with open(path, "w") as file:
        file.write(script)
    on = "standalone://" + cluster.master if engine == "standalone" else engine
    begin = time.monotonic()
    subprocess.run([GLIM, "run", "--threads", "2" if engine != "standalone" else "1", "--on", on, path, *map(str, arguments)], cwd=folder,
                   check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begin


def stream(megabytes):
    """GB/s of a plain socket over loopback, a megabyte at a time."""
    piece = bytes(1_000_000)
    with socket.create_server(("127.0.0.1", 0)) as server:
        def send():
            with socket.create_connection(server.getsockname()) as connection:
                for _ in range(megabytes):
                    connection.sendall(piece)
        sender = threading.Thread(target=send)
        begin = time.monotonic()
        sender.start()
        connection, _ = server.accept()
        room, left = bytearray(1_000_000), megabytes * 1_000_000
        with connection:
            while left:
                left -= connection.recv_into(room)
        sender.join()
    return megabytes / 1000 / (time.monotonic() - begin)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--shuffle-megabytes", type=int, default=1000)
    parser.add_argument("--results", default=os.path.join("bench", "results"))
    options = parser.parse_args()
    times = {}

    def add(name, value):
        times.setdefault(name, []).append(value)

    with tempfile.TemporaryDirectory(prefix="glim-bench-", dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
        make_inputs(folder, options.megabytes, options.rows)
        cluster = Cluster(folder)
        try:
            for _ in range(options.rounds):
                for engine in ENGINES:
                    once = run(folder, cluster, engine, TINY, 1)
                    add(f"smallest program, {engine}, ms", once * 1000)
                    add(f"smallest job of a warm session, {engine}, ms", (run(folder, cluster, engine, TINY, 101) - once) * 10)
                    add(f"word count, {engine}, s", run(folder, cluster, engine, WORD_COUNT))
                    add(f"join, {engine}, s", run(folder, cluster, engine, JOIN))
                    seconds = run(folder, cluster, engine, SHUFFLE, options.shuffle_megabytes * 1000)
                    add(f"shuffle, {engine}, GB/s", options.shuffle_megabytes / 1000 / seconds)
                add("plain socket over loopback, GB/s", stream(options.shuffle_megabytes))
        finally:
            cluster.end()
    median = {name: statistics.median(values) for name, values in times.items()}
    lines = [f"""# Flows on other processes

Made by `./dev bench cluster`: {options.rounds} rounds in turn on 2 cores; `embedded` has two threads, `local:2` and `standalone` two executors of one thread each, all on
this machine. Word count: {options.megabytes} MB of text; join: two CSV files of {options.rows:,} rows, the result written; shuffle: {options.shuffle_megabytes} MB in rows of
1 KB to 8 partitions. Times are of whole programs.

| | median | lowest | highest |
|---|---|---|---|"""]
    for name, values in times.items():
        lines.append(f"| {name} | {median[name]:.3g} | {min(values):.3g} | {max(values):.3g} |")
    lines += ["", "| mark | | wanted |", "|---|---|---|"]
    smallest = median["smallest job of a warm session, standalone, ms"]
    lines.append(f"| smallest job on a warm standalone cluster | {smallest:.3g} ms | at most 50 ms |")
    for work in ("word count", "join"):
        ratio = median[f"{work}, local:2, s"] / median[f"{work}, embedded, s"]
        lines.append(f"| {work} on local:2, of one process | {ratio:.2f} | at most 1.25 |")
    os.makedirs(options.results, exist_ok=True)
    with open(os.path.join(options.results, "cluster.md"), "w") as file:
        file.write("\n".join(lines) + "\n")
    with open(os.path.join(options.results, "cluster.json"), "w") as file:
        json.dump(times, file, indent=1)
        file.write("\n")
    print("\n".join(lines[1:]))


if __name__ == "__main__":
    main()
