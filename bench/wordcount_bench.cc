// SPDX-License-Identifier: Apache-2.0
//
// Word count with C++ functions only, for bench/flow.py: what a C++ user would write.
#include <cstdio>
#include <string_view>

#include "glim/glim.h"

int main(int argc, char** argv) {
  glim::Session session(argc, argv);
  glim::Flow flow("word count");
  flow.TextFile(session.arguments())
      .FlatMap([](std::string_view line, glim::Emitter& out) {
        glim::ForEachWord(line, [&](std::string_view word) { out(word, 1); });
      })
      .ReduceBy([](int64_t x, int64_t y) { return x + y; })
      .Fprintf(stdout, "%s,%d\n");
  return glim::ExitCode(flow.Run(session));
}
