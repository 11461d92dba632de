# SPDX-License-Identifier: Apache-2.0
"""What the tests of the checks share: a tree in a temporary folder, with a mistake planted in it."""

import os
import tempfile
import unittest

from source import Tree

LICENCE_CXX = "// SPDX-License-Identifier: Apache-2.0\n"
HEADER = LICENCE_CXX + "//\n// A header of a test: it holds nothing of interest.\n#pragma once\n"


class TreeTest(unittest.TestCase):
    """`plant` makes a tree, `found` asks the check of the test's module about it."""

    check = None  # The problems() of a check.

    def plant(self, files):
        """A tree with these files: {path: text or bytes}."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for path, content in files.items():
            full = os.path.join(folder.name, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
        return Tree(folder.name)

    def found(self, files):
        """What the check says of this tree, as lines `path:line: text`."""
        return [f"{p.path}:{p.line}: {p.text}" for p in type(self).check(self.plant(files))]

    def assert_good(self, files):
        self.assertEqual(self.found(files), [])

    def assert_caught(self, files, *expected):
        """One finding for each of `expected`, in order, that contains it, and no other."""
        found = self.found(files)
        self.assertEqual(len(found), len(expected), found)
        for line, part in zip(found, expected):
            self.assertIn(part, line)
