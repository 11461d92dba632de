// SPDX-License-Identifier: Apache-2.0
//
// RunRepl of script/script.h.
#include <editline/readline.h>
#include <fmt/core.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <optional>

#include "base/try.h"
#include "client/session_parts.h"
#include "script/driver.h"
#include "script/lua_flow.h"
#include "script/script.h"

namespace glim::script {
namespace {

constexpr int64_t kRowsShown = 10;

// Lines from a terminal, with editing and a history, or from a file or pipe.
class LineReader {
 public:
  LineReader(bool is_terminal, std::string history) : is_terminal_(is_terminal), history_(std::move(history)) {
    if (!is_terminal_) return;
    using_history();
    stifle_history(kHistoryMax);
    if (!history_.empty()) read_history(history_.c_str());  // A first start has none.
  }
  LineReader(const LineReader&) = delete;

  // nullopt at the end.
  std::optional<std::string> Next(const char* prompt) {
    std::string line;
    if (!is_terminal_) return std::getline(std::cin, line) ? std::optional(line) : std::nullopt;
    char* read = readline(prompt);
    if (read == nullptr) {
      std::printf("\n");
      return std::nullopt;
    }
    line = read;
    std::free(read);
    if (!line.empty()) {
      add_history(line.c_str());
      if (!history_.empty()) write_history(history_.c_str());  // A history that cannot be kept is no reason to stop.
    }
    return line;
  }

 private:
  static constexpr int kHistoryMax = 1000;
  const bool is_terminal_;
  const std::string history_;  // A file; empty: none.
};

void Complain(const Status& status) {
  std::fflush(stdout);
  std::fprintf(stderr, "glim: %s\n", status.message().c_str());
  if (!status.details().empty()) std::fprintf(stderr, "%s\n", status.details().c_str());
}

}  // namespace

Status RunRepl(const std::string& history, Session* session) {
  env::Env& env = *session->parts().env;
  constexpr int kStdin = 0;
  const bool is_terminal = env.IsTerminal(kStdin);
  Driver driver;
  RETURN_IF_ERROR(driver.OpenForExpressions({}, session));
  if (is_terminal) {
    std::printf(
        "Lua with the functions of glim, and lines, csv, tsv, json_lines, range, ints, strings, rows, sql.\n"
        "A dataset shows its first %d rows; data:Run() and data:Print():Run() do all. Ctrl-D ends.\n",
        static_cast<int>(kRowsShown));
  }
  LineReader reader(is_terminal, history);
  std::string text;
  Status last;
  while (std::optional<std::string> line = reader.Next(text.empty() ? "glim> " : "  ... ")) {
    text += (text.empty() ? "" : "\n") + *line;
    const std::string value = "return " + text;
    const bool is_value = driver.Parses(value);
    if (!is_value && driver.IsUnfinished(text)) continue;
    lua_settop(driver.L(), 1);
    last = driver.Run(is_value ? value : text, "repl", env);
    for (int i = 2, top = lua_gettop(driver.L()); last.ok() && i <= top; ++i) {
      last = ShowValue(driver.L(), i, kRowsShown, session);
    }
    text.clear();
    if (last.ok()) continue;
    Complain(last);
    // Data from a file or pipe is a script: its failure is the program's.
    if (!is_terminal) return Status::UserCode("the line above failed");
  }
  return text.empty() ? Status::Ok() : Status::Invalid("the input ends in the middle of a statement: " + text);
}

}  // namespace glim::script
