// SPDX-License-Identifier: Apache-2.0
#include "io/sql/sqlite_sink.h"

#include <fmt/core.h>
#include <simdjson.h>

#include <cmath>
#include <optional>

#include "base/try.h"
#include "env/path.h"
#include "io/sql/sql_columns.h"
#include "io/sql/sql_text.h"
#include "io/sql/sqlite.h"

namespace glim::io {
namespace {

// A column without a type takes every value as it is.
constexpr SqlTypeNames kTypes{.nothing = "",
                              .boolean = "boolean",
                              .integer = "integer",
                              .real = "real",
                              .number = "",
                              .text = "text",
                              .mixed = "",
                              .binary = "blob"};

class SqliteSink : public Sink {
 public:
  SqliteSink(std::string shown, std::string path, std::string table, SqlWriteOptions options,
             std::vector<std::string> names)
      : shown_(std::move(shown)),
        path_(std::move(path)),
        table_name_(std::move(table)),
        options_(std::move(options)),
        names_(options_.columns.empty() ? std::move(names) : options_.columns) {}
  ~SqliteSink() override { Abort(); }

  std::string Describe() const override { return fmt::format("WriteSql({})", shown_); }
  bool wants_bytes() const override { return false; }

  Status Open(env::Env& env) override {
    env_ = &env;
    return Explain(LookAtTable());
  }
  Status WriteBatch(const Batch& batch) override { return Explain(Write(batch)); }
  Status Finish() override { return Explain(Commit()); }

  void Abort() override {
    insert_.reset();
    database_.reset();  // Rolls back.
    // The run has failed already; that a temporary file could not be removed is not worth another word.
    if (!staging_.empty()) static_cast<void>(env_->files().RemoveFile(staging_));
    staging_.clear();
  }

 private:
  bool appends() const { return options_.mode == SqlMode::kAppend; }

  // What can be found wrong before there are rows. Nothing is left open: others may use the file meanwhile.
  Status LookAtTable() {
    ASSIGN_OR_RETURN(const SqlTable table, SqlTable::Parse(table_name_));
    table_ = table.Quoted();
    const auto stat = env_->files().Stat(path_);
    if (stat.ok() && stat->kind == env::FileKind::kFolder) return Status::Invalid("it is a folder");
    if (!stat.ok() && (stat.status().code() != Code::kNotFound || appends())) {
      return stat.status().code() == Code::kNotFound ? Status::NotFound("no such file") : stat.status();
    }
    const std::string folder(env::ParentFolder(path_));
    if (!env_->files().Stat(folder).ok()) return Status::NotFound(env::QuotePath(folder) + ": no such folder");
    if (!appends()) {
      ASSIGN_OR_RETURN(columns_, SqlColumns::ForNew(names_, options_.types, kTypes));
    }
    if (!stat.ok() || options_.mode == SqlMode::kReplace) return Status::Ok();
    ASSIGN_OR_RETURN(const auto database, SqliteDatabase::Open(*env_, path_, SqliteDatabase::Mode::kRead));
    const auto found = database->Prepare(fmt::format("select {} from {}", Wanted(), table_));
    if (!appends()) {
      if (!found.ok()) return Status::Ok();  // That there is none, or that Begin will tell what is wrong.
      return Status::Invalid(
          fmt::format("the table {} is there already; say mode \"append\" or \"replace\"", table_name_));
    }
    RETURN_IF_ERROR(found.status());
    std::vector<std::string> names, types;
    for (int i = 0; i < (*found)->column_count(); ++i) {
      names.push_back((*found)->ColumnName(i));
      types.push_back((*found)->DeclaredType(i));
    }
    columns_ = SqlColumns::ForOld(names, types, kTypes);
    return Status::Ok();
  }

  // The columns that rows go to, or all.
  std::string Wanted() const {
    if (!appends() || names_.empty()) return "*";
    std::string text;
    // The table in front, or SQLite takes a name that is not there for a text.
    for (const std::string& name : names_) {
      text += fmt::format("{}{}.{}", text.empty() ? "" : ", ", table_, QuoteName(name));
    }
    return text;
  }

  Status Begin() {
    if (!env_->files().Stat(path_).ok()) {
      staging_ = fmt::format("{}.tmp-{}", path_, env_->process_id());
      // What a process of our number may have left when it crashed.
      RETURN_IF_ERROR(env_->files().RemoveAll(staging_));
    }
    ASSIGN_OR_RETURN(database_, SqliteDatabase::Open(
                                    *env_, staging_.empty() ? path_ : staging_,
                                    staging_.empty() ? SqliteDatabase::Mode::kWrite : SqliteDatabase::Mode::kCreate));
    // What fails is thrown away whole, so it needs no journal.
    if (!staging_.empty()) RETURN_IF_ERROR(database_->Run("pragma journal_mode = off"));
    // What is written goes to the file early when it does not fit in here, and then nobody can begin to read.
    RETURN_IF_ERROR(database_->Run("pragma cache_size = -65536"));
    RETURN_IF_ERROR(database_->Run("begin immediate"));
    if (options_.mode == SqlMode::kReplace) RETURN_IF_ERROR(database_->Run("drop table if exists " + table_));
    if (!appends()) RETURN_IF_ERROR(CreateTable(table_));
    // While somebody reads they stay in memory rather than wait for the reader, who may wait for us.
    database_->set_waits(false);
    return PrepareInsert();
  }

