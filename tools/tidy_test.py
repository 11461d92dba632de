# SPDX-License-Identifier: Apache-2.0
"""Each rule of tidy.py catches the file that breaks it, and leaves its neighbour alone."""

import unittest

import tidy
from testing import HEADER, LICENCE_CXX, TreeTest

LICENCE_HASH = "# SPDX-License-Identifier: Apache-2.0\n"


class Tidy(TreeTest):
    check = tidy.problems

    def test_good_files_are_good(self):
        self.assert_good({
            "src/base/a.h": HEADER,
            "src/base/a.cc": LICENCE_CXX + "static_assert(true);\n",
            "tools/a.py": "#!/usr/bin/env python3\n" + LICENCE_HASH,
            "examples/a.lua": "-- SPDX-License-Identifier: Apache-2.0\n",
            "CMakeLists.txt": LICENCE_HASH,
            "dev": "#!/usr/bin/env bash\n" + LICENCE_HASH,
            "src/batch/testdata/case.txt": "to\tdata \xff",
            "NOTES": "anything",
        })

    def test_licence(self):
        for path, text in (("src/base/a.cc", "// Something.\n"), ("src/base/a.cc", "\n" + LICENCE_CXX), ("tools/a.sh", "#!/bin/sh\necho\n"),
                           ("cmake/a.cmake", "\n"), ("src/app/CMakeLists.txt", "\n"), ("a.lua", LICENCE_HASH), (".ci/run", "#!/bin/sh\n")):
            self.assert_caught({path: text}, f"{path}:1: the first line is not the licence")

    def test_ascii(self):
        self.assert_caught({"src/base/a.cc": LICENCE_CXX + "// caf\xe9\n"}, "src/base/a.cc:2: column 7")
        self.assert_caught({"src/base/a.cc": LICENCE_CXX.encode() + b"// \xff\n"}, "src/base/a.cc:2: column 4")

    def test_unfinished(self):
        for mark in ("TO" "DO", "FIX" "ME", "TO" "DO(me): x"):
            self.assert_caught({"src/base/a.cc": LICENCE_CXX + f"// {mark}\n"}, "src/base/a.cc:2: a to-do mark")

    def test_length(self):
        self.assert_good({"src/base/a.cc": LICENCE_CXX + "x;\n" * 899})
        self.assert_caught({"src/base/a.cc": LICENCE_CXX + "x;\n" * 900}, "has 901 lines")

    def test_blanks(self):
        self.assert_caught({"src/base/a.cc": LICENCE_CXX + "x; \n"}, "src/base/a.cc:2: blanks")
        self.assert_caught({"src/base/a.cc": LICENCE_CXX + "x;\r\n"}, "src/base/a.cc:2: blanks")
        self.assert_caught({"src/base/a.cc": LICENCE_CXX + "\tx;\n"}, "src/base/a.cc:2: a tab")
        self.assert_caught({"src/base/a.cc": LICENCE_CXX + "x;"}, "src/base/a.cc:2: the last line")

    def test_essay(self):
        for opening in ("", "//\n", "//\n// Hash.\n", "\n// It comes too late: the empty comment line is not there.\n"):
            self.assert_caught({"src/base/a.h": LICENCE_CXX + opening + "#pragma once\n"}, "say what this header holds")

    def test_once(self):
        self.assert_caught({"src/base/a.h": HEADER.replace("#pragma once\n", "")}, "#pragma once")
        self.assert_caught({"src/base/a.h": HEADER.replace("#pragma once", "// #pragma once")}, "#pragma once")

    def test_throw(self):
        for path in ("src/base/a.cc", "include/glim/a.cc"):
            self.assert_caught({path: LICENCE_CXX + "\nvoid f() { throw 1; }\n"}, f"{path}:3: throw")
        self.assert_good({"src/base/a_test.cc": LICENCE_CXX + "void f() { throw 1; }\n",
                          "src/base/a.cc": LICENCE_CXX + '// throw\nauto s = "throw"; std::rethrow_exception(e);\n',
                          "src/base/b.cc": LICENCE_CXX + "// allow(throw): Lua's C interface wants it.\nvoid f() { throw 1; }\n"})
        self.assert_caught({"src/base/a.cc": LICENCE_CXX + "void f() { throw 1; }  // allow(throw)\n"}, "src/base/a.cc:2: throw")

    def test_assert(self):
        self.assert_caught({"src/base/a.cc": LICENCE_CXX + "#include <cassert>\nvoid f() { assert(true); }\n"},
                           "src/base/a.cc:2: assert", "src/base/a.cc:3: assert")

    def test_size(self):
        self.assert_good({"data.xz": b"\0" * 1000000})
        self.assert_caught({"data.xz": b"\0" * 1000001}, "data.xz:0: is 1000001 bytes")

    def test_links(self):
        self.assert_good({
            "README.md": "# Title\n[a](docs/a.md) [b](docs/a.md#two-words) [c](https://x.y/z) [d](#title) `[e](f)`\n```\n[g](h)\n```\n[i]: docs\n",
            "docs/a.md": "## Two `words`!\n[up](../README.md)\n",
        })
        self.assert_caught({"README.md": "\n[a](docs/a.md)\n"}, "README.md:2: the link docs/a.md leads nowhere")
        self.assert_caught({"docs/b.md": "[a](/README.md)\n", "README.md": ""}, "leads nowhere")
        self.assert_caught({"docs/b.md": "[a](../../x)\n"}, "leads nowhere")
        self.assert_caught({"README.md": "![a](a.png)\n\n[i]: nothing\n"}, "a.png leads nowhere", "nothing leads nowhere")
        self.assert_caught({"README.md": "[a](#title)\n```\n# Title\n```\n"}, "no heading")

    def test_names_in_architecture(self):
        tree = {"src/base/hash.h": HEADER, "src/base/hash.cc": LICENCE_CXX, "include/glim/status.h": HEADER}
        good = "`src/base/hash.h` `base/hash.cc` `base/hash.{h,cc}` `base/` `hash.h` `glim/status.h` `base/*.h` `Flow::Map` `a/b` `--on`\n"
        self.assert_good({**tree, "ARCHITECTURE.md": good})
        for name in ("base/gone.h", "base/hash.{h,cpp}", "gone/", "gone.h", "batch/*.h", "include/glim/hash.h"):
            self.assert_caught({**tree, "ARCHITECTURE.md": f"# A\n`{name}`\n"}, "ARCHITECTURE.md:2: `")


if __name__ == "__main__":
    unittest.main()
