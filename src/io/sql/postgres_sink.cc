// SPDX-License-Identifier: Apache-2.0
#include "io/sql/postgres_sink.h"

#include <fmt/core.h>

#include <cstring>
#include <optional>

#include "base/check.h"
#include "base/try.h"
#include "io/sql/postgres.h"
#include "io/sql/postgres_rows.h"
#include "io/sql/sql_columns.h"
#include "io/sql/sql_text.h"

namespace glim::io {
namespace {

constexpr SqlTypeNames kTypes{.nothing = "text",
                              .boolean = "boolean",
                              .integer = "bigint",
                              .real = "double precision",
                              .number = "numeric",
                              .text = "text",
                              .mixed = "text",
                              .binary = "bytea"};

// The server tells a mistake at the end of a COPY only, so there is an end after so many bytes.
constexpr size_t kCopyBytes = 4 << 20;

class PostgresSink : public Sink {
 public:
  PostgresSink(std::string shown, std::string address, std::string table, SqlWriteOptions options,
               std::vector<std::string> names)
      : shown_(std::move(shown)),
        address_(std::move(address)),
        table_name_(std::move(table)),
        options_(std::move(options)),
        names_(options_.columns.empty() ? std::move(names) : options_.columns) {}

  std::string Describe() const override { return fmt::format("WriteSql({})", shown_); }
  bool wants_bytes() const override { return true; }

  Status Open(env::Env& env) override {
    env_ = &env;
    return Explain(LookAtTable());
  }

  // What WriteBytes needs to know of the rows, and their text.
  Status Encode(const Batch& batch, std::string* out) const override {
    RETURN_IF_ERROR(columns_->Check(batch));
    ASSIGN_OR_RETURN(const auto kinds, KindsOf(batch));
    const int64_t rows = batch.row_count();
    out->append(reinterpret_cast<const char*>(&rows), sizeof(rows));
    out->append(reinterpret_cast<const char*>(kinds.data()), kinds.size());
    for (int64_t row = 0; row < rows; ++row) {
      for (int i = 0; i < batch.column_count(); ++i) {
        if (i > 0) *out += '\t';
        AppendPostgresValue(batch.At(row, i), columns_->binary(i), out);
      }
      *out += '\n';
    }
    return Status::Ok();
  }
  Status WriteBytes(std::string_view bytes) override { return Explain(Write(bytes)); }
  Status Finish() override { return Explain(Commit()); }
  // The server takes back what was not committed.
  void Abort() override { connection_.reset(); }

 private:
  bool appends() const { return options_.mode == SqlMode::kAppend; }
  bool replaces() const { return options_.mode == SqlMode::kReplace; }

  // What can be found wrong before there are rows. No connection is left open: the first row may come hours later.
  Status LookAtTable() {
    ASSIGN_OR_RETURN(table_, SqlTable::Parse(table_name_));
    if (!appends()) {
      ASSIGN_OR_RETURN(columns_, SqlColumns::ForNew(names_, options_.types, kTypes));
    }
    ASSIGN_OR_RETURN(const auto connection, PostgresConnection::Open(*env_, address_));
    const auto found = connection->Describe(fmt::format("select {} from {}", Wanted(), table_.Quoted()));
    if (!appends()) {
      if (!found.ok()) return found.status().code() == Code::kNotFound ? Status::Ok() : found.status();
      if (replaces()) return Status::Ok();
      return Status::Invalid(
          fmt::format("the table {} is there already; say mode \"append\" or \"replace\"", table_name_));
    }
    RETURN_IF_ERROR(found.status());
    std::vector<std::string> names, types;
    for (int i = 0; i < found->column_count(); ++i) {
      names.push_back(found->ColumnName(i));
      types.emplace_back(found->ColumnType(i) == kPostgresBytea ? "bytea" : "as it is");
    }
    columns_ = SqlColumns::ForOld(names, types, kTypes);
    return Status::Ok();
  }

  // The columns that rows go to, or all.
  std::string Wanted() const {
    if (!appends() || names_.empty()) return "*";
    std::string text;
    for (const std::string& name : names_) text += (text.empty() ? "" : ", ") + QuoteName(name);
    return text;
  }

