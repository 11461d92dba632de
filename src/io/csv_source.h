// SPDX-License-Identifier: Apache-2.0
//
// Rows of CSV files as RFC 4180 has them: fields may be quoted, quoted fields may hold delimiters, newlines and doubled
// quotes.
//
// A big file is cut into byte ranges; a split owns the rows that start in its range. Whether it begins within quotes,
// where newlines do not count, is told by io/csv_quotes.h. Values stay bytes. They are views into the block that was
// read; only a field with doubled quotes is rewritten, in place, since it becomes shorter.
//
// Rows end with "\n" or "\r\n"; blank lines are skipped; a byte order mark at the beginning is skipped. A row with
// another number of columns than the first row of its file, bytes after a closing quote and a quote that is never
// closed are errors that name file and line. All files of one source must have the same number of columns when they
// have headers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "glim/sources.h"
#include "io/source.h"

namespace glim::io {

// `files` may be whatever io/paths.h understands.
std::unique_ptr<Source> MakeCsvSource(std::vector<std::string> files, CsvOptions options);

}  // namespace glim::io
