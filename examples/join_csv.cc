// SPDX-License-Identifier: Apache-2.0
//
// Joins two CSV files where a1 = b2 and prints a1, a4, b3: examples/join_csv.lua in C++.
#include <cstdio>

#include "glim/glim.h"

int main(int argc, char** argv) {
  glim::Session session(argc, argv);
  if (session.arguments().size() != 2) {
    std::fprintf(stderr, "usage: %s a.csv b.csv\n", argv[0]);
    return 2;
  }
  glim::Flow flow("join");
  const glim::Dataset a = flow.Input(glim::Csv(session.arguments()[0])).Select(1, 4);  // a1, a4
  const glim::Dataset b = flow.Input(glim::Csv(session.arguments()[1])).Select(2, 3);  // b2, b3
  a.Join(b).Fprintf(stdout, "%s,%s,%s\n");
  return glim::ExitCode(flow.Run(session));
}
