// SPDX-License-Identifier: Apache-2.0
//
// SQL text that both databases understand: names in quotes, a user's query as part of another one, ranges of a key.
//
// Thread: any, plain functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "glim/sources.h"
#include "glim/status.h"

namespace glim::io {

// `"a ""b"""`: means just this name, whatever is in it.
std::string QuoteName(std::string_view name);

struct SqlTable {
  // From `sales`, `shop.sales`; a part in double quotes may hold dots. kInvalid for what is no name.
  static Result<SqlTable> Parse(std::string_view table);
  // `"shop"."sales"`.
  std::string Quoted() const { return schema + QuoteName(name); }

  std::string schema;  // With its dot, in quotes: `"shop".`
  std::string name;
};

// What Source::Describe says, without a password, and the name that messages give the database.
struct SqlNames {
  std::string source;
  std::string database;
};

// What the user asked for, in the forms that are needed.
class SqlQuery {
 public:
  // kInvalid when there is no text.
  static Result<SqlQuery> Parse(std::string_view query);
  // As it is.
  const std::string& all() const { return all_; }
  // `select WHAT from (the query) as q where CONDITION`; the columns are q's. Without a condition, all rows.
  std::string Select(std::string_view what, std::string_view condition = "") const;

 private:
  std::string all_;
  std::string from_;
};

// Nobody knows how large a result is. A split counts as a task's worth, so that each range is a task.
inline constexpr int64_t kSqlSplitBytes = 8 << 20;

// The column that a query is split by, as a column of q.
std::string KeyColumn(const SqlOptions& options);

// Where the ranges of a key begin, but the first: up to `count - 1` rising numbers, as text. Each is above `min` and
// not above `max`.
std::vector<std::string> CutRange(int64_t min, int64_t max, int count);
std::vector<std::string> CutRange(double min, double max, int count);
// A condition for each range; together they hold every row once: those without a key are in the first one.
std::vector<std::string> RangeConditions(const std::string& key, const std::vector<std::string>& begins);

}  // namespace glim::io
