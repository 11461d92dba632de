#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clusters as people start them: glim init, master, server, status, table, and programs with --on.

Every process listens at a free port of this machine, and is ended with its test.

The folder with the glim binary is in GLIM_BUILD (default: build/release).
"""

import json
import lzma
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

BUILD = os.path.abspath(os.environ.get("GLIM_BUILD", os.path.join(os.path.dirname(__file__), "..", "build", "release")))
GLIM = os.path.join(BUILD, "glim")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TIMEOUT_S = 120

PUSH_AND_PULL = """
local glim = require "glim"
local counts = glim.table{name = "counts", type = "i64", rule = glim.add(), replicas = tonumber(arg[1] or 1)}
counts:Push({1, 2, 3, 1}, {10, 20, 30, 5}):Wait()
print(table.concat(counts:Pull({1, 2, 3, 4}):Get(), " "))
"""

PULL = """
local glim = require "glim"
print(table.concat(glim.open_table("counts"):Pull({1, 2, 3, 4}):Get(), " "))
"""

# Until the file arg[1] is there.
PUSH_ON = """
local glim = require "glim"
local keys, ones = {}, {}
for i = 1, 32 do keys[i], ones[i] = i, 1 end
local counts = glim.table{name = "counts", type = "i64", rule = glim.add()}
local pushes, stop = 0
repeat
  counts:Push(keys, ones):Wait()
  pushes = pushes + 1
  if pushes == 1 then print("begun") io.stdout:flush() end
  stop = io.open(arg[1])
