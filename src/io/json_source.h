// SPDX-License-Identifier: Apache-2.0
//
// Rows of JSON lines: one JSON value per line, mostly an object; columns are named by paths into it.
//
// Each line is parsed whole and checked to the end, also what no column asks for: half of a line is no row. (simdjson's
// DOM; its on-demand parser would skip the unused part unchecked.) Numbers are int64 when they are whole and fit, else
// double; arrays become lists; objects become their text. Lines of blanks are skipped.
//
// Files are cut like text: a newline within a JSON string is always escaped. A mistake names file and line.
//
// Thread: a Source is immutable; a Reader belongs to one task.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "glim/sources.h"
#include "io/source.h"

namespace glim::io {

// A way from a JSON value down to one within: names of objects and, from 0, elements of arrays.
using JsonPath = std::vector<std::variant<std::string, size_t>>;
// `user.tags[0].name`, `["a name with dots"].x`.
Result<JsonPath> ParseJsonPath(std::string_view text);

std::unique_ptr<Source> MakeJsonSource(std::vector<std::string> files, JsonLinesOptions options);

}  // namespace glim::io
