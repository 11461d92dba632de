// SPDX-License-Identifier: Apache-2.0
//
// Fields of a CSV file as numbers, where that loses nothing: what JSON would call a number is one, int64 when it is
// whole and fits, double when it has a point or an exponent. All else stays text: "007", "+1", "0x10", "nan", a whole
// number of more than 64 bits. So the type of a field depends on its text alone, not on its neighbours: wherever a file
// is cut, its rows are the same.
//
// Thread: functions.
#pragma once

#include <cstdint>
#include <span>

#include "glim/batch.h"

namespace glim::io {

// `texts` is a column of bytes; its rows `quoted`, in order, stay text, and nils stay nil. Without any number it comes
// back as it is.
Column NumbersOf(const Column& texts, std::span<const uint32_t> quoted);

}  // namespace glim::io
