// SPDX-License-Identifier: Apache-2.0
#include "table/names.h"

#include <fmt/format.h>

#include <algorithm>

namespace glim::table {

Status CheckName(std::string_view what, const std::string& name) {
  auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '-';
  };
  if (!name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), fits)) return Status::Ok();
  return Status::Invalid(
      fmt::format("\"{:.100}\" cannot be the name of a {}; use 1 to 64 of A-Z a-z 0-9 _ . -", name, what));
}

}  // namespace glim::table
