// SPDX-License-Identifier: Apache-2.0
//
// Numbers as Lua writes and reads them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace glim::udf {

// LuaJIT rounds a number that lies in the middle between two texts its own way, which is not that of C. Such numbers
// are left to it.

// As tostring and .. do it, in at most kNumberTextMax bytes; how many there are. 0: it is for Lua.
constexpr size_t kNumberTextMax = 32;
size_t WriteNumber(double number, char* out);
// Is it in the middle between two numbers with so many digits behind the point, or may it be?
bool IsInTheMiddle(double number, int digits);

// What tonumber makes of a text. kUnclear: something rare, such as hexadecimal digits, that Lua is to look at.
enum class NumberText : uint8_t { kNumber, kNone, kUnclear };
NumberText ReadNumber(std::string_view text, double* number);

}  // namespace glim::udf
