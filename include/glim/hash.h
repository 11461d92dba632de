// SPDX-License-Identifier: Apache-2.0
//
// A hash of bytes that is the same on every machine, in every run and in Lua (`glim.hash(text, bits)`): to make feature
// numbers and table keys from tokens, or a shuffle that can be repeated.
//
// Thread: any.
#pragma once

#include <cstdint>
#include <string_view>

namespace glim {

// The leading `bits` of 64 evenly spread ones (XXH3). Expects: 1 <= bits <= 64. Lua's numbers hold 53, its default.
uint64_t Hash(std::string_view bytes, int bits = 64);

}  // namespace glim
