// SPDX-License-Identifier: Apache-2.0
//
// Sources whose rows the user's program holds already: Strings, Ints, Range and Rows of a flow.
//
// A split is a range of row numbers. Its size follows SplitOptions::split_bytes_max as if the rows were written as
// text, so that a million integers feed several tasks.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/source.h"

namespace glim::io {

std::unique_ptr<Source> MakeStringsSource(std::vector<std::string> values);
std::unique_ptr<Source> MakeIntsSource(std::vector<int64_t> values);
// begin, begin + 1, ... end - 1; no rows when end <= begin.
std::unique_ptr<Source> MakeRangeSource(int64_t begin, int64_t end);
// Rows may differ in width: a batch ends where the width changes.
std::unique_ptr<Source> MakeRowsSource(std::vector<Row> rows);

}  // namespace glim::io
