// SPDX-License-Identifier: Apache-2.0
#include "udf/lua_capture.h"

#include <fmt/core.h>

#include <lua.hpp>
#include <map>
#include <new>
#include <set>

#include "base/try.h"
#include "glim/batch_builder.h"
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

// Names of all that a fresh state has: pointer -> "string.gmatch".
void AddNames(lua_State* L, const std::string& prefix, std::map<const void*, std::string>* names) {
  const int table = lua_gettop(L);
  for (lua_pushnil(L); lua_next(L, table) != 0; lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) continue;
    if (!lua_istable(L, -1) && !lua_isfunction(L, -1)) continue;
    names->emplace(lua_topointer(L, -1), prefix + lua_tostring(L, -2));
  }
}

// The globals that any state has, and the modules of package.loaded, as they are in this state.
std::map<const void*, std::string> StandardNames(lua_State* L) {
  std::map<const void*, std::string> names;
  const int top = lua_gettop(L);
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "loaded");
  const int loaded = lua_gettop(L);
  for (const char* module : {"string", "table", "math", "bit", "os", "io", "debug", "coroutine", "jit", "ffi", "glim",
                             "package", "jit.util", "jit.opt", "_G"}) {
    lua_getfield(L, loaded, module);
    if (lua_istable(L, -1)) {
      names.emplace(lua_topointer(L, -1), module);
      if (std::string(module) != "_G" && std::string(module).find('.') == std::string::npos)
        AddNames(L, std::string(module) + ".", &names);
    }
    lua_pop(L, 1);
  }
  for (const char* global :
       {"assert",    "error",    "getfenv",  "getmetatable",   "ipairs",   "load",        "loadstring",
        "next",      "pairs",    "pcall",    "print",          "rawequal", "rawget",      "rawset",
        "require",   "select",   "setfenv",  "setmetatable",   "tonumber", "tostring",    "type",
        "unpack",    "xpcall",   "writeRow", "collectgarbage", "dofile",   "gcinfo",      "loadfile",
        "module",    "newproxy", "log",      "split",          "set",      "tableLength", "listEquals",
        "addToTable"}) {
    lua_getglobal(L, global);
    if (lua_isfunction(L, -1)) names.emplace(lua_topointer(L, -1), global);
    lua_pop(L, 1);
  }
  lua_settop(L, top);
  return names;
}

