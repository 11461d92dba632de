// SPDX-License-Identifier: Apache-2.0
//
// What the bindings of flows and datasets share: their objects in Lua, fields and orders as arguments, and the methods
// of each kind: steps (lua_steps.cc), ends (lua_sinks.cc), sources (lua_sources.cc). lua_flow.cc puts them together.
//
// Thread: the driver's.
#pragma once

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "glim/flow.h"
#include "script/lua_support.h"

namespace glim::script {

// Metatables.
inline constexpr const char* kFlow = "glim flow";
inline constexpr const char* kDataset = "glim dataset";
inline constexpr const char* kOrder = "glim order";
inline constexpr const char* kFields = "glim field";

// Lists that end with nulls.
extern const Function kStepMethods[];    // Of datasets.
extern const Function kSinkMethods[];    // Of datasets.
extern const Function kSourceMethods[];  // Of flows.

Result<int> PushDataset(lua_State* L, Dataset dataset);
// The object before the colon.
Result<Dataset*> Self(lua_State* L);
Result<Flow*> SelfFlow(lua_State* L);

// ---- Arguments. `what` names the call. ----
Result<FieldRef> ToField(lua_State* L, int index, const char* what);
// One argument: a number or a name, a list of them, or glim.field(...).
Result<Fields> ToFieldList(lua_State* L, int index, const char* what);
// Fields from `index` on, as ToFieldList takes them. None: `otherwise`.
Result<Fields> ToFields(lua_State* L, int index, const char* what, Fields otherwise);
Result<FILE*> ToFile(lua_State* L, int index, const char* what);
// Orders from `index` on.
Result<std::vector<OrderBy>> ToOrders(lua_State* L, int index, const char* what);

// A value of the script's state, kept alive for a flow.
class Kept {
 public:
  Kept(lua_State* L, int index) : L_(L) {
    lua_pushvalue(L, index);
    reference_ = luaL_ref(L, LUA_REGISTRYINDEX);
  }
  Kept(const Kept&) = delete;
  ~Kept() { luaL_unref(L_, LUA_REGISTRYINDEX, reference_); }
  void Push() const { lua_rawgeti(L_, LUA_REGISTRYINDEX, reference_); }
  lua_State* state() const { return L_; }

 private:
  lua_State* L_;
  int reference_;
};

// The step's name as a template argument: CallJoin<"Join", &Dataset::Join>.
template <size_t size>
struct StepName {
  constexpr StepName(const char (&literal)[size]) { std::copy_n(literal, size, text); }
  char text[size];
};

}  // namespace glim::script
