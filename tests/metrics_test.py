#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""/metrics and /healthz of masters, servers and agents: by HTTP at the port that they listen at anyway.

The folder with the glim binary is in GLIM_BUILD (default: build/release).
"""

import http.client
import os
import re
import socket
import subprocess
import unittest

from agents_test import ENDLESS, ClusterCase, wait_until
from jobs_test import GLIM, TIMEOUT_S

SAMPLE = re.compile(r'^([a-z_]+)(\{[a-z_]+="(?:[^"\\]|\\.)*"(?:,[a-z_]+="(?:[^"\\]|\\.)*")*\})? ([0-9.e+-]+)$')


def get(address, path, method="GET"):
    host, port = address.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT_S)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers
    finally:
        connection.close()


def metrics_of(address):
    """Name and labels -> value. The text is checked as strictly as Prometheus would."""
    status, text, headers = get(address, "/metrics")
    assert status == 200, (status, text)
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4"), headers
    values, family, seen = {}, None, set()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split()[2]
            assert family not in seen, family
            seen.add(family)
        elif line.startswith("# TYPE "):
            assert line.split()[2] == family and line.split()[3] in ("gauge", "counter"), line
            assert (line.split()[3] == "counter") == family.endswith("_total"), line
        else:
            match = SAMPLE.match(line)
            assert match and match[1] == family, line
            assert match[1] + (match[2] or "") not in values, line
            values[match[1] + (match[2] or "")] = float(match[3])
    return values


class MetricsTest(ClusterCase):
    def test_probes(self):
        self.make_cluster(1)
        for node in (self.master, self.agents[0], self.add("server", "s", "--master", self.master.address)):
            self.assertEqual(get(node.address, "/healthz")[:2], (200, "ok\n"))
            self.assertEqual(get(node.address, "/healthz", "HEAD")[:2], (200, ""))
            self.assertEqual(get(node.address, "/")[0], 404)
            metrics = metrics_of(node.address)
            self.assertGreater(metrics["process_resident_memory_bytes"], 1e6)
            self.assertLess(metrics["process_resident_memory_bytes"], 1e9)
            self.assertGreater(metrics["process_open_fds"], 2)
            self.assertEqual(metrics["glim_connections_refused_total"], 0)

    def test_counts_are_those_of_the_cluster(self):
        self.make_cluster(2)
        server = self.add("server", "s0", "--master", self.master.address, "--memory", "64M")
        wait_until("the server is there", lambda: metrics_of(self.master.address)['glim_servers{state="alive"}'] == 1)
        self.write("table.lua", """
            local glim = require "glim"
            if arg[1] == "push" then
              glim.table{name = "kept", shards = 3}:Push({1, 2}, {1, 1})
            else
              print(glim.open_table("kept"):Pull({1, 2}):Get()[2])
            end
            """)
        def use_table(how):
            job = subprocess.run([GLIM, "run", "--on", "standalone://" + self.master.address, "table.lua", how],
                                 cwd=self.folder, env=self.environment, text=True, capture_output=True, timeout=TIMEOUT_S)
            self.assertEqual(job.returncode, 0, job.stderr)
            return job.stdout
        use_table("push")
        metrics = metrics_of(self.master.address)
        self.assertEqual(metrics['glim_agents{state="alive"}'], 2)
        self.assertEqual(metrics['glim_agents{state="dead"}'], 0)
        self.assertEqual(metrics["glim_tables"], 1)
        self.assertEqual(metrics["glim_shards"], 3)
        self.assertEqual(metrics["glim_shards_not_served"], 0)
        self.assertEqual(metrics["glim_jobs_running"], 0)

        wait_until("the server has noticed", lambda: metrics_of(server.address)['glim_server_shards{role="primary"}'] == 3)
        of_server = metrics_of(server.address)
        self.assertEqual(of_server['glim_server_shards{role="backup"}'], 0)
        self.assertEqual(of_server["glim_server_memory_bytes"], 64 << 20)
        self.assertGreater(of_server["glim_server_memory_used_bytes"], 0)
        self.assertGreater(of_server["glim_server_pushes_total"], 0)
        self.assertGreater(of_server["glim_server_pushed_bytes_total"], 2 * 12)
        before = of_server["glim_server_pulled_bytes_total"]
        self.assertEqual(use_table("pull"), "1\n")
        self.assertGreater(metrics_of(server.address)["glim_server_pulled_bytes_total"], before)
        label = '{agent="a0",address="%s"}' % self.agents[0].address
        self.assertEqual(metrics["glim_agent_cores" + label], 2)
        self.assertEqual(metrics["glim_agent_memory_bytes" + label], 2 << 30)

        process = self.start(ENDLESS)
        def runs():
            metrics = metrics_of(self.master.address)
            return metrics["glim_jobs_running"] == 1 and metrics["glim_agent_executors" + label] == 1 and metrics
        self.assertGreater(wait_until("the job is seen", runs)["glim_stage_tasks"], 0)
        own = metrics_of(self.agents[0].address)
        self.assertEqual(own["glim_agent_executors"], 1)
        self.assertEqual(own["glim_agent_executors_started_total"], 1)
        self.assertEqual(own["glim_agent_sessions"], 1)
        self.assertEqual(own["glim_agent_master_answers"], 1)
        self.assertGreater(own["glim_agent_memory_used_bytes"], 0)

        id = next(job["id"] for job in self.status()["jobs"] if job["state"] == "running")
        subprocess.run([GLIM, "cancel", "--master", self.master.address, id], env=self.environment, cwd=self.folder,
                       check=True, capture_output=True, timeout=TIMEOUT_S)
        process.communicate(timeout=TIMEOUT_S)
        metrics = metrics_of(self.master.address)
        self.assertEqual(metrics["glim_jobs_running"], 0)
        self.assertEqual(metrics['glim_jobs_ended_total{state="cancelled"}'], 1)
        wait_until("nothing is left", lambda: metrics_of(self.agents[0].address)["glim_agent_memory_used_bytes"] == 0)

        self.agents[1].kill()
        wait_until("it counts as dead", lambda: metrics_of(self.master.address)['glim_agents{state="dead"}'] == 1)


def own_address():
    """One of this machine that is not loopback; None when it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # Nothing is sent.
        except OSError:
            return None
        address = probe.getsockname()[0]
        return None if address.startswith("127.") else address