  Status Begin() {
    target_ = table_;
    // A name of our own until the end: who reads the old table need not wait for all the rows.
    if (replaces()) target_.name = fmt::format("glim {} {}", env_->process_id(), env_->RandomSeed());
    ASSIGN_OR_RETURN(connection_, PostgresConnection::Open(*env_, address_));
    RETURN_IF_ERROR(connection_->Run("begin").status());
    if (appends()) return Status::Ok();
    return connection_->Run(fmt::format("create table {} ({})", target_.Quoted(), columns_->Definitions())).status();
  }

  Status Write(std::string_view bytes) {
    int64_t rows = 0;
    const size_t head = sizeof(rows) + columns_->count();
    CHECK_GE(bytes.size(), head);  // One call of Encode is one of WriteBytes.
    std::memcpy(&rows, bytes.data(), sizeof(rows));
    const std::vector<ValueKinds> kinds(bytes.begin() + sizeof(rows),
                                        bytes.begin() + static_cast<std::ptrdiff_t>(head));
    bytes.remove_prefix(head);
    const std::vector<size_t> changed = columns_->Widen(kinds);
    if (connection_ == nullptr) {
      RETURN_IF_ERROR(Begin());
    } else if (!changed.empty()) {
      RETURN_IF_ERROR(EndCopy());
      for (const size_t i : changed) RETURN_IF_ERROR(ChangeType(i));
    }
    if (!copying_) {
      RETURN_IF_ERROR(
          connection_->Run(fmt::format("copy {} ({}) from stdin", target_.Quoted(), columns_->Names())).status());
      copying_ = true;
    }
    RETURN_IF_ERROR(connection_->GiveRows(bytes));
    rows_ += rows;
    copied_bytes_ += bytes.size();
    return copied_bytes_ < kCopyBytes ? Status::Ok() : EndCopy();
  }

  // By way of text: a double becomes a numeric with all its digits.
  Status ChangeType(size_t column) {
    const std::string name = QuoteName(columns_->name(column));
    const std::string_view type = columns_->type(column);
    return connection_
        ->Run(
            fmt::format("alter table {0} alter column {1} type {2} using {1}::text::{2}", target_.Quoted(), name, type))
        .status();
  }

  Status EndCopy() {
    if (!copying_) return Status::Ok();
    copying_ = false;
    copied_bytes_ = 0;
    Status status = connection_->EndRows();
    // The server counts the lines of this COPY.
    if (!status.ok() && ended_rows_ > 0) status = std::move(status).With(fmt::format("behind row {}", ended_rows_));
    ended_rows_ = rows_;
    return status;
  }

  Status Commit() {
    if (connection_ == nullptr) RETURN_IF_ERROR(Begin());
    RETURN_IF_ERROR(EndCopy());
    if (replaces()) {
      RETURN_IF_ERROR(connection_->Run("drop table if exists " + table_.Quoted()).status());
      RETURN_IF_ERROR(
          connection_->Run(fmt::format("alter table {} rename to {}", target_.Quoted(), QuoteName(table_.name)))
              .status());
    }
    Status status = connection_->Run("commit").status();
    if (status.code() == Code::kUnavailable) {
      return {Code::kTimeout, "committing, so the rows may be there or not: " + status.message()};
    }
    connection_.reset();
    return status;
  }

  Status Explain(Status status) const {
    if (status.ok() || status.code() == Code::kCancelled) return status;
    return std::move(status).With(shown_);
  }

  const std::string shown_;
  const std::string address_;
  const std::string table_name_;
  const SqlWriteOptions options_;
  const std::vector<std::string> names_;
  env::Env* env_ = nullptr;
  SqlTable table_;
  SqlTable target_;  // What is written: the table, or the one that will take its place.
  std::optional<SqlColumns> columns_;
  std::unique_ptr<PostgresConnection> connection_;  // Null before the first row and once it is over.
  bool copying_ = false;
  size_t copied_bytes_ = 0;
  int64_t rows_ = 0;
  int64_t ended_rows_ = 0;  // Before the COPY at hand.
};

}  // namespace

std::unique_ptr<Sink> MakePostgresSink(std::string shown, std::string address, std::string table,
                                       SqlWriteOptions options, std::vector<std::string> names) {
  return std::make_unique<PostgresSink>(std::move(shown), std::move(address), std::move(table), std::move(options),
                                        std::move(names));
}

}  // namespace glim::io
