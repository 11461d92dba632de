// SPDX-License-Identifier: Apache-2.0
//
// Sorts records of 100 bytes, a key of 10 and 90 more: examples/sort.lua in C++.
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "glim/glim.h"

namespace {

void MakeRecords(glim::Flow& flow, const std::string& path, int64_t records) {
  constexpr int64_t kParts = 16;
  flow.Generate(
          [records](int64_t part, glim::Emitter& out) {
            int64_t seed = part + 1;
            std::string key(10, ' ');
            char rest[91];
            for (int64_t number = part; number < records; number += kParts) {
              for (char& letter : key) {
                seed = seed * 48271 % 2147483647;
                letter = static_cast<char>('A' + seed % 26);
              }
              std::snprintf(rest, sizeof(rest), "%89" PRId64 "\n", number);
              out(key, rest);
            }
          },
          kParts)
      .WriteBinary(path);
}

}  // namespace

int main(int argc, char** argv) {
  glim::Session session(argc, argv);
  const auto& arguments = session.arguments();
  if (arguments.size() < 2) {
    std::fprintf(stderr, "usage: %s INPUT OUTPUT [RECORDS]\n", argv[0]);
    return 2;
  }
  if (!std::filesystem::exists(arguments[0])) {
    glim::Flow make("make records");
    MakeRecords(make, arguments[0], arguments.size() > 2 ? std::atoll(arguments[2].c_str()) : 1000000);
    if (const glim::Status status = make.Run(session); !status.ok()) return glim::ExitCode(status);
  }
  glim::Flow flow("sort");
  flow.Input(glim::FixedWidth(arguments[0], {10, 90})).Sort().WriteBinary(arguments[1]);
  const auto start = std::chrono::steady_clock::now();
  const glim::Status status = flow.Run(session);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  if (status.ok()) {
    const double megabytes = static_cast<double>(std::filesystem::file_size(arguments[1])) / 1e6;
    std::fprintf(stderr, "%.0f MB in %.2f s\n", megabytes, seconds.count());
  }
  return glim::ExitCode(status);
}
