// SPDX-License-Identifier: Apache-2.0
//
// MakeJsonEncoder of io/row_encoder.h: one object per row, one line per object.
#include <fmt/core.h>
#include <simdjson.h>

#include <charconv>
#include <cmath>

#include "base/try.h"
#include "io/row_encoder.h"

namespace glim::io {
namespace {

Status AppendString(std::string_view text, std::string* out) {
  // Most texts are as they will stand: one look, without a branch for each byte, and one copy.
  unsigned char seen = 0;
  bool special = false;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    seen |= byte;
    special |= byte < 0x20 || byte == '"' || byte == '\\';
  }
  if (!special && seen < 0x80) {
    *out += '"';
    out->append(text);
    *out += '"';
    return Status::Ok();
  }
  if (!simdjson::validate_utf8(text.data(), text.size())) {
    return Status::Invalid(fmt::format("{} is not UTF-8, which JSON must be", Cell::Bytes(text).ToDebugString()));
  }
  *out += '"';
  for (const char c : text) {
    switch (c) {
      case '"': *out += "\\\""; break;
      case '\\': *out += "\\\\"; break;
      case '\n': *out += "\\n"; break;
      case '\r': *out += "\\r"; break;
      case '\t': *out += "\\t"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          *out += fmt::format("\\u{:04x}", static_cast<int>(c));
        } else {
          *out += c;
        }
    }
  }
  *out += '"';
  return Status::Ok();
}

template <class Number>
void AppendNumber(Number value, std::string* out) {
  char digits[32];
  out->append(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
}

Status AppendValue(const Cell& cell, std::string* out) {
  switch (cell.type()) {
    case Type::kNull: *out += "null"; break;
    case Type::kBool: *out += cell.as_bool() ? "true" : "false"; break;
    case Type::kInt64: AppendNumber(cell.as_int64(), out); break;
    case Type::kDouble:
      if (!std::isfinite(cell.as_double())) {
        return Status::Invalid(fmt::format("JSON has no {}", cell.ToDebugString()));
      }
      AppendNumber(cell.as_double(), out);
      break;
    case Type::kList:
      *out += '[';
      for (int64_t i = 0; i < cell.list_size(); ++i) {
        if (i > 0) *out += ',';
        RETURN_IF_ERROR(AppendValue(cell.list_element(i), out));
      }
      *out += ']';
      break;
    case Type::kBytes:
    case Type::kAny: return AppendString(cell.as_bytes(), out);
  }
  return Status::Ok();
}

Status AppendColumn(const Batch& batch, int64_t row, int column, std::string* out) {
  Status status = AppendValue(batch.At(row, column), out);
  return status.ok() ? status : std::move(status).With(fmt::format("column {}", column + 1));
}

class JsonEncoder : public RowEncoder {
 public:
  Status SetNames(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      std::string key = keys_.empty() ? "{" : ",";
      RETURN_IF_ERROR(AppendString(name, &key));
      keys_.push_back(key + ":");
    }
    return Status::Ok();
  }

  Status Append(const Batch& batch, std::string* out) const override {
    if (batch.row_count() == 0) return Status::Ok();
    if (batch.column_count() != static_cast<int>(keys_.size())) {
      return Status::Invalid(fmt::format("{} name{}, the row has {} column{}: {}", keys_.size(),
                                         keys_.size() == 1 ? "" : "s", batch.column_count(),
                                         batch.column_count() == 1 ? "" : "s", batch.RowToDebugString(0)));
    }
    for (int64_t row = 0; row < batch.row_count(); ++row) {
      if (keys_.empty()) *out += '{';
      for (int i = 0; i < batch.column_count(); ++i) {
        *out += keys_[i];
        RETURN_IF_ERROR(AppendColumn(batch, row, i, out));
      }
      *out += "}\n";
    }
    return Status::Ok();
  }

 private:
  std::vector<std::string> keys_;  // `{"a":`, `,"b":`
};

class JsonArrayEncoder : public RowEncoder {
 public:
  Status Append(const Batch& batch, std::string* out) const override {
    for (int64_t row = 0; row < batch.row_count(); ++row) {
      *out += '[';
      for (int i = 0; i < batch.column_count(); ++i) {
        if (i > 0) *out += ',';
        RETURN_IF_ERROR(AppendColumn(batch, row, i, out));
      }
      *out += "]\n";
    }
    return Status::Ok();
  }
};

}  // namespace

std::unique_ptr<RowEncoder> MakeJsonArrayEncoder() { return std::make_unique<JsonArrayEncoder>(); }

Result<std::unique_ptr<RowEncoder>> MakeJsonEncoder(const std::vector<std::string>& names) {
  auto encoder = std::make_unique<JsonEncoder>();
  RETURN_IF_ERROR(encoder->SetNames(names));
  return std::unique_ptr<RowEncoder>(std::move(encoder));
}

}  // namespace glim::io
