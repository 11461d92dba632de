// SPDX-License-Identifier: Apache-2.0
//
// Rows into a table of a PostgreSQL database, all in one transaction, which begins with the first row and ends with the
// run's stage. Tasks turn rows into the text of COPY side by side; one connection sends them in order.
//
// A table that is replaced stays as it is, for those who read it, until the new one takes its name.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "glim/sinks.h"
#include "io/sink.h"

namespace glim::io {

// `shown` is what messages call the database; `names` are those of the fields, where they are known.
std::unique_ptr<Sink> MakePostgresSink(std::string shown, std::string address, std::string table,
                                       SqlWriteOptions options, std::vector<std::string> names);

}  // namespace glim::io