  Status CreateTable(const std::string& table) {
    return database_->Run(fmt::format("create table {} ({})", table, columns_->Definitions()));
  }

  Status PrepareInsert() {
    std::string marks;
    for (size_t i = 0; i < columns_->count(); ++i) marks += i == 0 ? "?" : ", ?";
    ASSIGN_OR_RETURN(
        insert_, database_->Prepare(fmt::format("insert into {} ({}) values ({})", table_, columns_->Names(), marks)));
    return Status::Ok();
  }

  // SQLite cannot change a column's type, so the table is made anew.
  Status Rebuild() {
    insert_.reset();
    const std::string rows = "temp.\"glim rows\"";
    RETURN_IF_ERROR(database_->Run(fmt::format("create table {} as select * from {}", rows, table_)));
    RETURN_IF_ERROR(database_->Run("drop table " + table_));
    RETURN_IF_ERROR(CreateTable(table_));
    RETURN_IF_ERROR(database_->Run(fmt::format("insert into {} select * from {}", table_, rows)));
    RETURN_IF_ERROR(database_->Run("drop table " + rows));
    return PrepareInsert();
  }

  Status Write(const Batch& batch) {
    RETURN_IF_ERROR(columns_->Check(batch));
    ASSIGN_OR_RETURN(const auto kinds, KindsOf(batch));
    const bool widened = !columns_->Widen(kinds).empty();
    if (database_ == nullptr) {
      RETURN_IF_ERROR(Begin());
    } else if (widened) {
      RETURN_IF_ERROR(Rebuild());
    }
    for (int64_t row = 0; row < batch.row_count(); ++row) {
      ++row_count_;
      Status status = Insert(batch, row);
      if (status.ok()) continue;
      if (status.code() == Code::kCancelled) return status;
      return std::move(status).With(fmt::format("row {} {}", row_count_, batch.RowToDebugString(row)));
    }
    return Status::Ok();
  }

  Status Insert(const Batch& batch, int64_t row) {
    for (int i = 0; i < batch.column_count(); ++i) {
      const Cell cell = batch.At(row, i);
      const bool binary = columns_->binary(i);
      if (cell.type() == Type::kDouble && std::isnan(cell.as_double())) {
        return Status::Invalid("SQLite has no NaN");
      }
      if (cell.type() == Type::kBytes && !binary) RETURN_IF_ERROR(CheckText(i, cell.as_bytes()));
      RETURN_IF_ERROR(insert_->Bind(i + 1, cell, binary));
    }
    const auto done = insert_->Step();
    insert_->Reset();
    return done.status();
  }

  Status CheckText(int column, std::string_view bytes) const {
    if (simdjson::validate_utf8(bytes.data(), bytes.size()) && bytes.find('\0') == std::string_view::npos) {
      return Status::Ok();
    }
    return Status::Invalid(fmt::format("{} is no text; the column {} must have the type blob",
                                       Cell::Bytes(bytes).ToDebugString(), columns_->name(column)));
  }

  Status Commit() {
    if (database_ == nullptr) RETURN_IF_ERROR(Begin());
    insert_.reset();
    database_->set_waits(true);
    RETURN_IF_ERROR(database_->Run("commit"));
    database_.reset();
    if (staging_.empty()) return Status::Ok();
    if (env_->files().Stat(path_).ok()) return Status::Unavailable("somebody has made that file meanwhile");
    RETURN_IF_ERROR(env_->files().Rename(staging_, path_));
    staging_.clear();
    return env_->files().SyncFolder(std::string(env::ParentFolder(path_)));
  }

  Status Explain(Status status) {
    if (status.ok() || status.code() == Code::kCancelled) return status;
    return std::move(status).With(shown_);
  }

  const std::string shown_;
  const std::string path_;
  const std::string table_name_;
  const SqlWriteOptions options_;
  const std::vector<std::string> names_;
  env::Env* env_ = nullptr;
  std::string table_;  // In quotes.
  std::optional<SqlColumns> columns_;
  std::string staging_;  // Empty: the file is written as it is.
  std::unique_ptr<SqliteDatabase> database_;
  std::unique_ptr<SqliteStatement> insert_;
  int64_t row_count_ = 0;
};

}  // namespace

std::unique_ptr<Sink> MakeSqliteSink(std::string shown, std::string path, std::string table, SqlWriteOptions options,
                                     std::vector<std::string> names) {
  return std::make_unique<SqliteSink>(std::move(shown), std::move(path), std::move(table), std::move(options),
                                      std::move(names));
}

}  // namespace glim::io
