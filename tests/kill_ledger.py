#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The kill ledger: what becomes of pushes while the processes of a cluster are killed and stopped.

    tests/kill_ledger.py [--seconds 120] [--seed N] [--durability memory|disk] [--bug NAME]

A master, four servers and three clients, each a process. The clients push without pause to a table with two replicas and write
down what they were told of each push (tests/ledger/ledger_client.cc). Meanwhile, in an order drawn from the seed: the master is
killed (SIGKILL) and started again, servers are killed and started again without what they held, servers and the master are stopped
(SIGSTOP) for up to five seconds and go on, clients are killed and others begin. A server is lost only when all shards have both
replicas: two replicas survive one loss, not two at once.

With --durability disk the table is kept in the servers' data folders. Then all servers and the master are killed at once, too, and
start again with what their disks have.

At the end the ledgers are compared with the table. What is promised:

    acknowledged  applied exactly once          unknown  applied at most once          refused  never applied

With --bug the nodes have a planted bug; the ledger has to show it.

The folder with the programs is in GLIM_BUILD (default: build/release).
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

BUILD = os.path.abspath(os.environ.get("GLIM_BUILD", os.path.join(os.path.dirname(__file__), "..", "build", "release")))
GLIM = os.path.join(BUILD, "glim")
SERVERS = 4
CLIENTS = 3
WAIT_S = 120
BUGS = ("none", "ack-before-backup", "no-duplicate-table", "held-before-written")

CREATE = """
local glim = require "glim"
glim.table{name = "ledger", type = "i64", rule = glim.add(), replicas = 2, durability = "DURABILITY"}
"""


class Cluster:
    """Its processes; all of them end with it."""

    first_address = "127.0.0.1:0"
    durability = "memory"

    def prepare(self):
        """Before the first process."""

    def on_host(self, host):
        """What a command begins with to run on the host of "master", of server 1, 2, ... or of "client"."""
        return []

    def __init__(self, folder, bug):
        self.prepare()
        self.folder = folder
        self.bug = bug
        self.key = os.path.join(folder, "client.key")
        self.processes = []
        self.servers = {}
        self.clients = {}
        self.next_client = 1
        self.events = {}
        self.last_event = "none"
        self.call(GLIM, "init", "--dir", folder)
        self.address = self.first_address
        self.start_master()
        for number in range(1, SERVERS + 1):
            self.start_server(number)
        wait_until(lambda: sum(s["alive"] for s in self.status()["servers"]) == SERVERS, "the servers")
        script = os.path.join(folder, "create.lua")
        with open(script, "w") as file:
            file.write(CREATE.replace("DURABILITY", self.durability))
        self.call(GLIM, "run", "--on", "standalone://" + self.address, "--key", self.key, script)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()

    def call(self, *command):
        return subprocess.run([*self.on_host("client"), *command], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=300).stdout

    def count(self, event):
        self.events[event] = self.events.get(event, 0) + 1
        self.last_event = event

    def status(self):
        try:
            return json.loads(self.call(GLIM, "status", "--json", "--master", self.address, "--key", self.key))
        except subprocess.CalledProcessError:
            return {"servers": [], "tables": []}

    def tell(self):
        return f"last event: {self.last_event}\n{json.dumps(self.status(), indent=1)}"

    def is_whole(self):
        """All shards are served, and have their replicas, on living servers."""
        tables = self.status()["tables"]
        return bool(tables) and all(table["complete"] == table["shards"] == table["served"] for table in tables)

    def start(self, host, *command, **options):
        process = subprocess.Popen([*self.on_host(host), *command], stdin=subprocess.DEVNULL, text=True, **options)
        self.processes.append(process)
        return process

    def start_node(self, host, *command):
        process = self.start(host, *command, stdout=subprocess.PIPE)
        line = process.stdout.readline()
        if not line.startswith("listening "):
            raise SystemExit(f"kill_ledger: {' '.join(command)} did not start")
        return process, line.split()[1]

    def start_master(self):
        self.master, self.address = self.start_node("master", os.path.join(BUILD, "faulty_node"), self.bug, "master",
                                                    os.path.join(self.folder, "master"), self.address,
                                                    os.path.join(self.folder, "cluster.key"))

    def start_server(self, number):
        self.servers[number], _ = self.start_node(number, os.path.join(BUILD, "faulty_node"), self.bug, "server",
                                                  os.path.join(self.folder, f"server-{number}"), self.address, str(number),
                                                  os.path.join(self.folder, "cluster.key"))

    def start_client(self, seconds):
        number = self.next_client
        self.next_client += 1
        ledger = os.path.join(self.folder, f"{number}.ledger")
        self.clients[number] = self.start("client", os.path.join(BUILD, "ledger_client"), "push", self.address, self.key, str(number), ledger,
                                          str(seconds))

    # What happens to them.

    def harms(self):
        """More often what stands there more often."""
        often = [self.kill_server, self.kill_server_beside_a_stopped_one, self.stop_server, self.kill_master]
        return often * 2 + [self.stop_master, self.kill_client]

    def kill_master(self, dice):
        self.count("master killed")
        self.master.kill()
        self.master.wait()
        time.sleep(dice.uniform(0, 2))
        self.start_master()

    def stop_master(self, dice):
        self.count("master stopped")
        self.stop(self.master, dice.uniform(0.1, 5))

    def kill_server(self, dice):
        self.count("server killed")
        number = dice.choice(list(self.servers))
        self.servers[number].kill()
        self.servers[number].wait()
        time.sleep(dice.uniform(0, 4))
        self.start_server(number)

    def kill_server_beside_a_stopped_one(self, dice):
        """What the stopped one was sent and did not see is with the killed one only. It goes on before it is taken for dead."""
        self.count("server killed beside a stopped one")
        stopped, killed = dice.sample(list(self.servers), 2)
        self.servers[stopped].send_signal(signal.SIGSTOP)
        time.sleep(dice.uniform(0.2, 0.6))
        self.servers[killed].kill()
        self.servers[killed].wait()
        time.sleep(dice.uniform(0, 0.2))
        self.servers[stopped].send_signal(signal.SIGCONT)
        self.start_server(killed)

    def stop_server(self, dice):
        self.count("server stopped")
        self.stop(self.servers[dice.choice(list(self.servers))], dice.uniform(0.1, 5))

    def kill_client(self, dice):
        self.count("client killed")
        number = dice.choice(list(self.clients))
        self.clients.pop(number).kill()

    @staticmethod
    def stop(process, seconds):
        process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        process.send_signal(signal.SIGCONT)


