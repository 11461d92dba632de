// SPDX-License-Identifier: Apache-2.0
//
// Rows of a PostgreSQL database, by `copy (query) to stdout`. All ranges of a query see one snapshot.
//
// smallint, integer, bigint and oid are whole numbers, real and double precision doubles, boolean is boolean, bytea is
// bytes, null is nil. All other types, numeric, dates and arrays among them, are the text that PostgreSQL shows, dates
// as ISO 8601 has them.
#pragma once

#include <memory>
#include <string>

#include "io/source.h"
#include "io/sql/sql_text.h"

namespace glim::io {

std::unique_ptr<Source> MakePostgresSource(SqlNames names, std::string address, SqlQuery query, SqlOptions options);

}  // namespace glim::io
