// SPDX-License-Identifier: Apache-2.0
//
// Calls of functions of the standard library in a Lua function that is read: which ones kernels know, and what becomes
// of them in the Program.
//
// A Program takes for granted that these functions are what they were. User code may change them at any time, so what
// was taken for granted is written down (Program::uses) and looked at again before each batch (UsesHold).
//
// Thread: the state's.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "udf/kernel/program_builder.h"

struct lua_State;

namespace glim::udf {

// "string.lower", "tonumber": do kernels know the function of that name?
bool IsKnownFunction(const std::string& name);

struct CallResults {
  std::vector<int> values;
  // When the first value is nil, there are so many; -1: always all.
  int if_nil = -1;
  // An iterator instead: Ending::kMatches or kPieces, with the block's `a`, `b` and `pattern`.
  bool is_iterator = false;
  Ending ending = Ending::kReturn;
  int a = -1;
  int b = -1;
  int pattern = -1;
};

// Adds a call of a function that is known. False: with these arguments it is not, and *why_not says so.
bool AddCall(lua_State* L, ProgramBuilder* builder, const std::string& name, const std::vector<int>& arguments,
             CallResults* results, std::string* why_not);

// Is each of these what it was when the state began? The function, for its environment, is on top of the stack and
// stays there.
bool UsesHold(lua_State* L, const std::set<std::string>& uses);

}  // namespace glim::udf
