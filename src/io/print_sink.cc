// SPDX-License-Identifier: Apache-2.0
#include "io/print_sink.h"

#include <algorithm>
#include <vector>

#include "base/try.h"
#include "io/row_encoder.h"

namespace glim::io {
namespace {

constexpr size_t kRowsPerPiece = 1000;
constexpr size_t kCharactersMax = 80;

bool StartsCharacter(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

size_t Characters(std::string_view text) { return std::count_if(text.begin(), text.end(), StartsCharacter); }

// The cell as a table shows it.
std::string Shown(const Cell& cell) {
  const std::string text = cell.ToString();
  std::string shown;
  size_t characters = 0;
  for (const char c : text) {
    if (StartsCharacter(c) && ++characters > kCharactersMax) return shown + "...";
    switch (c) {
      case '\n': shown += "\\n"; break;
      case '\r': shown += "\\r"; break;
      case '\t': shown += "\\t"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          constexpr char kHex[] = "0123456789abcdef";
          shown += {'\\', 'x', kHex[(c >> 4) & 15], kHex[c & 15]};
        } else {
          shown += c;
        }
    }
  }
  return shown;
}

class TableSink : public Sink {
 public:
  TableSink(std::vector<std::string> names, env::WritableFile* file) : names_(std::move(names)), file_(file) {}
  std::string Describe() const override { return "Print()"; }
  Status Open(env::Env&) override { return Status::Ok(); }
  bool wants_bytes() const override { return false; }
  Status WriteBatch(const Batch& batch) override {
    for (int64_t row = 0; row < batch.row_count(); ++row) {
      Line line;
      for (int c = 0; c < batch.column_count(); ++c) {
        const Cell cell = batch.At(row, c);
        line.push_back({Shown(cell), cell.is_number(), cell.is_null()});
      }
      lines_.push_back(std::move(line));
      if (lines_.size() == kRowsPerPiece) RETURN_IF_ERROR(Flush());
    }
    return Status::Ok();
  }
  // Of no rows the names at least: nothing at all would look like a mistake.
  Status Finish() override {
    RETURN_IF_ERROR(Flush());
    if (headed_) return Status::Ok();
    std::string head, line;
    for (size_t c = 0; c < names_.size(); ++c) {
      const char* const end = c + 1 == names_.size() ? "\n" : "  ";
      head += NameOf(c) + end;
      line += std::string(Characters(NameOf(c)), '-') + end;
    }
    return file_->Append(head + line + "(no rows)\n");
  }
  void Abort() override {}

 private:
  struct Field {
    std::string text;
    bool is_number;
    bool is_null;
  };
  using Line = std::vector<Field>;

  std::string NameOf(size_t column) const {
    return column < names_.size() ? Shown(Cell::Bytes(names_[column])) : std::to_string(column + 1);
  }

  Status Flush() {
    if (lines_.empty()) return Status::Ok();
    size_t columns = 0;
    for (const Line& line : lines_) columns = std::max(columns, line.size());
    std::vector<size_t> widths(columns);
    std::vector<bool> right(columns, true);  // Numbers and nils only.
    for (size_t c = 0; c < columns; ++c) widths[c] = Characters(NameOf(c));
    for (const Line& line : lines_) {
      for (size_t c = 0; c < line.size(); ++c) {
        widths[c] = std::max(widths[c], Characters(line[c].text));
        right[c] = right[c] && (line[c].is_number || line[c].is_null);
      }
    }
    std::string out;
    const auto append = [&](std::string_view text, size_t c, bool last) {
      const size_t padding = widths[c] - Characters(text);
      if (right[c]) out.append(padding, ' ');
      out += text;
      if (!last && !right[c]) out.append(padding, ' ');
      out += last ? "\n" : "  ";
    };
    if (!headed_) {
      for (size_t c = 0; c < columns; ++c) append(NameOf(c), c, c + 1 == columns);
      for (size_t c = 0; c < columns; ++c) append(std::string(widths[c], '-'), c, c + 1 == columns);
      headed_ = true;
    }
    for (const Line& line : lines_) {
      for (size_t c = 0; c < line.size(); ++c) append(line[c].text, c, c + 1 == line.size());
    }
    lines_.clear();
    return file_->Append(out);
  }

  const std::vector<std::string> names_;
  env::WritableFile* const file_;
  std::vector<Line> lines_;
  bool headed_ = false;
};

class EncodedSink : public Sink {
 public:
  EncodedSink(std::unique_ptr<RowEncoder> encoder, env::WritableFile* file)
      : encoder_(std::move(encoder)), file_(file) {}
  std::string Describe() const override { return "Print()"; }
  Status Open(env::Env&) override {
    std::string head;
    encoder_->AppendHead(&head);
    return head.empty() ? Status::Ok() : file_->Append(head);
  }
  bool wants_bytes() const override { return true; }
  Status Encode(const Batch& batch, std::string* out) const override { return encoder_->Append(batch, out); }
  Status WriteBytes(std::string_view bytes) override { return bytes.empty() ? Status::Ok() : file_->Append(bytes); }
  Status Finish() override { return Status::Ok(); }
  void Abort() override {}

 private:
  const std::unique_ptr<RowEncoder> encoder_;
  env::WritableFile* const file_;
};

}  // namespace

std::unique_ptr<Sink> MakeEncodedSink(std::unique_ptr<RowEncoder> encoder, env::WritableFile* file) {
  return std::make_unique<EncodedSink>(std::move(encoder), file);
}

Result<std::unique_ptr<Sink>> MakePrintSink(PrintFormat format, std::vector<std::string> names, bool is_terminal,
                                            env::WritableFile* file) {
  if (format == PrintFormat::kAuto) format = is_terminal ? PrintFormat::kTable : PrintFormat::kCsv;
  std::unique_ptr<RowEncoder> encoder;
  switch (format) {
    case PrintFormat::kAuto:
    case PrintFormat::kTable: return std::unique_ptr<Sink>(std::make_unique<TableSink>(std::move(names), file));
    case PrintFormat::kCsv: {
      ASSIGN_OR_RETURN(encoder, MakeCsvEncoder({.header = std::move(names)}));
      break;
    }
    case PrintFormat::kTsv: {
      ASSIGN_OR_RETURN(encoder, MakeCsvEncoder({.header = std::move(names), .delimiter = '\t'}));
      break;
    }
    case PrintFormat::kJson:
      if (names.empty()) {
        encoder = MakeJsonArrayEncoder();
      } else {
        ASSIGN_OR_RETURN(encoder, MakeJsonEncoder(names));
      }
      break;
  }
  return MakeEncodedSink(std::move(encoder), file);
}

}  // namespace glim::io
