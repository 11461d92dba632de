// SPDX-License-Identifier: Apache-2.0
//
// A handle as text: which table, where, for a program that is to open the same one.
//
//   glim-table://127.0.0.1:45326/ctr?type=f32&id=5d0c4b9a17e2f386
//
// `id` is drawn when the table is made, so a table that was dropped and made anew under its name is another one. There
// is no secret in it: whoever opens it needs a key of the cluster.
//
// Thread: values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "glim/status.h"
#include "glim/table_spec.h"

namespace glim::param {

// Where tables are that live in the program itself.
inline constexpr std::string_view kEmbeddedPlace = "embedded";

struct TableAddress {
  std::string place;  // host:port of the cluster's master, or kEmbeddedPlace.
  std::string name;
  ValueType value_type = ValueType::kF32;
  uint64_t id = 0;
};

// A handle is no name of a table, and no name is a handle.
bool IsTableAddress(std::string_view text);
std::string ToString(const TableAddress& address);
// kInvalid: what is wrong with it.
Result<TableAddress> ParseTableAddress(std::string_view text);
// kNotFound when the table that has the name now is another one, kInvalid when it holds another type.
Status CheckIsSame(const TableAddress& asked, const TableSpec& found, uint64_t found_id);

}  // namespace glim::param
