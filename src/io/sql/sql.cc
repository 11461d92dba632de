// SPDX-License-Identifier: Apache-2.0
#include "io/sql/sql.h"

#include <fmt/core.h>

#include "base/try.h"
#include "env/path.h"
#include "env/url.h"
#include "io/sql/postgres_sink.h"
#include "io/sql/postgres_source.h"
#include "io/sql/sql_text.h"
#include "io/sql/sqlite_sink.h"
#include "io/sql/sqlite_source.h"

namespace glim::io {
namespace {

constexpr std::string_view kSqlite = "sqlite:";

Status UnknownDatabase(const std::string& shown) {
  return Status::Invalid(
      fmt::format("{} is no address of a database; write sqlite:PATH or postgresql://USER@HOST/NAME", shown));
}

bool IsPostgres(std::string_view database) {
  return database.starts_with("postgresql://") || database.starts_with("postgres://");
}

// Of "sqlite:PATH", "sqlite://PATH". Empty when it is another address.
std::string SqlitePath(std::string_view database) {
  if (!database.starts_with(kSqlite)) return "";
  database.remove_prefix(kSqlite.size());
  if (database.starts_with("//")) database.remove_prefix(2);
  return std::string(database);
}

}  // namespace

Result<std::unique_ptr<Source>> MakeSqlSource(const std::string& database, const std::string& query,
                                              const SqlOptions& options) {
  constexpr int kSplitsMax = 1000;
  SqlNames names;
  names.database = env::QuotePath(env::HidePassword(database));
  names.source = fmt::format("Sql({}, {})", names.database, Cell::Bytes(query).ToDebugString());
  auto parsed = SqlQuery::Parse(query);
  if (!parsed.ok()) return std::move(parsed).status().With(names.database);
  if (options.splits < 1 || options.splits > kSplitsMax) {
    return Status::Invalid(
        fmt::format("{}: there can be 1 to {} splits, not {}", names.database, kSplitsMax, options.splits));
  }
  if (std::string path = SqlitePath(database); !path.empty()) {
    return MakeSqliteSource(std::move(names), std::move(path), *std::move(parsed), options);
  }
  if (IsPostgres(database)) return MakePostgresSource(std::move(names), database, *std::move(parsed), options);
  return UnknownDatabase(names.database);
}

Result<std::unique_ptr<Sink>> MakeSqlSink(const std::string& database, const std::string& table,
                                          const SqlWriteOptions& options, const std::vector<std::string>& names) {
  std::string shown = env::QuotePath(env::HidePassword(database));
  if (std::string path = SqlitePath(database); !path.empty()) {
    return MakeSqliteSink(std::move(shown), std::move(path), table, options, names);
  }
  if (IsPostgres(database)) return MakePostgresSink(std::move(shown), database, table, options, names);
  return UnknownDatabase(shown);
}

}  // namespace glim::io
