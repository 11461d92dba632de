#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the whole process takes at most, when there is much more data than memory.

The bound has slack: with --memory 32M, flows over 300 MB take some 30 MB (docs/design/memory.md).
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_test import GLIM, sanitized  # noqa: E402

ROWS = 1_200_000
FLOWS = {
    "GroupBy": 'csv{"left.csv"}:GroupBy():Select(1)',
    "ReduceBy of texts in Lua": 'csv{"left.csv"}:Select(1, 3):ReduceBy("function(x, y) return x < y and y or x end")',
    "ReduceBy": 'csv{"left.csv", numbers = true}:ReduceBy({sum, max})',
    "Distinct": 'csv{"left.csv"}:Distinct()',
    "Join": 'csv{"left.csv"}:Join(csv{"right.csv"})',
    "CoGroup": 'csv{"left.csv"}:CoGroup(csv{"right.csv"}):Select(1)',
    "Sort": 'csv{"left.csv"}:Sort(3)',
}


def write_rows(path, rows, step):
    with open(path, "w") as file:
        for i in range(rows):
            key = i * step % rows
            file.write(f"key {key:08d},{i},text {key % 1000:05d} {i:08d}\n")


class MemoryTest(unittest.TestCase):
    @unittest.skipIf(sanitized(), "sanitizers take memory of their own")
    def test_the_whole_process_keeps_to_a_small_limit(self):
        with tempfile.TemporaryDirectory(prefix="glim-memory-test-") as folder:
            write_rows(os.path.join(folder, "left.csv"), ROWS, 7919)
            write_rows(os.path.join(folder, "right.csv"), ROWS // 2, 7907)
            for name, flow in FLOWS.items():
                with self.subTest(name):
                    process = subprocess.Popen(
                        [GLIM, "e", "--memory", "32M", "--threads", "2", "--tmp-dir", folder, flow + ':WriteCsv("out.csv")'],
                        cwd=folder, stdout=subprocess.DEVNULL)
                    _, status, usage = os.wait4(process.pid, 0)
                    process.returncode = os.waitstatus_to_exitcode(status)
                    self.assertEqual(process.returncode, 0)
                    self.assertLess(usage.ru_maxrss, 42 * 1024)

    @unittest.skipIf(sanitized(), "sanitizers take memory of their own")
    def test_what_functions_in_lua_hoard_is_counted(self):
        hoard = "function(x) all = all or {} all[#all + 1] = ('%d'):format(x):rep(100) return x end"
        with tempfile.TemporaryDirectory(prefix="glim-memory-test-") as folder:
            for flow, least in ((f'range(1, 100000):Map("{hoard}")', 40 << 20), ('range(1, 100000):Map("function(x) return x end")', 0)):
                stats = os.path.join(folder, "stats.json")
                subprocess.run(
                    [GLIM, "e", "--memory", "512M", "--threads", "1", "--lua", "plain", "--stats-file", stats,
                     flow + ':Filter("function(x) return x < 0 end"):WriteCsv("none.csv")'], cwd=folder, check=True)
                with open(stats) as file:
                    peak = json.load(file)[-1]["peak_memory_bytes"]
                self.assertGreaterEqual(peak, least)
                self.assertLess(peak, least + (30 << 20))

    def sort(self, folder, *options):
        write_rows(os.path.join(folder, "left.csv"), ROWS // 2, 7919)
        return subprocess.Popen([GLIM, "e", "--memory", "32M", *options, 'csv{"left.csv"}:Sort(3):WriteCsv("out.csv")'], cwd=folder,
                                stderr=subprocess.PIPE, text=True)

    @unittest.skipIf(os.geteuid() != 0 or not shutil.which("mount"), "only root may mount")
    def test_a_full_disk_is_named_and_nothing_is_left(self):
        with tempfile.TemporaryDirectory(prefix="glim-memory-test-") as folder:
            small = os.path.join(folder, "small")
            os.mkdir(small)
            if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", small], capture_output=True).returncode != 0:
                self.skipTest("mounting is not possible here")
            try:
                process = self.sort(folder, "--tmp-dir", "small")
                _, errors = process.communicate(timeout=300)
                self.assertEqual(process.returncode, 1)
                self.assertIn('(--tmp-dir): "small": disk full', errors)
                self.assertEqual(os.listdir(small), [])
                self.assertEqual(sorted(os.listdir(folder)), ["left.csv", "small"])
            finally:
                subprocess.run(["umount", small], check=True)

    def test_who_is_killed_leaves_nothing_of_what_was_on_disk(self):
        with tempfile.TemporaryDirectory(prefix="glim-memory-test-") as folder:
            spill = os.path.join(folder, "spill")
            os.mkdir(spill)
            process = self.sort(folder, "--tmp-dir", "spill")
            deadline = time.monotonic() + 300
            spilled = 0
            while spilled < 1 << 20 and process.poll() is None and time.monotonic() < deadline:  # Of files without a name.
                spilled = 0
                for number in os.listdir(f"/proc/{process.pid}/fd"):
                    path = f"/proc/{process.pid}/fd/{number}"
                    try:
                        if spill in os.readlink(path):
                            spilled += os.stat(path).st_size
                    except OSError:
                        pass
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=300)
            self.assertGreaterEqual(spilled, 1 << 20)
            self.assertEqual(os.listdir(spill), [])

    @unittest.skipIf(sanitized(), "sanitizers take memory of their own")
    def test_who_reads_slowly_slows_the_source(self):
        """Sixty million rows whose reader takes a nap: what is made meanwhile would be half a gigabyte."""
        process = subprocess.Popen([GLIM, "e", "--threads", "2", 'range(1, 60000000):Printf("%d\\n")'], stdout=subprocess.PIPE)
        try:
            self.assertNotEqual(process.stdout.read(1), b"")
            time.sleep(2)
            with open(f"/proc/{process.pid}/status") as file:
                peak_kb = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
            self.assertIsNone(process.poll())
            self.assertLess(peak_kb, 100 * 1024)
        finally:
            process.kill()
            process.communicate()


if __name__ == "__main__":
    unittest.main()
