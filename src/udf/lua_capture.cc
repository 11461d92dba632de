// SPDX-License-Identifier: Apache-2.0
#include "udf/lua_capture.h"

#include <fmt/core.h>

#include <lua.hpp>
#include <map>
#include <new>
#include <set>

#include "base/try.h"
#include "glim/batch_builder.h"
#include "udf/lua_standard.h"
#include "udf/lua_values.h"

namespace glim::udf {
namespace {

constexpr const char* kMark = "glim shared object";
constexpr int kCData = 10;

int CollectShared(lua_State* L) {
  using Pointer = std::shared_ptr<SharedObject>;
  static_cast<Pointer*>(lua_touserdata(L, 1))->~Pointer();
  return 0;
}

// Lists the globals that a function and those inside it read, and all strings in its code. Opcodes are learnt from a
// function that is known to read a global.
constexpr char kNamesIn[] = R"lua(
local util = require "jit.util"
local band, shift = bit.band, bit.rshift
local gget
do
  local probe = loadstring("return glim_probe")
  for pc = 1, util.funcinfo(probe).bytecodes - 1 do
    local code = util.funcbc(probe, pc)
    if util.funck(probe, -shift(code, 16) - 1) == "glim_probe" then gget = band(code, 0xff) break end
  end
end
return function(f)
  local names, strings = {}, {}
  local function visit(proto)
    local info = util.funcinfo(proto)
    if not info.bytecodes then return end
    for pc = 1, info.bytecodes - 1 do
      local code = util.funcbc(proto, pc)
      if gget and band(code, 0xff) == gget then names[util.funck(proto, -shift(code, 16) - 1)] = true end
    end
    for i = 1, info.gcconsts or 0 do
      local constant = util.funck(proto, -i)
      if type(constant) == "proto" then visit(constant) end
      if type(constant) == "string" then strings[#strings + 1] = constant end
    end
  end
  visit(f)
  local list = {}
  for name in pairs(names) do list[#list + 1] = name end
  table.sort(list)
  return list, strings
end)lua";

int AppendDump(lua_State*, const void* bytes, size_t size, void* out) {
  static_cast<std::string*>(out)->append(static_cast<const char*>(bytes), size);
  return 0;
}

std::string Where(lua_State* L, int index) {
  lua_Debug info;
  lua_pushvalue(L, index);
  lua_getinfo(L, ">S", &info);
  return fmt::format("{}:{}", info.short_src, info.linedefined);
}

class Capturer {
 public:
  explicit Capturer(lua_State* L) : L_(L) {}

  Result<Captured> Run(int index, CaptureWith with) {
    captured_.where = StandardName(L_, index);
    if (captured_.where.empty()) {
      if (lua_iscfunction(L_, index)) {
        return Status::Invalid("a C function that is not of the standard library cannot travel to the tasks");
      }
      captured_.where = Where(L_, index);
    }
    RETURN_IF_ERROR(LoadNamesIn());
    RETURN_IF_ERROR(Value(index, "it", &captured_.root));
    if (with.setup != 0) RETURN_IF_ERROR(Value(with.setup, "setup", &captured_.setup));
    if (with.teardown != 0) RETURN_IF_ERROR(Value(with.teardown, "teardown", &captured_.teardown));
    RETURN_IF_ERROR(Additions());
    PushStandard(L_, "package");
    lua_getfield(L_, -1, "path");
    if (lua_type(L_, -1) == LUA_TSTRING) captured_.path = lua_tostring(L_, -1);
    return std::move(captured_);
  }

 private:
  Status LoadNamesIn() {
    if (luaL_loadbuffer(L_, kNamesIn, sizeof(kNamesIn) - 1, "=names") != 0 || lua_pcall(L_, 0, 1, 0) != 0) {
      return TakeError();
    }
    names_in_ = lua_gettop(L_);
    return Status::Ok();
  }

  Status TakeError() {
    Status status = Status::Internal(std::string("reading a function's names: ") + lua_tostring(L_, -1));
    lua_pop(L_, 1);
    return status;
  }

  Status Value(int index, const std::string& name, CapturedValue* out) {
    if (index < 0) index = lua_gettop(L_) + 1 + index;
    using Kind = CapturedValue::Kind;
    switch (lua_type(L_, index)) {
      case LUA_TNIL: return Status::Ok();
      case LUA_TBOOLEAN:
        out->kind = Kind::kBool;
        out->boolean = lua_toboolean(L_, index) != 0;
        return Status::Ok();
      case LUA_TNUMBER:
        out->kind = Kind::kNumber;
        out->number = lua_tonumber(L_, index);
        return Status::Ok();
      case LUA_TSTRING: {
        size_t size = 0;
        const char* text = lua_tolstring(L_, index, &size);
        out->kind = Kind::kString;
        out->text.assign(text, size);
        return Status::Ok();
      }
      case LUA_TTABLE:
      case LUA_TFUNCTION:
      case LUA_TUSERDATA:
        out->text = StandardName(L_, index);
        if (!out->text.empty()) {
          out->kind = Kind::kName;
          return Status::Ok();
        }
        if (lua_istable(L_, index)) return Table(index, name, out);
        if (lua_isfunction(L_, index)) return FunctionValue(index, name, out);
        if (auto shared = ToSharedObject(L_, index)) {
          out->kind = Kind::kShared;
          captured_.shared.push_back(shared);
          out->shared = std::move(shared);
          return Status::Ok();
        }
        break;
      case kCData: {
        const FfiInteger integer = ReadFfiInteger(L_, index);
        if (!integer.is_integer) break;
        out->kind = integer.is_unsigned ? Kind::kUint64 : Kind::kInt64;
        out->integer = integer.value;
        return Status::Ok();
      }
      default: break;
    }
    return CannotTravel(name, luaL_typename(L_, index));
  }

  Status CannotTravel(const std::string& name, const char* what) const {
    return Status::Invalid(fmt::format("the function at {} captures \"{}\", a {}, which cannot travel to the tasks",
                                       captured_.where, name, what));
  }

  Status Table(int index, const std::string& name, CapturedValue* out) {
    out->kind = CapturedValue::Kind::kTable;
    const auto [known, is_new] = tables_.emplace(lua_topointer(L_, index), static_cast<int>(captured_.tables.size()));
    out->object = known->second;
    if (!is_new) return Status::Ok();
    captured_.tables.emplace_back();
    luaL_checkstack(L_, 8, "a captured table");
    if (lua_getmetatable(L_, index) != 0) {
      CapturedValue metatable;
      RETURN_IF_ERROR(Value(-1, "getmetatable(" + name + ")", &metatable));
      captured_.tables[out->object].metatable = std::move(metatable);
      lua_pop(L_, 1);
    }
    for (lua_pushnil(L_); lua_next(L_, index) != 0; lua_pop(L_, 1)) {
      const std::string field =
          lua_type(L_, -2) == LUA_TSTRING
              ? name + "." + lua_tostring(L_, -2)
              : fmt::format("{}[{}]", name, lua_type(L_, -2) == LUA_TNUMBER ? lua_tonumber(L_, -2) : 0.0);
      std::pair<CapturedValue, CapturedValue> entry;
      RETURN_IF_ERROR(Value(-2, field, &entry.first));
      RETURN_IF_ERROR(Value(-1, field, &entry.second));
      captured_.tables[out->object].entries.push_back(std::move(entry));
    }
    return Status::Ok();
  }

  Status FunctionValue(int index, const std::string& name, CapturedValue* out) {
    out->kind = CapturedValue::Kind::kFunction;
    const auto [known, is_new] =
        functions_.emplace(lua_topointer(L_, index), static_cast<int>(captured_.functions.size()));
    out->object = known->second;
    if (!is_new) return Status::Ok();
    if (lua_iscfunction(L_, index)) return CannotTravel(name, "C function");
    luaL_checkstack(L_, 8, "a captured function");
    const bool is_root = captured_.functions.empty();
    CapturedFunction function;
    lua_pushvalue(L_, index);
    lua_dump(L_, AppendDump, &function.bytecode);
    lua_pop(L_, 1);
    captured_.functions.emplace_back();
    for (int i = 1; const char* upvalue = lua_getupvalue(L_, index, i); ++i) {
      const auto [variable, is_new_variable] =
          variables_.emplace(lua_upvalueid(L_, index, i), static_cast<int>(captured_.variables.size()));
      function.upvalues.push_back(variable->second);
      if (is_new_variable) {
        captured_.variables.emplace_back();
        CapturedValue value;
        RETURN_IF_ERROR(Value(-1, is_root ? upvalue : name + " > " + upvalue, &value));
        captured_.variables[variable->second] = std::move(value);
      }
      lua_pop(L_, 1);
    }
    captured_.functions[out->object] = std::move(function);
    return NamesIn(index);
  }

  // The script's own global variables that the function reads, as they are now. Those that it will set itself are nil
  // now and stay so.
  Status NamesIn(int index) {
    lua_pushvalue(L_, names_in_);
    lua_pushvalue(L_, index);
    if (lua_pcall(L_, 1, 2, 0) != 0) return TakeError();
    const int strings = lua_gettop(L_);
    for (int i = 1; i <= static_cast<int>(lua_objlen(L_, strings)); ++i) {
      lua_rawgeti(L_, strings, i);
      strings_.insert(lua_tostring(L_, -1));
      lua_pop(L_, 1);
    }
    const int globals = strings - 1;
    for (int i = 1; i <= static_cast<int>(lua_objlen(L_, globals)); ++i) {
      lua_rawgeti(L_, globals, i);
      const std::string name = lua_tostring(L_, -1);
      lua_getglobal(L_, name.c_str());
      // The module is no global variable of the tasks, as it may be of the script.
      const bool is_there = StandardName(L_, lua_gettop(L_)) == name && name != "glim";
      if (!lua_isnil(L_, -1) && !is_there && name != "arg" && globals_.insert(name).second) {
        CapturedValue value;
        RETURN_IF_ERROR(Value(-1, name, &value));
        captured_.globals.emplace_back(name, std::move(value));
      }
      lua_pop(L_, 2);
    }
    lua_pop(L_, 2);
    return Status::Ok();
  }

  // What the script put into the standard library, as far as the functions mention its name: `line:trim()` reads
  // string.trim, which no look at variables shows. A function found so may mention more.
  Status Additions() {
    PushAdditions(L_);
    const int list = lua_gettop(L_);
    const auto count = static_cast<int>(lua_objlen(L_, list));
    std::vector<bool> done(count);
    luaL_checkstack(L_, 8, "additions");
    for (int i = 0; i < count; ++i) {
      if (done[i]) continue;
      lua_rawgeti(L_, list, i + 1);
      CapturedField field;
      for (auto [part, text] : {std::pair(1, &field.module), std::pair(2, &field.name)}) {
        lua_rawgeti(L_, -1, part);
        *text = lua_tostring(L_, -1);
        lua_pop(L_, 1);
      }
      if (strings_.contains(field.name)) {
        lua_rawgeti(L_, -1, 3);
        RETURN_IF_ERROR(Value(-1, field.module + "." + field.name, &field.value));
        lua_pop(L_, 1);
        captured_.additions.push_back(std::move(field));
        done[i] = true;
        i = -1;  // Once more through the others.
      }
      lua_settop(L_, list);
    }
    return Status::Ok();
  }

  lua_State* const L_;
  int names_in_ = 0;
  std::map<const void*, int> tables_;
  std::map<const void*, int> functions_;
  std::map<const void*, int> variables_;
  std::set<std::string> globals_;
  std::set<std::string> strings_;  // All in the code so far.
  Captured captured_;
};

// Stack indexes of what a function is made of.
struct Places {
  int functions;
  int tables;
  int environment;
};

void PushCaptured(lua_State* L, const CapturedValue& value, const Places& places) {
  switch (value.kind) {
    case CapturedValue::Kind::kNil: lua_pushnil(L); return;
    case CapturedValue::Kind::kBool: lua_pushboolean(L, value.boolean); return;
    case CapturedValue::Kind::kNumber: lua_pushnumber(L, value.number); return;
    case CapturedValue::Kind::kString: lua_pushlstring(L, value.text.data(), value.text.size()); return;
    case CapturedValue::Kind::kInt64: PushFfiInteger(L, value.integer, false); return;
    case CapturedValue::Kind::kUint64: PushFfiInteger(L, value.integer, true); return;
    case CapturedValue::Kind::kName:
      if (value.text == "require") {
        lua_getfield(L, places.environment, "require");
      } else {
        PushStandard(L, value.text);
      }
      return;
    case CapturedValue::Kind::kTable: lua_rawgeti(L, places.tables, value.object + 1); return;
    case CapturedValue::Kind::kFunction: lua_rawgeti(L, places.functions, value.object + 1); return;
    case CapturedValue::Kind::kShared: value.shared->Push(L); return;
  }
}

void PushAdditionList(lua_State* L, const Captured& captured, const Places& places) {
  lua_newtable(L);
  for (size_t i = 0; i < captured.additions.size(); ++i) {
    const CapturedField& field = captured.additions[i];
    lua_createtable(L, 3, 0);
    PushStandard(L, field.module);
    lua_rawseti(L, -2, 1);
    lua_pushstring(L, field.name.c_str());
    lua_rawseti(L, -2, 2);
    PushCaptured(L, field.value, places);
    lua_rawseti(L, -2, 3);
    lua_rawseti(L, -2, static_cast<int>(i) + 1);
  }
}

}  // namespace

void PushSharedObject(lua_State* L, std::shared_ptr<SharedObject> object, const char* metatable) {
  void* memory = lua_newuserdata(L, sizeof(std::shared_ptr<SharedObject>));
  new (memory) std::shared_ptr<SharedObject>(std::move(object));
  luaL_newmetatable(L, metatable);
  lua_pushboolean(L, 1);
  lua_setfield(L, -2, kMark);
  lua_pushcfunction(L, CollectShared);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
}

std::shared_ptr<SharedObject> ToSharedObject(lua_State* L, int index) {
  if (lua_type(L, index) != LUA_TUSERDATA || lua_getmetatable(L, index) == 0) return nullptr;
  lua_getfield(L, -1, kMark);
  const bool marked = lua_toboolean(L, -1) != 0;
  lua_pop(L, 2);
  return marked ? *static_cast<std::shared_ptr<SharedObject>*>(lua_touserdata(L, index)) : nullptr;
}

Result<Captured> Capture(lua_State* L, int index, CaptureWith with) {
  const int top = lua_gettop(L);
  auto captured = Capturer(L).Run(index, with);
  lua_settop(L, top);
  return captured;
}

Status LoadFunctions(lua_State* L, const Captured& captured) {
  lua_createtable(L, static_cast<int>(captured.functions.size()), 0);
  const int functions = lua_gettop(L);
  struct Owner {
    int function = -1;
    int upvalue = 0;
  };
  std::vector<Owner> owners(captured.variables.size());
  for (int i = 0; i < static_cast<int>(captured.functions.size()); ++i) {
    const CapturedFunction& function = captured.functions[i];
    if (luaL_loadbuffer(L, function.bytecode.data(), function.bytecode.size(), "=function") != 0) {
      Status status = Status::Internal(std::string("loading a function: ") + lua_tostring(L, -1));
      lua_settop(L, functions - 1);
      return status;
    }
    for (int u = 0; u < static_cast<int>(function.upvalues.size()); ++u) {
      Owner& owner = owners[function.upvalues[u]];
      if (owner.function < 0) {
        owner = {i, u};
      } else {
        lua_rawgeti(L, functions, owner.function + 1);
        lua_upvaluejoin(L, -2, u + 1, -1, owner.upvalue + 1);
        lua_pop(L, 1);
      }
    }
    lua_rawseti(L, functions, i + 1);
  }
  return Status::Ok();
}

void Revive(lua_State* L, const Captured& captured, int functions, int environment) {
  luaL_checkstack(L, 16, "a function");
  lua_createtable(L, static_cast<int>(captured.tables.size()), 0);
  const int tables = lua_gettop(L);
  const Places places{functions, tables, environment};
  for (size_t i = 0; i < captured.tables.size(); ++i) {
    lua_newtable(L);
    lua_rawseti(L, tables, static_cast<int>(i) + 1);
  }
  for (size_t i = 0; i < captured.tables.size(); ++i) {
    lua_rawgeti(L, tables, static_cast<int>(i) + 1);
    for (const auto& [key, value] : captured.tables[i].entries) {
      PushCaptured(L, key, places);
      PushCaptured(L, value, places);
      lua_rawset(L, -3);
    }
    PushCaptured(L, captured.tables[i].metatable, places);
    lua_setmetatable(L, -2);
    lua_pop(L, 1);
  }
  for (size_t i = 0; i < captured.functions.size(); ++i) {
    const std::vector<int>& upvalues = captured.functions[i].upvalues;
    lua_rawgeti(L, functions, static_cast<int>(i) + 1);
    for (size_t u = 0; u < upvalues.size(); ++u) {
      PushCaptured(L, captured.variables[upvalues[u]], places);
      lua_setupvalue(L, -2, static_cast<int>(u) + 1);
    }
    lua_pushvalue(L, environment);
    lua_setfenv(L, -2);
    lua_pop(L, 1);
  }
  for (const auto& [name, value] : captured.globals) {
    PushCaptured(L, value, places);
    lua_setfield(L, environment, name.c_str());
  }
  for (const CapturedValue* function : {&captured.root, &captured.setup, &captured.teardown}) {
    PushCaptured(L, *function, places);
  }
  if (captured.additions.empty()) {
    lua_pushnil(L);
  } else {
    PushAdditionList(L, captured, places);
  }
  lua_remove(L, tables);
}

}  // namespace glim::udf
