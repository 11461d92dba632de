#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The quickstart with workers in step (--bsp) prints and learns the same on all engines, bit by bit. slurm_test.py does
the same on Slurm.

The folder with the glim binary is in GLIM_BUILD (default: build/release).
"""

import os
import re
import subprocess
import unittest

from agents_test import ClusterCase
from jobs_test import GLIM, TIMEOUT_S

QUICKSTART = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "examples", "quickstart.lua"))
HAS_TEXT = os.path.isdir("/usr/share/perl") and os.path.isdir("/usr/include")
# Nine digits tell any two floats apart.
ROWS = """
    local glim = require "glim"
    glim.flow("rows"):Table(glim.load_table("model")):Map(function(key, weight) return key, ("%.9g"):format(weight) end)
      :Sort():Printf("%d %s\\n"):Run()"""


def learn(folder, environment, *options):
    """What it prints, but for how long it took, and the rows of the model that it saves."""
    def run(*arguments):
        done = subprocess.run([GLIM, "run", *arguments], cwd=folder, env=environment, text=True, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=TIMEOUT_S)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout
    printed = run(*options, QUICKSTART, "--bsp", "--sources", "30", "--model", "model")
    with open(os.path.join(folder, "rows.lua"), "w") as file:
        file.write(ROWS)
    return re.sub(r" in [0-9.]+ s: .*", "", printed), run("rows.lua")


@unittest.skipUnless(HAS_TEXT, "needs C headers and Perl modules")
class QuickstartTest(ClusterCase):
    def test_all_engines_learn_the_same(self):
        self.make_cluster(2)
        for n in range(2):
            self.add("server", f"s{n}", "--master", self.master.address)
        printed, rows = learn(self.folder, self.environment, "--threads", "4")
        self.assertGreater(rows.count("\n"), 1000)
        self.assertGreater(float(re.search(r"AUC ([0-9.]+)", printed).group(1)), 0.9)
        for options in (("--threads", "8"), ("--on", "local:3", "--threads", "12"), ("--on", "standalone://" + self.master.address)):
            with self.subTest(options=options):
                self.assertEqual(learn(self.folder, self.environment, *options), (printed, rows))


if __name__ == "__main__":
    unittest.main()
