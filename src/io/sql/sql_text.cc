// SPDX-License-Identifier: Apache-2.0
#include "io/sql/sql_text.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/try.h"
#include "glim/batch.h"

namespace glim::io {
namespace {

constexpr std::string_view kSpace = " \t\r\n\f\v";

// The part of a table's name at the head of `rest`, without its quotes; `rest` goes on behind it and its dot.
Result<std::string> TakePart(std::string_view table, std::string_view* rest) {
  const auto wrong = [&] {
    return Status::Invalid(fmt::format("{} is not the name of a table", Cell::Bytes(table).ToDebugString()));
  };
  std::string part;
  if (!rest->starts_with('"')) {
    part = rest->substr(0, rest->find('.'));
    rest->remove_prefix(part.size());
    if (part.find('"') != std::string::npos) return wrong();
  } else {
    size_t at = 1;
    for (; at < rest->size(); ++at) {
      if ((*rest)[at] == '"' && rest->substr(at + 1, 1) != "\"") break;
      if ((*rest)[at] == '"') ++at;
      part += (*rest)[at];
    }
    if (at >= rest->size()) return wrong();
    rest->remove_prefix(at + 1);
  }
  if (part.empty() || part.find('\0') != std::string::npos) return wrong();
  if (rest->empty()) return part;
  if (!rest->starts_with('.') || rest->size() == 1) return wrong();
  rest->remove_prefix(1);
  return part;
}

// One word: a table, not a query.
bool IsTableName(std::string_view text) {
  bool quoted = false;
  for (const char c : text) {
    if (c == '"') quoted = !quoted;
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                       c == '$' || c == '.' || c == '"' || byte >= 0x80;
    if (!quoted && !plain) return false;
  }
  return !quoted;
}

}  // namespace

std::string QuoteName(std::string_view name) {
  std::string quoted = "\"";
  for (const char c : name) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

Result<SqlTable> SqlTable::Parse(std::string_view table) {
  SqlTable parsed;
  std::string_view rest = table;
  while (true) {
    ASSIGN_OR_RETURN(parsed.name, TakePart(table, &rest));
    if (rest.empty()) return parsed;
    parsed.schema += QuoteName(parsed.name) + ".";
  }
}

Result<SqlQuery> SqlQuery::Parse(std::string_view query) {
  const size_t begin = std::min(query.find_first_not_of(kSpace), query.size());
  query.remove_prefix(begin);
  query = query.substr(0, query.find_last_not_of(std::string(kSpace) + ';') + 1);
  if (query.empty()) return Status::Invalid("there is no query and no name of a table");
  if (query.find('\0') != std::string_view::npos) return Status::Invalid("the query has a byte 0 in it");
  SqlQuery parsed;
  if (IsTableName(query)) {
    ASSIGN_OR_RETURN(const SqlTable table, SqlTable::Parse(query));
    parsed.all_ = "select * from " + table.Quoted();
    parsed.from_ = table.Quoted();
  } else {
    parsed.all_ = query;
    parsed.from_ = fmt::format("({}\n)", query);  // The query may end in a comment.
  }
  return parsed;
}

std::string SqlQuery::Select(std::string_view what, std::string_view condition) const {
  return fmt::format("select {} from {} as q{}{}", what, from_, condition.empty() ? "" : " where ", condition);
}

std::string KeyColumn(const SqlOptions& options) { return "q." + QuoteName(options.split_by); }

std::vector<std::string> CutRange(int64_t min, int64_t max, int count) {
  // Unsigned: the difference may be too large for a signed one.
  const uint64_t span = max > min ? static_cast<uint64_t>(max) - static_cast<uint64_t>(min) : 0;
  const auto pieces = static_cast<uint64_t>(count);
  std::vector<std::string> begins;
  uint64_t last = 0;
  for (uint64_t i = 1; i < pieces; ++i) {
    const uint64_t offset = span / pieces * i + span % pieces * i / pieces + 1;
    if (offset > span || offset == last) continue;
    begins.push_back(fmt::format("{}", static_cast<int64_t>(static_cast<uint64_t>(min) + offset)));
    last = offset;
  }
  return begins;
}

std::vector<std::string> CutRange(double min, double max, int count) {
  constexpr double kMax = std::numeric_limits<double>::max();
  // PostgreSQL's NaN is above all numbers.
  min = std::isnan(min) ? kMax : std::clamp(min, -kMax, kMax);
  max = std::isnan(max) ? kMax : std::clamp(max, -kMax, kMax);
  std::vector<std::string> begins;
  double last = min;
  for (int i = 1; i < count; ++i) {
    const double part = static_cast<double>(i) / count;
    const double begin = min * (1 - part) + max * part;
    if (begin <= last || begin > max) continue;
    begins.push_back(fmt::format("{}", begin));
    last = begin;
  }
  return begins;
}

std::vector<std::string> RangeConditions(const std::string& key, const std::vector<std::string>& begins) {
  if (begins.empty()) return {""};
  std::vector<std::string> conditions = {fmt::format("({0} < {1} or {0} is null)", key, begins[0])};
  for (size_t i = 0; i + 1 < begins.size(); ++i) {
    conditions.push_back(fmt::format("{0} >= {1} and {0} < {2}", key, begins[i], begins[i + 1]));
  }
  conditions.push_back(fmt::format("{} >= {}", key, begins.back()));
  return conditions;
}

}  // namespace glim::io
