// SPDX-License-Identifier: Apache-2.0
#include "udf/lua_memory.h"

#include <algorithm>
#include <cstdio>
#include <lua.hpp>

namespace glim::udf {
namespace {

// A collection starts at this part of the bound, and again whenever so much more is held than after the last one.
constexpr int64_t kCollectPart = 2;
constexpr int64_t kCollectAgainPart = 16;

}  // namespace

LuaMemory::LuaMemory(lua_State* L, int64_t bytes_max)
    : L_(L),
      bytes_max_(bytes_max),
      used_bytes_(int64_t{lua_gc(L, LUA_GCCOUNT, 0)} * 1024 + lua_gc(L, LUA_GCCOUNTB, 0)),
      collect_at_(bytes_max > 0 ? bytes_max / kCollectPart : INT64_MAX) {
  allocator_ = lua_getallocf(L, &owner_);
  lua_setallocf(L, Allocate, this);
}

LuaMemory::~LuaMemory() { lua_setallocf(L_, allocator_, owner_); }

std::string LuaMemory::TakeWhere() {
  std::string where = where_;
  where_[0] = 0;
  return where;
}

void* LuaMemory::Allocate(void* self, void* block, size_t old_size, size_t new_size) {
  auto& memory = *static_cast<LuaMemory*>(self);
  const int64_t more = static_cast<int64_t>(new_size) - static_cast<int64_t>(old_size);
  if (more > 0 && memory.bounded_) {
    memory.stack_overflow_ = memory.StackIsUsedUp();
    if (memory.stack_overflow_ || (memory.bytes_max_ > 0 && more > memory.bytes_max_ - memory.used_bytes_)) {
      memory.Refuse();
      return nullptr;
    }
  }
  void* result = memory.allocator_(memory.owner_, block, old_size, new_size);
  if (result == nullptr && new_size > 0) return nullptr;
  memory.used_bytes_ += more;
  if (memory.used_bytes_ > memory.collect_at_) {
    memory.CollectSoon();
  } else if (more < 0 && memory.bytes_max_ > 0) {
    memory.collect_at_ =
        std::max(memory.bytes_max_ / kCollectPart,
                 std::min(memory.collect_at_, memory.used_bytes_ + memory.bytes_max_ / kCollectAgainPart));
  }
  return result;
}

void LuaMemory::SetStack(const char* top, int64_t bytes_max) {
  stack_top_ = top;
  stack_bytes_max_ = bytes_max;
}

bool LuaMemory::StackIsUsedUp() const {
  const char here = 0;
  return stack_top_ != nullptr && stack_top_ - &here > stack_bytes_max_;
}

// An error for lack of memory has no line and no traceback, so the line is taken here, where the stack is still there.
// Reading it takes no memory.
void LuaMemory::Refuse() {
  refused_ = true;
  lua_Debug frame = {};
  for (int level = 0; lua_getstack(L_, level, &frame) != 0; ++level) {
    if (lua_getinfo(L_, "Sl", &frame) == 0 || frame.currentline <= 0) continue;
    std::snprintf(where_, sizeof(where_), "%s:%d", frame.short_src, frame.currentline);
    return;
  }
}

// Both calls only set numbers that the collector looks at.
void LuaMemory::CollectSoon() {
  constexpr int kStepsMul = 1000;
  lua_gc(L_, LUA_GCSETSTEPMUL, kStepsMul);
  lua_gc(L_, LUA_GCRESTART, 0);
  collect_at_ = used_bytes_ + bytes_max_ / kCollectAgainPart;
}

}  // namespace glim::udf
