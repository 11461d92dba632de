// SPDX-License-Identifier: Apache-2.0
#include "udf/lua_gmatch.h"

#include <algorithm>
#include <cstring>

namespace glim::udf {
namespace {

// Upvalues of an iterator, pushed in this order.
constexpr int kSubject = 1;
constexpr int kPattern = 2;
constexpr int kPosition = 3;

// The position lies in the low half of a value that Lua takes for a (tiny) double.
size_t ToPosition(lua_Number number) {
  uint64_t bits = 0;
  std::memcpy(&bits, &number, sizeof(bits));
  return static_cast<uint32_t>(bits);
}

lua_Number FromPosition(size_t position) {
  const uint64_t bits = static_cast<uint32_t>(position);
  lua_Number number = 0;
  std::memcpy(&number, &bits, sizeof(number));
  return number;
}

// Pushes the three upvalues of the function at `index`.
bool PushUpvalues(lua_State* L, int index) {
  for (const int i : {kSubject, kPattern, kPosition}) {
    if (lua_getupvalue(L, index, i) == nullptr) return false;
  }
  return lua_type(L, -3) == LUA_TSTRING && lua_type(L, -2) == LUA_TSTRING && lua_type(L, -1) == LUA_TNUMBER;
}

// Calls the iterator on top of the stack; what it gives, and its position afterwards.
bool Gives(lua_State* L, const char* wanted, size_t position) {
  const int iterator = lua_gettop(L);
  lua_pushvalue(L, iterator);
  lua_call(L, 0, 1);
  const char* given = lua_tostring(L, -1);
  const bool same = wanted == nullptr ? given == nullptr : given != nullptr && std::strcmp(given, wanted) == 0;
  const bool moved = PushUpvalues(L, iterator) && ToPosition(lua_tonumber(L, -1)) == position;
  lua_settop(L, iterator);
  return same && moved;
}

// Both give the matches from `position` on as rows, and where the iterator stands afterwards.
size_t GiveRuns(const LuaPattern::Set& set, std::string_view subject, size_t position, RowEmitter* emitter) {
  const char* const begin = subject.data();
  const char* const end = begin + subject.size();
  const auto is_in = [&set](char c) { return set[static_cast<unsigned char>(c)]; };
  const char* p = begin + std::min(position, subject.size());
  while (!emitter->stopped()) {
    while (p < end && !is_in(*p)) ++p;
    if (p == end) break;
    const char* const token = p;
    while (p < end && is_in(*p)) ++p;
    position = static_cast<size_t>(p - begin);
    emitter->StartRow(1);
    emitter->column(0).AppendBytes({token, static_cast<size_t>(p - token)});
    emitter->EndRow();
  }
  return position;
}

size_t GiveCaptures(const LuaPattern& pattern, std::string_view subject, size_t position, RowEmitter* emitter) {
  const int captures = pattern.capture_count();
  LuaPattern::Match match;
  while (!emitter->stopped() && pattern.Find(subject, position, &match)) {
    position = static_cast<size_t>(match.end - subject.data()) + (match.end == match.begin ? 1 : 0);
    emitter->StartRow(std::max(1, captures));
    if (captures == 0) {
      emitter->column(0).AppendBytes({match.begin, static_cast<size_t>(match.end - match.begin)});
    }
    for (int c = 0; c < captures; ++c) {
      if (pattern.is_position(c)) {
        emitter->column(c).AppendInt64(match.captures[c].data() - subject.data() + 1);
      } else {
        emitter->column(c).AppendBytes(match.captures[c]);
      }
    }
    emitter->EndRow();
  }
  return position;
}

}  // namespace

size_t GiveMatches(const LuaPattern& pattern, std::string_view subject, size_t position, RowEmitter* emitter) {
  return pattern.run() != nullptr ? GiveRuns(*pattern.run(), subject, position, emitter)
                                  : GiveCaptures(pattern, subject, position, emitter);
}

std::unique_ptr<GmatchReader> GmatchReader::Make(lua_State* L) {
  const int top = lua_gettop(L);
  std::unique_ptr<GmatchReader> reader;
  constexpr char kTry[] = "local next = string.gmatch('ab cd e', '%w+') return next";
  if (luaL_loadbuffer(L, kTry, sizeof(kTry) - 1, "=gmatch") == 0 && lua_pcall(L, 0, 1, 0) == 0) {
    const int iterator = lua_gettop(L);
    const lua_CFunction function = lua_tocfunction(L, iterator);
    bool same = function != nullptr && PushUpvalues(L, iterator) && std::strcmp(lua_tostring(L, -3), "ab cd e") == 0 &&
                std::strcmp(lua_tostring(L, -2), "%w+") == 0 && ToPosition(lua_tonumber(L, -1)) == 0;
    lua_settop(L, iterator);
    same = same && Gives(L, "ab", 2) && Gives(L, "cd", 5);
    if (same) {  // Setting the position is understood too.
      lua_pushnumber(L, FromPosition(1));
      lua_setupvalue(L, iterator, kPosition);
      same = Gives(L, "b", 2) && Gives(L, "cd", 5) && Gives(L, "e", 7) && Gives(L, nullptr, 7);
    }
    if (same) reader.reset(new GmatchReader(function));
  }
  lua_settop(L, top);
  return reader;
}

const LuaPattern* GmatchReader::Find(lua_State* L, std::string_view text) {
  if (last_ != nullptr && last_text_ == text) return last_;
  constexpr size_t kPatternsMax = 256;
  auto known = patterns_.find(std::string(text));
  if (known == patterns_.end()) {
    // A script that makes up patterns as it goes is better off with Lua, which does not prepare them.
    if (patterns_.size() >= kPatternsMax) return nullptr;
    known = patterns_.emplace(text, LuaPattern::Read(L, text)).first;
  }
  if (!known->second.has_value()) return nullptr;
  last_text_ = text;
  last_ = &*known->second;
  return last_;
}

bool GmatchReader::Drain(lua_State* L, int index, RowEmitter* emitter) {
  if (lua_tocfunction(L, index) != iterator_) return false;
  const int top = lua_gettop(L);
  luaL_checkstack(L, 8, "gmatch");
  PushUpvalues(L, index);
  size_t size = 0;
  const char* text = lua_tolstring(L, -2, &size);
  const LuaPattern* const pattern = Find(L, {text, size});
  if (pattern == nullptr) {
    lua_settop(L, top);
    return false;
  }
  size_t position = ToPosition(lua_tonumber(L, -1));
  text = lua_tolstring(L, -3, &size);
  const std::string_view subject(text, size);
  position = GiveMatches(*pattern, subject, position, emitter);
  lua_pushnumber(L, FromPosition(position));
  lua_setupvalue(L, index, kPosition);
  lua_settop(L, top);
  return true;
}

}  // namespace glim::udf
