// SPDX-License-Identifier: Apache-2.0
//
// The sinks of a flow that make no files (for those: io/file_sink.h): bytes to a file that is open already (Printf,
// Fprintf, PipeOut), rows to the user's program (Output, Collect, SaveFirstRowTo).
//
// What goes to an open file is written batch by batch, so that whoever watches a terminal or a pipe sees rows when they
// are there.
#pragma once

#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/row_encoder.h"
#include "io/sink.h"

namespace glim::io {

// Bytes to the program's own `write`, one call at a time. `description` is what Describe() returns:
// `Printf("%s,%d\n")`.
std::unique_ptr<Sink> MakeWriterSink(std::unique_ptr<RowEncoder> encoder, std::function<Status(std::string_view)> write,
                                     std::string description);
// `file` is not closed; it is flushed at the end.
std::unique_ptr<Sink> MakeCFileSink(std::unique_ptr<RowEncoder> encoder, FILE* file, std::string description);
// An error of `take` is passed on as it is. `parallel`: every task calls it, side by side.
std::unique_ptr<Sink> MakeCallbackSink(std::function<Status(const Batch&)> take, bool parallel = false);
// Appends to `rows`, which outlives the sink.
std::unique_ptr<Sink> MakeCollectSink(std::vector<Row>* rows);
// Calls `save` at most once, with the first row; then it is full.
std::unique_ptr<Sink> MakeFirstRowSink(std::function<Status(const Row&)> save);

}  // namespace glim::io
