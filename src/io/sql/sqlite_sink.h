// SPDX-License-Identifier: Apache-2.0
//
// Rows into a table of an SQLite file, all in one transaction, which begins with the first row and ends with the run's
// stage. A file that was not there is written beside its name, `shop.db.tmp-PID`, and renamed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "glim/sinks.h"
#include "io/sink.h"

namespace glim::io {

// `shown` is what messages call the database; `names` are those of the fields, where they are known.
std::unique_ptr<Sink> MakeSqliteSink(std::string shown, std::string path, std::string table, SqlWriteOptions options,
                                     std::vector<std::string> names);

}  // namespace glim::io
