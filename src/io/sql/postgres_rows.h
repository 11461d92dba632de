// SPDX-License-Identifier: Apache-2.0
//
// Rows as PostgreSQL's COPY has them: a line for each, tabs between the fields, \N for null, backslashes before what
// would be taken for those.
//
// Thread: any.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "glim/batch.h"
#include "glim/batch_builder.h"
#include "glim/status.h"

namespace glim::io {

inline constexpr uint32_t kPostgresBytea = 17;  // The number of the type that holds bytes.

// Adds a row without its newline. `types` are the numbers (OIDs) of the columns' types. kCorrupt for what no server
// sends. A decoder is used again and again for the sake of its memory.
class PostgresRowDecoder {
 public:
  explicit PostgresRowDecoder(std::vector<uint32_t> types) : types_(std::move(types)) {}
  Status Decode(std::string_view row, BatchBuilder* rows);

 private:
  Status AppendValue(uint32_t type, std::string_view text, ColumnBuilder* column);

  const std::vector<uint32_t> types_;
  std::string field_;
  std::string bytes_;
};

// Appends a value, without a tab. `binary`: the column is a bytea. Not for lists.
void AppendPostgresValue(const Cell& cell, bool binary, std::string* out);

}  // namespace glim::io
