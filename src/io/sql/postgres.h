// SPDX-License-Identifier: Apache-2.0
//
// One connection to a PostgreSQL server. Only postgres.cc sees libpq's own header.
//
// Nothing waits for ever: connecting has a deadline (connect_timeout of the address or of PGCONNECT_TIMEOUT, or else
// kConnectSecondsMax), a server that is gone is found out by TCP's keepalives, and every wait ends with kCancelled when
// the Env is interrupted. A connection that goes away while its query runs cancels the query.
//
// Thread: one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "env/env.h"
#include "glim/status.h"

struct pg_conn;
struct pg_result;

namespace glim::io {

// What a statement gave.
class PostgresResult {
 public:
  explicit PostgresResult(pg_result* result) : result_(result) {}
  PostgresResult(PostgresResult&& other) noexcept;
  PostgresResult& operator=(PostgresResult&& other) noexcept;
  ~PostgresResult();

  int row_count() const;
  int column_count() const;
  std::string ColumnName(int column) const;
  // The number (OID) of its type.
  uint32_t ColumnType(int column) const;
  // nullopt for null.
  std::optional<std::string> At(int row, int column) const;

 private:
  friend class PostgresConnection;
  pg_result* result_;
};

class PostgresConnection {
 public:
  static constexpr int kConnectSecondsMax = 30;

  // `address` is a URL. Errors have no password, and name no database; the caller does.
  static Result<std::unique_ptr<PostgresConnection>> Open(env::Env& env, const std::string& address);
  PostgresConnection(const PostgresConnection&) = delete;
  ~PostgresConnection();

  // Statements with ; between them; what the last one gave.
  Result<PostgresResult> Run(const std::string& sql);
  // The columns of what one query would give.
  Result<PostgresResult> Describe(const std::string& query);

  // After Run("copy ... to stdout"): the next row, without its newline, valid until the next call. kLater when none
  // came within `wait_nanos`.
  enum class Next { kRow, kLater, kEnd };
  Result<Next> NextRow(int64_t wait_nanos, std::string_view* row);

  // After Run("copy ... from stdin").
  Status GiveRows(std::string_view bytes);
  // All rows are given.
  Status EndRows();

 private:
  explicit PostgresConnection(env::Env& env) : env_(env) {}
  Status Connect(const std::string& address);
  Status WaitForConnection(int64_t seconds);
  Status Flush();
  // False when nothing happened for so long.
  Result<bool> Wait(bool for_writing, int64_t nanos);
  Result<PostgresResult> TakeResult();
  Status Lost() const;

  env::Env& env_;
  pg_conn* connection_ = nullptr;
  bool busy_ = false;    // A query runs.
  char* row_ = nullptr;  // Of NextRow.
};

}  // namespace glim::io
