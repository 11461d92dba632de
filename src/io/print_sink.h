// SPDX-License-Identifier: Apache-2.0
//
// Rows for people and for the next program (Print, Show, glim e): a table with aligned columns, or CSV, TSV, JSON.
//
// The table is made in pieces of 1,000 rows, each with its own widths, so that it needs little memory and shows rows
// while they come. Numbers stand right. A cell is cut after 80 characters; control characters are shown as escapes, so
// that data cannot speak to the terminal.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "glim/sinks.h"
#include "io/row_encoder.h"
#include "io/sink.h"

namespace glim::io {

// The bytes of the rows as they come, with the head of the encoder before them. `file` outlives the sink.
std::unique_ptr<Sink> MakeEncodedSink(std::unique_ptr<RowEncoder> encoder, env::WritableFile* file);

// kAuto: a table on a terminal, else CSV. `file` is not owned.
// `names` of the columns head the table, CSV and TSV, and make JSON objects; empty: numbers, no head, arrays.
Result<std::unique_ptr<Sink>> MakePrintSink(PrintFormat format, std::vector<std::string> names, bool is_terminal,
                                            env::WritableFile* file);

}  // namespace glim::io
