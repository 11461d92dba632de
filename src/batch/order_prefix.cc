// SPDX-License-Identifier: Apache-2.0
#include "batch/order_prefix.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace glim::batch {
namespace {

uint64_t OfNumber(double number) {
  if (std::isnan(number)) return (uint64_t{1} << 62) | ((~uint64_t{0}) >> 2);
  const auto bits = std::bit_cast<uint64_t>(number == 0 ? 0.0 : number);
  const uint64_t ordered = (bits >> 63) != 0 ? ~bits : bits | (uint64_t{1} << 63);
  return (uint64_t{1} << 62) | (ordered >> 2);
}

uint64_t OfBytes(std::string_view bytes) {
  uint64_t head = 0;
  std::memcpy(&head, bytes.data(), std::min<size_t>(bytes.size(), sizeof(head)));
  if constexpr (std::endian::native == std::endian::little) head = __builtin_bswap64(head);
  return (uint64_t{2} << 62) | (head >> 2);
}

uint64_t OfCell(const Cell& cell) {
  switch (cell.type()) {
    case Type::kNull: return 0;
    case Type::kBool: return 1 + cell.as_bool();
    case Type::kInt64:
    case Type::kDouble: return OfNumber(cell.number());
    case Type::kBytes: return OfBytes(cell.as_bytes());
    case Type::kList: return uint64_t{3} << 62;
    case Type::kAny: break;
  }
  return 0;
}

}  // namespace

void OrderPrefixes(const Column& column, bool descending, std::vector<uint64_t>* prefixes) {
  const auto n = static_cast<size_t>(column.length());
  prefixes->resize(n);
  uint64_t* const out = prefixes->data();
  const bool plain = !column.may_have_nulls();
  if (plain && column.type() == Type::kBytes) {
    const auto views = column.Views();
    for (size_t i = 0; i < n; ++i) out[i] = OfBytes(column.Resolve(views[i]));
  } else if (plain && column.type() == Type::kInt64) {
    const auto values = column.Int64s();
    for (size_t i = 0; i < n; ++i) out[i] = OfNumber(static_cast<double>(values[i]));
  } else {
    for (size_t i = 0; i < n; ++i) out[i] = OfCell(column.At(static_cast<int64_t>(i)));
  }
  if (!descending) return;
  for (size_t i = 0; i < n; ++i) out[i] = ~out[i];
}

}  // namespace glim::batch
