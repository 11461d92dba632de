// SPDX-License-Identifier: Apache-2.0
//
// What Lua does with texts, over rows: the operators # and .., tostring and tonumber, and functions of `string`.
//
// A row fails when an argument has another type than the operation is made for (Lua would convert it, or complain), and
// when a result is too large to be made for every row of a slice.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "udf/kernel/texts.h"
#include "udf/kernel/values.h"
#include "udf/lua_pattern.h"

namespace glim::udf {

// ^ at the head of a pattern for find, match and gsub: matches begin where the search does.
struct TextPattern {
  LuaPattern pattern;
  bool anchored = false;
};

// A piece of what gsub puts in: a capture (0: the whole match), or a text.
struct ReplacementPiece {
  int capture = -1;
  std::string text;
};

// A piece of string.format: a verb for printf, or a text. %s alone takes anything that tostring takes.
struct FormatPiece {
  char verb = 0;  // s, d (also i), x (also X, o, u), f; 0: a text.
  std::string text;
  int digits = 6;  // Of f: behind the point.
};

// What an operation works on.
struct TextRun {
  std::span<const Values* const> in;
  std::span<Values* const> out;
  const Selection* rows;
  Texts* texts;
  Failures* failures;
};

void RequireText(const TextRun& run);
void Length(const TextRun& run);
void Concatenate(const TextRun& run);
void ToNumber(const TextRun& run);
void ToText(const TextRun& run);
void TypeName(const TextRun& run);
void Sub(const TextRun& run);
void Byte(const TextRun& run);
void Lower(const TextRun& run);
void Upper(const TextRun& run);
void Reverse(const TextRun& run);
void Repeat(const TextRun& run);
void FindPlain(const TextRun& run);
// Start, end and captures; nils when there is no match.
void Find(const TextRun& run, const TextPattern& pattern);
void Match(const TextRun& run, const TextPattern& pattern);
void Replace(const TextRun& run, const TextPattern& pattern, const std::vector<ReplacementPiece>& pieces);
void Format(const TextRun& run, const std::vector<FormatPiece>& pieces);

// As string.lower and string.upper do it: letters of ASCII.
enum class Case { kKept, kLower, kUpper };
void ChangeCase(Case to, std::string_view text, char* out);

}  // namespace glim::udf