// Lists the globals that a function and those inside it read. Opcodes are learnt from a function that is known to read
// one.
constexpr char kGlobalsOf[] = R"lua(
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
  local names = {}
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
    end
  end
  visit(f)
  local list = {}
  for name in pairs(names) do list[#list + 1] = name end
  table.sort(list)
  return list
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
  explicit Capturer(lua_State* L) : L_(L), standard_(StandardNames(L)) {}

  Result<Captured> Run(int index) {
    captured_.where = Where(L_, index);
    RETURN_IF_ERROR(LoadGlobalsOf());
    CapturedValue root;
    RETURN_IF_ERROR(Value(index, "", &root));
    return std::move(captured_);
  }

 private:
  Status LoadGlobalsOf() {
    if (luaL_loadbuffer(L_, kGlobalsOf, sizeof(kGlobalsOf) - 1, "=globals") != 0 || lua_pcall(L_, 0, 1, 0) != 0) {
      Status status = Status::Internal(std::string("reading a function's globals: ") + lua_tostring(L_, -1));
      lua_pop(L_, 1);
      return status;
    }
    globals_of_ = lua_gettop(L_);
    return Status::Ok();
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
      case LUA_TFUNCTION: {
        if (const auto known = standard_.find(lua_topointer(L_, index)); known != standard_.end()) {
          out->kind = Kind::kName;
          out->text = known->second;
          return Status::Ok();
        }
        return lua_istable(L_, index) ? Table(index, name, out) : FunctionValue(index, name, out);
      }
      case LUA_TUSERDATA:
        if (auto shared = ToSharedObject(L_, index)) {
          out->kind = Kind::kShared;
          out->shared = std::move(shared);
          return Status::Ok();
        }
        break;
      case kCData: {
        ColumnBuilder builder;
        std::string error;
        if (AppendLuaValue(L_, index, &builder, &error)) {
          out->kind = Kind::kInt64;
          out->integer = builder.Finish().Int64s()[0];
          return Status::Ok();
        }
        break;
      }
      default: break;
    }
    return Status::Invalid(fmt::format("the function at {} captures \"{}\", a {}, which cannot travel to the tasks",
                                       captured_.where, name, luaL_typename(L_, index)));
  }

  Status Table(int index, const std::string& name, CapturedValue* out) {
    out->kind = CapturedValue::Kind::kTable;
    const auto [known, is_new] = tables_.emplace(lua_topointer(L_, index), static_cast<int>(captured_.tables.size()));
    out->object = known->second;
    if (!is_new) return Status::Ok();
    captured_.tables.emplace_back();
    if (lua_getmetatable(L_, index) != 0) {
      lua_pop(L_, 1);
      return Status::Invalid(
          fmt::format("the function at {} captures \"{}\", a table with a metatable, which cannot travel to the tasks",
                      captured_.where, name));
    }
    luaL_checkstack(L_, 8, "a captured table");
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
    if (lua_iscfunction(L_, index)) {
      return Status::Invalid(fmt::format(
          "the function at {} captures \"{}\", a C function, which cannot travel to the tasks", captured_.where, name));
    }
    luaL_checkstack(L_, 8, "a captured function");
    CapturedFunction function;
    lua_pushvalue(L_, index);
    lua_dump(L_, AppendDump, &function.bytecode);
    lua_pop(L_, 1);
    captured_.functions.emplace_back();
    for (int i = 1; const char* upvalue = lua_getupvalue(L_, index, i); ++i) {
      CapturedValue value;
      RETURN_IF_ERROR(Value(-1, upvalue, &value));
      lua_pop(L_, 1);
      function.upvalues.push_back(std::move(value));
    }
    captured_.functions[out->object] = std::move(function);
    return Globals(index);
  }

  // The script's own global variables that the function reads, as they are now. Those that it will set itself are nil
  // now and stay so.
  Status Globals(int index) {
    lua_pushvalue(L_, globals_of_);
    lua_pushvalue(L_, index);
    if (lua_pcall(L_, 1, 1, 0) != 0) {
      Status status = Status::Internal(std::string("reading a function's globals: ") + lua_tostring(L_, -1));
      lua_pop(L_, 1);
      return status;
    }
    const int list = lua_gettop(L_);
    for (int i = 1; i <= static_cast<int>(lua_objlen(L_, list)); ++i) {
      lua_rawgeti(L_, list, i);
      const std::string name = lua_tostring(L_, -1);
      lua_getglobal(L_, name.c_str());
      const bool standard = standard_.contains(lua_topointer(L_, -1)) && standard_.at(lua_topointer(L_, -1)) == name;
      if (!lua_isnil(L_, -1) && !standard && name != "arg" && globals_.insert(name).second) {
        CapturedValue value;
        RETURN_IF_ERROR(Value(-1, name, &value));
        captured_.globals.emplace_back(name, std::move(value));
      }
      lua_pop(L_, 2);
    }
    lua_pop(L_, 1);
    return Status::Ok();
  }

  lua_State* const L_;
  const std::map<const void*, std::string> standard_;
  int globals_of_ = 0;
  std::map<const void*, int> tables_;
  std::map<const void*, int> functions_;
  std::set<std::string> globals_;
  Captured captured_;
};

