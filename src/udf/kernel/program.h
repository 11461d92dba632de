// SPDX-License-Identifier: Apache-2.0
//
// A Lua function as a kernel runs it: expressions, each computed once, in blocks that are left by a jump forward or by
// returning. There are no loops, so a block is run once for all the rows that come to it.
//
//   function(x) return x > 5 and x * 2 or "small" end
//
//   0: branch 5 < x                -> 1 or 2
//   1: v = x * 2; branch v is true -> 3 (r = v) or 2
//   2: jump                        -> 3 (r = "small")
//   3: return r
//
// It is a value: reader.h makes it, machine.h runs it.
#pragma once

#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "udf/kernel/text_operations.h"
#include "udf/kernel/values.h"

namespace glim::udf {

enum class Operation : uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kModulo,
  kNegate,
  kFloor,
  kCeil,
  kAbs,
  kSqrt,
  kMax,
  kMin,
  kNot,
  kRequireText,
  kLength,
  kConcatenate,
  kToNumber,
  kToText,
  kTypeName,
  kSub,
  kByte,
  kLower,
  kUpper,
  kReverse,
  kRepeat,
  kFindPlain,
  kFind,
  kMatch,
  kReplace,
  kFormat,
};

// `in` and `out`: numbers of Program::values.
struct Instruction {
  Operation op;
  std::vector<int> in;
  std::vector<int> out;
  int pattern = -1;  // Of kFind, kMatch, kReplace: in Program::patterns.
  int pieces = -1;   // Of kReplace and kFormat: in Program::replacements or formats.
};

enum class Test : uint8_t { kIsTrue, kIsNil, kLess, kLessOrEqual, kEqual };

struct Edge {
  int to = -1;  // A block further on.
  // Whoever goes this way: the first becomes the second.
  std::vector<std::pair<int, int>> copies;
};

// kMatches and kPieces: it returns an iterator, of gmatch or of split.
enum class Ending : uint8_t { kJump, kBranch, kReturn, kMatches, kPieces };

struct Block {
  std::vector<Instruction> code;
  Ending ending = Ending::kReturn;
  // Of kBranch: what is tested, and the ways when it holds and when it does not. Of kJump: the first way. Of kReturn in
  // a Filter, `a` is the result that says whether the row stays; -1: it does not. In a FlatMap it is the result, which
  // only nil (or -1) is good for.
  Test test = Test::kIsTrue;
  int a = -1;
  int b = -1;
  std::array<Edge, 2> edges;
  // Of kMatches, `a` is the text; of kPieces, `b` the separator, too.
  std::vector<int> results;  // Of kReturn in a Map.
  int pattern = -1;          // Of kMatches: in Program::patterns.
};

// Where a value comes from: an argument, a constant, or else an instruction or an edge.
struct ValueSource {
  int argument = -1;
  int constant = -1;
};

struct Constant {
  Tag tag = Tag::kNil;
  double number = 0;
  std::string text;
};

struct Program {
  std::vector<ValueSource> values;
  std::vector<Constant> constants;
  std::vector<Block> blocks;
  std::vector<TextPattern> patterns;
  std::vector<std::vector<ReplacementPiece>> replacements;
  std::vector<std::vector<FormatPiece>> formats;
  // Parts of the standard library that it takes for granted: "string.lower", for methods of texts "string metatable",
  // and for a global that is a part of it "_G.string".
  std::set<std::string> uses;
};

}  // namespace glim::udf
