// SPDX-License-Identifier: Apache-2.0
//
// The code of a Lua function, as LuaJIT compiled it: instructions with their operands and constants.
//
// The numbers of opcodes differ from one LuaJIT to the next, and so may the operands. So both are learnt, by compiling
// probes whose instructions are known: when one of them does not come out as expected, nothing is read at all and all
// functions run as plain Lua. Opcodes that no probe shows (loops, tables, closures) are kOther.
//
// Thread: the state's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

struct lua_State;

namespace glim::udf {

// With LuaJIT's own names.
enum class Opcode : uint8_t {
  kOther,
  kISLT,
  kISGE,
  kISLE,
  kISGT,
  kISEQV,
  kISNEV,
  kISEQS,
  kISNES,
  kISEQN,
  kISNEN,
  kISEQP,
  kISNEP,
  kISTC,
  kISFC,
  kIST,
  kISF,
  kMOV,
  kNOT,
  kUNM,
  kLEN,
  kADDVN,
  kSUBVN,
  kMULVN,
  kDIVVN,
  kMODVN,
  kADDNV,
  kSUBNV,
  kMULNV,
  kDIVNV,
  kMODNV,
  kADDVV,
  kSUBVV,
  kMULVV,
  kDIVVV,
  kMODVV,
  kPOW,
  kCAT,
  kKSTR,
  kKSHORT,
  kKNUM,
  kKPRI,
  kKNIL,
  kUGET,
  kGGET,
  kTGETS,
  kCALLM,
  kCALL,
  kCALLMT,
  kCALLT,
  kRETM,
  kRET,
  kRET0,
  kRET1,
  kJMP,
};

struct Bytecode {
  struct Instruction {
    Opcode op = Opcode::kOther;
    std::string name;  // Of kOther: why it is not read, if that is known: "a loop".
    int a = 0, b = 0, c = 0, d = 0;
    std::string text;  // The constant, of those that have one.
    double number = 0;
    int line = 0;
  };
  int parameters = 0;
  int registers = 0;
  // The first one, the head of the function, is left out; jumps go from the instruction behind by d.
  std::vector<Instruction> code;
};

// Of the function on top of the stack, which stays there. nullopt: this LuaJIT is not understood, or the function is in
// C or takes `...`.
std::optional<Bytecode> ReadBytecode(lua_State* L);

}  // namespace glim::udf
