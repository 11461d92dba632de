# SPDX-License-Identifier: Apache-2.0
"""The ./dev script: its verbs, and what `deps` does on machines that we do not have here.

The machine is played by small programs in front of PATH: a dpkg-query that knows some packages, an apt-cache and apt-get that write
down what they were asked, an id that says who we are.
"""

import os
import re
import shutil
import stat
import subprocess
import tempfile
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")

with open(os.path.join(ROOT, "dev"), encoding="utf-8") as dev_script:
    VERBS = re.findall(r"(?m)^cmd_(\w+)\(\)", dev_script.read())

PACKAGES = """# A comment.
build  alpha                 for everything
build  beta1.0|beta2.0       the same thing in two releases
test   gamma                 tests
check  gamma                 checks as well
"""


class Dev(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = folder.name
        os.makedirs(self.path("bin"))
        os.makedirs(self.path("tools"))
        shutil.copy(os.path.join(ROOT, "dev"), self.path("dev"))
        self.write("tools/packages.txt", PACKAGES)
        self.machine(installed=[], known=["alpha", "beta2.0", "gamma"])

    def path(self, name):
        return os.path.join(self.root, name)

    def write(self, name, text, runs=False):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        if runs:
            os.chmod(self.path(name), os.stat(self.path(name)).st_mode | stat.S_IXUSR)

    def program(self, name, body):
        self.write(f"bin/{name}", f"#!/bin/sh\n{body}\n", runs=True)

    def machine(self, installed, known, uid=0, sudo=None, known_after_update=None, install="true"):
        """A Debian with these packages installed, and these in its lists before and after `apt-get update`."""
        self.write("installed", "".join(f"installed {p}\n" for p in installed) + "config-files removed\n")
        self.write("known", "".join(f"{p}:\n  Installed: (none)\n  Candidate: 1.0\n" for p in known) +
                   "virtual:\n  Installed: (none)\n  Candidate: (none)\n")
        after = known if known_after_update is None else known_after_update
        self.write("known_after", "".join(f"{p}:\n  Installed: (none)\n  Candidate: 1.0\n" for p in after))
        self.program("dpkg-query", f"cat {self.root}/installed")
        self.program("apt-cache", f"cat {self.root}/known")
        self.program("apt-get", f'echo "apt-get $*" >>{self.root}/asked\n'
                     f'case " $* " in *" update "*) cp {self.root}/known_after {self.root}/known ;; *) {install} ;; esac')
        self.program("id", f"echo {uid}")
        # A sudo that cannot ask for a password, unless the test says otherwise.
        self.program("sudo", sudo or "exit 1")

    def dev(self, *arguments, **environment):
        env = {"PATH": f"{self.root}/bin:{os.environ['PATH']}", "HOME": self.root, **environment}
        return subprocess.run([self.path("dev"), *arguments], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False)

    def asked(self):
        """What apt-get was asked, without the options that never change."""
        if not os.path.exists(self.path("asked")):
            return []
        with open(self.path("asked"), encoding="utf-8") as file:
            return [" ".join(w for w in line.split() if not re.match(r"-|DPkg::|Dpkg::", w)) for line in file]

    # Verbs.

    def test_alone_lists_every_verb_with_a_line(self):
        done = self.dev()
        self.assertEqual(done.returncode, 0)
        for verb in VERBS:
            self.assertRegex(done.stdout, rf"(?m)^  {verb}\b.*  +\w")

    def test_every_verb_has_help_with_an_example(self):
        for verb in VERBS:
            done = self.dev(verb, "--help")
            self.assertEqual(done.returncode, 0)
            self.assertTrue(done.stdout.startswith(f"./dev {verb} "), done.stdout)
            self.assertIn(f"Example: ./dev {verb}", done.stdout)

    def test_wrong_usage_exits_with_2_and_says_what_there_is(self):
        for arguments, said in ((["bulid"], "build"), (["build", "fast"], "release asan tsan"), (["deps", "all"], "build test check"),
                                (["check", "spelling"], "format layers headers tidy"), (["test", "-p", "fast"], "release asan tsan"),
                                (["bench", "nosuch"], "nosuch"), (["ci", "quickly"], "no arguments")):
            done = self.dev(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn(said, done.stderr)
            self.assertEqual(self.asked(), [])

    # Packages.

    def test_deps_installs_only_what_is_missing(self):
        self.machine(installed=["alpha"], known=["beta2.0", "gamma"])
        done = self.dev("deps", "build")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.asked(), ["apt-get install beta2.0"])

    def test_deps_without_a_group_takes_all_and_each_package_once(self):
        self.dev("deps")
        self.assertEqual(self.asked(), ["apt-get install alpha beta2.0 gamma"])

    def test_deps_is_content_with_any_alternative(self):
        self.machine(installed=["alpha", "beta1.0"], known=["beta2.0"])
        self.assertEqual(self.dev("deps", "build").returncode, 0)
        self.assertEqual(self.asked(), [])

    def test_deps_prefers_the_first_alternative(self):
        self.machine(installed=["alpha"], known=["beta2.0", "beta1.0"])
        self.dev("deps", "build")
        self.assertEqual(self.asked(), ["apt-get install beta1.0"])

    def test_a_removed_package_is_missing(self):
        self.write("tools/packages.txt", "build removed x\n")
        self.machine(installed=[], known=["removed"])
        self.dev("deps", "build")
        self.assertEqual(self.asked(), ["apt-get install removed"])

    def test_deps_updates_the_lists_when_they_do_not_know_a_package(self):
        self.machine(installed=[], known=[], known_after_update=["alpha", "beta2.0"])
        self.assertEqual(self.dev("deps", "build").returncode, 0)
        self.assertEqual(self.asked(), ["apt-get update", "apt-get install alpha beta2.0"])

    def test_deps_updates_the_lists_when_they_are_stale(self):
        self.machine(installed=["alpha"], known=["beta2.0"], install=f"test -e {self.root}/tried || {{ touch {self.root}/tried; exit 100; }}")
        done = self.dev("deps", "build")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.asked(), ["apt-get install beta2.0", "apt-get update", "apt-get install beta2.0"])

    def test_deps_names_the_package_that_no_list_knows(self):
        self.machine(installed=["alpha"], known=[])
        done = self.dev("deps", "build")
        self.assertEqual(done.returncode, 1)
        self.assertIn("beta1.0|beta2.0", done.stderr)

    def test_deps_shows_why_apt_failed(self):
        self.machine(installed=["alpha"], known=["beta2.0"], install="echo E: the disk is full; exit 100")
        done = self.dev("deps", "build")
        self.assertEqual(done.returncode, 1)
        self.assertIn("E: the disk is full", done.stderr)

    def test_deps_uses_sudo_when_not_root(self):
        self.machine(installed=["alpha"], known=["beta2.0"], uid=1000,
                     sudo=f'[ "$1" = -n ] && exit 0; echo sudo >>{self.root}/sudo; exec "$@"')
        self.assertEqual(self.dev("deps", "build").returncode, 0)
        self.assertEqual(self.asked(), ["apt-get install beta2.0"])
        self.assertTrue(os.path.exists(self.path("sudo")))

    def test_deps_without_root_prints_the_line_to_run_and_fails(self):
        self.machine(installed=["alpha"], known=["beta2.0", "gamma"], uid=1000)
        done = self.dev("deps")
        self.assertEqual(done.returncode, 1)
        self.assertIn("apt-get update && apt-get install -y --no-install-recommends beta2.0 gamma\n", done.stderr)
        self.assertEqual(self.asked(), [])

    def test_deps_without_root_and_without_lists_prints_a_line_that_finds_out(self):
        self.machine(installed=["alpha"], known=[], uid=1000)
        done = self.dev("deps", "build")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/dev deps build\n", done.stderr)

    def test_other_verbs_stop_where_packages_are_missing(self):
        self.machine(installed=[], known=["alpha", "beta2.0"], uid=1000)
        self.program("cmake", f"touch {self.root}/configured")
        for verb in ("build", "test", "quickstart", "check", "ci"):
            self.assertEqual(self.dev(verb).returncode, 1, verb)
        self.assertFalse(os.path.exists(self.path("configured")))

    def test_deps_can_be_skipped(self):
        self.program("cmake", f"touch {self.root}/configured")
        self.assertEqual(self.dev("build", GLIM_DEPS="skip").returncode, 0)
        self.assertEqual(self.asked(), [])
        self.assertTrue(os.path.exists(self.path("configured")))

    # Building.

    def fake_build(self, status=0):
        """A cmake that writes down its arguments and leaves what ninja and the cache would, and a ctest that is content."""
        self.machine(installed=["alpha", "beta1.0", "gamma"], known=[])
        self.program("cmake", f"""echo "cmake $*" >>{self.root}/built
            echo "progress of the build"
            [ "$1" != --build ] || exit {status}
            dir=$4; mkdir -p $dir; touch $dir/build.ninja $dir/CMakeCache.txt
            for o; do case $o in -D*) echo "$o" | sed 's/^-D//; s/=/:BOOL=/' >>$dir/CMakeCache.txt ;; esac; done""")
        self.program("ctest", f'echo "ctest $*" >>{self.root}/built; echo "100% tests passed"')

    def built(self):
        with open(self.path("built"), encoding="utf-8") as file:
            lines = file.read().splitlines()
        os.unlink(self.path("built"))
        return lines

    def test_build_configures_once(self):
        self.fake_build()
        self.assertEqual(self.dev("build").returncode, 0)
        first = self.built()
        self.assertIn("-DGLIM_TESTS=OFF", first[0])
        self.assertTrue(first[1].startswith("cmake --build build/release --target all"))
        self.assertEqual(self.dev("build").returncode, 0)
        self.assertEqual(self.built(), first[1:])

    def test_test_turns_the_tests_on_once_and_build_leaves_them_on(self):
        self.fake_build()
        self.dev("build")
        self.built()
        done = self.dev("test", "batch")
        self.assertEqual(done.stdout, "100% tests passed\n")
        lines = self.built()
        self.assertIn("-DGLIM_TESTS=ON", lines[0])
        self.assertIn("-R batch", lines[2])
        self.dev("test")
        self.dev("build")
        self.assertFalse([line for line in self.built() if "-S" in line.split()])

    def test_sanitizer_presets_have_their_own_folder(self):
        self.fake_build()
        self.dev("build", "tsan")
        lines = self.built()
        self.assertIn("-B build/tsan", lines[0])
        self.assertIn("-DGLIM_SANITIZE=thread", lines[0])
        self.assertIn("-DGLIM_TESTS=ON", lines[0])

    def test_a_build_that_fails_is_not_tested(self):
        self.fake_build(status=1)
        self.assertNotEqual(self.dev("test").returncode, 0)
        self.assertFalse([line for line in self.built() if line.startswith("ctest")])

    def fake_checks(self, status=0):
        for name in ("layers", "headers", "tidy"):
            self.write(f"tools/{name}.py", f"import sys\nsys.exit({status if name == 'layers' else 0})\n")
        self.program("clang-format-19", "exit 0")

    def fake_fuzz_target(self, name, body="exit 0"):
        for folder in ("src/io", "build/asan"):
            os.makedirs(self.path(folder), exist_ok=True)
        self.write(f"src/io/{name}_fuzz.cc", "")
        self.write(f"build/asan/{name}_fuzz", f'#!/bin/sh\necho "$*" >>{self.root}/fuzzed\n{body}\n', runs=True)

    def test_fuzz_runs_each_target_from_its_corpus(self):
        self.fake_build()
        self.fake_fuzz_target("a", "echo Done 7 runs")
        self.fake_fuzz_target("b")
        done = self.dev("fuzz", "3")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("dev: fuzz a: Done 7 runs\n", done.stderr)
        self.assertIn("--target fuzz_targets", self.built()[-1])
        with open(self.path("fuzzed"), encoding="utf-8") as file:
            runs = sorted(line.split() for line in file)
        self.assertEqual([run[-2:] for run in runs],
                         [[f"build/fuzz/learnt/{name}", f"tests/fuzz/corpus/{name}"] for name in "ab"])
        self.assertIn("-max_total_time=3", runs[0])
        self.dev("fuzz", "3", "b")
        with open(self.path("fuzzed"), encoding="utf-8") as file:
            self.assertEqual(len(file.readlines()), 3)

    def test_fuzz_fails_with_a_target_and_shows_why(self):
        self.fake_build()
        self.fake_fuzz_target("a", "echo that input; exit 77")
        done = self.dev("fuzz")
        self.assertEqual(done.returncode, 1)
        self.assertIn("that input\n", done.stderr)
        self.assertIn("build/fuzz/found", done.stderr)
        for wrong in (("x",), ("1", "none"), ("1", "a", "b")):
            self.assertEqual(self.dev("fuzz", *wrong).returncode, 2)

    def fake_simulation(self, body="exit 0"):
        os.makedirs(self.path("sim"), exist_ok=True)
        self.write("sim/hash_of_200_seeds.txt", "607f\n")
        for preset in ("release", "clang"):
            os.makedirs(self.path(f"build/{preset}"), exist_ok=True)
            self.write(f"build/{preset}/glim_sim", f'#!/bin/sh\necho "$*" >>{self.root}/simulated\n{body}\n', runs=True)

    def test_sim_runs_seeds_and_then_the_planted_bugs(self):
        self.fake_build()
        self.fake_simulation()
        self.assertEqual(self.dev("sim", "7").returncode, 0)
        with open(self.path("simulated"), encoding="utf-8") as file:
            self.assertEqual([line.split(" --threads")[0] for line in file], ["--seeds 7", "--mutants"])
        for wrong in (("x",), ("0",), ("1", "2")):
            self.assertEqual(self.dev("sim", *wrong).returncode, 2)
        self.fake_simulation("exit 1")
        done = self.dev("sim")
        self.assertEqual(done.returncode, 1)
        self.assertIn("a rule is broken", done.stderr)

    def test_ci_runs_everything_and_ends_with_ctest(self):
        self.fake_build()
        self.fake_checks()
        self.fake_fuzz_target("a")
        self.fake_simulation()
        done = self.dev("ci")
        self.assertEqual(done.returncode, 0, done.stderr)
        tests = [line for line in self.built() if line.startswith("ctest")]
        self.assertEqual(len(tests), 3)
        for line, part in zip(tests, ("build/release", "build/tsan", "build/asan")):
            self.assertIn(part, line)
        self.assertEqual(["-L threads" in line for line in tests], [False, True, False])
        self.assertTrue(done.stdout.endswith("100% tests passed\n"))
        with open(self.path("simulated"), encoding="utf-8") as file:
            self.assertRegex(file.read(), r"--seeds 200 .*--hash 607f\n$")

    def test_ci_tells_when_the_simulation_differs_between_compilers(self):
        self.fake_build()
        self.fake_checks()
        self.fake_simulation('case "$*" in *--hash*) exit 1 ;; esac')
        done = self.dev("ci")
        self.assertEqual(done.returncode, 1)
        self.assertIn("ci: sim of clang failed", done.stderr)

    def test_ci_stops_at_the_first_failure_and_names_it(self):
        self.fake_build()
        self.fake_checks(status=1)
        done = self.dev("ci")
        self.assertEqual(done.returncode, 1)
        self.assertIn("ci: check failed", done.stderr)
        self.assertFalse(os.path.exists(self.path("built")))

        self.fake_checks()
        self.program("ctest", "exit 8")
        done = self.dev("ci")
        self.assertEqual(done.returncode, 8)
        self.assertIn("ci: release tests failed", done.stderr)
        self.assertFalse([line for line in self.built() if "tsan" in line])

    def test_check_runs_the_rest_after_a_failure_and_fails(self):
        self.fake_build()
        self.fake_checks(status=1)
        done = self.dev("check")
        self.assertEqual(done.returncode, 1)
        self.assertIn("check tidy: good", done.stderr)
        self.assertIn("check failed: layers", done.stderr)

    def test_check_format_says_one_line_per_file_and_fails(self):
        self.fake_build()
        os.makedirs(self.path("src"))
        self.write("src/odd name.h", "")
        self.program("clang-format-19", """for f; do case $f in *.h) for line in 3 8; do
            echo "$f:$line:1: error: code should be clang-formatted [-Wclang-format-violations]" >&2
            printf 'int   x;\\n   ^\\n' >&2; done ;; esac; done; echo 'other trouble' >&2; exit 1""")
        done = self.dev("check", "format")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"(?s)^\S*src/odd name.h:3: not as clang-format wants it\nother trouble\ndev: ./dev format")

    def test_bench_runs_scripts_by_name_or_all_and_keeps_their_output(self):
        self.fake_build()
        os.makedirs(self.path("bench"))
        self.write("bench/one.sh", 'echo "one $*"\n')
        self.write("bench/two.py", "print('two')\n")
        self.write("bench/not_a_script.cc", "")
        self.assertEqual(self.dev("bench").stdout, "one \ntwo\n")
        self.assertIn("-DGLIM_BENCH=ON", self.built()[0])
        self.assertEqual(self.dev("bench", "one", "fast").stdout, "one fast\n")
        self.assertEqual(self.dev("bench", "not_a_script").returncode, 2)

    def test_quickstart_builds_only_the_binary_and_keeps_stdout_for_it(self):
        self.fake_build()
        os.makedirs(self.path("build/release"))
        self.write("build/release/glim", '#!/bin/sh\necho "$*"\n', runs=True)
        done = self.dev("quickstart", "--ask", "two words")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, "run examples/quickstart.lua --ask two words\n")
        self.assertIn("--target glim", self.built()[-1])


class Packages(unittest.TestCase):
    def test_each_line_has_a_known_group_a_package_and_a_reason(self):
        with open(os.path.join(ROOT, "tools/packages.txt"), encoding="utf-8") as file:
            for line in file:
                if not line.startswith("#"):
                    self.assertRegex(line, r"^(build|test|check|fuzz|arm)  +[a-z0-9][a-z0-9+.|-]+  +\S")


if __name__ == "__main__":
    unittest.main()
