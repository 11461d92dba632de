// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <bit>
#include <cmath>

#include "base/check.h"
#include "base/hash.h"
#include "glim/batch.h"

namespace glim {
namespace {

// Where a type stands in the total order.
int Rank(Type type) {
  switch (type) {
    case Type::kNull: return 0;
    case Type::kBool: return 1;
    case Type::kInt64:
    case Type::kDouble: return 2;
    case Type::kBytes: return 3;
    case Type::kList: return 4;
    case Type::kAny: break;
  }
  return 5;
}

template <class T>
int CompareSimple(T a, T b) {
  return a < b ? -1 : b < a ? 1 : 0;
}

int CompareDoubles(double a, double b) {
  if (a < b) return -1;
  if (b < a) return 1;
  if (a == b) return 0;
  return CompareSimple(std::isnan(a), std::isnan(b));
}

constexpr double kTwoTo63 = 9223372036854775808.0;

// Exact: no rounding of `i`.
int CompareIntDouble(int64_t i, double d) {
  if (std::isnan(d) || d >= kTwoTo63) return -1;
  if (d < -kTwoTo63) return 1;
  const auto whole = static_cast<int64_t>(d);
  if (i != whole) return i < whole ? -1 : 1;
  return CompareSimple(0.0, d - static_cast<double>(whole));
}

uint64_t HashDouble(double d) {
  if (d >= -kTwoTo63 && d < kTwoTo63) {
    const auto whole = static_cast<int64_t>(d);
    if (static_cast<double>(whole) == d) return base::HashInt(static_cast<uint64_t>(whole));
  }
  if (std::isnan(d)) d = std::nan("");
  return base::HashInt(std::bit_cast<uint64_t>(d));
}

void AppendQuoted(std::string_view bytes, std::string* out) {
  constexpr size_t kShownMax = 60;
  out->push_back('"');
  for (const char c : bytes.substr(0, kShownMax)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(c);
    } else if (c == '\n') {
      *out += "\\n";
    } else if (c == '\t') {
      *out += "\\t";
    } else if (c == '\r') {
      *out += "\\r";
    } else if (byte < 0x20 || byte == 0x7f) {
      *out += fmt::format("\\x{:02x}", byte);
    } else {
      out->push_back(c);
    }
  }
  out->push_back('"');
  if (bytes.size() > kShownMax) *out += fmt::format("... ({} bytes)", bytes.size());
}

std::string NumberToString(const Cell& cell) {
  if (cell.type() == Type::kInt64) return fmt::format("{}", cell.as_int64());
  const double d = cell.as_double();
  if (d >= -kTwoTo63 && d < kTwoTo63 && d == std::trunc(d)) return fmt::format("{}", static_cast<int64_t>(d));
  if (std::isnan(d)) return "nan";
  return fmt::format("{}", d);
}

std::string ToText(const Cell& cell, bool debug) {
  switch (cell.type()) {
    case Type::kBool: return cell.as_bool() ? "true" : "false";
    case Type::kInt64:
    case Type::kDouble: return NumberToString(cell);
    case Type::kBytes: {
      if (!debug) return std::string(cell.as_bytes());
      std::string out;
      AppendQuoted(cell.as_bytes(), &out);
      return out;
    }
    case Type::kList: {
      constexpr int64_t kElementsShownMax = 10;
      std::string out = "{";
      for (int64_t i = 0; i < cell.list_size(); ++i) {
        if (i > 0) out += ", ";
        if (debug && i == kElementsShownMax) {
          out += fmt::format("... {} elements", cell.list_size());
          break;
        }
        out += ToText(cell.list_element(i), debug);
      }
      return out + "}";
    }
    case Type::kNull:
    case Type::kAny: break;
  }
  return "nil";
}

}  // namespace

std::string_view TypeName(Type type) {
  switch (type) {
    case Type::kNull: return "null";
    case Type::kBool: return "bool";
    case Type::kInt64: return "int64";
    case Type::kDouble: return "double";
    case Type::kBytes: return "bytes";
    case Type::kList: return "list";
    case Type::kAny: return "any";
  }
  return "unknown";
}

Cell Cell::Bool(bool value) {
  Cell cell;
  cell.type_ = Type::kBool;
  cell.int_ = value;
  return cell;
}

Cell Cell::Int64(int64_t value) {
  Cell cell;
  cell.type_ = Type::kInt64;
  cell.int_ = value;
  return cell;
}

Cell Cell::Double(double value) {
  Cell cell;
  cell.type_ = Type::kDouble;
  cell.double_ = value;
  return cell;
}

Cell Cell::Bytes(std::string_view value) {
  Cell cell;
  cell.type_ = Type::kBytes;
  cell.data_ = value.data();
  cell.size_ = static_cast<int64_t>(value.size());
  return cell;
}

Cell Cell::List(const Column* elements, int64_t begin, int64_t size) {
  Cell cell;
  cell.type_ = Type::kList;
  cell.elements_ = elements;
  cell.begin_ = begin;
  cell.size_ = size;
  return cell;
}

Cell Cell::list_element(int64_t i) const { return elements_->At(begin_ + i); }

int Cell::Compare(const Cell& other) const {
  const int rank = Rank(type_);
  if (rank != Rank(other.type_)) return CompareSimple(rank, Rank(other.type_));
  switch (type_) {
    case Type::kBool: return CompareSimple(int_, other.int_);
    case Type::kInt64:
      return other.type_ == Type::kInt64 ? CompareSimple(int_, other.int_) : CompareIntDouble(int_, other.double_);
    case Type::kDouble:
      return other.type_ == Type::kDouble ? CompareDoubles(double_, other.double_)
                                          : -CompareIntDouble(other.int_, double_);
    case Type::kBytes: return CompareSimple(as_bytes().compare(other.as_bytes()), 0);
    case Type::kList:
      for (int64_t i = 0; i < size_ && i < other.size_; ++i) {
        if (const int order = list_element(i).Compare(other.list_element(i)); order != 0) return order;
      }
      return CompareSimple(size_, other.size_);
    case Type::kNull:
    case Type::kAny: break;
  }
  return 0;
}

uint64_t Cell::Hash() const {
  switch (type_) {
    case Type::kBool: return base::HashInt(0x626f6f6cULL + as_bool());
    case Type::kInt64: return base::HashInt(static_cast<uint64_t>(int_));
    case Type::kDouble: return HashDouble(double_);
    case Type::kBytes: return base::HashBytes(as_bytes());
    case Type::kList: {
      uint64_t hash = base::HashInt(static_cast<uint64_t>(size_) + 0x6c697374ULL);
      for (int64_t i = 0; i < size_; ++i) hash = base::HashCombine(hash, list_element(i).Hash());
      return hash;
    }
    case Type::kNull:
    case Type::kAny: break;
  }
  return base::HashInt(0x6e696cULL);
}

std::string Cell::ToString() const { return ToText(*this, false); }

std::string Cell::ToDebugString() const { return ToText(*this, true); }

}  // namespace glim
