// SPDX-License-Identifier: Apache-2.0
//
// Estimates pi by throwing points at a square: examples/pi.lua in C++.
#include <cinttypes>
#include <cstdio>
#include <cstdlib>

#include "glim/glim.h"

int main(int argc, char** argv) {
  glim::Session session(argc, argv);
  const int64_t throws = session.arguments().empty() ? 16 : std::atoll(session.arguments()[0].c_str());
  constexpr int64_t kPointsPerThrow = 1000000;

  int64_t hits = 0;
  glim::Flow flow("pi");
  flow.Range(0, throws)
      .Partition(7)
      .Map([](int64_t number) {
        // Each throw has dice of its own, so that the answer does not depend on who throws.
        int64_t seed = number * 7919 + 1;
        const auto random = [&seed] {
          seed = seed * 48271 % 2147483647;
          return static_cast<double>(seed) / 2147483647;
        };
        int64_t inside = 0;
        for (int64_t i = 0; i < kPointsPerThrow; ++i) {
          const double x = random(), y = random();
          if (x * x + y * y < 1) ++inside;
        }
        return inside;
      })
      .Reduce([](int64_t x, int64_t y) { return x + y; })
      .SaveFirstRowTo(&hits);
  const glim::Status status = flow.Run(session);
  if (status.ok()) {
    const int64_t points = throws * kPointsPerThrow;
    std::printf("pi is about %.6f (%" PRId64 " of %" PRId64 " points)\n", 4.0 * hits / points, hits, points);
  }
  return glim::ExitCode(status);
}
