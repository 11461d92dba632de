// SPDX-License-Identifier: Apache-2.0
#include "engine/child.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "base/try.h"
#include "engine/roles.h"

namespace glim::engine {
namespace {

constexpr std::string_view kListening = "listening ";

}  // namespace

Result<Child> StartChild(env::Env& env, const std::string& what, const std::string& role, int64_t until) {
  env::CommandOptions options;
  options.argv = {"/proc/self/exe"};
  options.environment = {fmt::format("{}={}", kChildVariable, role)};
  ASSIGN_OR_RETURN(std::unique_ptr<env::ChildProcess> process, env.processes().Start(options));
  std::string line;
  while (!line.ends_with('\n')) {
    char bytes[256];
    const int64_t left = until - env.clock().MonotonicNanos();
    if (left <= 0) return Status::Unavailable(fmt::format("{} did not start in time", what));
    ASSIGN_OR_RETURN(const auto moved, process->Exchange({}, bytes, left));
    if (moved.output_ended) return Status::Unavailable(fmt::format("{} ended as soon as it was started", what));
    line.append(bytes, moved.read);
    if (line.size() > sizeof(bytes)) break;
  }
  if (!line.starts_with(kListening) || line.find('\n') != line.size() - 1) {
    return Status::Unavailable(
        fmt::format("{} is this program, started again, and it did not become one: its session has to be made before "
                    "anything is printed",
                    what));
  }
  return Child{std::move(process), line.substr(kListening.size(), line.size() - kListening.size() - 1)};
}

}  // namespace glim::engine
