// SPDX-License-Identifier: Apache-2.0
#include "io/sql/sqlite_source.h"

#include <fmt/core.h>

#include <mutex>
#include <optional>

#include "base/try.h"
#include "glim/batch_builder.h"
#include "io/sql/sql_source.h"
#include "io/sql/sqlite.h"

namespace glim::io {
namespace {

constexpr int64_t kRowsMax = 4096;
constexpr size_t kBatchBytes = 4 << 20;

// Tells whether anybody has changed the file since this was made. It holds no lock, so nobody waits for it.
//
// Thread: any.
class ChangeWatch {
 public:
  static Result<std::unique_ptr<ChangeWatch>> Make(env::Env& env, const std::string& path) {
    auto watch = std::make_unique<ChangeWatch>();
    ASSIGN_OR_RETURN(watch->database_, SqliteDatabase::Open(env, path, SqliteDatabase::Mode::kRead));
    ASSIGN_OR_RETURN(watch->version_, watch->database_->Ask(kVersion));
    watch->database_->set_waits(false);
    return watch;
  }
  // kUnavailable while somebody is about to change it.
  Result<bool> Changed() {
    std::lock_guard lock(mutex_);
    ASSIGN_OR_RETURN(const Value version, database_->Ask(kVersion));
    return !(version == version_);
  }

 private:
  static constexpr std::string_view kVersion = "pragma data_version";
  std::mutex mutex_;
  std::unique_ptr<SqliteDatabase> database_;
  Value version_;
};

class SqliteReader : public Reader {
 public:
  SqliteReader(env::Env& env, const std::string& name) : env_(env), name_(name) {}

  Status Start(const std::string& path, const std::string& query, ChangeWatch* watch) {
    ASSIGN_OR_RETURN(database_, SqliteDatabase::Open(env_, path, SqliteDatabase::Mode::kRead));
    if (watch != nullptr) RETURN_IF_ERROR(BeginUnchanged(watch));
    ASSIGN_OR_RETURN(statement_, database_->Prepare(query));
    return Status::Ok();
  }

  Result<std::optional<Batch>> Next() override {
    const int columns = statement_->column_count();
    BatchBuilder rows(columns);
    size_t bytes = 0;
    while (!ended_ && rows.row_count() < kRowsMax && bytes < kBatchBytes) {
      auto more = statement_->Step();
      if (!more.ok()) return std::move(more).status().With(name_);
      ended_ = !*more;
      if (ended_) break;
      for (int i = 0; i < columns; ++i) {
        const Cell cell = statement_->At(i);
        if (cell.type() == Type::kBytes) bytes += cell.as_bytes().size();
        rows.column(i).Append(cell);
      }
      rows.EndRow();
    }
    if (rows.row_count() == 0) return std::optional<Batch>();
    return std::optional<Batch>(rows.Finish());
  }

 private:
  // From here on this reader sees the state that `watch` knows.
  Status BeginUnchanged(ChangeWatch* watch) {
    constexpr int64_t kPauseNanos = 10'000'000;
    const int64_t begin = env_.clock().MonotonicNanos();
    while (true) {
      RETURN_IF_ERROR(database_->Run("begin"));
      RETURN_IF_ERROR(database_->Ask("select count(*) from sqlite_master").status());
      const auto changed = watch->Changed();
      if (changed.ok() && !*changed) return Status::Ok();
      if (changed.ok()) {
        return Status::Unavailable(
            "somebody changed the database while its ranges were read; run again, or read it without split_by");
      }
      if (changed.status().code() != Code::kUnavailable) return changed.status();
      // The one who is about to change it waits for us to let go, so we do.
      RETURN_IF_ERROR(database_->Run("rollback"));
      if (env_.interrupted()) return Status::Cancelled("interrupted");
      if (env_.clock().MonotonicNanos() - begin > SqliteDatabase::kWaitNanosMax) return changed.status();
      env_.clock().SleepFor(kPauseNanos);
    }
  }