class DiskCluster(Cluster):
    """Its table is on disk, and what all have lost at once comes back."""

    durability = "disk"

    def harms(self):
        return [self.kill_all] * 6 + super().harms()

    def kill_all(self, dice):
        self.count("all killed")
        nodes = [self.master, *self.servers.values()]
        dice.shuffle(nodes)
        for node in nodes:
            node.kill()
        for node in nodes:
            node.wait()
        time.sleep(dice.uniform(0, 1))
        self.start_master()
        for number in dice.sample(list(self.servers), SERVERS):
            self.start_server(number)


CLUSTERS = {kind.durability: kind for kind in (Cluster, DiskCluster)}


def wait_until(condition, what, tell=lambda: ""):
    end = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"kill_ledger: {what} did not come up within {WAIT_S} s\n{tell()}")
        time.sleep(0.1)


def run(seconds, seed, bug="none", kind=Cluster):
    """What the ledgers say, and how often what happened."""
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="glim-ledger-") as folder, kind(folder, bug) as cluster:
        end = time.monotonic() + seconds
        for _ in range(CLIENTS):
            cluster.start_client(seconds)
        harms = cluster.harms()
        while time.monotonic() < end:
            time.sleep(dice.uniform(0.2, 1.5))
            wait_until(cluster.is_whole, "all replicas", cluster.tell)
            if time.monotonic() >= end:
                break
            dice.choice(harms)(dice)
            while len(cluster.clients) < CLIENTS:
                cluster.start_client(max(1, end - time.monotonic()))
        wait_until(cluster.is_whole, "all replicas", cluster.tell)
        for number, client in cluster.clients.items():
            if client.wait(WAIT_S) != 0:
                raise SystemExit(f"kill_ledger: client {number} failed")
        ledgers = sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".ledger"))
        tally = json.loads(cluster.call(os.path.join(BUILD, "ledger_client"), "check", cluster.address, cluster.key, *ledgers))
        return tally, cluster.events


def is_kept(tally):
    """What is promised."""
    return not (tally["lost"] or tally["twice"] or tally["unknown_twice"] or tally["refused_applied"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--durability", choices=CLUSTERS, default="memory")
    parser.add_argument("--bug", choices=BUGS, default="none")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, {arguments.seconds:g} s, durability: {arguments.durability}, bug: {arguments.bug}", flush=True)
    tally, events = run(arguments.seconds, arguments.seed, arguments.bug, CLUSTERS[arguments.durability])
    print(", ".join(f"{count} times {event}" for event, count in sorted(events.items())))
    print(f"acknowledged  {tally['acknowledged']:>10}  lost {tally['lost']}, twice {tally['twice']}")
    print(f"unknown       {tally['unknown']:>10}  applied {tally['unknown_applied']}, twice {tally['unknown_twice']}")
    print(f"refused       {tally['refused']:>10}  applied {tally['refused_applied']}")
    print(f"longest time without an acknowledgement: {tally['stall_ms']} ms")
    return 0 if is_kept(tally) else 1


if __name__ == "__main__":
    sys.exit(main())
