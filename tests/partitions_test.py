#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The kill ledger on hosts of their own, whose network is cut.

Each process of the cluster has a network namespace, and all are joined by a bridge. Links are cut in both directions (a port of the
bridge goes down) or in one (a host sends to an Ethernet address that nobody has), between a server and the master, a server and a
server, a server and all; beside that, processes are killed as always. So everything goes over TLS, too.

Skipped, and told by name, where namespaces cannot be made.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import kill_ledger  # noqa: E402
from cli_test import sanitized  # noqa: E402

HOSTS = ["client", "master", *range(1, kill_ledger.SERVERS + 1)]


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Hosts(kill_ledger.Cluster):
    first_address = "10.77.0.2:45326"

    def prepare(self):
        self.switch = self.name("switch")
        ip("netns", "add", self.switch)
        ip("-n", self.switch, "link", "add", "name", "bridge", "type", "bridge")
        ip("-n", self.switch, "link", "set", "bridge", "up")
        for host in HOSTS:
            space, port = self.name(host), f"port-{host}"
            ip("netns", "add", space)
            ip("link", "add", "name", "eth0", "netns", space, "type", "veth", "peer", "name", port, "netns", self.switch)
            ip("-n", self.switch, "link", "set", port, "master", "bridge", "up")
            ip("-n", space, "address", "add", self.address_of(host) + "/24", "dev", "eth0")
            ip("-n", space, "link", "set", "eth0", "up")
            ip("-n", space, "link", "set", "lo", "up")

    def __exit__(self, *details):
        super().__exit__(*details)
        self.remove_hosts()

    @classmethod
    def remove_hosts(cls):
        for host in [*HOSTS, "switch"]:
            subprocess.run(["ip", "netns", "del", cls.name(host)], capture_output=True)

    @staticmethod
    def name(host):
        return f"glim-{os.getpid()}-{host}"

    @staticmethod
    def address_of(host):
        return f"10.77.0.{HOSTS.index(host) + 1}"

    def on_host(self, host):
        return ["ip", "netns", "exec", self.name(host)]

    def harms(self):
        return [self.cut_off, self.cut_one_way, self.kill_server, self.cut_off, self.cut_one_way, self.kill_master]

    def cut_off(self, dice):
        """A server from all others."""
        self.count("server cut off")
        port = f"port-{dice.choice(list(self.servers))}"
        ip("-n", self.switch, "link", "set", port, "down")
        time.sleep(dice.uniform(0.5, 6))
        ip("-n", self.switch, "link", "set", port, "up")

    def cut_one_way(self, dice):
        """What one host sends to another does not arrive; the other direction is as always."""
        server = dice.choice(list(self.servers))
        other = dice.choice(["master", *(number for number in self.servers if number != server)])
        sender, receiver = dice.sample([server, other], 2)
        self.count("one way cut")
        self.lose(sender, receiver)
        time.sleep(dice.uniform(0.5, 6))
        ip("-n", self.name(sender), "neigh", "del", self.address_of(receiver), "dev", "eth0")


    def lose(self, sender, receiver):
        ip("-n", self.name(sender), "neigh", "replace", self.address_of(receiver), "lladdr", "02:00:00:00:00:99", "dev", "eth0",
           "nud", "permanent")

    def cut_for_good(self, one, other):
        self.lose(one, other)
        self.lose(other, one)


def can_make_hosts():
    if not shutil.which("ip"):
        return False
    name = f"glim-{os.getpid()}-try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode == 0
    enters = made and subprocess.run(["ip", "netns", "exec", name, "ip", "link", "add", "name", "bridge", "type", "bridge"],
                                     capture_output=True).returncode == 0
    subprocess.run(["ip", "netns", "del", name], capture_output=True)
    return enters


class PartitionsTest(unittest.TestCase):
    @unittest.skipUnless(can_make_hosts(), "network namespaces cannot be made here")
    def test_what_was_promised_is_kept_while_links_are_cut(self):
        self.addCleanup(Hosts.remove_hosts)
        seed = int.from_bytes(os.urandom(4), "little")
        tally, events = kill_ledger.run(15 if sanitized() else 40, seed, kind=Hosts)
        print(f"seed {seed}: {events} {tally}", file=sys.stderr)
        self.assertTrue(kill_ledger.is_kept(tally), f"seed {seed}: {tally}")
        self.assertGreater(tally["acknowledged"], 1000)
        self.assertEqual(tally["refused"], 0, f"seed {seed}: {tally}")

    @unittest.skipUnless(can_make_hosts(), "network namespaces cannot be made here")
    def test_shards_go_on_while_a_link_between_two_servers_stays_cut(self):
        self.addCleanup(Hosts.remove_hosts)
        with tempfile.TemporaryDirectory(prefix="glim-ledger-") as folder, Hosts(folder, "none") as cluster:
            kill_ledger.wait_until(cluster.is_whole, "all replicas", cluster.tell)
            cluster.cut_for_good(1, 2)
            cluster.start_client(15)
            (client,) = cluster.clients.values()
            kill_ledger.wait_until(lambda: [1, 2] in cluster.status().get("cuts", []), "word of the cut", cluster.tell)
            self.assertIn("servers 1 and 2 do not reach each other\n",
                          cluster.call(kill_ledger.GLIM, "status", "--master", cluster.address, "--key", cluster.key))
            self.assertEqual(client.wait(kill_ledger.WAIT_S), 0)
            ledger = os.path.join(folder, "1.ledger")
            check = [os.path.join(kill_ledger.BUILD, "ledger_client"), "check", cluster.address, cluster.key, ledger]
            tally = json.loads(cluster.call(*check))
            # Other servers have taken the places, so no shard waits for the link, or is without a replica.
            kill_ledger.wait_until(cluster.is_whole, "all replicas", cluster.tell)
            with open(ledger) as file:
                outcomes = [line.split() for line in file if not line.startswith("stall")]
        print(tally, file=sys.stderr)
        self.assertTrue(kill_ledger.is_kept(tally), tally)
        self.assertGreater(tally["acknowledged"], 1000)
        # Every eighth push gives up after two seconds, the others after thirty.
        self.assertEqual([number for number, outcome in outcomes if outcome != "A" and int(number) % 8 != 0], [], tally)


if __name__ == "__main__":
    unittest.main()
