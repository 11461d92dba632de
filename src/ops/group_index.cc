// SPDX-License-Identifier: Apache-2.0
#include "ops/group_index.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/check.h"
#include "base/hash.h"
#include "batch/row_codec.h"

namespace glim::ops {
namespace {

constexpr size_t kSlotsMin = 1024;
constexpr int64_t kPrefetchAhead = 12;
constexpr size_t kRowsAhead = 4096;  // Of a batch.

uint32_t SlotHash(uint64_t hash) { return static_cast<uint32_t>(hash >> 32); }

bool IsRaw(const Column& column) { return column.type() == Type::kBytes && !column.may_have_nulls(); }

}  // namespace

void OrderByGroup(std::span<const uint32_t> group_of_row, uint32_t group_count, std::vector<uint32_t>* begins,
                  std::vector<uint32_t>* order) {
  begins->assign(group_count + 1, 0);
  for (const uint32_t group : group_of_row) ++(*begins)[group + 1];
  std::partial_sum(begins->begin(), begins->end(), begins->begin());
  order->resize(group_of_row.size());
  std::vector<uint32_t> next(begins->begin(), begins->end() - 1);
  for (size_t row = 0; row < group_of_row.size(); ++row)
    (*order)[next[group_of_row[row]]++] = static_cast<uint32_t>(row);
}

Column ListsOf(Column elements, std::span<const uint32_t> begins) {
  Column::Parts parts;
  parts.type = Type::kList;
  parts.length = static_cast<int64_t>(begins.size()) - 1;
  auto offsets = Buffer::Allocate(begins.size() * sizeof(int32_t));
  for (size_t i = 0; i < begins.size(); ++i) offsets->MutableAs<int32_t>()[i] = static_cast<int32_t>(begins[i]);
  parts.values = std::move(offsets);
  parts.child = std::make_shared<const Column>(std::move(elements));
  return Column(std::move(parts));
}

const char* GroupIndex::Key::address() const {
  const char* at;
  std::memcpy(&at, tail, sizeof(at));
  return at;
}

std::string_view GroupIndex::Key::bytes() const { return {size <= BytesView::kInlineMax ? head : address(), size}; }

GroupIndex::GroupIndex(size_t key_count)
    : key_count_(key_count), raw_(key_count == 1), slots_(kSlotsMin, Slot{0, 0}), rows_(std::make_unique<Rows>()) {}
GroupIndex::~GroupIndex() = default;

GroupIndex::Key GroupIndex::MakeKey(std::string_view bytes) {
  Key key{};
  key.size = static_cast<uint32_t>(bytes.size());
  if (bytes.size() <= BytesView::kInlineMax) {
    std::memcpy(key.head, bytes.data(), bytes.size());  // Into head and tail.
  } else {
    const char* at = bytes.data();
    std::memcpy(key.head, at, sizeof(key.head));
    std::memcpy(key.tail, &at, sizeof(at));
  }
  return key;
}

bool GroupIndex::Matches(const Key& a, const Key& b) {
  if (std::memcmp(&a, &b, 8) != 0) return false;  // Size and the first four bytes.
  if (a.size <= BytesView::kInlineMax) return std::memcmp(a.tail, b.tail, 8) == 0;
  return std::memcmp(a.address(), b.address(), a.size) == 0;
}

void GroupIndex::Insert(const Batch& batch, std::span<const int> key_columns, std::vector<uint32_t>* groups) {
  DCHECK(key_columns.size() == key_count_);
  const int64_t n = batch.row_count();
  groups->resize(n);
  if (key_count_ == 0) {  // One group of all rows.
    if (keys_.empty() && n > 0) {
      keys_.push_back(Key{});
      key_hashes_.push_back(0);
    }
    std::fill(groups->begin(), groups->end(), 0);
    return;
  }
  if (raw_ && !IsRaw(batch.column(key_columns[0]))) StopRaw();
  rows_->Prepare(batch, key_columns, raw_);
  const std::vector<uint64_t>& hashes = rows_->hashes_;
  const std::vector<Key>& row_keys = rows_->keys_;
  while ((keys_.size() + n) * 2 > slots_.size()) Grow();
  const uint64_t mask = slots_.size() - 1;
  Slot* const slots = slots_.data();
  for (int64_t i = 0; i < n; ++i) {
    if (i + kPrefetchAhead < n) __builtin_prefetch(&slots[hashes[i + kPrefetchAhead] & mask]);
    const uint64_t hash = hashes[i];
    for (uint64_t at = hash & mask;; at = (at + 1) & mask) {
      Slot& slot = slots[at];
      if (slot.group_plus_one == 0) {
        Key key = row_keys[i];
        if (key.size > BytesView::kInlineMax) {
          const char* kept = Keep(key.bytes());
          std::memcpy(key.tail, &kept, sizeof(kept));
        }
        keys_.push_back(key);
        key_hashes_.push_back(hash);
        slot = {SlotHash(hash), static_cast<uint32_t>(keys_.size())};
        (*groups)[i] = static_cast<uint32_t>(keys_.size()) - 1;
        break;
      }
      if (slot.hash == SlotHash(hash) && Matches(keys_[slot.group_plus_one - 1], row_keys[i])) {
        (*groups)[i] = slot.group_plus_one - 1;
        break;
      }
    }
  }
}

void GroupIndex::Find(const Batch& batch, std::span<const int> key_columns, Rows* scratch,
                      std::vector<uint32_t>* groups) const {
  const int64_t n = batch.row_count();
  groups->assign(n, kNone);
  scratch->Prepare(batch, key_columns, raw_);
  const std::vector<uint64_t>& hashes = scratch->hashes_;
  const uint64_t mask = slots_.size() - 1;
  for (int64_t i = 0; i < n; ++i) {
    if (i + kPrefetchAhead < n) __builtin_prefetch(&slots_[hashes[i + kPrefetchAhead] & mask]);
    for (uint64_t at = hashes[i] & mask; slots_[at].group_plus_one != 0; at = (at + 1) & mask) {
      const Slot& slot = slots_[at];
      if (slot.hash == SlotHash(hashes[i]) && Matches(keys_[slot.group_plus_one - 1], scratch->keys_[i])) {
        (*groups)[i] = slot.group_plus_one - 1;
        break;
      }
    }
  }
}

void GroupIndex::Rows::Prepare(const Batch& batch, std::span<const int> columns, bool raw) {
  keys_.resize(batch.row_count());
  hashes_.resize(batch.row_count());
  if (!raw) {
    PrepareEncoded(batch, columns);
  } else if (IsRaw(batch.column(columns[0]))) {
    PrepareRaw(batch.column(columns[0]));
  } else {
    PrepareRawCells(batch.column(columns[0]));
  }
}

void GroupIndex::Rows::PrepareRaw(const Column& column) {
  const auto views = column.Views();
  for (int64_t i = 0; i < column.length(); ++i) {
    const BytesView& view = views[i];
    Key& key = keys_[i];
    std::memcpy(&key, &view, sizeof(key));
    const std::string_view bytes = column.Resolve(view);
    if (!view.is_inline()) {
      const char* at = bytes.data();
      std::memcpy(key.tail, &at, sizeof(at));
    }
    hashes_[i] = base::HashBytes(bytes);
  }
}

// Looks up other values than bytes in an index of bytes: they are not there.
void GroupIndex::Rows::PrepareRawCells(const Column& column) {
  for (int64_t i = 0; i < column.length(); ++i) {
    Key& key = keys_[i];
    key = Key{};
    hashes_[i] = 0;
    key.size = UINT32_MAX;  // No key's size.
    if (column.IsNull(i)) continue;
    const Cell cell = column.At(i);
    if (cell.type() != Type::kBytes) continue;
    key = MakeKey(cell.as_bytes());
    hashes_[i] = base::HashBytes(cell.as_bytes());
  }
}

void GroupIndex::Rows::PrepareEncoded(const Batch& batch, std::span<const int> columns) {
  encoded_.clear();
  encoded_ends_.clear();
  for (int64_t i = 0; i < batch.row_count(); ++i) {
    for (const int c : columns) batch::AppendEncoded(batch.At(i, c), &encoded_);
    encoded_ends_.push_back(encoded_.size());
  }
  size_t begin = 0;
  for (int64_t i = 0; i < batch.row_count(); ++i) {
    const std::string_view bytes(encoded_.data() + begin, encoded_ends_[i] - begin);
    begin = encoded_ends_[i];
    keys_[i] = MakeKey(bytes);
    hashes_[i] = base::HashBytes(bytes);
  }
}

void GroupIndex::StopRaw() {
  raw_ = false;
  std::vector<Key> old = std::move(keys_);
  keys_.clear();
  key_hashes_.clear();
  std::fill(slots_.begin(), slots_.end(), Slot{0, 0});
  const uint64_t mask = slots_.size() - 1;
  for (const Key& raw : old) {
    std::string encoded;
    batch::AppendEncoded(Cell::Bytes(raw.bytes()), &encoded);
    const bool is_short = encoded.size() <= BytesView::kInlineMax;
    const Key key = MakeKey(is_short ? std::string_view(encoded) : std::string_view(Keep(encoded), encoded.size()));
    const uint64_t hash = base::HashBytes(encoded);
    keys_.push_back(key);
    key_hashes_.push_back(hash);
    uint64_t at = hash & mask;
    while (slots_[at].group_plus_one != 0) at = (at + 1) & mask;
    slots_[at] = {SlotHash(hash), static_cast<uint32_t>(keys_.size())};
  }
}

void GroupIndex::Grow() {
  slots_.assign(slots_.size() * 2, Slot{0, 0});
  const uint64_t mask = slots_.size() - 1;
  for (size_t g = 0; g < key_hashes_.size(); ++g) {
    uint64_t at = key_hashes_[g] & mask;
    while (slots_[at].group_plus_one != 0) at = (at + 1) & mask;
    slots_[at] = {SlotHash(key_hashes_[g]), static_cast<uint32_t>(g) + 1};
  }
}

const char* GroupIndex::Keep(std::string_view bytes) {
  constexpr size_t kArenaBlock = 256 << 10;
  if (bytes.size() > arena_left_) {
    arena_left_ = std::max(kArenaBlock, bytes.size());
    arena_.push_back(std::make_unique<char[]>(arena_left_));
    arena_next_ = arena_.back().get();
    arena_bytes_ += static_cast<int64_t>(arena_left_);
  }
  char* at = arena_next_;
  std::memcpy(at, bytes.data(), bytes.size());
  arena_next_ += bytes.size();
  arena_left_ -= bytes.size();
  return at;
}

int64_t GroupIndex::memory_bytes() const {
  // A table that the next batch may double counts as if it had, so that whoever asks can stop before.
  const auto after = [](size_t size, size_t capacity) {
    constexpr size_t kSmall = 4 * kRowsAhead;
    return capacity > kSmall && size > capacity ? 2 * capacity : capacity;
  };
  const size_t size = keys_.size() + kRowsAhead;
  return static_cast<int64_t>(after(2 * size, slots_.capacity()) * sizeof(Slot) +
                              after(size, keys_.capacity()) * sizeof(Key) +
                              after(size, key_hashes_.capacity()) * sizeof(uint64_t)) +
         arena_bytes_;
}

std::vector<Column> GroupIndex::Keys() const {
  std::vector<ColumnBuilder> builders(key_count_);
  if (key_count_ > 0) {
    for (const Key& key : keys_) {
      std::string_view bytes = key.bytes();
      if (raw_) {
        builders[0].AppendBytes(bytes);
        continue;
      }
      for (ColumnBuilder& builder : builders) batch::DecodeInto(&bytes, &builder);
    }
  }
  std::vector<Column> columns;
  for (ColumnBuilder& builder : builders) columns.push_back(builder.Finish());
  return columns;
}

}  // namespace glim::ops
