// SPDX-License-Identifier: Apache-2.0
//
// One connection to an SQLite file, and its statements. Only sqlite.cc sees SQLite's own header.
//
// Whatever takes long (a statement, a wait for somebody's lock) ends with kCancelled when the Env is interrupted. A
// lock is waited for kWaitNanosMax.
//
// Thread: one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "env/env.h"
#include "glim/batch.h"
#include "glim/status.h"

struct sqlite3;
struct sqlite3_stmt;

namespace glim::io {

class SqliteDatabase;

// Not used after its database is gone.
class SqliteStatement {
 public:
  SqliteStatement(SqliteDatabase* database, sqlite3_stmt* statement) : database_(database), statement_(statement) {}
  SqliteStatement(const SqliteStatement&) = delete;
  ~SqliteStatement();

  // True when there is a row.
  Result<bool> Step();
  // From the beginning again, with other parameters.
  void Reset();

  // 0 for what gives no rows.
  int column_count() const;
  std::string ColumnName(int column) const;
  // As the table's definition has it; empty when it has none.
  std::string DeclaredType(int column) const;
  // Of the row at hand; valid until the next call of Step.
  Cell At(int column) const;

  // Parameter `number`, from 1. Bytes must last until Reset; they are text unless `blob`. Not for lists.
  Status Bind(int number, const Cell& value, bool blob);

 private:
  SqliteDatabase* const database_;
  sqlite3_stmt* const statement_;
};

class SqliteDatabase {
 public:
  static constexpr int64_t kWaitNanosMax = 10'000'000'000;
  enum class Mode { kRead, kWrite, kCreate };

  // Errors name no database; the caller does.
  static Result<std::unique_ptr<SqliteDatabase>> Open(env::Env& env, const std::string& path, Mode mode);
  SqliteDatabase(const SqliteDatabase&) = delete;
  ~SqliteDatabase();

  // `sql` must be one statement.
  Result<std::unique_ptr<SqliteStatement>> Prepare(std::string_view sql);
  // One that gives no rows we want.
  Status Run(std::string_view sql);
  // The first column of the first row; nil when there is none.
  Result<Value> Ask(std::string_view sql);

  // Whether a lock of somebody is waited for, or told at once as kUnavailable. At first: it is.
  void set_waits(bool waits) { waits_ = waits; }
  // What takes longer fails. In the time of the clock's MonotonicNanos.
  void set_deadline(int64_t nanos) { deadline_ = nanos; }

 private:
  friend class SqliteStatement;
  explicit SqliteDatabase(env::Env& env) : env_(env) {}
  // What `code` means, in SQLite's words.
  Status Error(int code) const;
  int Wait(int count);
  static int OnBusy(void* self, int count);
  static int OnProgress(void* self);

  env::Env& env_;
  sqlite3* database_ = nullptr;
  bool waits_ = true;
  int64_t deadline_ = INT64_MAX;
  int64_t wait_began_ = 0;
};

}  // namespace glim::io
