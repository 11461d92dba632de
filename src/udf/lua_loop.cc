// SPDX-License-Identifier: Apache-2.0
#include "udf/lua_loop.h"

#include <fmt/core.h>

#include <algorithm>
#include <lua.hpp>

#include "base/try.h"
#include "udf/lua_standard.h"

namespace glim::udf {
namespace {

constexpr int64_t kExactMax = int64_t{1} << 53;

// The loop is no news to the user: takes "loop:4: " from the head of a message that error(text, 2) made, its line from
// the traceback, and the name that the function has in it. The function is on top of the stack; pops it.
Status WithoutLoop(lua_State* L, Status status) {
  lua_Debug info;
  lua_getinfo(L, ">S", &info);
  std::string message = status.message();
  std::string details = status.details();
  if (message.starts_with("loop:")) {
    const size_t end = message.find(": ");
    if (end != std::string::npos) message.erase(0, end + 2);
  }
  if (const size_t begin = details.find("\n\tloop:"); begin != std::string::npos) {
    details.erase(begin, details.find('\n', begin + 1) - begin);
    constexpr std::string_view kNamed = "'f'";
    if (std::string_view(details).substr(0, begin).ends_with(kNamed)) {
      details.replace(begin - kNamed.size(), kNamed.size(), fmt::format("<{}:{}>", info.short_src, info.linedefined));
    }
  }
  return Status(status.code(), std::move(message)).WithDetails(std::move(details));
}

}  // namespace

LuaLoop::~LuaLoop() {
  for (const auto& [kinds, loop] : loops_) luaL_unref(instance_.state()->raw(), LUA_REGISTRYINDEX, loop);
}

bool LuaLoop::Fits(const Batch& in) {
  constexpr int kColumnsMax = 16;
  if (in.column_count() == 0 || in.column_count() > kColumnsMax) return false;
  return std::ranges::all_of(in.columns(), [](const Column& column) {
    if (column.may_have_nulls()) return false;
    if (column.type() == Type::kInt64) {
      return std::ranges::all_of(column.Int64s(), [](int64_t n) { return n >= -kExactMax && n <= kExactMax; });
    }
    return column.type() == Type::kDouble || column.type() == Type::kBytes;
  });
}

Status LuaLoop::Filter(const Batch& in, std::vector<uint32_t>* kept) {
  lua_State* L = instance_.state()->raw();
  luaL_checkstack(L, 48, "a loop");
  std::string kinds;
  for (const Column& column : in.columns()) kinds += column.type() == Type::kBytes ? 't' : 'n';
  RETURN_IF_ERROR(PushLoop(kinds));
  const int loop = lua_gettop(L);
  std::vector<uint8_t> stays(in.row_count());
  double at = 0;
  lua_pushlightuserdata(L, stays.data());
  lua_pushlightuserdata(L, &at);
  lua_pushnumber(L, static_cast<double>(in.row_count()));
  numbers_.clear();
  texts_.clear();
  sizes_.clear();
  for (const Column& column : in.columns()) PushColumn(column);
  if (Status status = instance_.state()->Call(lua_gettop(L) - loop, 0); !status.ok()) {
    instance_.PushFunction();
    return WithRow(WithoutLoop(L, std::move(status)), in, static_cast<int64_t>(at));
  }
  for (uint32_t row = 0; row < stays.size(); ++row) {
    if (stays[row] != 0) kept->push_back(row);
  }
  return Status::Ok();
}

Status LuaLoop::PushLoop(const std::string& kinds) {
  lua_State* L = instance_.state()->raw();
  if (const auto known = loops_.find(kinds); known != loops_.end()) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, known->second);
    return Status::Ok();
  }
  std::string parameters, casts, arguments;
  for (size_t i = 0; i < kinds.size(); ++i) {
    arguments += i > 0 ? ", " : "";
    if (kinds[i] == 't') {
      parameters += fmt::format(", c{0}, s{0}", i);
      casts += fmt::format("c{0}, s{0} = cast('const char* const*', c{0}), cast('const uint32_t*', s{0}) ", i);
      arguments += fmt::format("text(c{0}[i], s{0}[i])", i);
    } else {
      parameters += fmt::format(", c{}", i);
      casts += fmt::format("c{0} = cast('const double*', c{0}) ", i);
      arguments += fmt::format("c{}[i]", i);
    }
  }
  // `at` has the row at work, for the message of an error.
  const std::string source = fmt::format(
      "local f, cast, text = ...\n"
      "return function(stays, at, rows{0})\n"
      "stays, at = cast('uint8_t*', stays), cast('double*', at) {1}\n"
      "for i = 0, rows - 1 do at[0] = i stays[i] = f({2}) and 1 or 0 end end",
      parameters, casts, arguments);
  if (luaL_loadbuffer(L, source.data(), source.size(), "=loop") != 0) {
    return Status::Internal(std::string("the loop does not compile: ") + lua_tostring(L, -1));
  }
  instance_.PushFunction();
  PushStandard(L, "ffi.cast");
  PushStandard(L, "ffi.string");
  RETURN_IF_ERROR(instance_.state()->Call(3, 1));
  lua_pushvalue(L, -1);
  loops_[kinds] = luaL_ref(L, LUA_REGISTRYINDEX);
  return Status::Ok();
}

void LuaLoop::PushColumn(const Column& column) {
  lua_State* L = instance_.state()->raw();
  if (column.type() == Type::kDouble) return lua_pushlightuserdata(L, const_cast<double*>(column.Doubles().data()));
  if (column.type() == Type::kInt64) {
    numbers_.emplace_back(column.Int64s().begin(), column.Int64s().end());
    return lua_pushlightuserdata(L, numbers_.back().data());
  }
  std::vector<const char*>& texts = texts_.emplace_back();
  std::vector<uint32_t>& sizes = sizes_.emplace_back();
  for (const BytesView& view : column.Views()) {
    texts.push_back(column.Resolve(view).data());
    sizes.push_back(view.size);
  }
  lua_pushlightuserdata(L, texts.data());
  lua_pushlightuserdata(L, sizes.data());
}

}  // namespace glim::udf
