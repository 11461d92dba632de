#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Files in and out of job scripts, with Python's own modules as the oracle."""
import bz2
import csv
import gzip
import http.server
import json
import lzma
import os
import signal
import socket
import subprocess
import tempfile
import threading
import unittest
import zipfile

GLIM = os.path.abspath(os.path.join(os.environ.get("GLIM_BUILD", "build/release"), "glim"))
OPEN = {"": open, ".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


class Files(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        self.folder = self.scratch.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, data):
        with OPEN.get(os.path.splitext(name)[1], open)(self.path(name), "wb") as file:
            file.write(data)

    def read(self, name):
        with OPEN.get(os.path.splitext(name)[1], open)(self.path(name), "rb") as file:
            return file.read()

    def glim(self, text, *options, **more):
        self.write("job.lua", ("local glim = require 'glim'\n" + text).encode())
        return subprocess.run([GLIM, "run", *options, "job.lua"], cwd=self.folder, capture_output=True, timeout=300, **more)

    def good(self, text, *options, **more):
        done = self.glim(text, *options, **more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def bad(self, text, *options):
        done = self.glim(text, *options)
        self.assertEqual((done.returncode, done.stdout), (1, b""), done.stderr)
        return done.stderr.decode()

    def test_compressed_text_is_read_and_written_by_extension(self):
        lines = b"".join(b"line %d of %d\n" % (i, i * i) for i in range(50000))
        for extension in OPEN:
            self.write("in.txt" + extension, lines)
            self.good(f"glim.flow('f'):TextFile('in.txt{extension}'):WriteText('out.txt{extension}'):Run()", "--threads", "2")
            self.assertEqual(self.read("out.txt" + extension), lines, extension)
            os.rename(self.path("in.txt" + extension), self.path("part" + extension))
        count = self.good("glim.flow('f'):TextFile('part*'):Map(function() return 1 end)"
                          ":Reduce(function(a, b) return a + b end):Printf('%d'):Run()")
        self.assertEqual(count, b"%d" % (50000 * len(OPEN)))

    def test_a_compressed_file_that_ends_too_early_fails_and_leaves_no_output(self):
        data = gzip.compress(b"line\n" * 100000)
        with open(self.path("in.gz"), "wb") as file:
            file.write(data[:len(data) // 2])
        message = self.bad("glim.flow('f'):TextFile('in.gz'):WriteText('out'):Run()")
        self.assertIn(f'"in.gz": reading gzip data at byte {len(data) // 2}: the file ends too early', message)
        self.assertEqual(sorted(os.listdir(self.folder)), ["in.gz", "job.lua"])

    def test_carriage_returns_go_when_asked(self):
        self.write("dos.txt", b"a\r\nb\r\n\r\nc\rd")
        script = "glim.flow('f'):TextFile('dos.txt'%s):Printf('%%q '):Run()"
        self.assertEqual(self.good(script % ""), rb'"a\r" "b\r" "\r" "c\rd" ')
        self.assertEqual(self.good(script % ", {strip_cr = true}"), rb'"a" "b" "" "c\rd" ')

    def test_csv_is_what_python_reads_and_writes(self):
        rows = [[str(i), "a,b" * (i % 3), 'say "x"\n' * (i % 5), ""] for i in range(300000)]
        with open(self.path("in.csv"), "w", newline="") as file:
            csv.writer(file).writerows([["n", "a,b", "c", "d"]] + rows)
        self.assertGreater(os.path.getsize(self.path("in.csv")), 2 * 4 << 20)  # Several splits.
        for options in (["--threads", "1"], ["--threads", "3"], ["--partitions", "7"]):
            self.good("glim.flow('f'):Input(glim.csv{'in.csv', header = true}):WriteCsv('out.csv', "
                      "{header = {'n', 'a,b', 'c', 'd'}}):Run()", *options)
            with open(self.path("out.csv"), newline="") as file:
                got = list(csv.reader(file))
            self.assertEqual(got[0], ["n", "a,b", "c", "d"])
            self.assertTrue(got[1:] == rows)

    def test_csv_columns_nil_and_tsv(self):
        self.write("in.csv", b"who;n;x\nann;NA;1\nbob;'NA';2\n")
        self.assertEqual(self.good("glim.flow('f'):Input(glim.csv('in.csv', {header = true, delimiter = ';', quote = \"'\", "
                                   "null = 'NA', columns = {'n', 1}})):WriteTsv('out.tsv', {null = '-', header = {'n', 'who'}})"
                                   ":Printf('%v %v\\n'):Run()"), b"nil ann\nNA bob\n")
        self.assertEqual(self.read("out.tsv"), b"n\twho\n-\tann\nNA\tbob\n")
        self.assertEqual(self.good("glim.flow('f'):Input(glim.tsv{'out.tsv', null = '-'}):Printf('%v %v\\n'):Run()"),
                         b"n who\nnil ann\nNA bob\n")
        self.assertIn('no column "m", it has 3: who, n, x', self.bad(
            "glim.flow('f'):Input(glim.csv{'in.csv', header = true, delimiter = ';', columns = 'm'}):Printf('%v'):Run()"))
        self.assertIn('option "delimiter" must be one byte', self.bad("glim.csv{'in.csv', delimiter = ',,'}"))
        self.assertIn("other rows have 2", self.bad("glim.flow('f'):Rows{{1, 2}, {3}}:WriteCsv('no.csv'):Run()"))
        self.assertFalse(os.path.exists(self.path("no.csv")))

    def test_json_lines_are_what_python_reads_and_writes(self):
        rows = [{"id": i * 10 ** 13 - 5, "user": {"name": "n\u00e9 \"%d\"\n" % i, "tags": ["a", i, None, 0.1]}, "x": i % 3 == 0}
                for i in range(60000)]
        self.write("in.jsonl.gz", b"".join(json.dumps(row).encode() + b"\n" for row in rows))
        with open(self.path("in.jsonl"), "wb") as file:
            file.write(gzip.open(self.path("in.jsonl.gz")).read())
        self.assertGreater(os.path.getsize(self.path("in.jsonl")), 4 << 20)
        for name in ("in.jsonl", "in.jsonl.gz"):
            self.good(f"glim.flow('f'):Input(glim.json_lines{{'{name}', columns = {{'user.name', 'id', 'user.tags', 'user.tags[1]', "
                      "'no', 'x'}}):WriteJsonLines('out.jsonl', {'name', 'id', 'tags', 'tag', 'no', 'x'}):Run()", "--threads", "2")
            with open(self.path("out.jsonl"), "rb") as file:
                got = [json.loads(line) for line in file]
            self.assertTrue(got == [{"name": row["user"]["name"], "id": row["id"], "tags": row["user"]["tags"],
                                     "tag": row["user"]["tags"][1], "no": None, "x": row["x"]} for row in rows], name)

    def test_json_that_is_none_is_named_or_skipped(self):
        self.write("in.jsonl", b'{"a": 1}\r\n\n{"a": 2\n{"a": {"b":  3}}')
        script = "glim.flow('f'):Input(glim.json_lines{'in.jsonl', %s}):Printf('%%v\\n'):Run()"
        self.assertIn('"in.jsonl" line 3: no JSON', self.bad(script % "columns = 'a'"))
        done = self.glim(script % "columns = 'a', skip_bad = true")
        self.assertEqual((done.returncode, done.stdout), (0, b'1\n{"b":3}\n'))
        self.assertIn(b"1 line skipped that is no JSON", done.stderr)
        self.assertEqual(self.good(script % "skip_bad = true"), b'{"a": 1}\n{"a": {"b":  3}}\n')
        self.assertIn("path \"a..b\", byte 3: expected a name", self.bad(script % "columns = 'a..b'"))
        self.assertIn("2 names, the row has 1 column", self.bad("glim.flow('f'):Ints{1}:WriteJsonLines('o', {'a', 'b'}):Run()"))
        self.assertIn("JSON has no", self.bad("glim.flow('f'):Rows{{0/0}}:WriteJsonLines('o', {'a'}):Run()"))

    def test_a_folder_has_a_file_per_partition_and_a_manifest(self):
        self.good("glim.flow('f'):Range(0, 1000):RoundRobin(3):WriteCsv('out/', {per_partition = true, header = {'n'}, "
                  "compression = 'gz'}):Run()", "--threads", "3")
        self.assertEqual(sorted(os.listdir(self.path("out"))),
                         [".manifest.json", "part-00000.csv.gz", "part-00001.csv.gz", "part-00002.csv.gz"])
        parts = [self.read(f"out/part-0000{i}.csv.gz").split() for i in range(3)]
        self.assertEqual([part[0] for part in parts], [b"n"] * 3)
        self.assertEqual(sorted(int(n) for part in parts for n in part[1:]), list(range(1000)))
        with open(self.path("out/.manifest.json")) as file:
            manifest = json.load(file)
        self.assertEqual(manifest["rows"], 1000)
        self.assertEqual(manifest["parts"], [{"file": f"part-0000{i}.csv.gz", "rows": len(parts[i]) - 1,
                                              "bytes": os.path.getsize(self.path(f"out/part-0000{i}.csv.gz"))} for i in range(3)])
        # Read again, and replaced by one that has empty partitions.
        self.assertEqual(self.good("glim.flow('f'):Input(glim.csv{'out', header = true}):Map(function() return 1 end)"
                                   ":Reduce(function(a, b) return a + b end):Printlnf('%d'):Run()"), b"1000\n")
        self.good("glim.flow('f'):Strings{'x'}:Partition(4):WriteText('out', {per_partition = true}):Run()")
        names = [f"part-0000{i}.txt" for i in range(4)]
        self.assertEqual(sorted(os.listdir(self.path("out"))), [".manifest.json"] + names)
        self.assertEqual(sorted(self.read("out/" + name) for name in names), [b"", b"", b"", b"x\n"])
        self.assertEqual(sorted(os.listdir(self.folder)), ["job.lua", "out"])

    def test_a_folder_of_other_files_stays_and_a_failed_run_leaves_the_old_one(self):
        script = "glim.flow('f'):Strings{'x'}:Map(function(x) return x %s end):WriteText('out', {per_partition = true}):Run()"
        self.good(script % ".. 'y'")
        self.bad(script % "+ 1")
        self.assertEqual(self.read("out/part-00000.txt"), b"xy\n")
        self.assertEqual(sorted(os.listdir(self.folder)), ["job.lua", "out"])
        os.mkdir(self.path("mine"))
        self.write("mine/precious", b"1")
        self.assertIn("the folder has files that no flow wrote", self.bad(
            "glim.flow('f'):Strings{'x'}:WriteText('mine', {per_partition = true}):Run()"))
        self.assertIn("no compression", self.bad("glim.flow('f'):Strings{'x'}:WriteText('o', {compression = 'rar'}):Run()"))

    def test_binary_lines_and_callbacks(self):
        self.good("glim.flow('f'):Rows{{'ab', '\\0c'}, {'d', ''}}:WriteBinary('out.bin'):Run()")
        self.assertEqual(self.read("out.bin"), b"ab\0cd")
        self.assertIn("column 2 is int64, not bytes", self.bad("glim.flow('f'):Rows{{'a', 1}}:WriteBinary('o'):Run()"))
        self.assertEqual(self.good("local f = glim.flow('f') local r = f:Rows{{'a', nil, 2}} r:Printlnf('%v %v %v') "
                                   "r:PipeOut(io.stdout) r:Fprintlnf(io.stdout, '%s%v%d') "
                                   "r:OutputRow(function(row) io.write(type(row), row[1], row[3], '\\n') end) f:Run()"),
                         b"a nil 2\na\t\t2\nanil2\ntablea2\n")

    def test_a_mistake_in_a_format_is_told_where_the_script_calls(self):
        for call in ("Printf('%y')", "Printlnf('%y')", "Fprintf(io.stdout, '%y')", "Fprintlnf(io.stdout, '%y')"):
            message = self.bad(f"local data = glim.flow('f'):Ints{{1}}\ndata:{call}")
            self.assertIn("job.lua:3: ", message)
            self.assertIn("no verb %y", message)

    def test_members_of_zip_archives_are_rows(self):
        members = {f"folder/m{i}.txt": b"%d " % i * (i * 300) for i in range(200)}
        for half, method in enumerate((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)):
            with zipfile.ZipFile(self.path(f"a{half}.zip"), "w", method) as archive:
                for i, (name, data) in enumerate(members.items()):
                    if i % 2 == half:
                        archive.writestr(name, data)
        script = ("glim.flow('f'):ZipFile('*.zip', {pattern = '*.txt'})"
                  ":Map(function(name, bytes) return name .. ' ' .. #bytes .. ' ' .. bytes:sub(1, 9) end):WriteText('out'):Run()")
        for options in ((), ("--partitions", "7")):
            self.good(script, *options)
            expected = [f"{name} {len(data)} {data[:9].decode()}" for half in (0, 1) for i, (name, data) in enumerate(members.items()) if i % 2 == half]
            self.assertEqual(self.read("out").decode().splitlines(), expected)
        with open(self.path("a0.zip"), "r+b") as file:
            file.seek(os.path.getsize(self.path("a0.zip")) // 4)
            file.write(b"x")
        self.assertIn('"a0.zip": member "folder/m', self.bad(script))
        message = self.bad("glim.flow('f'):ZipFile('a1.zip', {member_bytes_max = 1000}):Printf('%v'):Run()")
        self.assertIn("more than member_bytes_max = 1000", message)
        self.assertIn("ZipFile needs the name of a file", self.bad("glim.flow('f'):ZipFile({}):Printf('%v'):Run()"))
        self.assertIn('ZipFile has no option "members"', self.bad("glim.flow('f'):ZipFile('a1.zip', {members = 1}):Printf('%v'):Run()"))

    def listen(self, text, *options):
        """A running job and the port that it listens on."""
        self.write("job.lua", ("local glim = require 'glim'\n" + text).encode())
        job = subprocess.Popen([GLIM, "run", *options, "job.lua"], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(job.kill)
        line = job.stderr.readline().decode()
        self.assertRegex(line, r"^glim: listening on 127\.0\.0\.1:\d+$")
        return job, int(line.rsplit(":", 1)[1])

    def test_lines_sent_to_a_socket_are_rows(self):
        job, port = self.listen("glim.flow('f'):Listen('tcp', ':0', {connections = 2}):Sort():WriteText('out'):Run()")
        with socket.create_connection(("127.0.0.1", port)) as first, socket.create_connection(("127.0.0.1", port)) as second:
            first.sendall(b"b\t1\nhalf of a")
            second.sendall(b"a\t2\n")
            first.sendall(b" line\nno newline")
        _, error = job.communicate(timeout=60)
        self.assertEqual((job.returncode, error), (0, b""))
        self.assertEqual(self.read("out"), b"a\t2\nb\t1\nhalf of a line\nno newline\n")

    def test_an_interrupt_ends_a_flow_that_listens(self):
        job, _ = self.listen("glim.flow('f'):Listen('tcp4', 'localhost:0', {connections = 0}):WriteText('out'):Run()")
        job.send_signal(signal.SIGINT)
        _, error = job.communicate(timeout=60)
        self.assertEqual(job.returncode, 130, error)
        self.assertFalse(os.path.exists(self.path("out")))

    def test_a_port_that_is_taken_is_told(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = "127.0.0.1:%d" % server.getsockname()[1]
            message = self.bad(f"glim.flow('f'):Listen('tcp', '{address}'):Printf('%v'):Run()")
            self.assertIn(f'Listen: "{address}": ', message)
        self.assertIn("Listen has no option", self.bad("glim.flow('f'):Listen('tcp', ':0', {conections = 1}):Printf('%v'):Run()"))

    def test_open_files_and_functions_are_sources(self):
        self.write("in.txt", b"head\na\t1\nb\t2\n")
        script = "local file = %s\nfile:read()\nglim.flow('f'):Read(file):Printlnf('%%s=%%s'):Run()"
        for file in ("io.open('in.txt')", "io.popen('cat in.txt')"):
            self.assertEqual(self.good(script % file), b"a=1\nb=2\n")
        self.assertIn("Read: the file is closed", self.bad("local file = io.open('in.txt')\nlocal data = glim.flow('f'):Read(file)\n"
                                                           "file:close()\ndata:Printf('%v'):Run()"))
        self.assertIn("Read expects an open file", self.bad("glim.flow('f'):Read('in.txt'):Printf('%v'):Run()"))
        self.assertEqual(self.good("glim.flow('f'):Source(function() return ('a b'):gmatch('%w') end):Printlnf('%s'):Run()"), b"a\nb\n")

    def test_records_of_fixed_width(self):
        records = [os.urandom(100) for _ in range(50000)]
        self.write("in.bin", b"".join(records))
        self.write("in.bin.gz", b"".join(records[:1000]))
        script = "glim.flow('f'):Input(glim.fixed_width{'%s', widths = {10, 90}}):Sort():WriteBinary('out.bin'):Run()"
        self.good(script % "in.bin")
        self.assertTrue(self.read("out.bin") == b"".join(sorted(records)))
        self.good(script % "in.bin.gz")
        self.assertTrue(self.read("out.bin") == b"".join(sorted(records[:1000])))
        self.write("in.bin", b"".join(records) + b"x")
        self.assertIn("within a record of 100 bytes", self.bad(script % "in.bin"))
        self.assertIn("needs the width of each field", self.bad("glim.flow('f'):Input(glim.fixed_width{'in.bin'}):Printf('%v'):Run()"))

    def test_a_function_makes_rows(self):
        self.assertEqual(self.good("glim.flow('f'):Generate(function() local i = 0 return function() i = i + 1 "
                                   "if i <= 3 then return i, i * i end end end):Printlnf('%d %d'):Run()"), b"1 1\n2 4\n3 9\n")
        self.assertEqual(self.good("glim.flow('f'):Generate(function(part) for i = 1, 2 do writeRow(part * 10 + i) end end, 3)"
                                   ":Sort():Printlnf('%d'):Run()", "--threads", "2"), b"1\n2\n11\n12\n21\n22\n")
        self.assertEqual(self.good("glim.flow('f'):Generate(function() while true do writeRow('x') end end):Limit(2)"
                                   ":Printlnf('%s'):Run()", "--memory", "64M"), b"x\nx\n")
        self.assertIn("Generate", self.bad("glim.flow('f'):Generate(function() error('no luck') end):Printlnf('%d'):Run()"))
        self.assertIn("at least one", self.bad("glim.flow('f'):Generate(function() end, 0):Printlnf('%d'):Run()"))

    def test_http_addresses_are_files(self):
        lines = b"".join(b"line %d\n" % i for i in range(300000))
        self.write("in.txt", lines)
        self.write("in.csv.gz", b"a,b\n1,x\n2,y\n")
        folder = self.folder
        asked = []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments):
                super().__init__(*arguments, directory=folder)

            def log_message(self, *arguments):
                pass

            def do_GET(self):
                asked.append(self.path)
                if self.path == "/cut":
                    self.send_response(200)
                    self.send_header("Content-Length", "1000")
                    self.end_headers()
                    self.wfile.write(b"line\n")
                    return
                try:
                    super().do_GET()
                except ConnectionError:
                    pass  # A reader that has enough hangs up.

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                address = f"http://127.0.0.1:{server.server_address[1]}"
                self.good(f"glim.flow('f'):TextFile('{address}/in.txt'):WriteText('out.txt'):Run()")
                asked.clear()
                self.assertEqual(self.good(f"glim.flow('f'):Input(glim.csv{{'{address}/in.csv.gz', header = true}}):Printlnf('%s%s'):Run()"), b"1x\n2y\n")
                self.assertEqual(asked, ["/in.csv.gz"])
                self.assertTrue(self.read("out.txt") == lines)
                self.assertEqual(self.good(f"glim.flow('f'):Input(glim.csv{{'{address}/in.csv.gz?x=1.y', header = true}})"
                                           ":Printlnf('%s%s'):Run()"), b"1x\n2y\n")
                self.assertEqual(self.good(f"glim.flow('f'):TextFile('{address}/in.txt'):Limit(1):Printlnf('%s'):Run()"), b"line 0\n")
                message = self.bad(f"glim.flow('f'):TextFile('{address}/none'):Printlnf('%s'):Run()")
                self.assertIn(f'"{address}/none": the server answers 404', message)
                message = self.bad(f"glim.flow('f'):TextFile('{address}/cut'):WriteText('o'):Run()")
                self.assertIn(f'"{address}/cut": ', message)
            finally:
                server.shutdown()
                thread.join()
        self.assertIn(f'"{address}/in.txt": ', self.bad(f"glim.flow('f'):TextFile('{address}/in.txt'):Printlnf('%s'):Run()"))


if __name__ == "__main__":
    unittest.main()
