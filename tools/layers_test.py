# SPDX-License-Identifier: Apache-2.0
"""The layer check catches what it is for: each test plants one mistake in a tree that is otherwise good."""

import os
import unittest

import layers
from source import Tree
from testing import TreeTest

GOOD = {
    "include/glim/status.h": "#include <string>\n",
    "include/glim/batch.h": '#include "glim/status.h"\n',
    "include/glim/flow.h": '#include "glim/batch.h"\n',
    "src/base/hash.h": "#include <cstdint>\n",
    "src/batch/codec.h": '#include "base/hash.h"\n#include "glim/batch.h"\n',
    "src/partition/ranges.h": '#include "base/hash.h"\n',
    "src/flow/graph.cc": '#include "batch/codec.h"\n#include "glim/flow.h"\n#include "flow/graph.h"\n',
    "src/flow/graph.h": "",
    "src/env/posix/clock.cc": "#include <unistd.h>\nauto t() { return std::chrono::steady_clock::now(); }\n",
    "src/app/main.cc": '#include <signal.h>\n#include "flow/graph.h"\nauto home = getenv("HOME");\n',
    "CMakeLists.txt": "glim_folder(base)\nglim_folder(env USES base)\nglim_folder(batch USES env LINKS fmt::fmt)\n"
                      "glim_folder(partition USES base)\nglim_folder(flow\n  USES batch)\n",
}


