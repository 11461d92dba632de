// SPDX-License-Identifier: Apache-2.0
#include "script/lua_support.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>

#include "base/try.h"
#include "env/path.h"
#include "udf/lua_values.h"

namespace glim::script {
namespace {

// How many letters to put in, take out or change, or neighbours to swap, until a is b; case counts little.
double EditDistance(std::string_view a, std::string_view b) {
  const auto cost = [](char x, char y) {
    if (x == y) return 0.0;
    return std::tolower(static_cast<unsigned char>(x)) == std::tolower(static_cast<unsigned char>(y)) ? 0.1 : 1.0;
  };
  std::vector<std::vector<double>> d(a.size() + 1, std::vector<double>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = static_cast<double>(i + j);
        continue;
      }
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + cost(a[i - 1], b[j - 1])});
      if (i > 1 && j > 1 && cost(a[i - 1], b[j - 2]) < 1 && cost(a[i - 2], b[j - 1]) < 1)
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 0.9);
    }
  }
  return d[a.size()][b.size()];
}

// __index of a table of functions: whoever comes here asked for one that is not in it.
int UnknownFunction(lua_State* L) {
  {
    std::vector<std::string> names;
    for (lua_pushnil(L); lua_next(L, lua_upvalueindex(2)) != 0; lua_pop(L, 1)) names.emplace_back(lua_tostring(L, -2));
    std::sort(names.begin(), names.end());
    const std::string what = lua_tostring(L, lua_upvalueindex(1));
    const std::string asked = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
    const auto distance = [&](const std::string& name) { return EditDistance(asked, name); };
    const auto nearest = std::min_element(names.begin(), names.end(),
                                          [&](const auto& a, const auto& b) { return distance(a) < distance(b); });
    const double near_max = asked.size() < 4 ? 1 : 2;
    const bool is_near = asked.size() < 100 && nearest != names.end() && distance(*nearest) <= near_max;
    PushError(L,
              Status::Invalid(is_near ? fmt::format("{} has no {}; did you mean {}?", what, asked, *nearest)
                                      : fmt::format("{} has no {}; it has {}", what, asked, fmt::join(names, ", "))));
  }
  return lua_error(L);
}

// Every function of the module is called through this. Upvalues: the function's own two, then these.
constexpr int kFunction = 3, kWith = 4;
int CallWithFewArguments(lua_State* L) {
  const auto& function = *static_cast<const Function*>(lua_touserdata(L, lua_upvalueindex(kFunction)));
  const int before = static_cast<int>(lua_tointeger(L, lua_upvalueindex(kWith)));
  const int count = std::max(before, CountArguments(L));
  if (function.arguments_max != Function::kAny && count - before > function.arguments_max) {
    PushError(L, Status::Invalid(fmt::format("{} takes {} argument{}, got {}", function.name,
                                             function.arguments_max == 0 ? "no"
                                             : function.arguments_max == 1
                                                 ? "one"
                                                 : fmt::format("at most {}", function.arguments_max),
                                             function.arguments_max == 1 ? "" : "s", count - before)));
    return lua_error(L);
  }
  return function.function(L);
}

}  // namespace

int CountArguments(lua_State* L) {
  int count = lua_gettop(L);
  while (count > 0 && lua_isnil(L, count)) --count;
  return count;
}

void PushError(lua_State* L, const Status& status) {
  // Level 1 is the Lua function that made the call.
  int level = 1;
  for (lua_Debug frame; lua_getstack(L, level, &frame) != 0; ++level) {
    lua_getinfo(L, "S", &frame);
    if (frame.short_src != kPrelude) break;
  }
  luaL_where(L, level);
  std::string text = lua_tostring(L, -1) + status.message();
  if (!status.details().empty()) text += "\n" + status.details();
  lua_pop(L, 1);
  lua_pushlstring(L, text.data(), text.size());
}

void* TestObject(lua_State* L, int index, const char* name) {
  if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index)) return nullptr;
  luaL_getmetatable(L, name);
  const bool same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same ? lua_touserdata(L, index) : nullptr;
}

