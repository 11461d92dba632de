// SPDX-License-Identifier: Apache-2.0
//
// Rows of an SQLite file. The types are those of the values: whole numbers, doubles, text and blobs (both bytes), null.
#pragma once

#include <memory>
#include <string>

#include "io/source.h"
#include "io/sql/sql_text.h"

namespace glim::io {

std::unique_ptr<Source> MakeSqliteSource(SqlNames names, std::string path, SqlQuery query, SqlOptions options);

}  // namespace glim::io
