// SPDX-License-Identifier: Apache-2.0
#include "io/json_source.h"

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <simdjson.h>

#include <algorithm>
#include <atomic>
#include <charconv>

#include "base/json_error.h"
#include "base/log.h"
#include "base/try.h"
#include "env/path.h"
#include "glim/batch_builder.h"
#include "io/block_reader.h"
#include "io/text_source.h"

namespace glim::io {
namespace {

using simdjson::dom::element;
using simdjson::dom::element_type;

// Buffers of lines may be read that far behind their end.
static_assert(simdjson::SIMDJSON_PADDING <= 64);

bool IsBlank(std::string_view line) { return line.find_first_not_of(" \t\r") == std::string_view::npos; }

bool Fits(std::string_view digits, bool negative) {
  uint64_t value = 0;
  const auto error = std::from_chars(digits.data(), digits.data() + digits.size(), value).ec;
  return error == std::errc() && (!negative || value <= uint64_t{1} << 63);
}

// Whole numbers beyond 64 bits written as texts; simdjson refuses them otherwise.
std::string QuoteIntegers(std::string_view line) {
  std::string out;
  bool in_string = false;
  for (size_t i = 0; i < line.size();) {
    const char c = line[i];
    if (in_string && c == '\\' && i + 1 < line.size()) {
      out += line.substr(i, 2);
      i += 2;
      continue;
    }
    in_string = in_string != (c == '"');
    if (in_string || c < '0' || c > '9') {
      out += c;
      ++i;
      continue;
    }
    const size_t end = std::min(line.find_first_not_of("0123456789.eE+-", i), line.size());
    const std::string_view number = line.substr(i, end - i);
    const bool negative = i > 0 && line[i - 1] == '-';
    if (number.find_first_of(".eE+-") != std::string_view::npos || Fits(number, negative)) {
      out += number;
    } else {
      if (negative) out.pop_back();
      out += fmt::format("\"{}{}\"", negative ? "-" : "", number);
    }
    i = end;
  }
  return out;
}

// False when there is nothing.
bool Follow(const JsonPath& path, element* at) {
  for (const auto& step : path) {
    const auto* name = std::get_if<std::string>(&step);
    const auto error = name != nullptr ? at->at_key(*name).get(*at) : at->at(std::get<size_t>(step)).get(*at);
    if (error != simdjson::SUCCESS) return false;
  }
  return true;
}

void AppendValue(const element& value, ColumnBuilder* column) {
  switch (value.type()) {
    case element_type::NULL_VALUE: return column->AppendNull();
    case element_type::BOOL: return column->AppendBool(value.get_bool().value_unsafe());
    case element_type::INT64: return column->AppendInt64(value.get_int64().value_unsafe());
    // A double would be another number, and no error would say so.
    case element_type::UINT64: return column->AppendBytes(std::to_string(value.get_uint64().value_unsafe()));
    case element_type::DOUBLE: return column->AppendDouble(value.get_double().value_unsafe());
    case element_type::STRING: return column->AppendBytes(value.get_string().value_unsafe());
    case element_type::ARRAY: {
      const simdjson::dom::array children = value.get_array().value_unsafe();
      for (const element child : children) AppendValue(child, &column->elements());
      return column->AppendList();
    }
    case element_type::OBJECT: return column->AppendBytes(simdjson::minify(value));
  }
}

// What the run found out about bad lines.
struct BadLines {
  std::atomic<int64_t> count{0};
};

class JsonReader : public Reader {
 public:
  JsonReader(env::Env& env, std::unique_ptr<Reader> lines, const Split& split, const std::vector<JsonPath>& paths,
             BadLines* bad)
      : env_(env), lines_(std::move(lines)), split_(split), paths_(paths), bad_(bad) {}

  Result<std::optional<Batch>> Next() override {
    while (true) {
      ASSIGN_OR_RETURN(std::optional<Batch> lines, lines_->Next());
      if (!lines.has_value()) return lines;
      ASSIGN_OR_RETURN(Batch rows, Parse(*lines));
      line_ += lines->row_count();
      if (rows.row_count() > 0) return std::optional<Batch>(std::move(rows));
    }
  }

