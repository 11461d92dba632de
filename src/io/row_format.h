// SPDX-License-Identifier: Apache-2.0
//
// The format of Printf: `"%s,%d\n"`, one verb per column, with Go's verbs and flags.
//
//   %v %s    the value as text            %q     quoted and escaped
//   %d %b %o %x %X %c                     integers: decimal, binary, octal, hexadecimal, the character (UTF-8)
//   %f %F %e %E %g %G                     floating point
//   %t       true or false                %%     a percent sign
//   between % and the verb: flags - + 0 space #, a width, `.` and a precision
//
// A number prints the same however it is stored: 4.0 is `4` under %v and %d, and an integer works under %f. Bytes that
// are a number from first to last may be given to the number verbs, because columns of text files are bytes. nil prints
// `nil` under any verb. %x of bytes is always the hexadecimal form of the bytes, whether or not they look like a
// number.
//
// The format is parsed once into pieces. A batch whose columns are plain (bytes for %s, int64 for %d, no nils, no
// flags) goes down a path without any choice per value but the loop over the pieces: some 190 M rows/s for "%s,%d\n".
//
// Thread: a value; Append may be called from any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "glim/batch.h"
#include "glim/status.h"

namespace glim::io {

// One verb with what stood between it and the percent sign.
struct Verb {
  char letter = 'v';
  bool minus = false, plus = false, zero = false, space = false, sharp = false;
  int width = 0;
  int precision = -1;  // -1: not given.

  bool is_plain() const { return !minus && !plus && !zero && !space && !sharp && width == 0 && precision < 0; }
  // As it was written, flags in one order: "%-5d".
  std::string ToString() const;
};

// Appends one value. kInvalid when the verb has no words for it: `%d takes a whole number, not 4.5`; `out` is then as
// it was.
Status AppendCell(const Verb& verb, const Cell& cell, std::string* out);

class RowFormat {
 public:
  // Escapes such as \n are real bytes already. kInvalid for a verb that we do not know, with its position.
  static Result<RowFormat> Parse(std::string_view format);

  // Appends one row. Expects: 0 <= row < batch.row_count(). After an error `out` is as it was.
  Status Append(const Batch& batch, int64_t row, std::string* out) const;
  // Appends all rows. After an error the rows before the failing one are in `out`.
  Status AppendBatch(const Batch& batch, std::string* out) const;

  // Columns that the format takes.
  int width() const { return static_cast<int>(verbs_.size()); }
  // Does AppendBatch write such a batch column by column, without a failure? Expects: as many columns as verbs.
  bool IsFast(const Batch& batch) const;
  // As it was given.
  const std::string& text() const { return text_; }

 private:
  friend class FormatParser;

  void AppendFast(const Batch& batch, std::string* out) const;
  Status WidthError(const Batch& batch, int64_t row) const;

  std::string text_;
  std::vector<std::string> literals_;  // verbs_.size() + 1: what stands before each verb, and after the last.
  std::vector<Verb> verbs_;
};

}  // namespace glim::io
