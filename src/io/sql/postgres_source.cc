// SPDX-License-Identifier: Apache-2.0
#include "io/sql/postgres_source.h"

#include <fmt/core.h>

#include <charconv>
#include <optional>

#include "base/try.h"
#include "glim/batch_builder.h"
#include "io/sql/postgres.h"
#include "io/sql/postgres_rows.h"
#include "io/sql/sql_source.h"

namespace glim::io {
namespace {

constexpr int64_t kRowsMax = 4096;
constexpr size_t kBatchBytes = 4 << 20;

// Numbers of types.
constexpr uint32_t kDate = 1082, kTimestamp = 1114, kTimestampWithZone = 1184;

// Begins a transaction that changes nothing, and sees what the others see that know `snapshot`.
std::string Begin(const std::string& snapshot) {
  std::string sql = "begin isolation level repeatable read read only;";
  if (!snapshot.empty()) sql += " set transaction snapshot '" + snapshot + "';";
  // The form of values that we read must not depend on the server's settings.
  return sql +
         " set local bytea_output = hex; set local extra_float_digits = 1; set local datestyle = iso;"
         " set local intervalstyle = postgres";
}

class PostgresReader : public Reader {
 public:
  PostgresReader(const std::string& name, const std::vector<uint32_t>& types)
      : name_(name), decoder_(types), columns_(static_cast<int>(types.size())) {}

  Status Start(env::Env& env, const std::string& address, const std::string& snapshot, const std::string& query) {
    ASSIGN_OR_RETURN(connection_, PostgresConnection::Open(env, address));
    RETURN_IF_ERROR(connection_->Run(Begin(snapshot)).status());
    // The query may end in a comment.
    return connection_->Run(fmt::format("copy ({}\n) to stdout", query)).status();
  }

  Result<std::optional<Batch>> Next() override {
    BatchBuilder rows(columns_);
    Status status = Fill(&rows);
    if (!status.ok()) return status.code() == Code::kCancelled ? status : std::move(status).With(name_);
    if (rows.row_count() == 0) return std::optional<Batch>();
    return std::optional<Batch>(rows.Finish());
  }

 private:
  // With what has come: a server that takes its time does not keep rows from those who want the first ones.
  Status Fill(BatchBuilder* rows) {
    constexpr int64_t kPatienceNanos = 100'000'000;
    size_t bytes = 0;
    while (!ended_ && rows->row_count() < kRowsMax && bytes < kBatchBytes) {
      std::string_view row;
      ASSIGN_OR_RETURN(const auto next, connection_->NextRow(kPatienceNanos, &row));
      if (next == PostgresConnection::Next::kLater && rows->row_count() > 0) return Status::Ok();
      ended_ = next == PostgresConnection::Next::kEnd;
      if (next != PostgresConnection::Next::kRow) continue;
      RETURN_IF_ERROR(decoder_.Decode(row, rows));
      bytes += row.size();
    }
    return Status::Ok();
  }

  const std::string name_;
  PostgresRowDecoder decoder_;
  const int columns_;
  std::unique_ptr<PostgresConnection> connection_;
  bool ended_ = false;
};

class PostgresSource : public SqlSource {
 public:
  PostgresSource(SqlNames names, std::string address, SqlQuery query, SqlOptions options)
      : SqlSource(std::move(names), std::move(query), std::move(options)), address_(std::move(address)) {}

 private:
  Result<std::unique_ptr<Reader>> OpenQuery(env::Env& env, const std::string& query, bool) const override {
    auto reader = std::make_unique<PostgresReader>(names_.database, types_);
    RETURN_IF_ERROR(reader->Start(env, address_, snapshot_, query));
    return std::unique_ptr<Reader>(std::move(reader));
  }

  Result<PostgresResult> ColumnsOf(PostgresConnection* connection) const {
    ASSIGN_OR_RETURN(PostgresResult columns, connection->Describe(query_.all()));
    if (columns.column_count() == 0) return Status::Invalid("that gives no rows; a source wants a query");
    return columns;
  }

  Result<std::vector<std::string>> ReadNames(env::Env& env) const override {
    ASSIGN_OR_RETURN(const auto connection, PostgresConnection::Open(env, address_));
    ASSIGN_OR_RETURN(const PostgresResult columns, ColumnsOf(connection.get()));
    std::vector<std::string> names;
    for (int i = 0; i < columns.column_count(); ++i) names.push_back(columns.ColumnName(i));
    return names;
  }

  // What the server's planner thinks: "Seq Scan on t  (cost=0.00..1.05 rows=5 width=36)".
  Result<Estimate> AskEstimate(env::Env& env) const override {
    ASSIGN_OR_RETURN(const auto connection, PostgresConnection::Open(env, address_));
    RETURN_IF_ERROR(connection->Run(Begin("")).status());
    ASSIGN_OR_RETURN(const PostgresResult plan, connection->Run("explain " + query_.all()));
    const std::string line = plan.row_count() > 0 ? plan.At(0, 0).value_or("") : "";
    const auto number_behind = [&line](std::string_view name) {
      const size_t at = line.rfind(name);
      int64_t number = -1;
      if (at != std::string::npos) std::from_chars(line.data() + at + name.size(), line.data() + line.size(), number);
      return number;
    };
    const int64_t rows = number_behind(" rows="), width = number_behind(" width=");
    if (rows < 0 || width < 0 || rows > INT64_MAX / (width + 1)) return Estimate{};
    return Estimate{rows, rows * width, false};
  }

