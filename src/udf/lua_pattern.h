// SPDX-License-Identifier: Apache-2.0
//
// Lua's patterns without Lua: read once, then matched over bytes as string.gmatch does it.
//
// What single characters a class such as %w or [^a-z] takes is asked of Lua itself, byte by byte, so that there is no
// second opinion on it. %b, %f, back references and patterns that Lua would refuse are not handled; Lua runs those.
//
// Thread: immutable once read.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

struct lua_State;

namespace glim::udf {

class LuaPattern {
 public:
  using Set = std::array<bool, 256>;
  static constexpr int kCapturesMax = 32;

  // A match. `captures` has capture_count() entries; a position capture begins and ends where it stands.
  struct Match {
    const char* begin;
    const char* end;
    std::array<std::string_view, kCapturesMax> captures;
  };

  // nullopt: not handled. `L` is a state with the library's own string.find.
  static std::optional<LuaPattern> Read(lua_State* L, std::string_view text);

  // The first match in `subject` that begins at byte `from` or later. False: there is none.
  bool Find(std::string_view subject, size_t from, Match* match) const;

  // A match that begins there.
  bool MatchAt(std::string_view subject, size_t at, Match* match) const;

  int capture_count() const { return static_cast<int>(is_position_.size()); }
  bool is_position(int capture) const { return is_position_[capture]; }
  // Of a pattern that is one class followed by +, captured or not: the class; null for any other.
  const Set* run() const;

 private:
  enum class Kind : uint8_t { kOne, kOptional, kMost, kLeast, kOpen, kClose, kEnd };
  struct Item {
    Kind kind;
    uint8_t at_least = 0;  // Of kMost: 0 for *, 1 for +.
    uint16_t index = 0;    // Of the set, or the capture.
  };

  const char* MatchFrom(size_t item, const char* at, const char* end, Match* match) const;
  // The set of the first byte of every match; -1: a match may be empty, or there are several.
  int FirstSet() const;

  std::vector<Item> items_;
  std::vector<Set> sets_;
  std::vector<bool> is_position_;
  int first_ = -1;
};

}  // namespace glim::udf