class Layers(TreeTest):
    check = layers.problems

    def caught(self, path, text, *expected):
        self.assert_caught({**GOOD, path: text}, *expected)

    def good(self, path, text):
        self.assert_good({**GOOD, path: text})

    def test_a_good_tree_is_good(self):
        self.assert_good(GOOD)

    def test_this_tree_is_good(self):
        root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
        self.assertEqual(list(layers.problems(Tree(root))), [])

    # Folders.

    def test_include_of_a_higher_folder(self):
        self.caught("src/base/wrong.cc", '\n#include "flow/graph.h"\n', 'src/base/wrong.cc:2: base (rank 0) includes "flow/graph.h"')

    def test_include_of_a_neighbour_of_the_same_rank(self):
        self.caught("src/batch/wrong.h", '#include "partition/ranges.h"\n', "src/batch/wrong.h:1: batch (rank 2)")

    def test_include_of_a_higher_public_header(self):
        self.caught("src/batch/wrong.h", '#include "glim/flow.h"\n', '"glim/flow.h" of flow (rank 4)')
        self.caught("src/batch/wrong.h", "#include <glim/flow.h>\n", '"glim/flow.h" of flow (rank 4)')

    def test_include_with_odd_spacing(self):
        self.caught("src/base/wrong.cc", '  #  include "flow/graph.h"\n', "src/base/wrong.cc:1")

    def test_include_in_a_comment_is_none(self):
        self.good("src/base/fine.cc", '// #include "flow/graph.h"\n/*\n#include "flow/graph.h"\n*/\n')

    def test_a_test_may_include_its_own_rank_and_no_higher(self):
        self.good("src/batch/fine_test.cc", '#include "partition/ranges.h"\n#include <gtest/gtest.h>\n')
        self.caught("src/batch/wrong_test.cc", '#include "flow/graph.h"\n', "src/batch/wrong_test.cc:1")

    def test_a_folder_without_rank(self):
        self.caught("src/utils/wrong.h", "", "add it to RANKS")

    def test_a_file_without_folder(self):
        self.caught("src/wrong.h", "", "src/wrong.h:1")

    def test_an_include_that_is_nowhere(self):
        self.caught("src/flow/wrong.cc", '#include "graph.h"\n', 'write includes from there, as "folder/file.h"')

    # The door.

    def test_a_public_header_in_no_folder(self):
        self.caught("include/glim/novel.h", "", "add it to PUBLIC_HEADERS")

    def test_a_public_header_that_includes_our_inside(self):
        self.caught("include/glim/flow.h", '#include "base/hash.h"\n', "public headers only")

    def test_a_public_header_that_includes_a_higher_one(self):
        self.caught("include/glim/status.h", '\n\n#include "glim/flow.h"\n', "include/glim/status.h:3")

    def test_an_example_that_includes_our_inside(self):
        self.good("examples/fine.cc", '#include "glim/flow.h"\n')
        self.caught("examples/wrong.cc", '#include "flow/graph.h"\n', "examples show what users can do")

    def test_an_example_includes_its_neighbour(self):
        self.caught("examples/fine.cc", '#include "neighbour.h"\n', "is neither in src/ nor in include/")
        self.assert_good({**GOOD, "examples/neighbour.h": "", "examples/fine.cc": '#include "neighbour.h"\n'})

    def test_tests_and_benchmarks_include_what_they_like(self):
        self.good("tests/fine.cc", '#include "flow/graph.h"\n#include "base/hash.h"\n')

    # CMake.

    def test_an_include_that_cmake_does_not_know(self):
        self.caught("src/flow/wrong.cc", '#include "partition/ranges.h"\n', "add partition to USES of glim_folder(flow ...)")

    def test_a_cmake_line_that_points_up(self):
        self.caught("CMakeLists.txt", "glim_folder(base USES flow)\n", "glim_folder(base ...) uses flow")

    def test_a_cmake_folder_without_rank(self):
        self.caught("CMakeLists.txt", GOOD["CMakeLists.txt"] + "glim_folder(utils)\n", "folder utils has no rank")

    # The system.

    def test_system_headers_outside_posix(self):
        for header in ("unistd.h", "fcntl.h", "sys/mman.h", "poll.h", "signal.h", "csignal", "pthread.h", "dlfcn.h", "netinet/in.h",
                       "net/if.h", "filesystem", "fstream"):
            self.caught("src/batch/wrong.cc", f"\n#include <{header}>\n", f"src/batch/wrong.cc:2: only src/env/posix includes <{header}>")
            self.caught("src/env/wrong.cc", f"#include <{header}>\n", "src/env/wrong.cc:1")

    def test_our_folder_net_is_not_the_systems(self):
        self.assert_good({**GOOD, "src/net/frame.h": "", "src/net/frame.cc": '#include "net/frame.h"\n'})

    def test_system_calls_outside_posix(self):
        for call in ("auto t = std::chrono::steady_clock::now();", "using C = std::chrono::system_clock; auto t = C::clock::now();",
                     "Clock::now();", "auto t = std::time(nullptr);", "auto t = time(NULL);", "clock_gettime(CLOCK_REALTIME, &t);",
                     "std::this_thread::sleep_for(x);", "usleep(3);", "std::random_device dice;", "int x = rand();",
                     "char* home = std::getenv(name);", "auto p = fork();", "std::system(command);", "popen(command, mode);",
                     "execvp(a, b);", "FILE* f = fopen(a, b);"):
            self.caught("src/batch/wrong.cc", "\n\n" + call + "\n", "src/batch/wrong.cc:3")

    def test_names_that_only_look_like_system_calls(self):
        self.good("src/batch/fine.cc", """
            // std::chrono::steady_clock::now() in a comment, "fork()" in a literal.
            clock.Now(); env->time(0); flow.fork(); auto s = "fork()"; Runtime(0); brand(); Filesystem (x); operand(); x.system(1);
            std::chrono::steady_clock::time_point t; file.fopen(); AsleepFor(); dsleep(1);
        """)

    def test_tests_and_posix_and_app_are_free(self):
        for path in ("src/batch/fine_test.cc", "src/batch/fine_bench.cc", "src/env/posix/fine.cc", "src/app/fine.cc", "bench/fine.cc",
                     "tests/fine.cc"):
            self.good(path, "#include <unistd.h>\nint x = fork();\n")

    def test_an_excuse_needs_its_rule_and_a_reason(self):
        self.good("src/batch/fine.cc", "int x = fork();  // allow(system): a reason.\n")
        self.caught("src/batch/wrong.cc", "int x = fork();  // allow(system)\n", "src/batch/wrong.cc:1")
        self.caught("src/batch/wrong.cc", "int x = fork();  // allow(throw): another rule's.\n", "src/batch/wrong.cc:1")


if __name__ == "__main__":
    unittest.main()
