#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two minutes of kill_ledger.py, one with tables on disk, and shorter runs with planted bugs that the ledger has to show.

Under a sanitizer the runs are short: it looks for other mistakes.
"""

import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import kill_ledger  # noqa: E402
from cli_test import sanitized  # noqa: E402


class KillLedgerTest(unittest.TestCase):
    def test_what_was_promised_of_each_push_is_kept(self):
        seed = int.from_bytes(os.urandom(4), "little")
        tally, events = kill_ledger.run(15 if sanitized() else 120, seed)
        print(f"seed {seed}: {events} {tally}", file=sys.stderr)
        self.assertTrue(kill_ledger.is_kept(tally), f"seed {seed}: {tally}")
        self.assertGreater(tally["acknowledged"], 1000)
        self.assertEqual(tally["refused"], 0, f"seed {seed}: {tally}")

    def test_tables_on_disk_survive_that_all_are_killed_at_once(self):
        seed = int.from_bytes(os.urandom(4), "little")
        tally, events = kill_ledger.run(15 if sanitized() else 60, seed, kind=kill_ledger.DiskCluster)
        print(f"seed {seed}: {events} {tally}", file=sys.stderr)
        self.assertTrue(kill_ledger.is_kept(tally), f"seed {seed}: {tally}")
        self.assertGreater(tally["acknowledged"], 500)
        self.assertEqual(tally["refused"], 0, f"seed {seed}: {tally}")

    @unittest.skipIf(sanitized(), "the release build looks for it")
    def test_an_acknowledgement_before_the_backup_has_it_is_found(self):
        tally, _ = kill_ledger.run(30, 3, "ack-before-backup")
        self.assertGreater(tally["lost"], 0, tally)

    @unittest.skipIf(sanitized(), "the release build looks for it")
    def test_an_acknowledgement_before_the_disk_has_it_is_found(self):
        try:
            tally, _ = kill_ledger.run(30, 3, "held-before-written", kill_ledger.DiskCluster)
        except subprocess.CalledProcessError:
            return  # Now and then none of a shard's replicas may go on any more with what its disk has: all of it is lost.
        self.assertGreater(tally["lost"], 0, tally)

    @unittest.skipIf(sanitized(), "the release build looks for it")
    def test_retries_without_the_duplicate_table_are_found(self):
        tally, _ = kill_ledger.run(20, 1, "no-duplicate-table")
        self.assertGreater(tally["twice"], 0, tally)


if __name__ == "__main__":
    unittest.main()