// Pushes what "string.gmatch" names in this state.
void PushNamed(lua_State* L, const std::string& name) {
  const size_t dot = name.find('.');
  const std::string first = name.substr(0, dot);
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "loaded");
  lua_getfield(L, -1, first.c_str());
  if (lua_isnil(L, -1) && first == "ffi") {
    lua_pop(L, 1);
    lua_getglobal(L, "require");
    lua_pushstring(L, "ffi");
    if (lua_pcall(L, 1, 1, 0) != 0) {
      lua_pop(L, 1);
      lua_pushnil(L);
    }
  }
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    lua_getglobal(L, first.c_str());
  }
  lua_replace(L, -3);
  lua_pop(L, 1);
  if (dot == std::string::npos) return;
  lua_getfield(L, -1, name.c_str() + dot + 1);
  lua_replace(L, -2);
}

void PushCaptured(lua_State* L, const CapturedValue& value, int functions, int tables) {
  switch (value.kind) {
    case CapturedValue::Kind::kNil: lua_pushnil(L); return;
    case CapturedValue::Kind::kBool: lua_pushboolean(L, value.boolean); return;
    case CapturedValue::Kind::kNumber: lua_pushnumber(L, value.number); return;
    case CapturedValue::Kind::kString: lua_pushlstring(L, value.text.data(), value.text.size()); return;
    case CapturedValue::Kind::kInt64: PushCell(L, Cell::Int64(value.integer)); return;
    case CapturedValue::Kind::kName: PushNamed(L, value.text); return;
    case CapturedValue::Kind::kTable: lua_rawgeti(L, tables, value.object + 1); return;
    case CapturedValue::Kind::kFunction: lua_rawgeti(L, functions, value.object + 1); return;
    case CapturedValue::Kind::kShared: value.shared->Push(L); return;
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

Result<Captured> Capture(lua_State* L, int index) {
  const int top = lua_gettop(L);
  auto captured = Capturer(L).Run(index);
  lua_settop(L, top);
  return captured;
}

Status LoadFunctions(lua_State* L, const Captured& captured) {
  lua_createtable(L, static_cast<int>(captured.functions.size()), 0);
  for (size_t i = 0; i < captured.functions.size(); ++i) {
    const std::string& code = captured.functions[i].bytecode;
    if (luaL_loadbuffer(L, code.data(), code.size(), "=function") != 0) {
      Status status = Status::Internal(std::string("loading a function: ") + lua_tostring(L, -1));
      lua_pop(L, 2);
      return status;
    }
    lua_rawseti(L, -2, static_cast<int>(i) + 1);
  }
  return Status::Ok();
}

void Revive(lua_State* L, const Captured& captured, int functions, int environment) {
  luaL_checkstack(L, 16, "a function");
  lua_createtable(L, static_cast<int>(captured.tables.size()), 0);
  const int tables = lua_gettop(L);
  for (size_t i = 0; i < captured.tables.size(); ++i) {
    lua_newtable(L);
    lua_rawseti(L, tables, static_cast<int>(i) + 1);
  }
  for (size_t i = 0; i < captured.tables.size(); ++i) {
    lua_rawgeti(L, tables, static_cast<int>(i) + 1);
    for (const auto& [key, value] : captured.tables[i].entries) {
      PushCaptured(L, key, functions, tables);
      PushCaptured(L, value, functions, tables);
      lua_rawset(L, -3);
    }
    lua_pop(L, 1);
  }
  for (size_t i = 0; i < captured.functions.size(); ++i) {
    lua_rawgeti(L, functions, static_cast<int>(i) + 1);
    for (size_t u = 0; u < captured.functions[i].upvalues.size(); ++u) {
      PushCaptured(L, captured.functions[i].upvalues[u], functions, tables);
      lua_setupvalue(L, -2, static_cast<int>(u) + 1);
    }
    lua_pushvalue(L, environment);
    lua_setfenv(L, -2);
    lua_pop(L, 1);
  }
  for (const auto& [name, value] : captured.globals) {
    PushCaptured(L, value, functions, tables);
    lua_setfield(L, environment, name.c_str());
  }
  lua_rawgeti(L, functions, 1);
  lua_replace(L, tables);
}

}  // namespace glim::udf
