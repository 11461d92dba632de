// SPDX-License-Identifier: Apache-2.0
#include "engine/child.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/hash.h"
#include "base/try.h"
#include "engine/roles.h"
#include "glim/files.h"

namespace glim::engine {
namespace {

constexpr std::string_view kListening = "listening ";

// The shell takes what a program prints before it is an executor out of the way, and finds the folder, if it is here.
// $0 is the program.
constexpr const char* kScript = R"(cd "$1" 2>/dev/null; shift; exec "$0" "$@" </dev/null 2>/dev/null)";

Result<std::string> ReadAll(env::Env& env, const std::string& path) {
  ASSIGN_OR_RETURN(const auto file, env.files().OpenSequential(path));
  std::string text;
  char bytes[4096];
  while (true) {
    ASSIGN_OR_RETURN(const size_t read, file->Read(bytes));
    if (read == 0) return text;
    text.append(bytes, read);
  }
}

// Of a list in which each has a zero byte behind it.
std::vector<std::string> SplitAtZeros(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\0', begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

}  // namespace

Result<Child> StartChild(env::Env& env, const std::string& what, const std::string& role, int64_t until,
                         std::vector<std::string> environment) {
  env::CommandOptions options;
  options.argv = {"/proc/self/exe"};
  options.environment = std::move(environment);
  options.environment.push_back(fmt::format("{}={}", kChildVariable, role));
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

Result<Program> ThisProgram(env::Env& env) {
  Program program;
  // Also when the file has been replaced since.
  program.binary = fmt::format("/proc/{}/exe", env.process_id());
  ASSIGN_OR_RETURN(const std::string arguments, ReadAll(env, "/proc/self/cmdline"));
  program.arguments = SplitAtZeros(arguments);
  if (!program.arguments.empty()) program.arguments.erase(program.arguments.begin());
  ASSIGN_OR_RETURN(const std::string environment, ReadAll(env, "/proc/self/environ"));
  for (std::string& variable : SplitAtZeros(environment)) {
    const std::string_view name = std::string_view(variable).substr(0, variable.find('='));
    // Files are where they are, and that this process may have changed since it was started.
    if (name.starts_with("GLIM_") && name != kChildVariable && name != kFilesVariable)
      program.environment.push_back(std::move(variable));
  }
  program.folder = env::CurrentFolder();
  return program;
}

std::string ListeningLine(const std::string& role, const std::string& address) {
  // A name that main prints only by chance. The line end before it ends what main has begun.
  return fmt::format("\nglim-executor-{:016x} {}\n", base::HashBytes(role), address);
}

Result<Child> StartProgram(env::Env& env, const Program& program, const std::string& role, int64_t until) {
  env::CommandOptions options;
  options.argv = {"/bin/sh", "-c", kScript, program.binary, program.folder};
  options.argv.insert(options.argv.end(), program.arguments.begin(), program.arguments.end());
  options.environment = program.environment;
  options.environment.push_back(fmt::format("{}={}", kChildVariable, role));
  options.discard_input = true;
  ASSIGN_OR_RETURN(std::unique_ptr<env::ChildProcess> process, env.processes().Start(options));
  const std::string whole = ListeningLine(role, "");
  const std::string_view mark = std::string_view(whole).substr(0, whole.size() - 1);
  std::string printed;
  while (true) {
    char bytes[4096];
    const int64_t left = until - env.clock().MonotonicNanos();
    if (left <= 0) return Status::Unavailable("the program, started as an executor, made no Session in time");
    ASSIGN_OR_RETURN(const auto moved, process->Exchange({}, bytes, left));
    if (moved.output_ended) {
      process->Kill();  // It may only have closed its output.
      ASSIGN_OR_RETURN(const int code, process->Wait());
      constexpr int kCannotBeRun = 126, kNotThere = 127;  // As a shell says it.
      const bool runs = code != kCannotBeRun && code != kNotThere;
      return Status::Unavailable(
          fmt::format("the program, started as an executor, ended with exit code {} before it made a Session{}", code,
                      runs ? "" : ": it cannot be run there, or a library that it needs is missing"));
    }
    printed.append(bytes, moved.read);
    const size_t begin = printed.find(mark);
    if (begin == std::string::npos) {
      printed.erase(0, printed.size() - std::min(printed.size(), mark.size()));
      continue;
    }
    const size_t address = begin + mark.size(), end = printed.find('\n', address);
    if (end != std::string::npos) return Child{std::move(process), printed.substr(address, end - address)};
    if (printed.size() - address > sizeof(bytes)) return Status::Unavailable("an executor does not say where it is");
  }
}

}  // namespace glim::engine
