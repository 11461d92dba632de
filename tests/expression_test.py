#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One-liners (glim e), and how rows are printed."""
import json
import os
import pty
import subprocess
import tempfile
import unittest

GLIM = os.path.join(os.environ.get("GLIM_BUILD", "build/release"), "glim")


def e(*arguments, stdin=""):
    return subprocess.run([GLIM, "e", *arguments], input=stdin, capture_output=True, text=True, timeout=120)


def on_terminal(*arguments):
    """What a terminal shows."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen([GLIM, "e", *arguments], stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.PIPE)
    os.close(theirs)
    shown = b""
    while True:
        try:
            more = os.read(ours, 65536)
        except OSError:  # Linux's way of saying that the other side is closed.
            break
        if not more:
            break
        shown += more
    os.close(ours)
    errors = child.communicate(timeout=120)[1]
    return shown.decode().replace("\r\n", "\n"), errors.decode()


class Expressions(unittest.TestCase):
    def gives(self, expression, expected, *options, stdin=""):
        done = e(*options, expression, stdin=stdin)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, expected)

    def fails(self, expression, part, *options):
        done = e(*options, expression)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, "")
        self.assertIn(part, done.stderr.splitlines()[0])

    def test_rows_into_a_pipe_are_csv(self):
        self.gives("rows{{1, 'a,b'}, {2.5, 'c'}}", '1,"a,b"\n2.5,c\n')

    def test_formats(self):
        rows = "rows{{1, 'a\\tb'}, {22, 'c'}}"
        self.gives(rows, '1,a\tb\n22,c\n', "--format", "csv")
        self.gives(rows, '1\t"a\tb"\n22\tc\n', "--format", "tsv")
        self.gives(rows, " 1  2\n--  ----\n 1  a\\tb\n22  c\n", "--format", "table")
        done = e("--format", "json", rows)
        self.assertEqual([json.loads(line) for line in done.stdout.splitlines()], [[1, "a\tb"], [22, "c"]])
        self.fails("range(1, 2)", 'no format "xml"', "--format", "xml")

    def test_a_terminal_shows_a_table(self):
        shown, errors = on_terminal("range(1, 3):Map(function(n) return n, 'x\\27[31m' end)")
        self.assertEqual(errors.replace("\r", "").replace("\x1b[K", ""), "")
        self.assertEqual(shown, "1  2\n-  ---------\n1  x\\x1b[31m\n2  x\\x1b[31m\n3  x\\x1b[31m\n")

    def test_sources(self):
        self.gives("lines():Filter(function(l) return l ~= 'b' end)", "a\nc\n", stdin="a\nb\nc\n")
        self.gives("strings{'x', 'y'}:Union(ints{3})", "x\ny\n3\n")
        self.gives("tsv('-')", "1,2\n", stdin="1\t2\n")
        self.gives("range(5, 7):Reduce(function(x, y) return x + y end)", "18\n")

    def test_names_of_the_module_stand_bare(self):
        self.gives("rows{{1, 'b'}, {1, 'a'}}:SortBy(order_by(1), order_by(2, descending))", "1,b\n1,a\n")

    def test_arguments(self):
        done = e("strings{arg[1], arg[2]}", "--x", "y")
        self.assertEqual(done.stdout, "--x\ny\n")

    def test_values_and_statements(self):
        self.gives("1 + 1", "2\n")
        self.gives("local n = 3; print(n)", "3\n")
        self.gives("range(1, 3):Printf('%d.\\n')", "1.\n2.\n3.\n")
        self.gives("range(1, 100):Show(2)", "1\n-\n1\n2\n")

    def test_mistakes(self):
        self.fails("x =", "e:1:")
        self.fails("csv('/no/such/file')", '"/no/such/file": no such file')
        self.fails("range(1, 2):Map(function(n) return n.x.y end)", "Map(lua e:1)")


class Repl(unittest.TestCase):
    def repl(self, text):
        return subprocess.run([GLIM, "repl"], input=text, capture_output=True, text=True, timeout=120)

    def test_lines_values_and_datasets(self):
        done = self.repl("x = range(1, 20):Map(function(n)\n  return n * n\nend)\nx:Filter(function(n) return n > 300 end)\n1 + 1\n"
                         "x:Top(2):Printf('%v.\\n')\nx\n")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        ten = "".join("%3d\n" % (n * n) for n in range(1, 11))
        self.assertEqual(done.stdout, "  1\n---\n324\n361\n400\n2\n400.\n361.\n  1\n---\n" + ten)

    def test_a_failure_ends_a_piped_session(self):
        done = self.repl("x = = 3\nprint('not reached')\n")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("repl:1: unexpected symbol near '='", done.stderr)
        done = self.repl("x = function()\n")
        self.assertEqual(done.returncode, 1)
        self.assertIn("in the middle of a statement", done.stderr)

    def test_a_terminal_goes_on_after_a_failure(self):
        ours, theirs = pty.openpty()
        with tempfile.TemporaryDirectory() as home:
            child = subprocess.Popen([GLIM, "repl"], stdin=theirs, stdout=theirs, stderr=theirs,
                                     env={**os.environ, "HOME": home, "TERM": "dumb"}, start_new_session=True)
            os.close(theirs)
            os.write(ours, b"error('no')\n6 * 7\nos.exit(3)\n")
            shown = b""
            while True:
                try:
                    more = os.read(ours, 65536)
                except OSError:
                    break
                if not more:
                    break
                shown += more
            self.assertEqual(child.wait(timeout=60), 3)
            os.close(ours)
            self.assertIn(b"no", shown)
            self.assertIn(b"42\r\n", shown)
            with open(os.path.join(home, ".glim_history")) as file:
                self.assertIn("7", file.read())


if __name__ == "__main__":
    unittest.main()
