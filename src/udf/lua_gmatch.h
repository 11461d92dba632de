// SPDX-License-Identifier: Apache-2.0
//
// Drains the iterators of string.gmatch without calling them. Such an iterator is a C function that keeps subject,
// pattern and position in its upvalues; we read them, match with udf/lua_pattern.h and leave the position as the
// iterator would have it. Whether this LuaJIT does it in this way is tried out first; with another one nothing is
// drained here, and Lua runs as usual. (A gmatch of our own that returns an object would cost every script that calls
// its iterators itself: one made of a C closure is three times slower, one in Lua keeps loops from being compiled.)
//
// Thread: the state's.
#pragma once

#include <lua.hpp>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "udf/lua_pattern.h"
#include "udf/row_emitter.h"

namespace glim::udf {

// Gives the matches from `position` on as rows, until the emitter is full; where an iterator would then stand.
size_t GiveMatches(const LuaPattern& pattern, std::string_view subject, size_t position, RowEmitter* emitter);

class GmatchReader {
 public:
  // Null when this LuaJIT has other iterators. Call on a fresh state.
  static std::unique_ptr<GmatchReader> Make(lua_State* L);

  // Gives the matches that the iterator at `index` still has as rows, until the emitter is full. False: the value is
  // another one, or its pattern is for Lua; nothing was done.
  bool Drain(lua_State* L, int index, RowEmitter* emitter);

 private:
  explicit GmatchReader(lua_CFunction iterator) : iterator_(iterator) {}
  const LuaPattern* Find(lua_State* L, std::string_view text);

  const lua_CFunction iterator_;
  std::unordered_map<std::string, std::optional<LuaPattern>> patterns_;
  // The last one asked for; most functions have one.
  std::string last_text_;
  const LuaPattern* last_ = nullptr;
};

}  // namespace glim::udf
