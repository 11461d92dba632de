#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The programs of examples/, in Lua and in C++, give what coreutils and plain Python give."""
import collections
import math
import os
import random
import re
import sqlite3
import subprocess
import tempfile
import unittest

BUILD = os.environ.get("GLIM_BUILD", "build/release")
OPTIONS = ([], ["--threads", "1"], ["--threads", "4"], ["--partitions", "1"], ["--partitions", "25"])


def both(name, *arguments):
    """The standard output of the Lua and of the C++ program, for several options."""
    for options in OPTIONS:
        for command in ([os.path.join(BUILD, "glim"), "run", *options, f"examples/{name}.lua"],
                        [os.path.join(BUILD, f"example_{name}"), *options]):
            done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
            yield command, done


def shell(command):
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, env={**os.environ, "LC_ALL": "C"}).stdout


class Examples(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        generator = random.Random(3)
        words = ["word%d" % generator.randrange(500) for _ in range(60000)]
        lines = [" ".join(words[i:i + 7]) for i in range(0, len(words), 7)]
        self.text = self.write("some text.txt", "\n".join(lines) + "\n")
        self.words = collections.Counter(words)

    def write(self, name, content):
        path = os.path.join(self.folder.name, name)
        with open(path, "w") as file:
            file.write(content)
        return path

    def test_wordcount(self):
        for command, done in both("wordcount", self.text):
            self.assertEqual(done.returncode, 0, (command, done.stderr))
            counted = dict(line.rsplit(",", 1) for line in done.stdout.splitlines())
            self.assertEqual({word: int(n) for word, n in counted.items()}, self.words, command)

    def test_wordcount_pipe_is_what_the_shell_says(self):
        expected = shell(f"tr -cs 'A-Za-z0-9' '\\n' < '{self.text}' | grep . | sort | uniq -c")
        for command, done in both("wordcount_pipe", self.text):
            self.assertEqual(done.returncode, 0, (command, done.stderr))
            self.assertEqual(sorted(done.stdout.splitlines()), sorted(expected.splitlines()), command)

    def test_join_csv(self):
        generator = random.Random(5)
        a = [[generator.randrange(60), i, i * 2, f"a{i}", "x"] for i in range(300)]
        b = [[i, generator.randrange(60), f'"b,{i}"'] for i in range(200)]
        files = [self.write(name, "".join(",".join(map(str, row)) + "\n" for row in rows)) for name, rows in (("a.csv", a), ("b.csv", b))]
        expected = sorted("%s,%s,%s" % (left[0], left[3], right[2].strip('"')) for left in a for right in b if left[0] == right[1])
        for command, done in both("join_csv", *files):
            self.assertEqual(done.returncode, 0, (command, done.stderr))
            self.assertEqual(sorted(done.stdout.splitlines()), expected, command)

    def test_join_csv_names_the_line_that_is_wrong(self):
        good, bad = self.write("a.csv", "1,2,3,4,5\n"), self.write("b.csv", "1,2,3\n4,5\n")
        for command, done in both("join_csv", good, bad):
            self.assertEqual(done.returncode, 1, command)
            self.assertRegex(done.stderr.splitlines()[0], r"b\.csv.* line 2")

    def test_parallel(self):
        texts = [f"one two{i} one\n" for i in range(9)]
        paths = [self.write(f"it's $(part) {i};.txt", text) for i, text in enumerate(texts)]
        expected = collections.Counter(re.findall(r"\w+", "".join(texts)))
        pattern = os.path.join(self.folder.name, "it's*.txt")
        for command, done in both("parallel", pattern):
            if "example_parallel" in command[0]:
                done = subprocess.run([*command, *paths], capture_output=True, text=True, timeout=120)
            self.assertEqual(done.returncode, 0, (command, done.stderr))
            counted = dict(line.split("\t") for line in done.stdout.splitlines())
            self.assertEqual({word: int(n) for word, n in counted.items()}, expected, command)

    def assert_prints(self, name, arguments, lines):
        """Both programs, these lines, in this order."""
        for command, done in both(name, *arguments):
            self.assertEqual((done.returncode, done.stderr), (0, ""), command)
            self.assertEqual(done.stdout.splitlines(), lines, command)

    def test_pi_counts_the_points_of_its_dice(self):
        throws, inside = 2, 0
        for throw in range(throws):
            seed = throw * 7919 + 1
            for _ in range(1000000):
                x = seed = seed * 48271 % 2147483647
                y = seed = seed * 48271 % 2147483647
                inside += (x / 2147483647) ** 2 + (y / 2147483647) ** 2 < 1
        self.assertAlmostEqual(4 * inside / (throws * 1000000), math.pi, delta=0.01)
        self.assert_prints("pi", ["2"], [f"pi is about {4 * inside / 2000000:.6f} ({inside} of 2000000 points)"])

    def test_tf_idf(self):
        generator = random.Random(7)
        files = {}
        for i in range(6):
            words = ["Word" + chr(97 + int(generator.paretovariate(0.5)) % 26) + chr(97 + i // 2) * generator.randrange(2) for _ in range(2000)]
            files[self.write(f"file {i}.txt", "".join(" ".join(words[j:j + 8]) + ".\n" for j in range(0, 2000, 8)))] = words
        counts = collections.Counter((word.lower(), path) for path, words in files.items() for word in words)
        having = collections.Counter(word for word, _ in counts)
        scored = sorted((-count * math.log(len(files) / having[word]), word, path) for (word, path), count in counts.items())
        self.assertLess(scored[0][0], 0)
        self.assert_prints("tf_idf", list(files), [f"{word} {path} {-score:.4f}" for score, word, path in scored[:20]])

    def test_join_is_what_coreutils_say(self):
        other = self.write("other.txt", "word3 word3 WORD3 word499\nword3000 word7\n")
        count = "tr -cs 'A-Za-z0-9' '\\n' < '%s' | grep . | sort | uniq -c | awk '{print $2, $1}' > '%s'"
        left, right = self.write("left", ""), self.write("right", "")
        lines = shell(f"{count % (self.text, left)}; {count % (other, right)}; join '{left}' '{right}'").splitlines()
        self.assertEqual(len(lines), 3)
        self.assert_prints("join", [self.text, other], lines)

    def test_self_join(self):
        generator = random.Random(11)
        edges = [("p%d" % generator.randrange(60), "p%d" % generator.randrange(60)) for _ in range(400)]
        path = self.write("friends", "".join(f"{a}  {b}\n" for a, b in edges))
        friends = set(edges)
        suggested = collections.Counter((a, d) for a, b in friends for c, d in friends if b == c and a != d and (a, d) not in friends)
        expected = [f"{a} {d} {n}" for (a, d), n in sorted(suggested.items(), key=lambda item: (-item[1], item[0]))]
        self.assertGreater(len(expected), 100)
        self.assert_prints("self_join", [path], expected)

    def test_hash_join(self):
        text = "The cat and the dog: that is it, or is IT?\nthey said a thing and another\n" * 300
        path = self.write("kinds.txt", text)
        kinds = collections.defaultdict(list)
        for kind, words in (("article", "a an the"), ("pronoun", "he she it they that"), ("conjunction", "and or but that")):
            for word in words.split():
                kinds[word].append(kind)
        counts = collections.Counter(kind for word in re.findall(r"[a-z]+", text.lower()) for kind in kinds[word])
        self.assert_prints("hash_join", [path], [f"{kind} {count}" for kind, count in sorted(counts.items())])

    def test_hash_join_explains_that_the_words_do_not_move(self):
        for command in ([os.path.join(BUILD, "glim"), "explain", "examples/hash_join.lua", self.text],
                        [os.path.join(BUILD, "example_hash_join"), "explain", self.text]):
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
            self.assertEqual((done.returncode, done.stderr), (0, ""), command)
            stages = re.split("^stage ", done.stdout, flags=re.MULTILINE)
            joining = [stage for stage in stages if "HashJoin" in stage]
            self.assertEqual(len(joining), 1, done.stdout)
            self.assertIn("whole in every task", joining[0])
            self.assertIn("Map(", joining[0])  # Goes on in the same stage.

    def test_sort_is_what_coreutils_say(self):
        made = {}
        path, result = os.path.join(self.folder.name, "records"), os.path.join(self.folder.name, "sorted")
        for command, done in both("sort", path, result, "20000"):
            self.assertEqual(done.returncode, 0, (command, done.stderr))
            lua = "example_sort" not in command[0]
            with open(path) as file:
                made[lua] = file.read()
            self.assertEqual(len(made[lua]), 2000000)
            expected = shell(f"sort -s -k 1.1,1.10 '{path}'")  # As bytes, and stable.
            with open(result) as file:
                self.assertEqual(file.read(), expected, command)
            os.remove(path)
        self.assertEqual(made[True], made[False])
        self.assertEqual(sorted(int(line[10:]) for line in made[True].splitlines()), list(range(20000)))

    def access_log(self):
        """A log, its requests as (host, page, status, bytes), and how many lines are something else."""
        generator = random.Random(13)
        lines, requests, other = [], [], 0
        for second in range(5000):
            host = generator.choice(["10.0.0.%d" % generator.randrange(8), "2001:db8::%x" % generator.randrange(3), "crawler.example.org"])
            page = "/" + "/".join(generator.choices(["index.html", "a", "b", "q%20r", ""], k=generator.randrange(1, 3)))
            query = generator.choice(["", "", "?id=%d" % second, "?q=a/b?c"])
            status = generator.choice([200] * 20 + [301, 304, 404, 500])
            size = 0 if status == 304 else generator.randrange(100000)
            time = "%02d/Nov/2024:10:%02d:%02d +0100" % (1 + second // 3600, second // 60 % 60, second % 60)
            lines.append(f'{host} - {generator.choice(["-", "ann"])} [{time}] "{generator.choice(["GET", "POST"])} {page}{query} HTTP/1.1" '
                         f'{status} {size if status != 304 else "-"} "https://example.org/[x]" "Mozilla/5.0 (a; \\"b\\")"\n')
            requests.append((host, page, status, size))
            if second % 500 == 0:
                lines.append("" if second % 1000 else f'{host} - - [{time}] "\\x16\\x03\\x01" 400 226 "-" "-"')
                lines[-1] += "\n"
                other += 1
        return "".join(lines), requests, other

    def test_access_log(self):
        text, requests, other = self.access_log()
        middle = text.index("\n", len(text) // 2) + 1
        self.write("access.log.1", text[:middle])
        self.write("access.log", text[middle:])
        status = collections.Counter(request[2] for request in requests)
        pages = collections.Counter(request[1] for request in requests)
        sent = collections.Counter()
        for host, _, _, size in requests:
            sent[host] += size

        def by_count(counter):
            return sorted(counter.items(), key=lambda item: (-item[1], item[0]))
        expected = [f"status {code}: {count}" for code, count in sorted(status.items())]
        expected += [f"page {page}: {count}" for page, count in by_count(pages)[:10]]
        expected += [f"host {host}: {size} bytes" for host, size in by_count(sent)]
        self.assert_prints("access_log", [os.path.join(self.folder.name, "access.log*")], expected + [f"{other} lines are of another format"])

    def test_sql(self):
        text, requests, _ = self.access_log()
        log = self.write("access.log", text)
        hosts = {}
        for host, _, _, size in requests:
            count, sent = hosts.get(host, (0, 0))
            hosts[host] = (count + 1, sent + size)
        rows = [(host, *hosts[host]) for host in sorted(hosts)]
        shown = sorted(rows, key=lambda row: (-row[2], row[0]))[:5]
        file = os.path.join(self.folder.name, "hosts.db")
        for command, done in both("sql", log, "sqlite:" + file):
            self.assertEqual(done.returncode, 0, (command, done.stderr))
            self.assertEqual(done.stdout, "".join("%s: %d requests, %d bytes\n" % row for row in shown), command)
            database = sqlite3.connect(file)
            self.assertEqual(database.execute("select * from hosts").fetchall(), rows, command)
            database.close()

    def test_ngrams_of_real_text(self):
        folder = os.path.join(os.getcwd(), "docs")
        for n in (1, 3):
            counts = collections.Counter()
            for path, _, names in os.walk(folder):
                for name in names:
                    with open(os.path.join(path, name), encoding="latin-1") as file:
                        for line in file:
                            words = re.findall(r"[a-z]+", "".join(c.lower() if c.isascii() else " " for c in line))
                            counts.update(" ".join(words[i:i + n]) for i in range(len(words) - n + 1))
            expected = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:20]
            self.assert_prints("ngrams", [str(n), folder], [f"{words}: {count}" for words, count in expected])


if __name__ == "__main__":
    unittest.main()
