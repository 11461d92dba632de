// SPDX-License-Identifier: Apache-2.0
//
// Commands that mean the same without a shell: the name of a program and words, such as `gzip -t "$1"`. Starting the
// shell is about half of what such a command costs.
//
// Whatever a shell could do more than that leaves the command to the shell: builtins and reserved words (some, as echo,
// do otherwise than the program of that name), assignments, globs, ~, redirections, several commands, and each
// character that we do not know to be harmless.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace glim::ops {

class PlainCommand {
 public:
  // nullopt: it takes a shell.
  static std::optional<PlainCommand> Parse(std::string_view command);

  // The program and its arguments; `fields` are $1, $2, ..., each within one argument, and empty where there is none.
  std::vector<std::string> Arguments(const std::vector<std::string>& fields) const;

 private:
  // Text, or the field of a number.
  struct Piece {
    std::string text;
    size_t field = 0;  // From 1; 0: text.
  };
  using Word = std::vector<Piece>;
  static std::optional<Word> ParseWord(std::string_view* rest);

  std::vector<Word> words_;
};

}  // namespace glim::ops
