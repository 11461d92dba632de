// SPDX-License-Identifier: Apache-2.0
#include "udf/lua_pattern.h"

#include <cctype>
#include <lua.hpp>
#include <string>

#include "udf/lua_standard.h"

namespace glim::udf {
namespace {

// Bounds the depth of the matching, and keeps patterns that Lua calls too complex with Lua.
constexpr size_t kItemsMax = 64;

// Where the single-character class at the head of `text` ends; 0 when it is unfinished or one of %b, %f, %1.
size_t ClassSize(std::string_view text) {
  if (text[0] == '%') {
    if (text.size() < 2 || std::isdigit(static_cast<unsigned char>(text[1])) || text[1] == 'b' || text[1] == 'f')
      return 0;
    return 2;
  }
  if (text[0] != '[') return 1;
  size_t end = 1;
  if (end < text.size() && text[end] == '^') ++end;
  // The first character may be a bracket that closes nothing.
  do {
    if (end >= text.size()) return 0;
    if (text[end++] == '%') ++end;
  } while (end < text.size() && text[end] != ']');
  return end < text.size() ? end + 1 : 0;
}

// The bytes that `text`, one class, matches.
bool ReadSet(lua_State* L, std::string_view text, LuaPattern::Set* set) {
  if (text.size() == 1 && text[0] != '.') {
    set->fill(false);
    (*set)[static_cast<unsigned char>(text[0])] = true;
    return true;
  }
  const std::string pattern = "^" + std::string(text);
  for (int c = 0; c < 256; ++c) {
    const char byte = static_cast<char>(c);
    PushStandard(L, "string.find");
    lua_pushlstring(L, &byte, 1);
    lua_pushlstring(L, pattern.data(), pattern.size());
    const bool done = lua_pcall(L, 2, 1, 0) == 0;
    (*set)[c] = lua_type(L, -1) == LUA_TNUMBER;
    lua_pop(L, 1);
    if (!done) return false;
  }
  return true;
}

}  // namespace

std::optional<LuaPattern> LuaPattern::Read(lua_State* L, std::string_view text) {
  if (text.find('\0') != text.npos) return std::nullopt;
  LuaPattern pattern;
  std::vector<uint16_t> open;
  while (!text.empty()) {
    if (pattern.items_.size() >= kItemsMax) return std::nullopt;
    if (text[0] == '(') {
      if (pattern.is_position_.size() >= kCapturesMax) return std::nullopt;
      const bool is_position = text.size() > 1 && text[1] == ')';
      const auto capture = static_cast<uint16_t>(pattern.is_position_.size());
      pattern.items_.push_back({Kind::kOpen, 0, capture});
      pattern.is_position_.push_back(is_position);
      if (!is_position) open.push_back(capture);
      text.remove_prefix(is_position ? 2 : 1);
      continue;
    }
    if (text[0] == ')') {
      if (open.empty()) return std::nullopt;
      pattern.items_.push_back({Kind::kClose, 0, open.back()});
      open.pop_back();
      text.remove_prefix(1);
      continue;
    }
    if (text == "$") {
      pattern.items_.push_back({Kind::kEnd});
      break;
    }
    const size_t size = ClassSize(text);
    if (size == 0) return std::nullopt;
    const auto index = static_cast<uint16_t>(pattern.sets_.size());
    if (!ReadSet(L, text.substr(0, size), &pattern.sets_.emplace_back())) return std::nullopt;
    text.remove_prefix(size);
    Item item{Kind::kOne, 0, index};
    const char quantifier = text.empty() ? '\0' : text[0];
    if (quantifier == '?') item.kind = Kind::kOptional;
    if (quantifier == '-') item.kind = Kind::kLeast;
    if (quantifier == '*' || quantifier == '+') item = {Kind::kMost, static_cast<uint8_t>(quantifier == '+'), index};
    if (item.kind != Kind::kOne) text.remove_prefix(1);
    pattern.items_.push_back(item);
  }
  if (!open.empty()) return std::nullopt;
  pattern.first_ = pattern.FirstSet();
  return pattern;
}

const LuaPattern::Set* LuaPattern::run() const {
  const auto is_run = [](const Item& item) { return item.kind == Kind::kMost && item.at_least == 1; };
  if (items_.size() == 1 && is_run(items_[0])) return &sets_[0];
  if (items_.size() == 3 && is_run(items_[1]) && items_[2].kind == Kind::kClose) return &sets_[0];
  return nullptr;
}

int LuaPattern::FirstSet() const {
  for (const Item& item : items_) {
    if (item.kind == Kind::kOpen || item.kind == Kind::kClose) continue;
    const bool takes_one = item.kind == Kind::kOne || (item.kind == Kind::kMost && item.at_least == 1);
    return takes_one ? item.index : -1;
  }
  return -1;
}

bool LuaPattern::Find(std::string_view subject, size_t from, Match* match) const {
  const char* const end = subject.data() + subject.size();
  const Set* const first = first_ < 0 ? nullptr : &sets_[first_];
  for (; from <= subject.size(); ++from) {
    const char* const at = subject.data() + from;
    if (first != nullptr && (at == end || !(*first)[static_cast<unsigned char>(*at)])) continue;
    if (const char* const last = MatchFrom(0, at, end, match)) {
      match->begin = at;
      match->end = last;
      return true;
    }
  }
  return false;
}

bool LuaPattern::MatchAt(std::string_view subject, size_t at, Match* match) const {
  match->begin = subject.data() + at;
  match->end = MatchFrom(0, match->begin, subject.data() + subject.size(), match);
  return match->end != nullptr;
}

// The end of the match of the items from `item` on; null: none. Captures need no undoing: who succeeds later has
// written all of them.
const char* LuaPattern::MatchFrom(size_t item, const char* at, const char* end, Match* match) const {
  for (; item < items_.size(); ++item) {
    const Item& now = items_[item];
    if (now.kind == Kind::kOpen) {
      match->captures[now.index] = {at, 0};
      continue;
    }
    if (now.kind == Kind::kClose) {
      std::string_view& capture = match->captures[now.index];
      capture = {capture.data(), static_cast<size_t>(at - capture.data())};
      continue;
    }
    if (now.kind == Kind::kEnd) return at == end ? at : nullptr;
    const Set& set = sets_[now.index];
    const auto takes = [&](const char* p) { return p < end && set[static_cast<unsigned char>(*p)]; };
    switch (now.kind) {
      case Kind::kOne:
        if (!takes(at)) return nullptr;
        ++at;
        break;
      case Kind::kOptional:
        if (takes(at)) {
          if (const char* last = MatchFrom(item + 1, at + 1, end, match)) return last;
        }
        break;
      case Kind::kMost: {
        const char* const least = at + now.at_least;
        while (takes(at)) ++at;
        for (; at > least; --at) {
          if (const char* last = MatchFrom(item + 1, at, end, match)) return last;
        }
        if (at < least) return nullptr;
        break;
      }
      case Kind::kLeast:
        while (true) {
          if (const char* last = MatchFrom(item + 1, at, end, match)) return last;
          if (!takes(at)) return nullptr;
          ++at;
        }
      case Kind::kOpen:
      case Kind::kClose:
      case Kind::kEnd: break;
    }
  }
  return at;
}

}  // namespace glim::udf
