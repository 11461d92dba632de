# SPDX-License-Identifier: Apache-2.0
"""What the checks see of a C++ text: code without comments and literals, and excuses."""

import subprocess
import unittest

from source import allowed, code_only, is_test_code
from testing import TreeTest


class CodeOnly(unittest.TestCase):
    def test_comments_are_blank_and_lines_keep_their_number(self):
        code = code_only("a; // throw\n/* throw\n throw */ b;\n")
        self.assertNotIn("throw", code)
        self.assertEqual(code.count("\n"), 3)
        self.assertEqual(code.split("\n")[2].strip(), "b;")

    def test_literals_are_blank(self):
        for literal in ('"throw"', r'"\" throw"', 'R"(throw " throw)"', 'R"x(\n)" throw\n)x"', "'\\''"):
            code = code_only(f"f({literal}); g();")
            self.assertNotIn("throw", code, literal)
            self.assertIn("g();", code, literal)

    def test_comment_marks_in_a_literal_are_not_comments(self):
        self.assertIn("throw 1", code_only('f("http://x"); throw 1;'))
        self.assertIn("throw 1", code_only("f('/', '*'); throw 1; /* */"))

    def test_quotes_in_a_comment_do_not_open_a_literal(self):
        self.assertIn("throw 1", code_only("// it's\nthrow 1; // isn't"))

    def test_digit_separators_are_not_characters(self):
        self.assertIn("throw 1", code_only("x = 1'000; throw 1; y = 1'000;"))

    def test_includes_keep_their_name(self):
        self.assertIn('"base/hash.h"', code_only('#include "base/hash.h"\n'))
        self.assertNotIn("base", code_only('// #include "base/hash.h"\n'))


class Allowed(unittest.TestCase):
    def test_excuses_its_line_or_the_next_when_alone(self):
        text = "a; // allow(throw): a reason\n// allow(system): another\nb;\n"
        self.assertEqual(allowed(text), {1: {"throw"}, 3: {"system"}})

    def test_without_a_reason_excuses_nothing(self):
        self.assertEqual(allowed("a; // allow(throw)\nb; // allow(throw):\n"), {})


class Files(TreeTest):
    def test_without_git_the_build_folder_is_not_ours(self):
        tree = self.plant({"src/a.h": "", "build/b.h": "", ".hidden/c.h": ""})
        self.assertEqual(tree.paths(), ["src/a.h"])

    def test_with_git_ignored_files_are_not_ours_and_new_ones_are(self):
        tree = self.plant({"a.h": "", "out/b.h": "", ".gitignore": "/out/\n"})
        subprocess.run(["git", "init", "-q", tree.root], check=True)
        self.assertEqual(tree.paths(), [".gitignore", "a.h"])

    def test_what_users_never_run(self):
        self.assertTrue(is_test_code("src/base/hash_test.cc"))
        self.assertTrue(is_test_code("bench/wordcount.cc"))
        self.assertFalse(is_test_code("src/base/hash.cc"))


if __name__ == "__main__":
    unittest.main()
