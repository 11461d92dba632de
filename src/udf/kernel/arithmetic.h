// SPDX-License-Identifier: Apache-2.0
//
// Lua's operators on numbers, and its comparisons, over rows.
//
// A row fails when an operand is no number (a text may be one: Lua's business). Results are those of Lua bit for bit,
// but for the sign of a NaN, which LuaJIT itself gives one way when it interprets a function and another when it has
// compiled it.
#pragma once

#include <cstdint>

#include "udf/kernel/values.h"

namespace glim::udf {

void Add(const Values& a, const Values& b, const Selection& rows, Values* out, Failures* failures);
void Subtract(const Values& a, const Values& b, const Selection& rows, Values* out, Failures* failures);
void Multiply(const Values& a, const Values& b, const Selection& rows, Values* out, Failures* failures);
void Divide(const Values& a, const Values& b, const Selection& rows, Values* out, Failures* failures);
void Modulo(const Values& a, const Values& b, const Selection& rows, Values* out, Failures* failures);
void Negate(const Values& a, const Selection& rows, Values* out, Failures* failures);
void Floor(const Values& a, const Selection& rows, Values* out, Failures* failures);
// A row fails when it gives the zero below zero: LuaJIT's interpreter makes that of -0.2, but not of -0.7.
void Ceil(const Values& a, const Selection& rows, Values* out, Failures* failures);
void Abs(const Values& a, const Selection& rows, Values* out, Failures* failures);
void Sqrt(const Values& a, const Selection& rows, Values* out, Failures* failures);
// A row fails when it depends on their order: for a NaN, and for the two zeros.
void Max(const Values& a, const Values& b, const Selection& rows, Values* out, Failures* failures);
void Min(const Values& a, const Values& b, const Selection& rows, Values* out, Failures* failures);
void Not(const Values& a, const Selection& rows, Values* out);

// Whether it holds, by row.
void Less(const Values& a, const Values& b, const Selection& rows, uint8_t* holds, Failures* failures);
void LessOrEqual(const Values& a, const Values& b, const Selection& rows, uint8_t* holds, Failures* failures);
void Equal(const Values& a, const Values& b, const Selection& rows, uint8_t* holds, Failures* failures);

}  // namespace glim::udf
