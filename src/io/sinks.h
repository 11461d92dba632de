// SPDX-License-Identifier: Apache-2.0
//
// The sinks of a flow: formatted rows to a file that is open already (Printf, Fprintf), rows to a new file (WriteText,
// WriteCsv, ...), rows to the user's program (Output, Collect, SaveFirstRowTo).
//
// A new file is written under a temporary name beside its target, `target.tmp-PID`, and renamed only when all rows are
// on the disk. When the run fails the temporary file is removed and an older target stays as it was.
//
// A new file is written in pieces of 256 KB, compressed when its name says so. What goes to an open file is written
// batch by batch, so that whoever watches a terminal or a pipe sees rows when they are there.
#pragma once

#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/row_encoder.h"
#include "io/row_format.h"
#include "io/sink.h"

namespace glim::io {

// `file` is not owned and not closed; `description` is what Describe() returns: `Printf("%s,%d\n")`.
std::unique_ptr<Sink> MakeFormatSink(RowFormat format, env::WritableFile* file, std::string description);
// For a C file that is neither stdout nor stderr; not closed, flushed at the end.
std::unique_ptr<Sink> MakeFormatFileSink(RowFormat format, FILE* file);
std::unique_ptr<Sink> MakeFileSink(std::string path, std::unique_ptr<RowEncoder> encoder);
// An error of `take` is passed on as it is.
std::unique_ptr<Sink> MakeCallbackSink(std::function<Status(const Batch&)> take);
// Appends to `rows`, which outlives the sink.
std::unique_ptr<Sink> MakeCollectSink(std::vector<Row>* rows);
// Calls `save` at most once, with the first row; then it is full.
std::unique_ptr<Sink> MakeFirstRowSink(std::function<Status(const Row&)> save);

}  // namespace glim::io
