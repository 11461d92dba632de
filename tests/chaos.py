#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Chaos: the same programs again and again on a cluster whose processes are killed and stopped, and the same output each time.

    tests/chaos.py [--schedules 100] [--seed N]

A master, three agents and three servers of tables, each a process, are kept for all schedules. A schedule is drawn from its
number: a program (a flow that sums, sorts and joins; flows that push to tables; a training in several passes), and what happens
while it runs: an executor is killed, an agent, a server or the master is killed and started again, one of them is stopped for up
to four seconds. A task is tried four times, so at most three of a program's executors are lost; a server is lost only when
all shards have both replicas, since two replicas survive one loss.

What a program prints has to be what it prints in one process where nothing is killed. After it no executor is left, and no file.

The folder with the glim binary is in GLIM_BUILD (default: build/release).
"""

import argparse
import collections
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agents_test import WORK, Node, send, wait_until  # noqa: E402
from jobs_test import GLIM  # noqa: E402

AGENTS = SERVERS = 3
JOB_S = 240

# A logistic regression, all rows in each pass: the gradients are summed by key in one order, and each key is pushed once a pass.
TRAINING = """
    local glim = require "glim"
    local weights = glim.table{name = "weights" .. NAME, type = "f64", rule = glim.sgd{rate = 0.05}, shards = 4, replicas = REPLICAS}
    local function features(n) return {0, 1 + n % 7, 8 + n % 11, 19 + (n * n) % 23} end
    local function slow(n) local s = 0 for i = 1, 300 do s = (s + n * i) % 1000003 end return s % 2 end
    for pass = 1, 5 do
      local flow = glim.flow("pass " .. pass)
      flow:Range(0, 40000):FlatMap(function(n)
        local keys = features(n)
        local sum = slow(n)
        for _, weight in ipairs(weights:Pull(keys):Get()) do sum = sum + weight end
        local gradient = 1 / (1 + math.exp(-sum)) - (n % 7 < 3 and 1 or 0)
        local rows = {}
        for i, key in ipairs(keys) do rows[i] = {key, gradient / 40000} end
        return rows
      end):Map(function(row) return row[1], row[2] end):ReduceBy(glim.sum):PushTo(weights)
      flow:Run()
    end
    local keys = {}
    for key = 0, 41 do keys[#keys + 1] = key end
    for i, weight in ipairs(weights:Pull(keys):Get()) do print(keys[i], ("%.17g"):format(weight)) end
    weights:Drop()
    """

PUSHES = """
    local glim = require "glim"
    local function slow(n) local s = 0 for i = 1, 2000 do s = (s + n * i) % 1000003 end return s end
    local function new(name)
      return glim.table{name = name .. NAME, type = "i64", rule = glim.add(), shards = 3, replicas = REPLICAS}
    end
    local read, summed, called = new("read"), new("summed"), new("called")
    local flow = glim.flow("pushes")
    local some = function(n) return n % 50 == 0 end
    flow:Range(0, 2000000):Filter(some):Map(function(n) return slow(n) % 5000, n end):PushTo(read)
    flow:Range(0, 100000):Map(function(n) return n * 7919 % 20021, n end):ReduceBy(function(a, b) return a + b end)
      :Map(function(k, v) return k, v + slow(k) end):PushTo(summed)
    flow:Range(0, 2000000):Filter(some):Filter(function(n) return slow(n) % 20 == 0 end)
      :ForEach(function(n) called:Push({n % 100, n % 7}, {n, 1}) end)
    flow:Run()
    flow = glim.flow("look")
    for _, counts in ipairs{read, summed, called} do
      flow:Range(0, 30000):Lookup(counts, 1):Map(function(k, v) return v, k % 1000 * v end):Reduce(glim.sum):Print()
    end
    flow:Run()
    for _, counts in ipairs{read, summed, called} do counts:Drop() end
    """

PROGRAMS = {"flow": WORK, "pushes": PUSHES, "training": TRAINING}


class Chaos:
    """A cluster in a folder of its own. Everything ends with it."""

    def __enter__(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="glim-chaos-")
        self.folder = self.temporary.name
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("GLIM_")}
        self.environment["TMPDIR"] = self.folder
        self.agents, self.servers, self.tally, self.longest_s = [], [], collections.Counter(), 0.0
        self.master = Node(self, "master", "m")
        try:
            for n in range(AGENTS):
                self.agents.append(Node(self, "agent", f"a{n}", "--name", f"a{n}", "--master", self.master.address,
                                        "--memory", "2G", "--cores", "2"))
            for n in range(SERVERS):
                self.servers.append(Node(self, "server", f"s{n}", "--master", self.master.address, "--memory", "1G",
                                         "--drain", "0"))
            self.await_health()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for node in [*self.servers, *self.agents, self.master]:
            if node.process.poll() is None:
                node.process.send_signal(signal.SIGCONT)
                node.kill()
        self.temporary.cleanup()

    def status(self):
        job = subprocess.run([GLIM, "status", "--json", "--master", self.master.address], env=self.environment, text=True,
                             cwd=self.folder, capture_output=True)
        return json.loads(job.stdout) if job.returncode == 0 else None

    def tables_are_complete(self):
        status = self.status()
        return bool(status) and all(table["complete"] == table["shards"] for table in status["tables"])

    def await_health(self):
        def is_well():
            status = self.status()
            return (status and sum(agent["alive"] for agent in status["agents"]) == AGENTS
                    and sum(server["alive"] for server in status["servers"]) == SERVERS
                    and all(table["complete"] == table["shards"] for table in status["tables"]))
        wait_until("the cluster is well", is_well)

    def start(self, program, name, *options):
        script = PROGRAMS[program].replace("NAME", f'"{name}"').replace("REPLICAS", "2" if "--on" in options else "1")
        path = os.path.join(self.folder, f"{name}.lua")
        with open(path, "w") as file:
            file.write(script)
        return subprocess.Popen([GLIM, "run", "--partitions", "12", *options, path], cwd=self.folder, env=self.environment,
                                text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def expected(self, program):
        out, err = self.start(program, "expected").communicate(timeout=JOB_S)
        assert out, err
        return out

    def run(self, program, seed):
        """What the program printed, its exit code and stderr, and what happened meanwhile."""
        chance = random.Random(seed)
        self.await_health()
        begun = time.monotonic()
        job = self.start(program, f"x{seed}", "--on", "standalone://" + self.master.address)
        story, losses, stopped = [], 0, []
        while job.poll() is None:
            if time.monotonic() - begun > JOB_S:
                job.kill()
                story.append("it took too long")
                break
            time.sleep(0.05 + chance.random() * 0.5)
            now = time.monotonic()
            for entry in [entry for entry in stopped if entry[0] < now]:
                stopped.remove(entry)
                send(entry[1], signal.SIGCONT)
            executors = [number for agent in self.agents for number in agent.children()]
            what = chance.choice(["kill executor", "kill agent", "kill server", "kill master", "stop executor", "stop agent",
                                  "stop server", "nothing", "nothing"])
            if what == "nothing" or not executors:
                continue
            if "executor" in what or "agent" in what:
                if losses == 3:
                    continue
                losses += 1
            if "server" in what and (any(entry[2] == "server" for entry in stopped) or not self.tables_are_complete()):
                continue
            victim = {"executor": lambda: chance.choice(executors), "agent": lambda: chance.choice(self.agents),
                      "server": lambda: chance.choice(self.servers), "master": lambda: self.master}[what.split()[1]]()
            story.append(what)
            if what == "kill executor":
                send(victim, signal.SIGKILL)
            elif what.startswith("kill"):
                victim.process.send_signal(signal.SIGCONT)
                stopped = [entry for entry in stopped if entry[1] != victim.process.pid]
                victim.restart()
            else:
                number = victim if what == "stop executor" else victim.process.pid
                send(number, signal.SIGSTOP)
                stopped.append((now + chance.random() * 4, number, what.split()[1]))
        for entry in stopped:
            send(entry[1], signal.SIGCONT)
        out, err = job.communicate(timeout=JOB_S)
        self.longest_s = max(self.longest_s, time.monotonic() - begun)
        self.tally.update(story)
        return out, job.returncode, err, story

    def left(self):
        """What executors and programs have left behind after a while, in words; empty: nothing."""
        def files():
            return [os.path.join(agent.folder, "tmp", name) for agent in self.agents
                    for name in os.listdir(os.path.join(self.folder, agent.folder, "tmp"))]
        try:
            wait_until("all is gone", lambda: not any(agent.children() for agent in self.agents) and not files())
        except AssertionError:
            return f"executors {[agent.children() for agent in self.agents]}, files {files()}"
        return ""


def run(schedules, first_seed, report=lambda line: None):
    """Runs them; how many went wrong, what happened, and the longest time of a program."""
    wrong = 0
    with Chaos() as chaos:
        expected = {program: chaos.expected(program) for program in PROGRAMS}
        for seed in range(first_seed, first_seed + schedules):
            program = sorted(PROGRAMS)[seed % len(PROGRAMS)]
            out, code, err, story = chaos.run(program, seed)
            left = chaos.left()
            good = code == 0 and out == expected[program] and not left
            wrong += not good
            report(f"{seed} {program}: {hashlib.sha256(out.encode()).hexdigest()[:12]} {'' if good else 'WRONG '}"
                   f"({', '.join(story) or 'nothing happened'})")
            if not good:
                report(f"exit code {code}; {err}; left: {left or 'nothing'}; printed:\n{out[:2000]}")
        return wrong, chaos.tally, chaos.longest_s


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="the number of the first schedule")
    options = parser.parse_args()
    wrong, tally, longest_s = run(options.schedules, options.seed, lambda line: print(line, flush=True))
    print(f"{options.schedules} schedules, {sum(tally.values())} faults ({', '.join(f'{n} {what}' for what, n in sorted(tally.items()))}), "
          f"longest program {longest_s:.1f} s: {wrong} outputs differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