class OtherMachinesTest(ClusterCase):
    def test_they_are_answered_when_that_is_wanted(self):
        host = own_address()
        if host is None:
            self.skipTest("this machine has no address beyond loopback")
        subprocess.run([GLIM, "init", "--dir", "keys"], cwd=self.folder, env=self.environment, check=True,
                       capture_output=True, timeout=TIMEOUT_S)
        key = ("--key", os.path.join("keys", "cluster.key"))
        for name, options, answers in (("closed", (), False), ("open", ("--open-metrics",), True)):
            master = self.add("master", name, *key, *options)  # Port 0 of loopback first,
            master.kill()
            master.address = ":" + master.address.rsplit(":", 1)[1]  # then of all addresses.
            master.start()
            port = master.address.rsplit(":", 1)[1]
            self.assertEqual(get("127.0.0.1:" + port, "/healthz")[0], 200)
            if answers:
                self.assertIn("glim_tables 0", get(f"{host}:{port}", "/metrics")[1])
            else:
                with self.assertRaises((OSError, http.client.HTTPException)):
                    get(f"{host}:{port}", "/metrics")
            # The port speaks TLS with members all the same.
            status = subprocess.run([GLIM, "status", "--master", f"{host}:{port}", "--key", os.path.join("keys", "client.key")],
                                    cwd=self.folder, env=self.environment, text=True, capture_output=True, timeout=TIMEOUT_S)
            self.assertEqual(status.returncode, 0, status.stderr)


if __name__ == "__main__":
    unittest.main()
