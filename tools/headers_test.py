# SPDX-License-Identifier: Apache-2.0
"""The header check catches a header that leans on its includer, and does not work twice."""

import os
import shutil
import unittest

import headers
from testing import TreeTest

COMPILER = os.environ.get("CXX", "g++")


@unittest.skipUnless(shutil.which(COMPILER), f"no {COMPILER} here")
class Headers(TreeTest):
    check = headers.problems

    def test_headers_that_include_what_they_use_are_good(self):
        self.assert_good({
            "include/glim/a.h": "#pragma once\n#include <cstdint>\ninline uint32_t f() { return 1; }\n",
            "src/base/b.h": '#pragma once\n#include "glim/a.h"\ninline uint32_t g() { return f(); }\n',
        })

    def test_a_header_that_leans_on_its_includer(self):
        self.assert_caught({
            "src/base/wrong.h": "#pragma once\ninline std::string f() { return {}; }\n",
            "src/base/fine.cc": '#include <string>\n#include "base/wrong.h"\n',
        }, "src/base/wrong.h:0: does not compile alone")

    def test_a_header_that_is_included_first_is_left_to_the_build(self):
        self.assert_good({
            "src/base/wrong.h": "#pragma once\ninline std::string f() { return {}; }\n",
            "src/base/wrong.cc": '// A comment.\n#include "base/wrong.h"\n\n#include <string>\n',
        })

    def test_a_warning_counts(self):
        self.assert_caught({"src/base/wrong.h": "#pragma once\ninline int f() { int unused; return 1; }\n"}, "unused")

    def test_a_good_header_is_compiled_once_until_something_below_it_changes(self):
        tree = self.plant({
            "src/base/low.h": "#pragma once\nusing Low = int;\n",
            "src/base/high.h": '#pragma once\n#include "base/low.h"\ninline Low f() { return 1; }\n',
        })
        self.assertEqual(headers.problems(tree), [])

        compiled = []
        real = headers._compile
        headers._compile = lambda tree, compiler, flags, header: compiled.append(header) or real(tree, compiler, flags, header)
        self.addCleanup(setattr, headers, "_compile", real)
        self.assertEqual(headers.problems(tree), [])
        self.assertEqual(compiled, [])

        with open(tree.full("src/base/low.h"), "w", encoding="utf-8") as file:
            file.write("#pragma once\n")
        self.assertEqual([p.path for p in headers.problems(tree)], ["src/base/high.h"])
        self.assertEqual(sorted(compiled), ["src/base/high.h", "src/base/low.h"])

        compiled.clear()  # What failed is tried again.
        self.assertEqual([p.path for p in headers.problems(tree)], ["src/base/high.h"])
        self.assertEqual(compiled, ["src/base/high.h"])

    def test_libraries_that_cmake_finds_by_pkg_config_are_found(self):
        tree = self.plant({"CMakeLists.txt": "pkg_check_modules(X REQUIRED IMPORTED_TARGET glim-test-library)\n",
                           "glim-test-library.pc": "Name: x\nDescription: x\nVersion: 1\nCflags: -I/nowhere/include\n"})
        if not shutil.which("pkg-config"):
            self.skipTest("no pkg-config here")
        before = os.environ.get("PKG_CONFIG_PATH")
        os.environ["PKG_CONFIG_PATH"] = tree.root
        self.addCleanup(lambda: os.environ.pop("PKG_CONFIG_PATH") if before is None
                        else os.environ.update(PKG_CONFIG_PATH=before))
        self.assertEqual(headers._library_flags(tree), ["-I/nowhere/include"])


if __name__ == "__main__":
    unittest.main()
