#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Files that are other ones on each machine (`per_host`), on agents that see other files at one path: each in a mount
namespace of its own, where the folder logs/ is the agent's. Where the machine does not allow that, the tests are
skipped by name.

The folder with the glim binary is in GLIM_BUILD (default: build/release).
"""

import os
import signal
import subprocess
import time
import unittest
import zipfile

from agents_test import ClusterCase, send, wait_until
from jobs_test import GLIM, TIMEOUT_S

# Puts the folder $0 in the place of $1 for the program that follows.
MOUNT = 'mount --bind "$0" "$1" && shift && exec "$@"'
ALONE = ("unshare", "--mount", "--propagation", "private", "sh", "-c", MOUNT)


def can_mount():
    try:
        return subprocess.run([*ALONE, "/tmp", "/tmp", "true"], capture_output=True, timeout=TIMEOUT_S).returncode == 0
    except FileNotFoundError:
        return False


def flow(body):
    return f'local glim = require "glim"\nlocal flow = glim.flow("f")\n{body}\nflow:Run()\n'


@unittest.skipUnless(can_mount(), "no mount namespaces here")
class HostFilesTest(ClusterCase):
    def write_of(self, host, name, text):
        """A file that is logs/NAME to the agent, and to no other."""
        path = os.path.join(self.folder, "of-" + host, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)

    def add_agent_with_files(self, name):
        own, logs = os.path.join(self.folder, "of-" + name), os.path.join(self.folder, "logs")
        for folder in own, logs:
            os.makedirs(folder, exist_ok=True)
        return self.add_agent(name, prefix=(*ALONE, own, logs))

    def make_cluster_with_files(self, *names):
        self.master = self.add("master", "m")
        # Which of them comes first does not matter.
        self.agents = [self.add_agent_with_files(name) for name in reversed(names)]
        self.await_agents(len(names))

    def lines_of(self, host, count):
        return [f"{host} {n} {n * n % 97}" for n in range(count)]

    def expect_lines(self, *options, kill=None):
        """Two agents' logs, large enough for several tasks each: all of them once, in the order of hosts and files."""
        expected = []
        for host in "a1", "a2":
            for file in "1.log", "2.log":
                lines = self.lines_of(f"{host}/{file}", 40000)
                self.write_of(host, file, "".join(line + "\n" for line in lines))
                expected += lines
        self.make_cluster_with_files("a1", "a2")
        job = self.start(flow("""
            flow:TextFile("logs/*.log", {per_host = true})
              :Map(function(line) local s = 0 for i = 1, 300 do s = s + i % 7 end return line, s end)
              :Map(function(line) return line end):Printf("%s\\n")
            """))
        if kill is not None:
            kill(job)
        out, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual(job.returncode, 0, err)
        self.assertEqual(out.splitlines(), expected)
        self.await_nothing_left()
        return err

    def test_all_are_read_once_in_the_order_of_hosts(self):
        self.expect_lines()

    def test_executors_that_are_killed(self):
        def kill(job):
            for agent in self.agents:
                for _ in range(2):
                    for child in wait_until("an executor", agent.children):
                        send(child, signal.SIGKILL)
                    time.sleep(0.2)
        self.expect_lines(kill=kill)

    def test_an_agent_that_comes_back(self):
        def kill(job):
            wait_until("executors", lambda: all(agent.children() for agent in self.agents))
            self.agents[0].kill()
            time.sleep(0.5)
            self.agents[0].start()
        self.expect_lines(kill=kill)

    def test_rows_say_where_they_are_from(self):
        self.write_of("a1", "x.log", "one\n")
        self.write_of("a2", "x.log", "two\nthree\n")
        self.make_cluster_with_files("a1", "a2")
        out, _ = self.run_script(flow("""
            flow:TextFile("logs/x.log", {per_host = true, host_name = true, file_name = true}):Printf("%s,%s,%s\\n")
            """))
        self.assertEqual(out, "one,logs/x.log,a1\ntwo,logs/x.log,a2\nthree,logs/x.log,a2\n")

    def test_every_format_and_steps_behind(self):
        for host in "a1", "a2", "a3":
            # Quotes over line ends, in files of several pieces.
            rows = "".join(f'{n},"{host}\n{n}"\n' for n in range(30000))
            self.write_of(host, "in.csv", "n,text\n" + rows)
            self.write_of(host, "in.jsonl", f'{{"a": "{host}"}}\n' * 3)
            self.write_of(host, "fixed", host + "xy" + host + "zw")
            with zipfile.ZipFile(os.path.join(self.folder, "of-" + host, "in.zip"), "w") as archive:
                archive.writestr("member", "in " + host)
        self.make_cluster_with_files("a1", "a2", "a3")
        expected = "".join(f"{host}: {n}\n" for host in ("a1", "a2", "a3") for n in (0, 29999))
        out, _ = self.run_script(flow("""
            flow:Input(glim.csv("logs/in.csv", {header = true, per_host = true, columns = {"text", "n"}}))
              :Filter(function(text, n) return n == "0" or n == "29999" end)
              :Map(function(text, n) local host, number = text:match("^(%w+)\\n(%d+)$") assert(number == n) return host, n end)
              :Printf("%s: %s\\n")
            """))
        self.assertEqual(out, expected)
        count = 'flow:Input(glim.csv("logs/in.csv", {header = true, per_host = true})):Map(function() return 1 end):Reduce(glim.sum):Printf("%d\\n")'
        self.assertEqual(self.run_script(flow(count))[0], "90000\n")
        for options in (), ("--partitions", "1"), ("--partitions", "7"):
            sorted_by_one = 'flow:Input(glim.json_lines("logs/in.jsonl", {columns = {"a"}, per_host = true})):Pipe("sort -r"):Printf("%s\\n")'
            self.assertEqual(self.run_script(flow(sorted_by_one), *options)[0], "a3\n" * 3 + "a2\n" * 3 + "a1\n" * 3)
        fixed = 'flow:Input(glim.fixed_width("logs/fixed", {widths = {2, 2}, per_host = true})):Printf("%s %s\\n")'
        self.assertEqual(self.run_script(flow(fixed))[0], "".join(f"{h} xy\n{h} zw\n" for h in ("a1", "a2", "a3")))
        members = 'flow:ZipFile("logs/in.zip", {per_host = true}):Printf("%s %s\\n")'
        self.assertEqual(self.run_script(flow(members))[0], "".join(f"member in {h}\n" for h in ("a1", "a2", "a3")))
        # Beside files that are the same everywhere, and joined with themselves.
        self.write("same.txt", "same\n")
        both = """
            local own = flow:Input(glim.json_lines("logs/in.jsonl", {columns = {"a"}, per_host = true}))
            own:Union(flow:TextFile("same.txt")):Printf("%s\\n")
            own:Distinct():Join(own:Map(function(a) return a, 1 end):ReduceBy(glim.sum)):Sort():Printf("%s %d\\n")
            """
        out, _ = self.run_script(flow(both))
        self.assertEqual(out, "a1\n" * 3 + "a2\n" * 3 + "a3\n" * 3 + "same\n" + "a1 3\na2 3\na3 3\n")
        self.write("job.lua", flow('flow:TextFile("logs/x", {per_host = true}):Pipe("sort"):Print()'))
        explain = subprocess.run([GLIM, "explain", "job.lua"], cwd=self.folder, text=True, capture_output=True,
                                 timeout=TIMEOUT_S)
        self.assertIn('TextFile("logs/x" of each host)', explain.stdout, explain.stderr)

    def test_pushes_count_once_while_executors_are_killed(self):
        for host in "a1", "a2":
            self.write_of(host, "keys", "".join(f"{n % 50}\n" for n in range(60000)))
        self.make_cluster_with_files("a1", "a2")
        self.add("server", "s", "--master", self.master.address)
        job = self.start("""
            local glim = require "glim"
            local table = glim.table{name = "counts", keys = "sparse"}
            glim.flow("f"):TextFile("logs/keys", {per_host = true})
              :Map(function(key) local s = 0 for i = 1, 2000 do s = s + i % 7 end return tonumber(key), s > 0 and 1 or 0 end)
              :PushTo(table):Run()
            local sum = 0
            for _, value in ipairs(table:Pull({0, 7, 49}):Get()) do sum = sum + value end
            print(sum)
            """)
        victim = wait_until("an executor", self.agents[0].children)[0]
        time.sleep(0.3)
        send(victim, signal.SIGKILL)
        out, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual((job.returncode, out), (0, "7200\n"), err)

    def test_one_machine_has_one_set_of_files(self):
        os.makedirs(os.path.join(self.folder, "logs"))
        self.write("logs/x.log", "a\nb\n")
        self.master = self.add("master", "m")
        script = flow('flow:TextFile("logs/x.log", {per_host = true, host_name = true}):Printf("%s %s\\n")')
        name = subprocess.run(["hostname"], text=True, capture_output=True, check=True).stdout.strip()
        for on in "embedded", "local:2":
            self.assertEqual(self.run_script(script, on=on)[0], f"a {name}\nb {name}\n")
        # Of a cluster without agents no executor can read them.
        _, err = self.run_script(script, expect=1)
        self.assertIn('TextFile("logs/x.log" of each host): files of each host are read by executors on agents', err)

    def test_what_is_wrong_is_said_with_the_agent(self):
        self.write_of("a1", "x.log", "one\n")
        self.write_of("a1", "in.csv", "a,b\n1,2\n")
        self.write_of("a2", "in.csv", "b,a\n1,2\n")
        self.make_cluster_with_files("a1", "a2")

        def error(body, *options, on=None):
            return self.run_script(flow(body), *options, on=on, expect=1)[1]
        self.assertIn('on a2: TextFile: "logs/x.log": ', error('flow:TextFile("logs/x.log", {per_host = true}):Print()'))
        self.assertIn("no file matches", error('flow:TextFile("logs/*.txt", {per_host = true}):Print()'))
        self.assertRegex(error('flow:Input(glim.csv("logs/in.csv", {header = true, per_host = true})):Print()'),
                         r"the files of a[12] have other columns \([ab], [ab]\) than those of a[12] \([ab], [ab]\)")
        for path in "-", "http://127.0.0.1:9/x":
            self.assertIn("per_host is for files that each machine has",
                          error(f'flow:TextFile("{path}", {{per_host = true}}):Print()'))
        self.assertIn("what is in one Union with them is read in this process",
                      error('flow:TextFile("logs/in.csv", {per_host = true}):Union(flow:Stdin()):Print()'))
        self.assertIn("per_host reads the files of 2 agents, and there are to be executors on 1 of them",
                      error('flow:TextFile("logs/in.csv", {per_host = true}):Print()',
                            on=f"standalone://{self.master.address}?executors=1"))

    def test_an_agent_that_stays_away_ends_the_run(self):
        for host in "a1", "a2":
            self.write_of(host, "x.log", "".join(f"{n}\n" for n in range(60000)))
        self.make_cluster_with_files("a1", "a2")
        job = self.start(flow("""
            flow:TextFile("logs/x.log", {per_host = true})
              :Map(function(n) local s = 0 for i = 1, 20000 do s = s + i % 7 end return s % 2 end):Reduce(glim.sum):Printf("%d\\n")
            """))
        wait_until("executors", lambda: all(agent.children() for agent in self.agents))
        time.sleep(0.2)
        self.agents.pop(0).kill()  # a2, as they were made the other way round.
        _, err = job.communicate(timeout=TIMEOUT_S)
        self.assertEqual(job.returncode, 1)
        self.assertIn("agent a2 has files of its own to be read, and no executor for it: it is not there", err)
        self.await_nothing_left()


if __name__ == "__main__":
    unittest.main()
