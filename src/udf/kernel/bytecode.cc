// SPDX-License-Identifier: Apache-2.0
#include "udf/kernel/bytecode.h"

#include <array>
#include <lua.hpp>
#include <string_view>

namespace glim::udf {
namespace {

// In the order of Opcode.
constexpr std::string_view kNames[] = {
    "?",     "ISLT",  "ISGE",  "ISLE",  "ISGT",   "ISEQV", "ISNEV",  "ISEQS", "ISNES", "ISEQN", "ISNEN",
    "ISEQP", "ISNEP", "ISTC",  "ISFC",  "IST",    "ISF",   "MOV",    "NOT",   "UNM",   "LEN",   "ADDVN",
    "SUBVN", "MULVN", "DIVVN", "MODVN", "ADDNV",  "SUBNV", "MULNV",  "DIVNV", "MODNV", "ADDVV", "SUBVV",
    "MULVV", "DIVVV", "MODVV", "POW",   "CAT",    "KSTR",  "KSHORT", "KNUM",  "KPRI",  "KNIL",  "UGET",
    "GGET",  "TGETS", "CALLM", "CALL",  "CALLMT", "CALLT", "RETM",   "RET",   "RET0",  "RET1",  "JMP"};
static_assert(std::size(kNames) == static_cast<size_t>(Opcode::kJMP) + 1);

// Returns a function that decodes a function: {parameters, registers, {name, a, b, c, d, line, constant}...}; nil for
// functions that are not for us. Fails when a probe does not come out as written here.
constexpr char kDecode[] = R"lua(
local util = require "jit.util"
local band, rshift = bit.band, bit.rshift
local probes = {
  "a, b", "return a < b", "ISLT 0 1, JMP 2 2, KPRI 2 1, JMP 3 1, KPRI 2 2, RET1 2 2",
  "a, b", "return a <= b", "ISLE 0 1, JMP 2 2, KPRI 2 1, JMP 3 1, KPRI 2 2, RET1 2 2",
  "a, b", "return not (a < b)", "ISGE 0 1, JMP 2 2, KPRI 2 1, JMP 3 1, KPRI 2 2, RET1 2 2",
  "a, b", "return not (a <= b)", "ISGT 0 1, JMP 2 2, KPRI 2 1, JMP 3 1, KPRI 2 2, RET1 2 2",
  "a, b", "return a == b", "ISEQV 0 1, JMP 2 2, KPRI 2 1, JMP 3 1, KPRI 2 2, RET1 2 2",
  "a, b", "return a ~= b", "ISNEV 0 1, JMP 2 2, KPRI 2 1, JMP 3 1, KPRI 2 2, RET1 2 2",
  "a", "return a == 's'", "ISEQS 0 0 's', JMP 1 2, KPRI 1 1, JMP 2 1, KPRI 1 2, RET1 1 2",
  "a", "return a ~= 's'", "ISNES 0 0 's', JMP 1 2, KPRI 1 1, JMP 2 1, KPRI 1 2, RET1 1 2",
  "a", "return a == 1.5", "ISEQN 0 0 1.5, JMP 1 2, KPRI 1 1, JMP 2 1, KPRI 1 2, RET1 1 2",
  "a", "return a ~= 1.5", "ISNEN 0 0 1.5, JMP 1 2, KPRI 1 1, JMP 2 1, KPRI 1 2, RET1 1 2",
  "a", "return a == nil", "ISEQP 0 0, JMP 1 2, KPRI 1 1, JMP 2 1, KPRI 1 2, RET1 1 2",
  "a", "return a ~= false", "ISNEP 0 1, JMP 1 2, KPRI 1 1, JMP 2 1, KPRI 1 2, RET1 1 2",
  "a, b", "return a or b", "ISTC 2 0, JMP 2 1, MOV 2 1, RET1 2 2",
  "a, b", "return a and b", "ISFC 2 0, JMP 2 1, MOV 2 1, RET1 2 2",
  "a, b", "if a then return b end", "ISF 0 0, JMP 2 1, RET1 1 2, RET0 0 1",
  "a, b", "if not a then return b end", "IST 0 0, JMP 2 1, RET1 1 2, RET0 0 1",
  "a, b", "b = not a return b", "NOT 1 0, RET1 1 2",
  "a, b", "return -a, #b", "UNM 2 0, LEN 3 1, RET 2 3",
  "a", "return a + 1.5, a - 1.5, a * 1.5, a / 2.5, a % 2.5",
  "ADDVN 1 0 0 1.5, SUBVN 2 0 0 1.5, MULVN 3 0 0 1.5, DIVVN 4 0 1 2.5, MODVN 5 0 1 2.5, RET 1 6",
  "a", "return 1.5 + a, 1.5 - a, 1.5 * a, 2.5 / a, 2.5 % a",
  "ADDNV 1 0 0 1.5, SUBNV 2 0 0 1.5, MULNV 3 0 0 1.5, DIVNV 4 0 1 2.5, MODNV 5 0 1 2.5, RET 1 6",
  "a, b", "return a + b, a - b, a * b, a / b, a % b", "ADDVV 2 0 1, SUBVV 3 0 1, MULVV 4 0 1, DIVVV 5 0 1, MODVV 6 0 1, RET 2 6",
  "a, b", "return a ^ b, a .. b", "POW 2 0 1, MOV 3 0, MOV 4 1, CAT 3 3 4, RET 2 3",
  "", "return 's', -7, 1.5, true, false, nil, 't', 300.5",
  "KSTR 0 0 's', KSHORT 1 -7, KNUM 2 0 1.5, KPRI 3 2, KPRI 4 1, KPRI 5 0, KSTR 6 1 't', KNUM 7 1 300.5, RET 0 9",
  "", "local a, b return a, b", "KNIL 0 1, MOV 2 0, MOV 3 1, RET 2 3",
  "", "return up, glim_probe", "UGET 0 0, GGET 1 0 'glim_probe', RET 0 3",
  "a", "return a.name, a:name(a)", "TGETS 1 0 0 'name', MOV 4 0, TGETS 2 0 0 'name', MOV 5 0, CALL 2 0 3, RETM 1 1",
  "a, b", "return a(b, a(b))", "MOV 2 0, MOV 4 1, MOV 5 0, MOV 7 1, CALL 5 0 2, CALLMT 2 1",
  "a, b", "return (a(b, a(b)))", "MOV 2 0, MOV 4 1, MOV 5 0, MOV 7 1, CALL 5 0 2, CALLM 2 2 1, RET1 2 2",
  "a", "local b, c = a(a) a(c) return b", "MOV 1 0, MOV 3 0, CALL 1 3 2, MOV 3 0, MOV 5 2, CALL 3 1 2, RET1 1 2",
  "a, b", "return a(b, b)", "MOV 2 0, MOV 4 1, MOV 5 1, CALLT 2 3",
  "", "", "RET0 0 1",
}
local text_at = {ISEQS = "d", ISNES = "d", KSTR = "d", GGET = "d", TGETS = "c"}
local number_at = {ISEQN = "d", ISNEN = "d", KNUM = "d"}
for _, name in ipairs {"ADD", "SUB", "MUL", "DIV", "MOD"} do number_at[name .. "VN"], number_at[name .. "NV"] = "c", "c" end
local names = {}
local function fields(f, pc)
  local code = util.funcbc(f, pc)
  local name = names[band(code, 0xff)]
  local at = {name = name, a = band(rshift(code, 8), 0xff), b = rshift(code, 24), c = band(rshift(code, 16), 0xff), d = rshift(code, 16)}
  if name == "JMP" then at.d = at.d - 0x8000 end
  if name == "KSHORT" and at.d >= 0x8000 then at.d = at.d - 0x10000 end
  if text_at[name] then at.constant = util.funck(f, -at[text_at[name]] - 1) end
  if number_at[name] then at.constant = util.funck(f, at[number_at[name]]) end
  return at
end
local numbers = {}
for i = 1, #probes, 3 do
  local probe = assert(loadstring("local up return function(" .. probes[i] .. ") " .. probes[i + 1] .. " end"))()
  local pc = 0
  for wanted in probes[i + 2]:gmatch("[^,]+") do
    pc = pc + 1
    local name, a, rest = wanted:match("^ ?(%u+%d?) (%d+) (.*)$")
    local number = band(util.funcbc(probe, pc), 0xff)
    assert((names[number] or name) == name and (numbers[name] or number) == number)
    names[number], numbers[name] = name, number
    local at = fields(probe, pc)
    local b, c = rest:match("^(%d+) (%d+)")
    assert(at.a == tonumber(a))
    if c and not rest:match("^%d+ %d+%.") then
      assert(at.b == tonumber(b) and at.c == tonumber(c))
    else
      assert(at.d == tonumber(rest:match("^%-?%d+")))
    end
    local constant = rest:match("'(.*)'") or tonumber(rest:match("%d+%.%d+"))
    assert(at.constant == constant and (constant ~= nil) == ((text_at[name] or number_at[name]) ~= nil))
  end
  assert(util.funcinfo(probe).bytecodes == pc + 1)
end
-- What the rest is, as far as it can be told to a user.
local others = {}
local function other(what, source)
  local probe = assert(loadstring("local up return function(a, b) " .. source .. " end"))()
  for pc = 1, util.funcinfo(probe).bytecodes - 1 do
    local number = band(util.funcbc(probe, pc), 0xff)
    if not names[number] then others[number] = others[number] or what end
  end
end
other("a loop", "while a do b() end")
other("a loop", "for i = a, b do a() end")
other("a loop", "for i in a, b do a() end")
other("a loop", "for k in pairs(a) do a() end")
other("an assignment to a captured variable", "up = a up = 'x' up = 1 up = nil")
other("an assignment to a global", "glim_probe = a")
other("a function within the function", "return function() end")
other("a function within the function", "local x = a return function() return x end")
other("a table", "return {}, {1, 2}, {x = a}")
other("a table", "return a[b], a[1], a[a]")
other("a table", "a.x = b a[1] = b a[b] = b")
other("a 64-bit integer", "return 1LL")
return function(f)
  local info = util.funcinfo(f)
  if not info.bytecodes or info.isvararg then return nil end
  local code = {info.params, info.stackslots}
  for pc = 1, info.bytecodes - 1 do
    local at = fields(f, pc)
    code[pc + 2] = {at.name or others[band(util.funcbc(f, pc), 0xff)] or "what the reader does not know", at.a, at.b, at.c, at.d,
                    util.funcinfo(f, pc).currentline, at.constant}
  end
  return code
end
)lua";

constexpr char kKey[] = "glim decode";

// Pushes the decoder, or false when this LuaJIT is not understood.
bool PushDecoder(lua_State* L) {
  lua_getfield(L, LUA_REGISTRYINDEX, kKey);
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    if (luaL_loadbuffer(L, kDecode, sizeof(kDecode) - 1, "=decode") != 0 || lua_pcall(L, 0, 1, 0) != 0) {
      lua_pop(L, 1);
      lua_pushboolean(L, 0);
    }
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, kKey);
  }
  return lua_isfunction(L, -1);
}

