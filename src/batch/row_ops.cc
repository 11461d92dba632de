// SPDX-License-Identifier: Apache-2.0
#include "batch/row_ops.h"

#include <algorithm>

#include "base/check.h"
#include "base/hash.h"

namespace glim::batch {
namespace {

template <class Combine>
void HashColumn(const Column& column, Combine combine) {
  const int64_t n = column.length();
  if (!column.may_have_nulls() && column.type() == Type::kBytes) {
    const auto views = column.Views();
    for (int64_t i = 0; i < n; ++i) combine(i, base::HashBytes(column.Resolve(views[i])));
  } else if (!column.may_have_nulls() && column.type() == Type::kInt64) {
    const auto values = column.Int64s();
    for (int64_t i = 0; i < n; ++i) combine(i, base::HashInt(static_cast<uint64_t>(values[i])));
  } else {
    for (int64_t i = 0; i < n; ++i) combine(i, column.At(i).Hash());
  }
}

}  // namespace

void HashRows(const Batch& batch, std::span<const int> columns, std::span<uint64_t> hashes) {
  DCHECK(static_cast<int64_t>(hashes.size()) == batch.row_count());
  if (columns.empty()) {
    std::fill(hashes.begin(), hashes.end(), 0);
    return;
  }
  HashColumn(batch.column(columns[0]), [&](int64_t i, uint64_t hash) { hashes[i] = hash; });
  for (const int c : columns.subspan(1)) {
    HashColumn(batch.column(c), [&](int64_t i, uint64_t hash) { hashes[i] = base::HashCombine(hashes[i], hash); });
  }
}

bool RowsEqual(const Batch& a, int64_t row_a, std::span<const int> columns_a, const Batch& b, int64_t row_b,
               std::span<const int> columns_b) {
  for (size_t i = 0; i < columns_a.size(); ++i) {
    if (!(a.At(row_a, columns_a[i]) == b.At(row_b, columns_b[i]))) return false;
  }
  return true;
}

int CompareRows(const Batch& a, int64_t row_a, const Batch& b, int64_t row_b, std::span<const SortKey> keys) {
  for (const SortKey& key : keys) {
    const int order = a.At(row_a, key.column).Compare(b.At(row_b, key.column));
    if (order != 0) return key.descending ? -order : order;
  }
  return 0;
}

}  // namespace glim::batch
