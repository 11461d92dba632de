// SPDX-License-Identifier: Apache-2.0
#include "ops/plain_command.h"

#include <algorithm>
#include <charconv>
#include <iterator>

namespace glim::ops {
namespace {

// What any of the shells that stand for `sh` somewhere (dash, bash, busybox, ksh, mksh, yash) runs by itself although
// it looks like the name of a program.
constexpr std::string_view kShellWords[] = {
    "alias",   "autoload", "bg",      "bind",     "bindkey",   "break",     "builtin",  "caller", "case",
    "cd",      "chdir",    "command", "compgen",  "complete",  "compopt",   "continue", "coproc", "declare",
    "dirs",    "disown",   "do",      "done",     "echo",      "elif",      "else",     "enable", "enum",
    "esac",    "eval",     "exec",    "exit",     "export",    "false",     "fc",       "fg",     "fi",
    "float",   "for",      "foreach", "function", "functions", "getconf",   "getopts",  "global", "hash",
    "help",    "hist",     "history", "if",       "in",        "integer",   "jobs",     "kill",   "let",
    "limit",   "local",    "logout",  "mapfile",  "nameref",   "namespace", "newgrp",   "nohup",  "popd",
    "print",   "printf",   "pushd",   "pwd",      "read",      "readarray", "readonly", "rename", "repeat",
    "return",  "select",   "set",     "setopt",   "shift",     "shopt",     "sleep",    "source", "stop",
    "suspend", "test",     "then",    "time",     "times",     "trap",      "true",     "type",   "typeset",
    "ulimit",  "umask",    "unalias", "unlimit",  "unset",     "until",     "wait",     "whence", "where",
    "which",   "while"};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool IsHarmless(char c) {
  constexpr std::string_view kOthers = "_-./,:+%@";
  return IsDigit(c) || IsLetter(c) || kOthers.find(c) != std::string_view::npos;
}

bool IsBlank(char c) { return c == ' ' || c == '\t'; }

// Not such names as `.`, `:` and `%1`.
bool IsProgram(std::string_view name) {
  if (!std::all_of(name.begin(), name.end(), IsHarmless)) return false;
  if (name.find('/') != std::string_view::npos) return true;
  const bool is_word = std::find(std::begin(kShellWords), std::end(kShellWords), name) != std::end(kShellWords);
  return !name.empty() && (IsDigit(name[0]) || IsLetter(name[0])) && !is_word;
}

// `$12` or `${12}` at the beginning of `*rest`, which loses it; 0 when there is something else.
size_t TakeField(std::string_view* rest) {
  const bool braced = rest->size() > 1 && (*rest)[1] == '{';
  const char* const begin = rest->data() + 1 + braced;
  const char* const end = rest->data() + rest->size();
  size_t field = 0;
  const auto [after, error] = std::from_chars(begin, end, field);
  if (error != std::errc() || field == 0 || (braced && (after == end || *after != '}'))) return 0;
  rest->remove_prefix(static_cast<size_t>(after - rest->data()) + braced);
  return field;
}

}  // namespace

std::optional<PlainCommand> PlainCommand::Parse(std::string_view command) {
  PlainCommand plain;
  while (true) {
    while (!command.empty() && IsBlank(command.front())) command.remove_prefix(1);
    if (command.empty()) break;
    std::optional<Word> word = ParseWord(&command);
    if (!word.has_value()) return std::nullopt;
    plain.words_.push_back(*std::move(word));
  }
  if (plain.words_.empty() || plain.words_[0].size() != 1 || plain.words_[0][0].field != 0) return std::nullopt;
  return IsProgram(plain.words_[0][0].text) ? std::optional(std::move(plain)) : std::nullopt;
}

std::optional<PlainCommand::Word> PlainCommand::ParseWord(std::string_view* rest) {
  Word word(1);
  const auto add_field = [&] {
    const size_t field = TakeField(rest);
    if (field == 0) return false;
    word.push_back({"", field});
    word.emplace_back();
    return true;
  };
  bool in_double = false;
  while (!rest->empty() && (in_double || !IsBlank(rest->front()))) {
    const char c = rest->front();
    if (c == '$') {
      if (!add_field()) return std::nullopt;
      continue;
    }
    rest->remove_prefix(1);
    if (c == '"') {
      in_double = !in_double;
    } else if (in_double) {
      if (c == '\\' || c == '`' || c == '\0') return std::nullopt;
      word.back().text += c;
    } else if (c == '\'') {
      const size_t end = rest->find('\'');
      if (end == std::string_view::npos || rest->substr(0, end).find('\0') != std::string_view::npos)
        return std::nullopt;
      word.back().text += rest->substr(0, end);
      rest->remove_prefix(end + 1);
    } else if (IsHarmless(c) || c == '=') {
      word.back().text += c;
    } else {
      return std::nullopt;
    }
  }
  if (in_double) return std::nullopt;
  return word;
}

std::vector<std::string> PlainCommand::Arguments(const std::vector<std::string>& fields) const {
  std::vector<std::string> arguments;
  for (const Word& word : words_) {
    std::string& argument = arguments.emplace_back();
    for (const Piece& piece : word) {
      if (piece.field == 0) {
        argument += piece.text;
      } else if (piece.field <= fields.size()) {
        argument += fields[piece.field - 1];
      }
    }
  }
  return arguments;
}

}  // namespace glim::ops
