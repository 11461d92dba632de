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
// `"shop"."sales"` from `shop.sales`; a part in double quotes may hold dots. kInvalid for one that is no name.
Result<std::string> QuoteTable(std::string_view table);

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

// The column that a query is split by, as a column of q.
std::string KeyColumn(const SqlOptions& options);

// Where the ranges of a key begin, but the first: up to `count - 1` rising numbers, as text. Each is above `min` and
// not above `max`.
std::vector<std::string> CutRange(int64_t min, int64_t max, int count);
std::vector<std::string> CutRange(double min, double max, int count);
// A condition for each range; together they hold every row once: those without a key are in the first one.
std::vector<std::string> RangeConditions(const std::string& key, const std::vector<std::string>& begins);

}  // namespace glim::io
