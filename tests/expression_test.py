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

    def test_names_of_a_header_that_comes_by_standard_input(self):
        rows = "\ufeffwho,price\n" + "".join(f"{'x' * 1000}{n},{n % 7}\n" for n in range(3000))
        self.gives("csv{'-', header = true}:SelectKV('price', 'who'):ReduceBy(function(x, y) return #x > #y and x or y end, 'price')"
                   ":Select('price'):Sort('price')", "price\n" + "".join(f"{n}\n" for n in range(7)), stdin=rows)
        self.gives("csv{'-', header = true}:Filter(function(who) return #who > 1003 end)", "who,price\n", stdin="who,price\n")
        self.gives("csv{'-', header = true, columns = {'price'}}:Limit(2):Select('price')", "price\n0\n1\n", stdin=rows)
        # A header of more than one block, and nothing behind it.
        self.gives("csv{'-', header = true}:Select('b'):Limit(1)", "b\n2\n", stdin="a" * 3_000_000 + ",b\n1,2\n")
        self.gives("csv{'-', header = true}:Select('b')", "b\n", stdin="\n\na,b")
        self.gives("tsv{'-', header = true}:Select('b')", "b\n2\n", "--format", "tsv", stdin="a\tb\n1\t2\n")
        done = e("csv{'-', header = true}:Select('c')", stdin="a,b\n1,2\n")
        self.assertIn('there is no field "c"; there are a, b', done.stderr)

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


class Names(unittest.TestCase):
    """Fields by name, from a header or As."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.prices, self.towns = os.path.join(folder.name, "prices.csv"), os.path.join(folder.name, "towns.csv")
        with open(self.prices, "w") as file:
            file.write("city,price,n\nRome,3,1\nOslo,5,2\nRome,4,7\n")
        with open(self.towns, "w") as file:
            file.write("zip,town\n00100,Rome\n75000,Paris\n")

    def table(self, steps):
        done = e("--format", "json", f"csv('{self.prices}', {{header = true}}){steps}")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return [json.loads(line) for line in done.stdout.splitlines()]

    def test_steps_take_names(self):
        self.assertEqual(self.table(":Select('n', 'city'):SortBy(order_by('city', descending), order_by('n'))"),
                         [{"n": "1", "city": "Rome"}, {"n": "7", "city": "Rome"}, {"n": "2", "city": "Oslo"}])
        self.assertEqual(self.table(":GroupBy('city'):Sort('city'):SelectKV('city', {'n', 'price'})"),
                         [{"city": "Oslo", "n": ["2"], "price": ["5"]}, {"city": "Rome", "n": ["1", "7"], "price": ["3", "4"]}])
        self.assertEqual(self.table(":Distinct('city'):Partition(3, 'price'):Top(1, order_by('price')):ZipWithIndex()"),
                         [{"city": "Rome", "price": "3", "n": "1", "index": 0}])

    def test_joins_take_names_of_both_sides(self):
        other = f"csv('{self.towns}', {{header = true}})"
        rows = self.table(f":FullOuterJoin({other}, on('city'), on('town')):Sort('city', 'n')")
        self.assertEqual(rows, [{"city": "Oslo", "price": "5", "n": "2", "zip": None}, {"city": "Paris", "price": None, "n": None, "zip": "75000"},
                                {"city": "Rome", "price": "3", "n": "1", "zip": "00100"}, {"city": "Rome", "price": "4", "n": "7", "zip": "00100"}])
        self.assertEqual(len(self.table(f":AntiJoin({other}, on('city'), on('town')):Select('n')")), 1)

    def test_functions_drop_names_and_as_gives_them(self):
        steps = ":Map(function(city, price) return city, tonumber(price) end)"
        self.assertEqual(self.table(steps + ":As('city', 'price'):ReduceBy(function(a, b) return a + b end, 'city'):Top(1, 'price')"),
                         [{"city": "Oslo", "price": 5}])
        self.assertEqual(self.table(steps + ":Top(1, 2)"), [["Rome", 3]])
        self.assertEqual(self.table(":Filter(function(city) return city == 'Oslo' end)"), [{"city": "Oslo", "price": "5", "n": "2"}])

    def test_mistakes(self):
        for steps, message in ((":Select('prise')", 'Select: there is no field "prise"; there are city, price, n'),
                               (":Map(function(c) return c end):Sort('city')", 'Sort: there is no field "city": the rows have no names here'),
                               (":Select('city'):Sort('n')", 'Sort: there is no field "n"; there are city')):
            done = e(f"csv('{self.prices}', {{header = true}}){steps}")
            self.assertEqual(done.returncode, 1)
            self.assertIn(message, done.stderr)


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
