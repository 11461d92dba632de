// SPDX-License-Identifier: Apache-2.0
//
// Rows out of SQL databases, and into them.
//
// A database is named by an address: "sqlite:PATH" ("sqlite:///PATH" is an absolute one), or what libpq takes,
// "postgresql://user@host:port/name?...". Messages show it without its password (env/url.h).
//
// A source asks one query, or, split by a column of numbers, one for each range of it, side by side. All of them see
// the database in one state: PostgreSQL's readers share a snapshot; with SQLite a change that somebody commits
// meanwhile is an error. Rows are taken as they come; no result is held in memory.
//
// A sink writes in one transaction, which it begins with its first row, so that two sinks of a run do not wait for each
// other; a run that fails leaves the database as it was.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "glim/sinks.h"
#include "glim/sources.h"
#include "io/sink.h"
#include "io/source.h"

namespace glim::io {

// `query` is a query, or the name of a table. kInvalid for an address or options that mean nothing.
Result<std::unique_ptr<Source>> MakeSqlSource(const std::string& database, const std::string& query,
                                              const SqlOptions& options);
// `names` are those of the fields, where they are known.
Result<std::unique_ptr<Sink>> MakeSqlSink(const std::string& database, const std::string& table,
                                          const SqlWriteOptions& options, const std::vector<std::string>& names);

}  // namespace glim::io
