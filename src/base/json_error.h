// SPDX-License-Identifier: Apache-2.0
//
// Why a text is no JSON, for messages: "The JSON document has an improper structure".
//
// Thread: any.
#pragma once

#include <simdjson.h>

#include <string_view>

namespace glim::base {

// The first words of simdjson's, without the error's name (`TAPE_ERROR: `) that they have from 3.10 on.
inline std::string_view WhyNoJson(simdjson::error_code error) {
  std::string_view why = simdjson::error_message(error);
  const size_t name = why.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
  if (name > 0 && name != why.npos && why.substr(name).starts_with(": ")) why.remove_prefix(name + 2);
  return why.substr(0, why.find(':'));
}

}  // namespace glim::base
