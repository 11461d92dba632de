#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""--stats, --stats-file and --trace say what a run did."""
import json
import os
import subprocess
import tempfile
import unittest

GLIM = os.path.join(os.environ.get("GLIM_BUILD", "build/release"), "glim")
SCRIPT = """
local glim = require "glim"
local kept = glim.flow("squares"):Range(0, 100000):Map(function(n)
  if n % 7 == 3 then glim.count("threes") end
  return n % 7, n * n
end):Filter(function(k) return k > 0 end)
kept:ReduceBy(function(x, y) return x + y end):Printf("%d %d\\n"):Run()
glim.flow("second"):Strings{"a", "bb"}:Printf("%s\\n"):Run()
"""


class Stats(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def run_glim(self, *options):
        return subprocess.run([GLIM, "run", *options, "-"], input=SCRIPT, capture_output=True, text=True, timeout=120)

    def test_rows_of_every_step(self):
        path = os.path.join(self.folder, "stats.json")
        for threads in ("1", "4"):
            done = self.run_glim("--threads", threads, "--stats", "--stats-file", path)
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(path) as file:
                first, second = json.load(file)
            self.assertEqual((first["flow"], second["flow"]), ("squares", "second"))
            steps = [step for stage in first["stages"] for step in stage["steps"]]
            rows = [(step["name"].split("(")[0].split(" ")[0], step["rows_in"], step["rows_out"]) for step in steps]
            self.assertEqual(rows[0], ("read", 0, 100000))
            self.assertEqual(rows[1], ("Map", 100000, 100000))
            self.assertEqual(rows[2], ("Filter", 100000, 85714))
            self.assertEqual(rows[-2:], [("ReduceBy", rows[-2][1], 6), ("write", 6, 6)])
            self.assertEqual(steps[1]["bytes_in"], 800000)
            self.assertEqual((first["counters"], second["counters"]), ({"threes": 14286}, {}))
            self.assertIn("glim: threes: 14286\n", done.stderr)
            self.assertEqual(second["stages"][0]["steps"][0]["bytes_out"], 3)
            self.assertTrue(all(step["seconds"] >= 0 for step in steps))
            self.assertIn('flow "squares": ', done.stderr)
            self.assertIn("85,714", done.stderr)
            self.assertEqual(len(done.stdout.splitlines()), 8)

    def test_inputs_of_a_union_have_their_own_rows(self):
        path = os.path.join(self.folder, "union.json")
        done = subprocess.run([GLIM, "e", "--stats-file", path, "range(1, 10):Filter(function(n) return n > 4 end):Union(ints{1, 2}):Top(1)"],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout), (0, "10\n"))
        with open(path) as file:
            stages = json.load(file)[0]["stages"]
        rows = [[(step["name"].split("(")[0], step["rows_in"], step["rows_out"]) for step in stage["steps"]] for stage in stages]
        self.assertEqual(rows[0], [("read Range", 0, 10), ("Filter", 10, 6), ("pass on", 6, 6)])
        self.assertEqual(rows[1], [("read Ints", 0, 2), ("pass on", 2, 2)])
        self.assertEqual(rows[2], [("take what is passed on", 0, 8), ("Top", 8, 2), ("send", 2, 2)])

    def test_trace_has_an_event_for_each_task(self):
        stats, trace = os.path.join(self.folder, "stats.json"), os.path.join(self.folder, "trace.json")
        done = self.run_glim("--threads", "2", "--stats-file", stats, "--trace", trace)
        self.assertEqual((done.returncode, done.stderr), (0, "glim: threes: 14286\n"))
        with open(stats) as file:
            runs = json.load(file)
        with open(trace) as file:
            events = json.load(file)["traceEvents"]
        tasks = [event for event in events if event["ph"] == "X"]
        # A task without rows does not run.
        self.assertLessEqual(len(tasks), sum(stage["tasks"] for run in runs for stage in run["stages"]))
        self.assertEqual({event["pid"] for event in tasks}, {1, 2})
        self.assertTrue(all(event["dur"] >= 0 and event["tid"] in (1, 2) for event in tasks))

    def test_a_file_that_cannot_be_written_is_named(self):
        done = self.run_glim("--stats-file", os.path.join(self.folder, "no", "such"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("--stats-file", done.stderr.splitlines()[1])


if __name__ == "__main__":
    unittest.main()