  env::Env& env_;
  const std::string name_;
  std::unique_ptr<SqliteDatabase> database_;
  std::unique_ptr<SqliteStatement> statement_;
  bool ended_ = false;
};

class SqliteSource : public SqlSource {
 public:
  SqliteSource(SqlNames names, std::string path, SqlQuery query, SqlOptions options)
      : SqlSource(std::move(names), std::move(query), std::move(options)), path_(std::move(path)) {}

 private:
  Result<std::unique_ptr<Reader>> OpenQuery(env::Env& env, const std::string& query, bool range) const override {
    auto reader = std::make_unique<SqliteReader>(env, names_.database);
    RETURN_IF_ERROR(reader->Start(path_, query, range ? watch_.get() : nullptr));
    return std::unique_ptr<Reader>(std::move(reader));
  }

  Result<std::vector<std::string>> ReadNames(env::Env& env) const override {
    ASSIGN_OR_RETURN(const auto database, OpenFile(env));
    ASSIGN_OR_RETURN(const auto statement, database->Prepare(query_.all()));
    if (statement->column_count() == 0) return Status::Invalid("that gives no rows; a source wants a query");
    std::vector<std::string> names;
    for (int i = 0; i < statement->column_count(); ++i) names.push_back(statement->ColumnName(i));
    return names;
  }

  // SQLite knows no numbers of rows, so they are counted, as far as that goes.
  Result<Estimate> AskEstimate(env::Env& env) const override {
    constexpr int64_t kNanosMax = 200'000'000;
    ASSIGN_OR_RETURN(const auto database, OpenFile(env));
    database->set_waits(false);
    database->set_deadline(env.clock().MonotonicNanos() + kNanosMax);
    ASSIGN_OR_RETURN(const Value rows, database->Ask(query_.Select("count(*)")));
    return Estimate{rows.as_int64(), std::nullopt};
  }

  Result<std::vector<std::string>> MakeConditions(env::Env& env) const override {
    RETURN_IF_ERROR(ReadNames(env).status());
    if (options_.split_by.empty() || options_.splits == 1) return std::vector<std::string>{""};
    // Before the first look at the rows.
    ASSIGN_OR_RETURN(watch_, ChangeWatch::Make(env, path_));
    const std::string key = KeyColumn(options_);
    ASSIGN_OR_RETURN(const auto database, OpenFile(env));
    // Two queries: SQLite uses an index for one of them, not for both at once.
    ASSIGN_OR_RETURN(const Value min, database->Ask(query_.Select(fmt::format("min({})", key))));
    ASSIGN_OR_RETURN(const Value max, database->Ask(query_.Select(fmt::format("max({})", key))));
    if (min.type() == Type::kNull) return std::vector<std::string>{""};
    // Text is above all numbers, so this sees every value that is none.
    for (const Value* value : {&min, &max}) {
      if (value->cell().is_number()) continue;
      return Status::Invalid(fmt::format("split_by needs a column of numbers; {} has {}", options_.split_by,
                                         value->cell().ToDebugString()));
    }
    const bool whole = min.type() == Type::kInt64 && max.type() == Type::kInt64;
    return RangeConditions(key, whole ? CutRange(min.as_int64(), max.as_int64(), options_.splits)
                                      : CutRange(min.cell().number(), max.cell().number(), options_.splits));
  }

  Result<std::unique_ptr<SqliteDatabase>> OpenFile(env::Env& env) const {
    // SQLite's own words are "unable to open database file" and "disk I/O error".
    const auto stat = env.files().Stat(path_);
    if (stat.status().code() == Code::kNotFound) return Status::NotFound("no such file");
    if (stat.ok() && stat->kind == env::FileKind::kFolder) return Status::Invalid("it is a folder");
    return SqliteDatabase::Open(env, path_, SqliteDatabase::Mode::kRead);
  }

  const std::string path_;
  // Of the run at hand, when it reads several ranges.
  mutable std::unique_ptr<ChangeWatch> watch_;
};

}  // namespace

std::unique_ptr<Source> MakeSqliteSource(SqlNames names, std::string path, SqlQuery query, SqlOptions options) {
  return std::make_unique<SqliteSource>(std::move(names), std::move(path), std::move(query), std::move(options));
}

}  // namespace glim::io
