// SPDX-License-Identifier: Apache-2.0
#include "io/sql/sqlite.h"

#include <fmt/core.h>
#include <sqlite3.h>

#include <algorithm>

#include "base/try.h"

namespace glim::io {
namespace {

// Steps of SQLite's machine between two looks at the interrupt: some milliseconds.
constexpr int kStepsPerLook = 100'000;

Code CodeOf(int error) {
  switch (error & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_IOERR:
    case SQLITE_PROTOCOL: return Code::kUnavailable;
    case SQLITE_FULL:
    case SQLITE_NOMEM:
    case SQLITE_TOOBIG: return Code::kExhausted;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return Code::kCorrupt;
    case SQLITE_INTERRUPT: return Code::kCancelled;
    default: return Code::kInvalid;
  }
}

}  // namespace

SqliteStatement::~SqliteStatement() { sqlite3_finalize(statement_); }

Result<bool> SqliteStatement::Step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return database_->Error(code);
}

void SqliteStatement::Reset() { sqlite3_reset(statement_); }

int SqliteStatement::column_count() const { return sqlite3_column_count(statement_); }

std::string SqliteStatement::ColumnName(int column) const {
  const char* name = sqlite3_column_name(statement_, column);
  return name != nullptr ? name : "";
}

std::string SqliteStatement::DeclaredType(int column) const {
  const char* type = sqlite3_column_decltype(statement_, column);
  return type != nullptr ? type : "";
}

Cell SqliteStatement::At(int column) const {
  const auto bytes = [&](const void* data) {
    const auto size = static_cast<size_t>(sqlite3_column_bytes(statement_, column));
    // An empty blob is a null pointer, which no copy may be made from.
    return Cell::Bytes(std::string_view(data == nullptr ? "" : static_cast<const char*>(data), size));
  };
  switch (sqlite3_column_type(statement_, column)) {
    case SQLITE_INTEGER: return Cell::Int64(sqlite3_column_int64(statement_, column));
    case SQLITE_FLOAT: return Cell::Double(sqlite3_column_double(statement_, column));
    case SQLITE_TEXT: return bytes(sqlite3_column_text(statement_, column));
    case SQLITE_BLOB: return bytes(sqlite3_column_blob(statement_, column));
    default: return {};
  }
}

Status SqliteStatement::Bind(int number, const Cell& value, bool blob) {
  int code = SQLITE_OK;
  switch (value.type()) {
    case Type::kBool: code = sqlite3_bind_int(statement_, number, value.as_bool() ? 1 : 0); break;
    case Type::kInt64: code = sqlite3_bind_int64(statement_, number, value.as_int64()); break;
    case Type::kDouble: code = sqlite3_bind_double(statement_, number, value.as_double()); break;
    case Type::kBytes: {
      const std::string_view bytes = value.as_bytes();
      // A null pointer would be null.
      const char* data = bytes.empty() ? "" : bytes.data();
      code = blob ? sqlite3_bind_blob64(statement_, number, data, bytes.size(), SQLITE_STATIC)
                  : sqlite3_bind_text64(statement_, number, data, bytes.size(), SQLITE_STATIC, SQLITE_UTF8);
      break;
    }
    default: code = sqlite3_bind_null(statement_, number);
  }
  return code == SQLITE_OK ? Status::Ok() : database_->Error(code);
}

Result<std::unique_ptr<SqliteDatabase>> SqliteDatabase::Open(env::Env& env, const std::string& path, Mode mode) {
  auto opened = std::unique_ptr<SqliteDatabase>(new SqliteDatabase(env));
  int flags = SQLITE_OPEN_NOMUTEX;
  flags |= mode == Mode::kRead ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
  if (mode == Mode::kCreate) flags |= SQLITE_OPEN_CREATE;
  // So that names like ":memory:" and "file:a" are files, too.
  const std::string file = path.starts_with('/') ? path : "./" + path;
  const int code = sqlite3_open_v2(file.c_str(), &opened->database_, flags, nullptr);
  if (code != SQLITE_OK) return opened->Error(code);
  sqlite3* database = opened->database_;
  sqlite3_extended_result_codes(database, 1);
  // A file from elsewhere gets to call no functions that could do harm.
  sqlite3_db_config(database, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_busy_handler(database, &SqliteDatabase::OnBusy, opened.get());
  sqlite3_progress_handler(database, kStepsPerLook, &SqliteDatabase::OnProgress, opened.get());
  return opened;
}

SqliteDatabase::~SqliteDatabase() { sqlite3_close_v2(database_); }

Result<std::unique_ptr<SqliteStatement>> SqliteDatabase::Prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const char* rest = nullptr;
  int code = sqlite3_prepare_v2(database_, sql.data(), static_cast<int>(sql.size()), &statement, &rest);
  if (code != SQLITE_OK) return Error(code);
  auto prepared = std::make_unique<SqliteStatement>(this, statement);
  if (statement == nullptr) return Status::Invalid("there is no query in that text");
  // What is left may be space and comments, which give no statement.
  sqlite3_stmt* second = nullptr;
  code = sqlite3_prepare_v2(database_, rest, static_cast<int>(sql.data() + sql.size() - rest), &second, nullptr);
  sqlite3_finalize(second);
  if (code != SQLITE_OK || second != nullptr) return Status::Invalid("these are several statements; write one");
  return prepared;
}

Status SqliteDatabase::Run(std::string_view sql) {
  ASSIGN_OR_RETURN(const auto statement, Prepare(sql));
  for (bool more = true; more;) {
    ASSIGN_OR_RETURN(more, statement->Step());
  }
  return Status::Ok();
}

Result<Value> SqliteDatabase::Ask(std::string_view sql) {
  ASSIGN_OR_RETURN(const auto statement, Prepare(sql));
  ASSIGN_OR_RETURN(const bool found, statement->Step());
  return found && statement->column_count() > 0 ? Value(statement->At(0)) : Value();
}

Status SqliteDatabase::Error(int code) const {
  if (env_.interrupted()) return Status::Cancelled("interrupted");
  // Without a connection there are only the words for the code.
  return {CodeOf(code), database_ != nullptr ? sqlite3_errmsg(database_) : sqlite3_errstr(code)};
}

int SqliteDatabase::OnBusy(void* self, int count) { return static_cast<SqliteDatabase*>(self)->Wait(count); }

// Somebody holds a lock, and we have waited `count` times already. 1: try again.
int SqliteDatabase::Wait(int count) {
  constexpr int64_t kMillisecond = 1'000'000;
  const int64_t now = env_.clock().MonotonicNanos();
  if (count == 0) wait_began_ = now;
  if (!waits_ || env_.interrupted() || now - wait_began_ > kWaitNanosMax) return 0;
  env_.clock().SleepFor(std::min(count + 1, 50) * kMillisecond);
  return 1;
}

int SqliteDatabase::OnProgress(void* self) {
  const auto* database = static_cast<SqliteDatabase*>(self);
  const bool late = database->deadline_ != INT64_MAX && database->env_.clock().MonotonicNanos() > database->deadline_;
  return late || database->env_.interrupted() ? 1 : 0;
}

}  // namespace glim::io