void SetFunctions(lua_State* L, const Function* list, CalledWith with, void* a, void* b) {
  for (; list->name != nullptr; ++list) {
    lua_pushlightuserdata(L, a);
    lua_pushlightuserdata(L, b);
    lua_pushlightuserdata(L, const_cast<Function*>(list));
    lua_pushinteger(L, with == CalledWith::kColon ? 1 : 0);
    lua_pushcclosure(L, CallWithFewArguments, 4);
    lua_setfield(L, -2, list->name);
  }
}

void AddMethods(lua_State* L, const char* name, const Function* methods, void* a, void* b) {
  luaL_getmetatable(L, name);
  lua_getfield(L, -1, "__index");
  SetFunctions(L, methods, CalledWith::kColon, a, b);
  lua_pop(L, 2);
}

void RegisterType(lua_State* L, const char* name, const Function* methods, lua_CFunction collect) {
  luaL_newmetatable(L, name);
  lua_newtable(L);
  SetFunctions(L, methods, CalledWith::kColon);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, collect);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}

void RejectUnknown(lua_State* L, const char* what) {
  lua_newtable(L);
  lua_pushstring(L, what);
  lua_pushvalue(L, -3);
  lua_pushcclosure(L, UnknownFunction, 2);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, -2);
}

void RejectUnknownMethods(lua_State* L, const char* name) {
  luaL_getmetatable(L, name);
  lua_getfield(L, -1, "__index");
  RejectUnknown(L, (std::string("a ") + name).c_str());
  lua_pop(L, 2);
}

Status WrongArgument(lua_State* L, int index, const char* what, const char* wanted) {
  std::string got;
  switch (lua_type(L, index)) {
    case LUA_TSTRING: {
      constexpr size_t kShownMax = 40;
      size_t size = 0;
      const char* text = lua_tolstring(L, index, &size);
      got = "the string " + env::QuotePath({text, std::min(size, kShownMax)}) + (size > kShownMax ? "..." : "");
      break;
    }
    case LUA_TNUMBER: got = fmt::format("{}", lua_tonumber(L, index)); break;
    case LUA_TBOOLEAN: got = lua_toboolean(L, index) != 0 ? "true" : "false"; break;
    case LUA_TNONE: got = "nothing"; break;
    case LUA_TNIL: got = "nil"; break;
    default: got = std::string("a ") + luaL_typename(L, index);
  }
  return Status::Invalid(fmt::format("{} expects {}, got {}", what, wanted, got));
}

Result<std::string> ToText(lua_State* L, int index, const char* what) {
  size_t size = 0;
  if (lua_type(L, index) != LUA_TSTRING) return WrongArgument(L, index, what, "a string");
  const char* text = lua_tolstring(L, index, &size);
  return std::string(text, size);
}

Result<int64_t> ToInteger(lua_State* L, int index, const char* what) {
  if (const auto integer = udf::ReadInteger(L, index)) return *integer;
  return WrongArgument(L, index, what, "a whole number");
}

Result<int> ToInt(lua_State* L, int index, const char* what) {
  ASSIGN_OR_RETURN(const int64_t number, ToInteger(L, index, what));
  if (number != static_cast<int>(number)) return WrongArgument(L, index, what, "a whole number of 32 bits");
  return static_cast<int>(number);
}

Status IsList(lua_State* L, int index, const char* what) {
  const auto size = static_cast<double>(lua_objlen(L, index));
  for (lua_pushnil(L); lua_next(L, index) != 0;) {
    lua_pop(L, 1);
    if (lua_type(L, -1) == LUA_TNUMBER) {
      const double key = lua_tonumber(L, -1);
      if (key <= size && key == std::floor(key)) continue;
    }
    std::string key = "a " + std::string(luaL_typename(L, -1));
    if (lua_type(L, -1) == LUA_TSTRING) key = Cell::Bytes(lua_tostring(L, -1)).ToDebugString();
    if (lua_type(L, -1) == LUA_TNUMBER) key = fmt::format("{}, after a nil", lua_tonumber(L, -1));
    lua_pop(L, 1);
    return Status::Invalid(fmt::format("{} expects a list without names and nils; there is the key {}", what, key));
  }
  return Status::Ok();
}

