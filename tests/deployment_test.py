#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The units of deploy/ are units, and the commands in them are commands. Skipped in part where systemd is missing.

The folder with the glim binary is in GLIM_BUILD (default: build/release).
"""

import glob
import os
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
BUILD = os.path.abspath(os.environ.get("GLIM_BUILD", os.path.join(ROOT, "build", "release")))
GLIM = os.path.join(BUILD, "glim")
INSTALLED = "/usr/local/bin/glim"


def units():
    return sorted(glob.glob(os.path.join(ROOT, "deploy", "*.service")))


class DeploymentTest(unittest.TestCase):
    def test_commands_of_units_are_understood(self):
        self.assertEqual([os.path.basename(unit) for unit in units()], ["glim-agent.service", "glim-master.service", "glim-server.service"])
        for unit in units():
            with open(unit) as file:
                command, = [line.split("=", 1)[1].split() for line in file if line.startswith("ExecStart=")]
            self.assertEqual(command[0], INSTALLED)
            done = subprocess.run([GLIM, *command[1:], "--help"], text=True, capture_output=True, timeout=60)
            self.assertEqual(done.returncode, 0, done.stderr)
            for option in (word for word in command[2:] if word.startswith("--")):
                self.assertIn(option, done.stdout)

    @unittest.skipIf(shutil.which("systemd-analyze") is None, "there is no systemd-analyze")
    def test_units_are_units(self):
        with tempfile.TemporaryDirectory() as folder:
            for unit in units():
                with open(unit) as file, open(os.path.join(folder, os.path.basename(unit)), "w") as copy:
                    copy.write(file.read().replace(INSTALLED, GLIM))
            done = subprocess.run(["systemd-analyze", "verify", *sorted(glob.glob(os.path.join(folder, "*")))], text=True,
                                  capture_output=True, timeout=60)
            ours = [line for line in done.stderr.splitlines() if "glim" in line]
            self.assertEqual(ours, [])


if __name__ == "__main__":
    unittest.main()