until stop
for _, count in ipairs(counts:Pull(keys):Get()) do assert(count == pushes, count .. " of " .. pushes) end
print(pushes)
"""


# Each request makes no sense, is told so, and changes nothing.
BAD_REQUESTS = """
local glim = require "glim"
local dense = glim.table{name = "dense", keys = 10, type = "f64"}
local wide = glim.table{name = "wide", keys = "sparse", type = "f32", width = 3}
local whole = glim.table{name = "whole", keys = 10, type = "i32"}
local columns = glim.table{name = "columns", rows = 2, cols = 3, by = "column", type = "f64"}
local function try(f) print((select(2, pcall(f)):gsub("^[^ ]*:%d+: ", ""))) end
try(function() dense:Push({1, 10}, {1, 1}):Wait() end)
try(function() dense:Pull{10}:Get() end)
try(function() dense:PushRange(5, {1, 1, 1, 1, 1, 1}):Wait() end)
try(function() dense:PullRange(10, 1):Get() end)
try(function() dense:Push({1, 2}, {1, 0 / 0}):Wait() end)
try(function() dense:Push({1, 2}, {1, 1 / 0}):Wait() end)
try(function() wide:Push({1, 2}, {1, 1, 1, 2, 2}):Wait() end)
try(function() wide:Push({1}, {1, 1, 1e300}):Wait() end)
try(function() whole:Push({1, 2}, {1, 0.5}):Wait() end)
try(function() whole:Push({1, 2}, {1, 2 ^ 31}):Wait() end)
try(function() columns:PushRows({0, 2}, {1, 1, 1, 1, 1, 1}):Wait() end)
try(function() columns:PushColumns({3}, {1, 1}):Wait() end)
try(function() dense:PullColumns{1}:Get() end)
try(function() glim.open_table("nowhere") end)
try(function() glim.open_table((dense:Handle():gsub("type=f64", "type=f32"))) end)
try(function() glim.table{name = "dense", keys = 11} end)
for _, t in ipairs{dense, wide, whole, columns} do assert(t:Describe().keys == 0) end
"""


def sanitized():
    with open(os.path.join(BUILD, "CMakeCache.txt")) as cache:
        return any(line.startswith("GLIM_SANITIZE:") and line.strip().split("=", 1)[1] for line in cache)


def wait_until(condition):
    """False after a long time."""
    for _ in range(TIMEOUT_S * 20):
        if condition():
            return True
        time.sleep(0.05)
    return False


class ClusterTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="glim-cluster-test-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("GLIM_")}
        self.environment["TMPDIR"] = self.folder

    def path(self, name, text=None):
        path = os.path.join(self.folder, name)
        if text is not None:
            with open(path, "w") as file:
                file.write(text)
        return path

    def glim(self, *arguments, expect=0):
        """stdout of a command that ends by itself, or stderr of one that is to fail."""
        done = subprocess.run([GLIM, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=self.folder,
                              env=self.environment, timeout=TIMEOUT_S)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done.stdout if expect == 0 else done.stderr

    def start(self, *arguments, stderr=None):
        """A master or server; it, and where it listens."""
        process = subprocess.Popen([GLIM, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True,
                                   cwd=self.folder, env=self.environment)
        if stderr is not None:
            self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        line = process.stdout.readline()
        self.assertRegex(line, r"^listening 127\.0\.0\.1:[0-9]+$")
        return process, line.split()[1]

    def start_cluster(self, servers, *options):
        _, master = self.start("master", "--address", "127.0.0.1:0", "--dir", "master", *options)
        started = [self.start_server(master, number, *options) for number in range(1, servers + 1)]
        key = [] if not options else ["--key", "client.key"]
        self.assertTrue(wait_until(lambda: self.alive(master, *key) == servers))
        return master, started

    def start_server(self, master, number, *options, stderr=None):
        return self.start("server", "--master", master, "--address", "127.0.0.1:0", "--dir", f"server-{number}", "--number",
                          str(number), "--memory", "256M", *options, stderr=stderr)[0]

    def status(self, master, *options):
        return json.loads(self.glim("status", "--json", "--master", master, *options))

    def alive(self, master, *options):
        return sum(server["alive"] for server in self.status(master, *options)["servers"])

    def test_a_program_sees_what_another_one_pushed(self):
        master, _ = self.start_cluster(3)
        on = ["--on", "standalone://" + master]
        self.assertEqual(self.glim("run", *on, self.path("push.lua", PUSH_AND_PULL), "2"), "15 20 30 0\n")
        self.assertEqual(self.glim("run", *on, self.path("pull.lua", PULL)), "15 20 30 0\n")
        listed = json.loads(self.glim("table", "list", "--json", "--master", master))
        self.assertEqual([(table["name"], table["replicas"]) for table in listed], [("counts", 2)])
        self.assertIn("replicas     2", self.glim("table", "describe", "counts", "--master", master))
        status = self.status(master)
        self.assertEqual(status["tables"], [{"name": "counts", "shards": 16, "replicas": 2, "served": 16, "complete": 16}])
        # Shards and primaries are spread.
        for server in status["servers"]:
            self.assertIn(server["primary_of"], (5, 6))
            self.assertIn(server["primary_of"] + server["backup_of"], (10, 11))
        self.assertIn("there is a table \"counts\" already", self.glim("run", *on, self.path("push.lua"), expect=1))
        self.glim("table", "drop", "counts", "--master", master)
        self.assertEqual(self.status(master)["tables"], [])
        self.assertIn("there is no table \"counts\"", self.glim("table", "drop", "counts", "--master", master, expect=1))

    def test_a_handle_opens_the_table_in_another_process(self):
        master, _ = self.start_cluster(1)
        on = ["--on", "standalone://" + master]
        make = self.path("make.lua", """
