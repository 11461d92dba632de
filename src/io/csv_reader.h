// SPDX-License-Identifier: Apache-2.0
//
// Reads the rows of one split of a CSV file: those that start in its range. What the rows look like is said in
// io/csv_source.h.
//
// Two parsers share the work. TakePlainRows walks over rows without quotes, many at once, writing views straight into
// columns; whatever is not plain is left to ParseRow, which takes one row and has the error messages.
//
// Thread: one.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "glim/sources.h"
#include "io/block_reader.h"
#include "io/csv_quotes.h"

namespace glim::io {

class CsvReader : public Reader {
 public:
  // The first row of a file that is no blank line: what it says, and where it starts.
  struct FirstRow {
    std::vector<std::string> fields;  // None when there is no row.
    uint64_t offset = 0;
  };
  // Of "-" too: what was read goes back to standard input.
  static Result<FirstRow> ReadFirstRow(env::Env& env, const std::string& path, const CsvOptions& options);

  // A split that begins in the middle of its file comes with `quotes`, which knows that cut; others may have none. Rows
  // with a wrong number of columns are an error, or skipped and counted. All outlive the reader.
  static Result<std::unique_ptr<CsvReader>> Open(env::Env& env, const Split& split, const CsvOptions& options,
                                                 CsvQuotes* quotes, std::atomic<int64_t>* skipped = nullptr);

  Result<std::optional<Batch>> Next() override;

 private:
  struct Field {
    size_t begin = 0;
    size_t size = 0;
    bool quoted = false;
    bool doubled = false;  // Has doubled quotes.
  };
  enum class Outcome { kRow, kMore, kEnd };

  CsvReader(env::Env& env, std::unique_ptr<BlockReader> blocks, uint64_t end, const CsvOptions& options,
            CsvQuotes* quotes)
      : env_(env),
        blocks_(std::move(blocks)),
        end_(end),
        options_(options),
        quotes_(quotes),
        header_left_(options.header) {}

  Result<FirstRow> ParseFirstRow();
  Status SkipByteOrderMark();
  Status SkipToRow();
  Status ReadOn();
  Result<Outcome> ParseRow();
  void SkipBlankLines(const char* data, size_t end);
  bool ParsePlain(const char* data, size_t end, size_t* at, bool* row_ended);
  Result<bool> ParseQuoted(const char* data, size_t end, size_t* at, bool* row_ended);
  void TakePlainRows();
  Status TakeRow();
  size_t Unquote(const Field& field);
  Status ChooseColumns(const std::vector<std::string>& first_row);
  void StartColumn(size_t i);
  std::optional<Batch> TakeBatch();
  Column MakeColumn(size_t column);
  std::vector<std::string> FieldTexts();
  Status Fail(int64_t line, std::string_view what) const;

  env::Env& env_;
  std::unique_ptr<BlockReader> blocks_;
  const uint64_t end_;  // Rows that start from here on are not ours.
  const CsvOptions& options_;
  CsvQuotes* const quotes_;
  std::atomic<int64_t>* skipped_ = nullptr;
  bool prepared_ = false;
  bool header_left_;
  std::optional<QuoteState> skipping_;  // Our first row is not found yet; the state before the byte at row_.
  uint64_t lines_from_ = 0;             // Where line_ was 1.
  size_t width_ = 0;                    // 0: not known yet.
  std::vector<size_t> chosen_;          // Columns of the file, from 0.
  size_t row_ = 0;                      // Where the next row starts, and its line.
  int64_t line_ = 1;
  size_t next_row_ = 0;  // Behind the row that was parsed last.
  int64_t next_line_ = 1;
  std::vector<Field> fields_;
  std::vector<std::shared_ptr<Buffer>> buffers_;  // The views of the file's columns, room for kRowsMax each,
  std::vector<BytesView*> columns_;               // and where they lie. Those not chosen share one.
  std::vector<std::vector<uint32_t>> quoted_;     // Per column: rows with quotes; only when there is a text for nil.
  size_t row_count_ = 0;
};

}  // namespace glim::io
