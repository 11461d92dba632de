// SPDX-License-Identifier: Apache-2.0
#include "udf/lua_instance.h"

#include <fmt/core.h>

#include <lua.hpp>

namespace glim::udf {
namespace {

// Exchanges each field of the list with what its module has now, so that a second call undoes the first.
void SwapAdditions(lua_State* L, int reference) {
  if (reference == 0) return;
  lua_rawgeti(L, LUA_REGISTRYINDEX, reference);
  for (int i = 1; i <= static_cast<int>(lua_objlen(L, -1)); ++i) {
    lua_rawgeti(L, -1, i);
    const int entry = lua_gettop(L);
    lua_rawgeti(L, entry, 1);
    lua_rawgeti(L, entry, 2);
    lua_pushvalue(L, -1);
    lua_rawget(L, entry + 1);
    lua_insert(L, entry + 2);
    lua_rawgeti(L, entry, 3);
    lua_rawset(L, entry + 1);
    lua_rawseti(L, entry, 3);
    lua_settop(L, entry - 1);
  }
  lua_pop(L, 1);
}

// Lets go of what a task had in its variables and globals.
void ClearCode(lua_State* L, int list) {
  for (int i = 1; i <= static_cast<int>(lua_objlen(L, list)); ++i) {
    lua_rawgeti(L, list, i);
    for (int u = 1;; ++u) {
      lua_pushnil(L);
      if (lua_setupvalue(L, -2, u) == nullptr) break;
    }
    lua_settop(L, list + 1);
    lua_pushvalue(L, LUA_GLOBALSINDEX);
    lua_setfenv(L, -2);
    lua_pop(L, 1);
  }
}

}  // namespace

LuaInstance::~LuaInstance() {
  --state_->instances;
  lua_State* L = state_->raw();
  for (const int reference : {function_, setup_, teardown_, additions_}) {
    if (reference != 0) luaL_unref(L, LUA_REGISTRYINDEX, reference);
  }
  if (code_ == 0) return;
  const int top = lua_gettop(L);
  PushCode();
  ClearCode(L, top + 1);
  lua_settop(L, top);
  state_->KeepCode(id_, code_);
}

bool LuaInstance::TakeSpareCode() {
  code_ = state_->TakeCode(id_);
  if (code_ != 0) PushCode();
  return code_ != 0;
}

void LuaInstance::SetCode() { code_ = luaL_ref(state_->raw(), LUA_REGISTRYINDEX); }

void LuaInstance::SetFunctions() {
  lua_State* L = state_->raw();
  for (int* reference : {&additions_, &teardown_, &setup_, &function_}) {
    if (lua_isnil(L, -1)) {
      lua_pop(L, 1);
    } else {
      *reference = luaL_ref(L, LUA_REGISTRYINDEX);
    }
  }
}

bool LuaInstance::PushIfThere(int reference) const {
  if (reference != 0) lua_rawgeti(state_->raw(), LUA_REGISTRYINDEX, reference);
  return reference != 0;
}

void LuaInstance::PushCode() const { lua_rawgeti(state_->raw(), LUA_REGISTRYINDEX, code_); }

void LuaInstance::PushFunction() const { lua_rawgeti(state_->raw(), LUA_REGISTRYINDEX, function_); }

LuaInstance::Scope::Scope(const LuaInstance& instance, RowEmitter* emitter)
    : state_(instance.state_),
      engine_(state_->memory(), false),
      top_(lua_gettop(state_->raw())),
      outer_task_(state_->task),
      outer_emitter_(state_->emitter),
      outer_additions_(state_->additions) {
  luaL_checkstack(state_->raw(), 32, "a function");
  state_->task = instance.task_;
  state_->emitter = emitter;
  Exchange(instance.additions_);
}

LuaInstance::Scope::~Scope() {
  lua_settop(state_->raw(), top_);
  Exchange(outer_additions_);
  state_->task = outer_task_;
  state_->emitter = outer_emitter_;
}

void LuaInstance::Scope::Exchange(int additions) {
  SwapAdditions(state_->raw(), state_->additions);
  SwapAdditions(state_->raw(), additions);
  state_->additions = additions;
}

Status WithRow(Status status, const Batch& batch, int64_t row) {
  std::string details = status.details();
  return Status(status.code(), fmt::format("{}, row {}", status.message(), batch.RowToDebugString(row)))
      .WithDetails(std::move(details));
}

}  // namespace glim::udf
