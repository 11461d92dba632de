// SPDX-License-Identifier: Apache-2.0
//
// How rows become the bytes of a file. One per format; file sinks (io/sinks.h) do the rest.
//
// Thread: any; shared by all tasks of a sink.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "glim/batch.h"
#include "glim/sinks.h"
#include "glim/status.h"
#include "io/row_format.h"

namespace glim::io {

class RowEncoder {
 public:
  virtual ~RowEncoder() = default;
  // What stands at the head of each file.
  virtual void AppendHead(std::string* out) const {}
  // Appends all rows.
  virtual Status Append(const Batch& batch, std::string* out) const = 0;
  // What Append would append, when the batch has it somewhere as it is.
  virtual std::optional<std::string_view> InPlace(const Batch& batch) const { return std::nullopt; }
};

// One row per line, the columns as %v prints them, joined by tabs.
std::unique_ptr<RowEncoder> MakeTextEncoder(std::string nil = "nil");
std::unique_ptr<RowEncoder> MakeFormatEncoder(RowFormat format);
// The bytes of the columns one after the other, with nothing between them or behind. What is not bytes is an error.
std::unique_ptr<RowEncoder> MakeBinaryEncoder();
// kInvalid for options that cannot work.
Result<std::unique_ptr<RowEncoder>> MakeCsvEncoder(CsvWriteOptions options);
// An object per line, with a name for each column. A row of another width, bytes that are not UTF-8, NaN and infinities
// are errors when they come.
Result<std::unique_ptr<RowEncoder>> MakeJsonEncoder(const std::vector<std::string>& names);
// An array per line, of any width.
std::unique_ptr<RowEncoder> MakeJsonArrayEncoder();

}  // namespace glim::io