  Result<std::vector<std::string>> MakeConditions(env::Env& env) const override {
    snapshot_.clear();
    const bool ranges = !options_.split_by.empty() && options_.splits > 1;
    if (ranges) RETURN_IF_ERROR(ExportSnapshot(env));
    // Another connection than the keeper, which must not keep locks on tables: the run may want to replace one.
    ASSIGN_OR_RETURN(const auto connection, PostgresConnection::Open(env, address_));
    RETURN_IF_ERROR(connection->Run(Begin(snapshot_)).status());
    ASSIGN_OR_RETURN(const PostgresResult columns, ColumnsOf(connection.get()));
    types_.clear();
    for (int i = 0; i < columns.column_count(); ++i) types_.push_back(columns.ColumnType(i));
    if (!ranges) return std::vector<std::string>{""};
    const std::string key = KeyColumn(options_);
    ASSIGN_OR_RETURN(const PostgresResult ends, connection->Run(query_.Select(fmt::format("min({0}), max({0})", key))));
    const uint32_t type = ends.ColumnType(0);
    if (type == kDate || type == kTimestamp || type == kTimestampWithZone) {
      ASSIGN_OR_RETURN(const std::vector<std::string> begins, CutTimes(connection.get(), type, key));
      return RangeConditions(key, begins);
    }
    ASSIGN_OR_RETURN(const std::vector<std::string> begins, Cut(type, ends.At(0, 0), ends.At(0, 1)));
    return RangeConditions(key, begins);
  }

  // Cut as seconds since 1970. Infinite times are in the first and the last range.
  Result<std::vector<std::string>> CutTimes(PostgresConnection* connection, uint32_t type,
                                            const std::string& key) const {
    const auto seconds = [&key](const char* end) {
      return fmt::format("(extract(epoch from {0}({1}) filter (where isfinite({1}))))::float8", end, key);
    };
    ASSIGN_OR_RETURN(const PostgresResult ends, connection->Run(query_.Select(seconds("min") + ", " + seconds("max"))));
    constexpr uint32_t kFloat8 = 701;
    ASSIGN_OR_RETURN(std::vector<std::string> begins, Cut(kFloat8, ends.At(0, 0), ends.At(0, 1)));
    for (std::string& begin : begins) {
      begin = fmt::format("to_timestamp({}::float8)", begin);
      // A column is compared with a value of its own type, for the sake of its index. Ranges of days may be empty.
      if (type != kTimestampWithZone) begin = fmt::format("({} at time zone 'UTC')", begin);
      if (type == kDate) begin += "::date";
    }
    return begins;
  }

  Result<std::vector<std::string>> Cut(uint32_t type, const std::optional<std::string>& min,
                                       const std::optional<std::string>& max) const {
    constexpr uint32_t kInt8 = 20, kInt2 = 21, kInt4 = 23, kFloat4 = 700, kFloat8 = 701, kNumeric = 1700;
    const bool whole = type == kInt2 || type == kInt4 || type == kInt8;
    if (!whole && type != kFloat4 && type != kFloat8 && type != kNumeric) {
      return Status::Invalid(
          fmt::format("split_by needs a column of numbers or times, and {} has none", options_.split_by));
    }
    if (!min.has_value() || !max.has_value()) return std::vector<std::string>();
    int64_t whole_min = 0, whole_max = 0;
    double number_min = 0, number_max = 0;
    const auto parse = [](const std::string& text, auto* out) {
      return std::from_chars(text.data(), text.data() + text.size(), *out).ec == std::errc();
    };
    if (whole && parse(*min, &whole_min) && parse(*max, &whole_max)) {
      return CutRange(whole_min, whole_max, options_.splits);
    }
    // Numerics may be too large for a double; then there is one range.
    if (!whole && parse(*min, &number_min) && parse(*max, &number_max)) {
      return CutRange(number_min, number_max, options_.splits);
    }
    return std::vector<std::string>();
  }

  Status ExportSnapshot(env::Env& env) const {
    ASSIGN_OR_RETURN(keeper_, PostgresConnection::Open(env, address_));
    RETURN_IF_ERROR(keeper_->Run(Begin("")).status());
    RETURN_IF_ERROR(keeper_->Run("set local idle_in_transaction_session_timeout = 0").status());
    ASSIGN_OR_RETURN(const PostgresResult snapshot, keeper_->Run("select pg_export_snapshot()"));
    snapshot_ = snapshot.At(0, 0).value_or("");
    return Status::Ok();
  }

  const std::string address_;
  // Of the run at hand. The keeper holds the snapshot of several ranges as long as the source lives.
  mutable std::unique_ptr<PostgresConnection> keeper_;
  mutable std::string snapshot_;
  mutable std::vector<uint32_t> types_;
};

}  // namespace

std::unique_ptr<Source> MakePostgresSource(SqlNames names, std::string address, SqlQuery query, SqlOptions options) {
  return std::make_unique<PostgresSource>(std::move(names), std::move(address), std::move(query), std::move(options));
}

}  // namespace glim::io