 private:
  // `lines` holds the lines and the bytes where they start.
  Result<Batch> Parse(const Batch& lines) {
    const Column& texts = lines.column(0);
    const bool whole = paths_.empty();
    BatchBuilder builder(static_cast<int>(paths_.size()));
    std::vector<uint32_t> good;
    for (int64_t row = 0; row < lines.row_count(); ++row) {
      std::string_view line = texts.BytesAt(row);
      if (line_ + row == 0 && split_.begin == 0 && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
      if (IsBlank(line)) continue;
      element value;
      if (const auto error = ParseLine(line, &value); error != simdjson::SUCCESS) {
        if (bad_ == nullptr) return Fail(lines, row, error, line);
        bad_->count.fetch_add(1, std::memory_order_relaxed);
        continue;
      }
      good.push_back(static_cast<uint32_t>(row));
      for (size_t i = 0; i < paths_.size(); ++i) {
        ColumnBuilder& column = builder.column(static_cast<int>(i));
        element at = value;
        if (Follow(paths_[i], &at)) {
          AppendValue(at, &column);
        } else {
          column.AppendNull();
        }
      }
      builder.EndRow();
    }
    if (!whole) return builder.Finish();
    const int text_column = 0;
    return lines.Select({&text_column, 1}).Gather(good);
  }

  simdjson::error_code ParseLine(std::string_view line, element* value) {
    if (line.size() <= BytesView::kInlineMax) {  // Lies in its view, with nothing readable behind.
      line.copy(short_line_, line.size());
      line = {short_line_, line.size()};
    }
    const auto error = parser_.parse(line.data(), line.size(), /*realloc_if_needed=*/false).get(*value);
    if (error == simdjson::SUCCESS) return error;
    // How an integer that is too long is called depends on the version of simdjson.
    const std::string quoted = QuoteIntegers(line);
    return quoted.size() == line.size() ? error : parser_.parse(quoted).get(*value);
  }

  Status Fail(const Batch& lines, int64_t row, simdjson::error_code error, std::string_view line) const {
    std::string what(base::WhyNoJson(error));
    what[0] = static_cast<char>(std::tolower(what[0]));
    // From the first line of the batch, whose place is known.
    const auto start = static_cast<uint64_t>(lines.column(1).Int64s()[0]);
    const int64_t before = split_.begin > 0 ? CountLines(env_, split_.path, start) : line_;
    return Status::Invalid(fmt::format("{} line {}: no JSON, {}: {}", env::QuotePath(split_.path), before + row + 1,
                                       what, Cell::Bytes(line).ToDebugString()));
  }

  env::Env& env_;
  std::unique_ptr<Reader> lines_;
  const Split split_;
  const std::vector<JsonPath>& paths_;
  BadLines* const bad_;  // Null: a bad line is an error.
  int64_t line_ = 0;     // Lines of the split before the batch at hand.
  simdjson::dom::parser parser_;
  char short_line_[BytesView::kInlineMax + simdjson::SIMDJSON_PADDING] = {};
};

class JsonSource : public Source {
 public:
  JsonSource(std::vector<std::string> files, JsonLinesOptions options)
      : files_(std::move(files)),
        options_(std::move(options)),
        text_(MakeTextSource(files_, {.recursive = options_.recursive,
                                      .pattern = options_.pattern,
                                      .offset = true,
                                      .strip_cr = true,
                                      .per_host = options_.per_host})) {}
  Result<std::vector<std::string>> ColumnNames(env::Env&) const override { return options_.columns; }
  ~JsonSource() override {
    if (const int64_t bad = bad_.count.load(); bad > 0) {
      base::LogWarning("{}: {} line{} skipped that {} no JSON", Describe(), bad, bad == 1 ? "" : "s",
                       bad == 1 ? "is" : "are");
    }
  }

  std::string Describe() const override {
    if (files_.size() == 1) return fmt::format("JsonLines(\"{}\")", files_[0]);
    return fmt::format("JsonLines({{\"{}\"}})", fmt::join(files_, "\", \""));
  }

  Result<std::vector<Split>> MakeSplits(env::Env& env, const SplitOptions& options) const override {
    RETURN_IF_ERROR(ParsePaths());
    return text_->MakeSplits(env, options);
  }

  Status TakeSplits(const std::vector<Split>&) const override { return ParsePaths(); }

  Estimate MakeEstimate(env::Env& env) const override { return text_->MakeEstimate(env); }

  Result<std::unique_ptr<Reader>> Open(env::Env& env, const Split& split) const override {
    ASSIGN_OR_RETURN(auto lines, text_->Open(env, split));
    return std::unique_ptr<Reader>(
        std::make_unique<JsonReader>(env, std::move(lines), split, paths_, options_.skip_bad ? &bad_ : nullptr));
  }

 private:
  Status ParsePaths() const {
    paths_.clear();
    for (const std::string& column : options_.columns) {
      ASSIGN_OR_RETURN(JsonPath path, ParseJsonPath(column));
      paths_.push_back(std::move(path));
    }
    return Status::Ok();
  }

  const std::vector<std::string> files_;
  const JsonLinesOptions options_;
  const std::unique_ptr<Source> text_;
  mutable std::vector<JsonPath> paths_;  // Of options_.columns, since MakeSplits.
  mutable BadLines bad_;
};

}  // namespace

Result<JsonPath> ParseJsonPath(std::string_view text) {
  const auto fail = [&](size_t at, std::string_view what) {
    return Status::Invalid(fmt::format("path {}, byte {}: {}", Cell::Bytes(text).ToDebugString(), at + 1, what));
  };
  JsonPath path;
  size_t at = 0;
  while (at < text.size() || path.empty()) {
    if (text.substr(at).starts_with("[\"")) {
      const size_t end = text.find("\"]", at + 2);
      if (end == std::string_view::npos) return fail(at, "[\" without \"]");
      path.emplace_back(std::string(text.substr(at + 2, end - at - 2)));
      at = end + 2;
    } else if (text.substr(at).starts_with('[')) {
      size_t index = 0;
      const auto [end, error] = std::from_chars(text.data() + at + 1, text.data() + text.size(), index);
      const auto stop = static_cast<size_t>(end - text.data());
      if (error != std::errc() || stop == text.size() || text[stop] != ']') {
        return fail(at, "expected a number from 0 in brackets, like tags[0]");
      }
      path.emplace_back(index);
      at = stop + 1;
    } else {
      if (!path.empty()) {
        if (text[at] != '.') return fail(at, "expected . or [");
        ++at;
      }
      const size_t end = std::min(text.find_first_of(".[", at), text.size());
      if (end == at) return fail(at, "expected a name");
      path.emplace_back(std::string(text.substr(at, end - at)));
      at = end;
    }
  }
  return path;
}

std::unique_ptr<Source> MakeJsonSource(std::vector<std::string> files, JsonLinesOptions options) {
  return std::make_unique<JsonSource>(std::move(files), std::move(options));
}

}  // namespace glim::io
