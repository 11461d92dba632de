#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A few schedules of chaos.py, one for each program. `./dev chaos` runs a hundred.

Under a sanitizer it is one: it looks for other mistakes.
"""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import chaos  # noqa: E402
from cli_test import sanitized  # noqa: E402


class ChaosTest(unittest.TestCase):
    def test_the_output_is_the_same_whatever_is_killed(self):
        lines = []
        wrong, tally, _ = chaos.run(1 if sanitized() else len(chaos.PROGRAMS), 1, lines.append)
        self.assertEqual(wrong, 0, "\n".join(lines))
        self.assertGreater(sum(tally.values()), 0)


if __name__ == "__main__":
    unittest.main()