int IntegerAt(lua_State* L, int table, int i) {
  lua_rawgeti(L, table, i);
  const auto value = static_cast<int>(lua_tointeger(L, -1));
  lua_pop(L, 1);
  return value;
}

Bytecode::Instruction ToInstruction(lua_State* L, int table) {
  Bytecode::Instruction out;
  lua_rawgeti(L, table, 1);
  const std::string_view name = lua_tostring(L, -1);
  for (size_t op = 1; op < std::size(kNames); ++op) {
    if (kNames[op] == name) out.op = static_cast<Opcode>(op);
  }
  if (out.op == Opcode::kOther) out.name = name;
  lua_pop(L, 1);
  int i = 2;
  for (int* operand : {&out.a, &out.b, &out.c, &out.d, &out.line}) *operand = IntegerAt(L, table, i++);
  lua_rawgeti(L, table, i);
  if (lua_type(L, -1) == LUA_TSTRING) {
    size_t size = 0;
    const char* text = lua_tolstring(L, -1, &size);
    out.text.assign(text, size);
  }
  out.number = lua_tonumber(L, -1);
  lua_pop(L, 1);
  return out;
}

}  // namespace

std::optional<Bytecode> ReadBytecode(lua_State* L) {
  const int function = lua_gettop(L);
  std::optional<Bytecode> bytecode;
  if (PushDecoder(L)) {
    lua_pushvalue(L, function);
    if (lua_pcall(L, 1, 1, 0) == 0 && lua_istable(L, -1)) {
      const int code = lua_gettop(L);
      bytecode.emplace();
      bytecode->parameters = IntegerAt(L, code, 1);
      bytecode->registers = IntegerAt(L, code, 2);
      for (int i = 3; i <= static_cast<int>(lua_objlen(L, code)); ++i) {
        lua_rawgeti(L, code, i);
        bytecode->code.push_back(ToInstruction(L, code + 1));
        lua_pop(L, 1);
      }
    }
  }
  lua_settop(L, function);
  return bytecode;
}

}  // namespace glim::udf
