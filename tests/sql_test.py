#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Databases in job scripts and one-liners, with Python's own sqlite3 as the oracle. PostgreSQL: src/client/postgres_test.cc."""
import os
import signal
import sqlite3
import subprocess
import tempfile
import unittest

GLIM = os.path.abspath(os.path.join(os.environ.get("GLIM_BUILD", "build/release"), "glim"))


class Sql(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name

    def glim(self, *arguments):
        return subprocess.run([GLIM, *arguments], cwd=self.folder, capture_output=True, text=True, timeout=300)

    def script(self, text, *options):
        with open(os.path.join(self.folder, "job.lua"), "w") as file:
            file.write("local glim = require 'glim'\n" + text)
        return self.glim("run", *options, "job.lua")

    def good(self, done):
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def bad(self, done):
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        return done.stderr

    def query(self, sql, name="a.db"):
        with sqlite3.connect(os.path.join(self.folder, name)) as database:
            return database.execute(sql).fetchall()

    def test_what_python_writes_is_read_by_all_options(self):
        with sqlite3.connect(os.path.join(self.folder, "a.db")) as database:
            database.execute("create table t(id integer primary key, name text, price real, photo blob)")
            rows = [(i, None if i % 7 == 0 else f"n,{i}", i / 8, bytes([i % 256, 0, 255])) for i in range(-3000, 3000)]
            database.executemany("insert into t values (?, ?, ?, ?)", rows)
        database.close()
        expected = [f"{i} {name or 'nil'} {price:g} {photo.hex()}" for i, name, price, photo in rows]
        for options in ([], ["--threads", "3"], ["--partitions", "25"]):
            for how in ("", ", {split_by = 'id', splits = 5}", ", {split_by = 'price', splits = 3}"):
                done = self.script(f"glim.flow('f'):Sql('sqlite:a.db', 't'{how}):Printf('%d %v %g %x\\n'):Run()", *options)
                self.assertEqual(self.good(done).splitlines(), expected, (options, how))

    def test_what_is_written_python_reads(self):
        self.good(self.script("glim.flow('f'):Range(0, 5000):Map(function(n) return n, n / 4, 'n' .. n, n % 2 == 0 end)"
                              ":As('n', 'q', 't', 'even'):WriteSql('sqlite:a.db', 't', {types = {'integer primary key', '', '', ''}}):Run()"))
        self.assertEqual(self.query("select * from t"), [(n, n / 4, f"n{n}", int(n % 2 == 0)) for n in range(5000)])
        self.assertEqual(self.query("select sql from sqlite_master"),
                         [('CREATE TABLE "t" ("n" integer primary key, "q" real, "t" text, "even" boolean)',)])
        self.assertEqual(sorted(os.listdir(self.folder)), ["a.db", "job.lua"])

    def test_one_liners(self):
        self.good(self.glim("e", 'rows{{1, "ann"}, {2, "bob"}}:As("id", "who"):WriteSql("sqlite:a.db", "people")'))
        self.assertEqual(self.good(self.glim("e", 'sql("sqlite:a.db", "people", {split_by = "id"}):Sort("who")')), "id,who\n1,ann\n2,bob\n")

    def test_mistakes(self):
        self.assertEqual(self.bad(self.glim("e", 'sql("sqlite:no.db", "t")')), 'glim: Sql: "sqlite:no.db": no such file\n')
        self.assertIn('Sql has no option "split"; it knows split_by, splits', self.bad(self.glim("e", 'sql("sqlite:a.db", "t", {split = 1})')))
        self.assertIn('option "mode" is create, append or replace, not "add"',
                      self.bad(self.glim("e", 'ints{1}:WriteSql("sqlite:a.db", "t", {mode = "add"})')))
        self.assertIn("the rows have no names here", self.bad(self.glim("e", 'ints{1}:WriteSql("sqlite:a.db", "t")')))
        self.assertEqual(os.listdir(self.folder), [])

    def test_passwords_are_in_no_report(self):
        address = "postgresql://ann:secret@127.0.0.1:1/shop?sslpassword=secret"
        for arguments in (["e", "--stats", f'sql("{address}", "t")'], ["e", f'ints{{1}}:As("n"):WriteSql("{address}", "t")']):
            done = self.glim(*arguments)
            self.assertEqual(done.returncode, 1)
            self.assertIn('"postgresql://ann:***@127.0.0.1:1/shop?sslpassword=***"', done.stderr)
            self.assertNotIn("secret", done.stdout + done.stderr)
        with open(os.path.join(self.folder, "job.lua"), "w") as file:
            file.write(f"require('glim').flow('f'):Sql('{address}', 't'):WriteSql('{address}', 'u', {{columns = {{'n'}}}}):Run()")
        explained = self.good(self.glim("explain", "job.lua"))
        self.assertIn('read   Sql("postgresql://ann:***@127.0.0.1:1/shop?sslpassword=***", "t")', explained)
        self.assertNotIn("secret", explained)

    def test_an_interrupt_ends_a_query_and_a_wait_for_a_lock(self):
        database = sqlite3.connect(os.path.join(self.folder, "a.db"), isolation_level=None)
        self.addCleanup(database.close)
        database.execute("create table t(n)")
        database.execute("begin exclusive")
        for expression in ('sql("sqlite:a.db", "t")', 'ints{1}:As("n"):WriteSql("sqlite:a.db", "t", {mode = "append"})',
                           None):
            if expression is None:
                database.execute("rollback")
                expression = 'sql("sqlite:a.db", "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n")'
            child = subprocess.Popen([GLIM, "e", expression], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            with self.assertRaises(subprocess.TimeoutExpired):
                child.communicate(timeout=1)
            child.send_signal(signal.SIGINT)
            _, error = child.communicate(timeout=300)
            self.assertEqual(child.returncode, 130, error)
            self.assertIn(b"interrupted", error)


if __name__ == "__main__":
    unittest.main()
