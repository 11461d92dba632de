// SPDX-License-Identifier: Apache-2.0
#include "io/csv_source.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <atomic>
#include <map>
#include <mutex>

#include "base/log.h"
#include "base/try.h"
#include "env/path.h"
#include "io/block_reader.h"
#include "io/compression.h"
#include "io/csv_quotes.h"
#include "io/csv_reader.h"
#include "io/http_file.h"
#include "io/paths.h"

namespace glim::io {
namespace {

// So that no piece but the first sees anything of a byte order mark.
constexpr int64_t kUnitBytes = 8;

class CsvSource : public Source {
 public:
  CsvSource(std::vector<std::string> files, CsvOptions options)
      : files_(std::move(files)), options_(std::move(options)) {}

  ~CsvSource() override {
    if (const int64_t rows = skipped_.load(); rows > 0) {
      base::LogWarning("{}: {} row{} skipped with another number of columns", Describe(), rows, rows == 1 ? "" : "s");
    }
  }

  std::string Describe() const override {
    if (files_.size() == 1) return fmt::format("Csv(\"{}\")", files_[0]);
    return fmt::format("Csv({{\"{}\"}})", fmt::join(files_, "\", \""));
  }

  Result<std::vector<std::string>> ColumnNames(env::Env& env) const override {
    if (!options_.header) return std::vector<std::string>();
    const auto paths = ExpandPaths(env, files_, {options_.recursive, options_.pattern, options_.per_host});
    // Other machines may have them.
    if (options_.per_host && paths.status().code() == Code::kNotFound) return NamesAskedFor();
    RETURN_IF_ERROR(paths.status());
    if (paths->empty()) return std::vector<std::string>();
    ASSIGN_OR_RETURN(CsvReader::FirstRow first, CsvReader::ReadFirstRow(env, paths->front(), options_));
    if (options_.columns.empty()) return std::move(first.fields);
    std::vector<std::string> names;
    for (const CsvColumn& column : options_.columns) {
      const auto number = static_cast<size_t>(column.number);
      // One that is not there is an error of the reader, who knows to say it.
      names.push_back(column.number == 0 ? column.name : number <= first.fields.size() ? first.fields[number - 1] : "");
    }
    return names;
  }

  Estimate MakeEstimate(env::Env& env) const override {
    return EstimateFiles(env, files_, {options_.recursive, options_.pattern, options_.per_host});
  }

  Result<std::vector<Split>> MakeSplits(env::Env& env, const SplitOptions& options) const override {
    RETURN_IF_ERROR(CheckOptions());
    ASSIGN_OR_RETURN(
        std::vector<Split> splits,
        CutFiles(env, files_, {options_.recursive, options_.pattern, options_.per_host}, options, kUnitBytes));
    if (options_.header) RETURN_IF_ERROR(CheckHeaders(env, splits));
    if (options_.quote != 0) MakeQuotes(splits);
    return splits;
  }

  Status TakeSplits(const std::vector<Split>& splits) const override {
    if (options_.quote != 0) MakeQuotes(splits);
    return Status::Ok();
  }

  Result<std::unique_ptr<Reader>> Open(env::Env& env, const Split& split) const override {
    std::shared_ptr<CsvQuotes> quotes;
    {
      std::lock_guard lock(mutex_);
      if (const auto found = quotes_.find({split.host, split.path}); found != quotes_.end()) quotes = found->second;
    }
    ASSIGN_OR_RETURN(auto reader,
                     CsvReader::Open(env, split, options_, quotes.get(), options_.skip_bad ? &skipped_ : nullptr));
    return std::unique_ptr<Reader>(std::move(reader));
  }

 private:
  // Of all columns, or none.
  std::vector<std::string> NamesAskedFor() const {
    std::vector<std::string> names;
    for (const CsvColumn& column : options_.columns) {
      if (column.number != 0) return {};
      names.push_back(column.name);
    }
    return names;
  }

  Status CheckOptions() const {
    const char delimiter = options_.delimiter, quote = options_.quote;
    const auto ends_row = [](char c) { return c == '\n' || c == '\r'; };
    if (delimiter == quote || ends_row(delimiter) || ends_row(quote)) {
      return Status::Invalid(fmt::format("{}: delimiter and quote must differ, and be no line ends", Describe()));
    }
    for (const CsvColumn& column : options_.columns) {
      if (column.number < 0 || (column.number == 0 && column.name.empty())) {
        return Status::Invalid(fmt::format("{}: columns are numbered from 1, not {}", Describe(), column.number));
      }
      if (column.number == 0 && !options_.header) {
        return Status::Invalid(fmt::format("{}: column {} has a name only when the file has a header", Describe(),
                                           Cell::Bytes(column.name).ToDebugString()));
      }
    }
    return Status::Ok();
  }

  // For files of several splits.
  void MakeQuotes(const std::vector<Split>& splits) const {
    std::lock_guard lock(mutex_);
    quotes_.clear();
    for (size_t i = 0; i < splits.size();) {
      std::vector<uint64_t> begins{0};
      size_t next = i + 1;
      for (; next < splits.size() && splits[next].begin > 0; ++next) begins.push_back(splits[next].begin);
      if (begins.size() > 1) {
        quotes_[{splits[i].host, splits[i].path}] =
            std::make_shared<CsvQuotes>(splits[i].path, options_.delimiter, options_.quote, begins);
      }
      i = next;
    }
  }

  // A pipe can be read only once, and an address is asked only once, so their headers are not looked at here.
  Status CheckHeaders(env::Env& env, const std::vector<Split>& splits) const {
    const Split* first = nullptr;
    std::vector<std::string> expected;
    for (const Split& split : splits) {
      if (split.end == kSequentialEnd && (CompressionOf(split.path) == Compression::kNone || IsHttp(split.path)))
        continue;
      if (split.begin > 0) continue;
      ASSIGN_OR_RETURN(CsvReader::FirstRow row, CsvReader::ReadFirstRow(env, split.path, options_));
      std::vector<std::string> names = std::move(row.fields);
      if (names.empty()) continue;
      if (first == nullptr) {
        first = &split;
        expected = std::move(names);
      } else if (names != expected) {
        return HeaderError(split.path, names, first->path, expected);
      }
    }
    return Status::Ok();
  }

  static Status HeaderError(const std::string& path, const std::vector<std::string>& names,
                            const std::string& other_path, const std::vector<std::string>& expected) {
    const std::string shown = env::QuotePath(path), other = env::QuotePath(other_path);
    if (names.size() != expected.size()) {
      return Status::Invalid(fmt::format("{} has {} column{}, {} has {}", shown, names.size(),
                                         names.size() == 1 ? "" : "s", other, expected.size()));
    }
    size_t i = 0;
    while (names[i] == expected[i]) ++i;
    return Status::Invalid(fmt::format("{}: column {} is {}, in {} it is {}", shown, i + 1,
                                       Cell::Bytes(names[i]).ToDebugString(), other,
                                       Cell::Bytes(expected[i]).ToDebugString()));
  }

  const std::vector<std::string> files_;
  const CsvOptions options_;
  mutable std::atomic<int64_t> skipped_{0};
  // Of the run at hand; what readers find out about quotes helps the others.
  mutable std::mutex mutex_;
  mutable std::map<std::pair<std::string, std::string>, std::shared_ptr<CsvQuotes>> quotes_;  // By host and path.
};

}  // namespace

std::unique_ptr<Source> MakeCsvSource(std::vector<std::string> files, CsvOptions options) {
  if (options.numbers && !options.null.has_value()) options.null = "";
  return std::make_unique<CsvSource>(std::move(files), std::move(options));
}

}  // namespace glim::io
