// SPDX-License-Identifier: Apache-2.0
//
// What the sources of both databases have in common: names of columns, a split for each range of the key, a reader for
// each split, and errors that begin with the name of the database.
//
// Thread: as Source says.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "io/source.h"
#include "io/sql/sql_text.h"

namespace glim::io {

class SqlSource : public Source {
 public:
  SqlSource(SqlNames names, SqlQuery query, SqlOptions options)
      : names_(std::move(names)), query_(std::move(query)), options_(std::move(options)) {}

  std::string Describe() const final { return names_.source; }
  Result<std::vector<std::string>> ColumnNames(env::Env& env) const final { return Named(ReadNames(env)); }

  Estimate MakeEstimate(env::Env& env) const final {
    const auto estimate = AskEstimate(env);
    return estimate.ok() ? *estimate : Estimate{};
  }

  Result<std::vector<Split>> MakeSplits(env::Env& env, const SplitOptions&) const final {
    auto conditions = Named(MakeConditions(env));
    if (!conditions.ok()) return conditions.status();
    std::vector<Split> splits;
    for (std::string& condition : *conditions) {
      const auto number = splits.size();
      splits.push_back({std::move(condition), number, number + 1, kSqlSplitBytes});
    }
    return splits;
  }

  // The path of a split is its condition.
  Result<std::unique_ptr<Reader>> Open(env::Env& env, const Split& split) const final {
    const bool all = split.path.empty();
    return Named(OpenQuery(env, all ? query_.all() : query_.Select("*", split.path), !all));
  }

 protected:
  virtual Result<std::vector<std::string>> ReadNames(env::Env& env) const = 0;
  // Within a moment.
  virtual Result<Estimate> AskEstimate(env::Env& env) const = 0;
  // A condition for each split; "" for all rows.
  virtual Result<std::vector<std::string>> MakeConditions(env::Env& env) const = 0;
  // `range`: it is one of several.
  virtual Result<std::unique_ptr<Reader>> OpenQuery(env::Env& env, const std::string& query, bool range) const = 0;

  const SqlNames names_;
  const SqlQuery query_;
  const SqlOptions options_;

 private:
  template <class T>
  Result<T> Named(Result<T> result) const {
    if (!result.ok()) return std::move(result).status().With(names_.database);
    return result;
  }
};

}  // namespace glim::io
