// SPDX-License-Identifier: Apache-2.0
#include "batch/row_codec.h"

#include <cmath>
#include <cstring>

#include "base/check.h"

namespace glim::batch {
namespace {

enum Tag : char { kNil, kFalse, kTrue, kInt, kDouble, kBytes, kList };

template <class T>
void AppendFixed(char tag, T value, std::string* out) {
  char bytes[1 + sizeof(T)];
  bytes[0] = tag;
  std::memcpy(bytes + 1, &value, sizeof(T));
  out->append(bytes, sizeof(bytes));
}

template <class T>
T TakeFixed(std::string_view* bytes) {
  CHECK_GE(bytes->size(), sizeof(T));
  T value;
  std::memcpy(&value, bytes->data(), sizeof(T));
  bytes->remove_prefix(sizeof(T));
  return value;
}

void AppendDouble(double value, std::string* out) {
  if (value >= -9223372036854775808.0 && value < 9223372036854775808.0) {
    const auto whole = static_cast<int64_t>(value);
    if (static_cast<double>(whole) == value) return AppendFixed(kInt, whole, out);
  }
  AppendFixed(kDouble, std::isnan(value) ? std::nan("") : value, out);
}

}  // namespace

void AppendEncoded(const Cell& cell, std::string* out) {
  switch (cell.type()) {
    case Type::kBool: out->push_back(cell.as_bool() ? kTrue : kFalse); return;
    case Type::kInt64: return AppendFixed(kInt, cell.as_int64(), out);
    case Type::kDouble: return AppendDouble(cell.as_double(), out);
    case Type::kBytes:
      AppendFixed(kBytes, static_cast<uint32_t>(cell.as_bytes().size()), out);
      out->append(cell.as_bytes());
      return;
    case Type::kList:
      AppendFixed(kList, static_cast<uint32_t>(cell.list_size()), out);
      for (int64_t i = 0; i < cell.list_size(); ++i) AppendEncoded(cell.list_element(i), out);
      return;
    case Type::kNull:
    case Type::kAny: break;
  }
  out->push_back(kNil);
}

void DecodeInto(std::string_view* bytes, ColumnBuilder* column) {
  switch (TakeFixed<char>(bytes)) {
    case kNil: return column->AppendNull();
    case kFalse: return column->AppendBool(false);
    case kTrue: return column->AppendBool(true);
    case kInt: return column->AppendInt64(TakeFixed<int64_t>(bytes));
    case kDouble: return column->AppendDouble(TakeFixed<double>(bytes));
    case kBytes: {
      const auto size = TakeFixed<uint32_t>(bytes);
      CHECK_GE(bytes->size(), size);
      column->AppendBytes(bytes->substr(0, size));
      bytes->remove_prefix(size);
      return;
    }
    case kList: {
      const auto count = TakeFixed<uint32_t>(bytes);
      for (uint32_t i = 0; i < count; ++i) DecodeInto(bytes, &column->elements());
      return column->AppendList();
    }
    default: CHECK(false);
  }
}

}  // namespace glim::batch
