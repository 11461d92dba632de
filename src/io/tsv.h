// SPDX-License-Identifier: Apache-2.0
//
// Rows as tab-separated lines: how rows go to shell commands and how their output comes back.
//
// Values are written as %v prints them; a nil is an empty field for a command, as nothing is for `awk`. Nothing is
// escaped, since `sort`, `awk` and their kin know no escapes. So a value with a tab or a newline comes back as several;
// that is the contract of a pipe, not something to repair here.
//
// TsvReader takes the output of a command in chunks as they come, cuts it into lines and fields without copying (fields
// are views into the chunk; only the partial line between two chunks is copied) and gives batches of bytes columns. A
// batch ends where the number of columns changes, so lines may differ in width. An empty line is a row of one empty
// field.
//
// Thread: one.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "glim/batch.h"
#include "glim/status.h"

namespace glim::io {

// Appends all rows of `batch`; `nil` is what a nil is written as. Never fails today.
Status AppendTsv(const Batch& batch, std::string_view nil, std::string* out);
inline Status AppendTsv(const Batch& batch, std::string* out) { return AppendTsv(batch, "", out); }

// The bytes that AppendTsv would append, where they lie so in the block of the rows already: those of neighbouring
// lines of a file that nobody changed. nullopt: they do not. As long as the batch lives.
std::optional<std::string_view> TsvInPlace(const Batch& batch);

class TsvReader {
 public:
  // `whole_lines`: each line is one field, tabs and all.
  explicit TsvReader(bool whole_lines = false) : delimiter_(whole_lines ? '\n' : '\t') {}
  // The first `size` bytes of `chunk`, kept alive as long as a batch points into it. Do not write to them afterwards.
  Status Feed(BufferRef chunk, size_t size);
  // Copies `bytes`.
  Status Feed(std::string_view bytes);
  // No more bytes: what follows the last newline is a line.
  Status Finish();

  // Of the line that has no end yet.
  size_t partial_bytes() const { return partial_.size(); }

  // The next batch that is complete; nullopt when more bytes are needed, or, after Finish, at the end.
  std::optional<Batch> Next();

 private:
  Status Carry(std::string_view bytes);
  BufferRef TakePartial();
  void CutLine(const char* data, size_t size, const Blocks& blocks);
  void EndLine(const Blocks& blocks);
  void CutBatch(const Blocks& blocks);

  const char delimiter_;
  std::string partial_;  // The line begun by the chunks so far.
  std::deque<Batch> ready_;
  size_t width_ = 0;                   // Columns of the rows in views_.
  std::vector<BytesView> views_;       // Row by row; empty between two calls.
  std::vector<BytesView> line_views_;  // Of the line being cut.
};

}  // namespace glim::io