local glim = require "glim"
local t = glim.table{name = "t", type = "i64"}
t:Push({1}, {7}):Wait()
print(t:Handle())
""")
        handle = self.glim("run", *on, make).strip()
        self.assertRegex(handle, rf"^glim-table://{master}/t\?type=i64&id=[0-9a-f]{{16}}$")
        use = self.path("use.lua", "print(require('glim').open_table(arg[1]):Pull({1}):Get()[1])")
        # Wherever the program's own tables are.
        for there in (on, [], ["--on", "local:1"]):
            self.assertEqual(self.glim("run", *there, use, handle), "7\n")
        self.glim("table", "drop", "t", "--master", master)
        self.assertIn("there is no table \"t\"", self.glim("run", use, handle, expect=1))
        self.glim("run", *on, make)
        self.assertIn("of this handle was dropped", self.glim("run", use, handle, expect=1))
        self.assertIn("is no handle of a table", self.glim("run", use, "glim-table://t", expect=1))
        embedded = self.glim("run", make).strip()
        self.assertIn("glim-table://embedded/t?", embedded)
        self.assertIn("in the memory of the program that made it", self.glim("run", *on, use, embedded, expect=1))
        self.assertIn("there is no table \"t\"", self.glim("run", use, embedded, expect=1))

    def test_status_is_watched_until_it_is_interrupted(self):
        process, master = self.start("master", "--address", "127.0.0.1:0", "--dir", "master")
        for json_too in ([], ["--json"]):
            watch = subprocess.Popen([GLIM, "status", "--watch", *json_too, "--master", master], stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, text=True, cwd=self.folder, env=self.environment)
            self.addCleanup(watch.stdout.close)
            self.addCleanup(watch.kill)
            for _ in range(2):
                line = watch.stdout.readline()
                if json_too:
                    self.assertEqual(json.loads(line)["servers"], [])
                else:
                    self.assertIn("0 of 0 servers alive", line)
                    self.assertEqual(watch.stdout.readline(), "\n")
            watch.send_signal(signal.SIGINT)
            self.assertEqual(watch.wait(TIMEOUT_S), 0)
        watch = subprocess.Popen([GLIM, "status", "--watch", "--json", "--master", master], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, text=True, cwd=self.folder, env=self.environment)
        self.addCleanup(watch.stdout.close)
        self.addCleanup(watch.kill)
        watch.stdout.readline()
        process.kill()
        process.wait()
        for line in watch.stdout:
            if "error" in json.loads(line):
                break
        self.start("master", "--address", master, "--dir", "master")
        for line in watch.stdout:
            if json.loads(line).get("starts") == 2:
                break
        watch.send_signal(signal.SIGTERM)
        self.assertEqual(watch.wait(TIMEOUT_S), 0)

    def test_a_server_that_is_killed_is_done_without(self):
        master, servers = self.start_cluster(3)
        on = ["--on", "standalone://" + master]
        self.glim("run", *on, self.path("push.lua", PUSH_AND_PULL), "2")
        servers[0].kill()
        self.assertTrue(wait_until(lambda: self.alive(master) == 2 and self.status(master)["tables"][0]["complete"] == 16))
        self.assertEqual(self.glim("run", *on, self.path("pull.lua", PULL)), "15 20 30 0\n")
        # Under its number it is a new member.
        self.start_server(master, 1)
        self.assertTrue(wait_until(lambda: self.alive(master) == 3))

    def held(self, master):
        """Of how many shards each server that lives is a holder."""
        return {server["server"]: server["primary_of"] + server["backup_of"] for server in self.status(master)["servers"] if server["alive"]}

    def test_servers_restart_one_after_the_other_and_nothing_is_lost(self):
        master, servers = self.start_cluster(3)
        client = subprocess.Popen([GLIM, "run", "--on", "standalone://" + master, self.path("push.lua", PUSH_ON), "stop"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, cwd=self.folder, env=self.environment)
        self.addCleanup(client.stdout.close)
        self.addCleanup(client.kill)
        self.assertEqual(client.stdout.readline(), "begun\n")
        for number in (1, 2, 3):
            self.assertGreater(self.held(master)[number], 0)
            servers[number - 1].send_signal(signal.SIGTERM)
            self.assertEqual(servers[number - 1].wait(TIMEOUT_S), 0)
            self.start_server(master, number)
            self.assertTrue(wait_until(lambda: sorted(self.held(master).values()) == [5, 5, 6]))
        self.path("stop", "")
        told = client.communicate(timeout=TIMEOUT_S)[0]
        self.assertEqual(client.returncode, 0)
        self.assertGreater(int(told), 10)

    def end(self, process, *signals):
        """How a server ends that is told to, and what it says."""
        for number in signals:
            process.send_signal(number)
        told = process.communicate(timeout=TIMEOUT_S)[1]
        return process.returncode, told

    def test_a_server_whose_shards_nobody_can_take_says_so_and_ends(self):
        master_process, master = self.start("master", "--address", "127.0.0.1:0", "--dir", "master")
        on = ["--on", "standalone://" + master]
        alone = "still holds 16 shards: there is no other server to take them"
        # Two signals of one kind may be taken for one, and two kinds come in any order.
        for signals, codes, says in (((signal.SIGTERM,), (0,), alone), ((signal.SIGINT,), (0,), alone),
                                     ((signal.SIGTERM, signal.SIGINT), (130, 143), "")):
            server = self.start_server(master, 1, stderr=subprocess.PIPE)
            self.assertTrue(wait_until(lambda: self.alive(master) == 1))
            self.glim("run", *on, self.path("push.lua", PUSH_AND_PULL.replace("replicas", 'durability = "disk", replicas')
                                            if not self.status(master)["tables"] else PULL))
            ended, told = self.end(server, *signals)
            self.assertIn(ended, codes)
            self.assertIn(says, told)
        server = self.start_server(master, 1, stderr=subprocess.PIPE)
        self.glim("run", *on, self.path("pull.lua", PULL))  # It is the one that holds them, not its earlier start.
        self.assertTrue(wait_until(lambda: self.held(master).get(1) == 16))
        master_process.kill()
        master_process.wait()
        ended, told = self.end(server, signal.SIGTERM)
        self.assertEqual(ended, 0)
        self.assertIn("the master does not answer", told)

    def test_a_server_that_is_drained_holds_nothing_until_that_is_taken_back(self):
        master, _ = self.start_cluster(2)
        on = ["--on", "standalone://" + master]
        self.glim("run", *on, self.path("push.lua", PUSH_AND_PULL))
        self.assertEqual(self.glim("drain", "--server", "1", "--master", master), "server 1 holds no shards\n")
        self.assertEqual(self.held(master), {1: 0, 2: 16})
        self.assertIn("draining", self.glim("status", "--master", master))
        self.assertIn("server 2 still holds 16 shards, and there is no other server to take them",
                      self.glim("drain", "--server", "2", "--master", master, expect=1))
        self.assertEqual(self.glim("drain", "--undo", "--server", "2", "--master", master), "server 2 takes shards again\n")
        self.glim("drain", "--undo", "--server", "1", "--master", master)
        self.assertTrue(wait_until(lambda: self.held(master) == {1: 8, 2: 8}))
        self.assertEqual(self.glim("run", *on, self.path("pull.lua", PULL)), "15 20 30 0\n")
        self.assertIn("there is no server 7", self.glim("drain", "--server", "7", "--master", master, expect=1))

    def test_a_master_that_is_killed_goes_on_where_it_was(self):
        process, master = self.start("master", "--address", "127.0.0.1:0", "--dir", "master")
        self.start_server(master, 1)
        on = ["--on", "standalone://" + master]
        self.assertEqual(self.glim("run", *on, self.path("push.lua", PUSH_AND_PULL)), "15 20 30 0\n")
        process.kill()
        process.wait()
        self.start("master", "--address", master, "--dir", "master")
        self.assertEqual(self.glim("run", *on, self.path("pull.lua", PULL)), "15 20 30 0\n")
        self.assertEqual(self.status(master)["starts"], 2)

    def test_a_master_whose_folder_is_an_older_copy_ends_and_does_no_harm(self):
        process, master = self.start("master", "--address", "127.0.0.1:0", "--dir", "master")

        def end():
            process.kill()
            process.wait()
        self.start_server(master, 1)
        self.assertTrue(wait_until(lambda: self.alive(master) == 1))
        on = ["--on", "standalone://" + master]
        newest = self.path("master")
        shutil.copytree(newest, self.path("begun"))
        # As many starts as the copy will say it had, and more.
        for older, starts in (("begun", 1), ("begun", 2)):
            end()
            process = self.start("master", "--address", master, "--dir", "master")[0]
            if starts == 1:
                self.assertTrue(wait_until(lambda: self.alive(master) == 1))
                self.assertEqual(self.glim("run", *on, self.path("push.lua", PUSH_AND_PULL)), "15 20 30 0\n")
            else:
                self.assertEqual(self.glim("run", *on, self.path("pull.lua", PULL)), "15 20 30 0\n")
            end()
            shutil.copytree(self.path(older), self.path(f"copy-{starts}"))
            process = self.start("master", "--address", master, "--dir", f"copy-{starts}", stderr=subprocess.PIPE)[0]
            self.assertEqual(process.wait(TIMEOUT_S), 1)
            self.assertRegex(process.stderr.read(), "server 1 .* is an older copy")
        process = self.start("master", "--address", master, "--dir", "master")[0]
        self.assertEqual(self.glim("run", *on, self.path("pull.lua", PULL)), "15 20 30 0\n")

    def test_a_table_on_disk_survives_the_end_of_all(self):
        master_process, master = self.start("master", "--address", "127.0.0.1:0", "--dir", "master")
        servers = [self.start_server(master, number) for number in (1, 2)]
        self.assertTrue(wait_until(lambda: self.alive(master) == 2))
        on = ["--on", "standalone://" + master]
        on_disk = PUSH_AND_PULL.replace("replicas =", 'durability = "disk", replicas =')
        self.assertEqual(self.glim("run", *on, self.path("push.lua", on_disk), "2"), "15 20 30 0\n")
        for process in (master_process, *servers):
            process.kill()
        for process in (master_process, *servers):
            process.wait()
        self.start("master", "--address", master, "--dir", "master")
        for number in (1, 2):
            self.start_server(master, number)
        self.assertEqual(self.glim("run", *on, self.path("pull.lua", PULL)), "15 20 30 0\n")

    def test_a_table_on_disk_is_refused_where_servers_have_none(self):
        told = self.glim("run", "--on", "local:2", self.path("push.lua", PUSH_AND_PULL.replace("replicas =", 'durability = "disk", replicas =')),
                         expect=1)
        self.assertRegex(told, r'table "counts" is to be kept on disk by 1 servers, and 0 have a data folder; server [12] at \S+ has none')

    def test_keys_let_in_who_has_them(self):
        told = self.glim("init", "--cluster", "ads")
        self.assertIn("cluster.key", told)
        for name in ("cluster.key", "client.key", "read-only.key"):
            self.assertEqual(os.stat(self.path(name)).st_mode & 0o777, 0o600)
        self.assertIn("is there already, and a key is never replaced", self.glim("init", expect=1))
        self.glim("init", "--dir", "other", "--cluster", "ads")
        master, _ = self.start_cluster(1, "--key", "cluster.key")
        on = ["--on", "standalone://" + master]
        push, pull = self.path("push.lua", PUSH_AND_PULL), self.path("pull.lua", PULL)
        self.assertEqual(self.glim("run", *on, "--key", "client.key", push), "15 20 30 0\n")
        self.assertEqual(self.glim("run", *on, "--key", "read-only.key", pull), "15 20 30 0\n")
        self.assertIn("read-only", self.glim("table", "drop", "counts", "--master", master, "--key", "read-only.key", expect=1))
        self.assertIn("refused", self.glim("run", *on, pull, expect=3))
        self.assertIn("refused", self.glim("run", *on, "--key", "other/client.key", pull, expect=3))
        os.chmod(self.path("client.key"), 0o644)
        self.assertIn("client.key", self.glim("run", *on, "--key", "client.key", pull, expect=2))
        self.assertIn("is the key of a client", self.glim("server", "--master", master, "--key", "read-only.key", expect=1))

    def test_a_local_cluster_ends_with_its_program(self):
        push = self.path("push.lua", PUSH_AND_PULL + "\nif arg[2] then io.stdout:flush() while true do end end\n")
        self.assertEqual(self.glim("run", "--on", "local:3", push, "3"), "15 20 30 0\n")
        self.assertEqual([name for name in os.listdir(self.folder) if name.startswith("glim-local-")], [])
        program = subprocess.Popen([GLIM, "run", "--on", "local:2", push, "2", "wait"], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, text=True, cwd=self.folder, env=self.environment)
        self.addCleanup(program.stdout.close)
        self.assertEqual(program.stdout.readline(), "15 20 30 0\n")
        self.assertEqual(len(self.children()), 3)
        program.kill()
        program.wait()
        self.assertTrue(wait_until(lambda: not self.children()))
        self.assertTrue(wait_until(lambda: not [name for name in os.listdir(self.folder) if name.startswith("glim-local-")]))

    def test_workers_of_several_processes_train_one_model(self):
        master, _ = self.start_cluster(2)
        with lzma.open(os.path.join(ROOT, "examples", "data", "a9a.xz")) as packed, open(self.path("a9a"), "wb") as file:
            file.write(packed.read())
        worker = os.path.join(ROOT, "examples", "worker.lua")
        workers = [subprocess.Popen([GLIM, "run", "--on", "standalone://" + master, worker, str(number), "3", "a9a"], text=True,
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=self.folder, env=self.environment)
                   for number in (1, 2, 3)]
        told = [process.communicate(timeout=TIMEOUT_S)[0] for process in workers]
        self.assertEqual([process.returncode for process in workers], [0, 0, 0])
        seen = [re.search(r"have seen (\d+) rows, progressive log-loss (\S+)", text).groups() for text in told]
        rows, loss = max((int(rows), float(loss)) for rows, loss in seen)
        self.assertEqual(rows, 32561)
        self.assertLess(loss, 0.345)

    @unittest.skipIf(sanitized(), "sanitizers take memory of their own")
    def test_a_master_of_a_hundred_members_is_small(self):
        self.glim("init")
        process, master = self.start("master", "--address", "127.0.0.1:0", "--dir", "master", "--key", "cluster.key")
        for number in range(1, 101):
            self.start_server(master, number, "--key", "cluster.key")
        self.assertTrue(wait_until(lambda: self.alive(master, "--key", "client.key") == 100))
        time.sleep(1)
        with open(f"/proc/{process.pid}/status") as file:
            resident_kib = int(re.search(r"VmRSS:\s+(\d+) kB", file.read()).group(1))
        self.assertLess(resident_kib, 10 * 1024)

    def children(self):
        """Processes that are children of a program on local:N of this test."""
        found = []
        for entry in os.listdir("/proc"):
            try:
                with open(f"/proc/{entry}/environ", "rb") as file:
                    variables = file.read()
            except OSError:
                continue
            if b"GLIM_CHILD=" in variables and self.folder.encode() in variables:
                found.append(int(entry))
        return found

    def test_what_is_wrong_is_told_in_one_line(self):
        pull = self.path("pull.lua", PULL)
        cases = [
            (3, "127.0.0.1:1", "run", "--on", "standalone://127.0.0.1:1", pull),
            (2, "there is no such engine", "run", "--on", "cloud", pull),
            (2, "from 1 to 64", "run", "--on", "local:0", pull),
            (2, "is not an address", "run", "--on", "standalone://host:port", pull),
            (2, "no such file", "run", "--on", "standalone://127.0.0.1:1", "--key", "nowhere.key", pull),
            (3, "127.0.0.1:1", "status", "--master", "127.0.0.1:1"),
            (3, "127.0.0.1:1", "table", "list", "--master", "127.0.0.1:1"),
            (1, "without a cluster key", "master", "--address", "0.0.0.0:0", "--dir", "m"),
            (1, "is not an address", "master", "--address", "here", "--dir", "m"),
            (2, "lots", "server", "--memory", "lots"),
        ]
        for code, words, *arguments in cases:
            with self.subTest(arguments=arguments):
                told = self.glim(*arguments, expect=code)
                self.assertIn(words, told)
                self.assertEqual(told.count("\n"), 1, told)

    def test_requests_that_make_no_sense_are_refused_wherever_the_table_is(self):
        script = self.path("bad.lua", BAD_REQUESTS)
        told = self.glim("run", script).splitlines()
        words = ["key 10 is out of range; there are keys 0 to 9"] * 2 + ["end beyond key 9"] * 2 + ["nan; the rule add cannot", "inf; the rule add cannot",
                 "2 keys of width 3 make 6", "1e+300, which f32 cannot hold", "0.5, which i32 cannot hold",
                 "which i32 cannot hold", "row 2 is out of range", "column 3 is out of range", "has no columns",
                 "there is no table \"nowhere\"", "holds f64, not f32", "there is"]
        self.assertEqual(len(told), len(words), told)
        for line, word in zip(told, words):
            self.assertIn(word, line)
        on_servers = self.glim("run", "--on", "local:2", script).splitlines()
        for embedded, remote in zip(told[:13], on_servers[:13], strict=True):
            self.assertEqual(embedded, remote)
        for line, word in zip(on_servers[13:], words[13:], strict=True):
            self.assertIn(word, line)

    def test_one_process_has_a_folder_and_one_a_port(self):
        process, master = self.start("master", "--address", "127.0.0.1:0", "--dir", "m")
        self.start_server(master, 1)
        self.assertIn("\"m\" is in use by another process", self.glim("master", "--address", "127.0.0.1:0", "--dir", "m", expect=1))
        self.assertIn("\"server-1\" is in use", self.glim("server", "--master", master, "--dir", "server-1", expect=1))
        self.assertIn(f"cannot listen at {master}", self.glim("master", "--address", master, "--dir", "n", expect=1))
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(TIMEOUT_S), 0)
        self.assertIn("belongs to the master", self.glim("server", "--master", master, "--dir", "m", expect=1))


if __name__ == "__main__":
    unittest.main()