Result<std::vector<std::string>> ToTexts(lua_State* L, int index, const char* what, bool options_besides) {
  std::vector<std::string> texts;
  if (lua_type(L, index) != LUA_TTABLE) {
    ASSIGN_OR_RETURN(std::string text, ToText(L, index, what));
    texts.push_back(std::move(text));
    return texts;
  }
  if (!options_besides) RETURN_IF_ERROR(IsList(L, index, what));
  for (int i = 1; i <= static_cast<int>(lua_objlen(L, index)); ++i) {
    lua_rawgeti(L, index, i);
    auto text = lua_type(L, -1) == LUA_TNUMBER ? Result<std::string>(std::string(lua_tostring(L, -1)))
                                               : ToText(L, lua_gettop(L), what);
    lua_pop(L, 1);
    if (!text.ok()) return std::move(text).status();
    texts.push_back(*std::move(text));
  }
  return texts;
}

Result<std::vector<int64_t>> ToIntegers(lua_State* L, int index, const char* what) {
  std::vector<int64_t> numbers;
  if (lua_type(L, index) != LUA_TTABLE) {
    ASSIGN_OR_RETURN(const int64_t number, ToInteger(L, index, what));
    numbers.push_back(number);
    return numbers;
  }
  RETURN_IF_ERROR(IsList(L, index, what));
  for (int i = 1; i <= static_cast<int>(lua_objlen(L, index)); ++i) {
    lua_rawgeti(L, index, i);
    auto number = ToInteger(L, lua_gettop(L), what);
    lua_pop(L, 1);
    if (!number.ok()) return std::move(number).status();
    numbers.push_back(*number);
  }
  return numbers;
}

Status AllowOnly(lua_State* L, int index, const char* what, std::initializer_list<const char*> names,
                 bool list_besides) {
  lua_pushnil(L);
  while (lua_next(L, index) != 0) {
    lua_pop(L, 1);
    if (list_besides && lua_type(L, -1) == LUA_TNUMBER) continue;
    if (lua_type(L, -1) != LUA_TSTRING) {
      Status status = Status::Invalid(fmt::format("{}: options have names, like {{{} = ...}}", what, *names.begin()));
      lua_pop(L, 1);
      return status;
    }
    const char* key = lua_tostring(L, -1);
    if (std::any_of(names.begin(), names.end(), [&](const char* name) { return std::strcmp(name, key) == 0; }))
      continue;
    std::string known;
    for (const char* name : names) known += (known.empty() ? "" : ", ") + std::string(name);
    Status status = Status::Invalid(fmt::format("{} has no option \"{}\"; it knows {}", what, key, known));
    lua_pop(L, 1);
    return status;
  }
  return Status::Ok();
}

namespace {

// Calls `read` with the field on top of the stack unless it is nil.
template <class Read>
Status WithField(lua_State* L, int index, const char* name, Read read) {
  lua_getfield(L, index, name);
  Status status = lua_isnil(L, -1) ? Status::Ok() : read();
  lua_pop(L, 1);
  return status;
}

Status WrongField(lua_State* L, const char* name, const char* wanted) {
  return WrongArgument(L, lua_gettop(L), fmt::format("option \"{}\"", name).c_str(), wanted);
}

}  // namespace

Status ReadField(lua_State* L, int index, const char* name, bool* out) {
  return WithField(L, index, name, [&]() -> Status {
    if (!lua_isboolean(L, -1)) return WrongField(L, name, "true or false");
    *out = lua_toboolean(L, -1) != 0;
    return Status::Ok();
  });
}

Status ReadField(lua_State* L, int index, const char* name, double* out) {
  return WithField(L, index, name, [&]() -> Status {
    if (lua_type(L, -1) != LUA_TNUMBER) return WrongField(L, name, "a number");
    *out = lua_tonumber(L, -1);
    return Status::Ok();
  });
}

Status ReadField(lua_State* L, int index, const char* name, int64_t* out) {
  return WithField(L, index, name, [&]() -> Status {
    ASSIGN_OR_RETURN(*out, ToInteger(L, lua_gettop(L), name));
    return Status::Ok();
  });
}

Status ReadField(lua_State* L, int index, const char* name, std::string* out) {
  return WithField(L, index, name, [&]() -> Status {
    if (lua_type(L, -1) != LUA_TSTRING) return WrongField(L, name, "a string");
    ASSIGN_OR_RETURN(*out, ToText(L, lua_gettop(L), name));
    return Status::Ok();
  });
}

}  // namespace glim::script
