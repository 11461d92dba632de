// SPDX-License-Identifier: Apache-2.0
//
// Values as text in the tables of testdata/: 42, 4.5, true, nil, "bytes" with \" \\ \n \t \xNN, {1, "list"}, separated
// by blanks.
//
// Thread: any. For tests only: text that is no literal ends the reading.
#pragma once

#include <string>
#include <string_view>

#include "glim/batch.h"

namespace glim::io {

// Takes values off the head of `text` until it is empty or something else stands there.
Row ReadLiterals(std::string_view* text);

// `bytes` as such a literal: printable ASCII as it is, the rest as \xNN.
std::string QuoteLiteral(std::string_view bytes);

}  // namespace glim::io
