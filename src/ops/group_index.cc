// SPDX-License-Identifier: Apache-2.0
#include "ops/group_index.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/hash.h"
#include "batch/row_codec.h"

namespace glim::ops {
namespace {

constexpr size_t kSlotsMin = 256;
constexpr int64_t kPrefetchAhead = 12;
constexpr int64_t kRowsAtOnce = 512;  // For so many there is room before any is looked up.
constexpr size_t kRowsAhead = 4096;   // Of a batch.

uint32_t SlotHash(uint64_t hash) { return static_cast<uint32_t>(hash >> 32); }

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

int64_t GroupIndex::Key::int64() const {
  int64_t value;
  std::memcpy(&value, tail, sizeof(value));
  return value;
}

const char* GroupIndex::Key::address() const {
  const char* at;
  std::memcpy(&at, tail, sizeof(at));
  return at;
}

std::string_view GroupIndex::Key::bytes() const { return {size <= BytesView::kInlineMax ? head : address(), size}; }

GroupIndex::GroupIndex(size_t key_count)
    : key_count_(key_count), slots_(kSlotsMin, Slot{0, 0}), rows_(std::make_unique<Rows>()) {}
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

GroupIndex::Key GroupIndex::MakeKey(int64_t value) {
  Key key{};
  key.size = sizeof(value);
  std::memcpy(key.tail, &value, sizeof(value));
  return key;
}

GroupIndex::Form GroupIndex::FormOf(const Column& column) {
  if (column.may_have_nulls()) return Form::kEncoded;
  if (column.type() == Type::kBytes) return Form::kBytes;
  return column.type() == Type::kInt64 ? Form::kInts : Form::kEncoded;
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
  const Form form = key_count_ == 1 ? FormOf(batch.column(key_columns[0])) : Form::kEncoded;
  if (keys_.empty()) form_ = form;
  if (form_ != form && form_ != Form::kEncoded) Encode();
  rows_->Prepare(batch, key_columns, form_);
  for (int64_t begin = 0; begin < n; begin += kRowsAtOnce) InsertRows(begin, std::min(begin + kRowsAtOnce, n), groups);
}

void GroupIndex::InsertRows(int64_t begin, int64_t end, std::vector<uint32_t>* groups) {
  const std::vector<uint64_t>& hashes = rows_->hashes_;
  const std::vector<Key>& row_keys = rows_->keys_;
  while ((keys_.size() + static_cast<size_t>(end - begin)) * 2 > slots_.size()) Grow();
  const uint64_t mask = slots_.size() - 1;
  Slot* const slots = slots_.data();
  // Twice: the slot, then, when that is there, the key it points to.
  const auto prefetch = [&](int64_t i) {
    if (i + 2 * kPrefetchAhead < end) __builtin_prefetch(&slots[hashes[i + 2 * kPrefetchAhead] & mask]);
    if (i + kPrefetchAhead >= end) return;
    const uint32_t group_plus_one = slots[hashes[i + kPrefetchAhead] & mask].group_plus_one;
    if (group_plus_one != 0) __builtin_prefetch(&keys_[group_plus_one - 1]);
  };
  for (int64_t i = begin; i < end; ++i) {
    prefetch(i);
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
  if (keys_.empty()) return;
  scratch->Prepare(batch, key_columns, form_);
  const std::vector<uint64_t>& hashes = scratch->hashes_;
  const uint64_t mask = slots_.size() - 1;
  for (int64_t i = 0; i < n; ++i) {
    if (i + 2 * kPrefetchAhead < n) __builtin_prefetch(&slots_[hashes[i + 2 * kPrefetchAhead] & mask]);
    if (i + kPrefetchAhead < n) {
      const uint32_t group_plus_one = slots_[hashes[i + kPrefetchAhead] & mask].group_plus_one;
      if (group_plus_one != 0) __builtin_prefetch(&keys_[group_plus_one - 1]);
    }
    for (uint64_t at = hashes[i] & mask; slots_[at].group_plus_one != 0; at = (at + 1) & mask) {
      const Slot& slot = slots_[at];
      if (slot.hash == SlotHash(hashes[i]) && Matches(keys_[slot.group_plus_one - 1], scratch->keys_[i])) {
        (*groups)[i] = slot.group_plus_one - 1;
        break;
      }
    }
  }
}

void GroupIndex::Rows::Prepare(const Batch& batch, std::span<const int> columns, Form form) {
  keys_.resize(batch.row_count());
  hashes_.resize(batch.row_count());
  if (form == Form::kEncoded) {
    PrepareEncoded(batch, columns);
  } else if (FormOf(batch.column(columns[0])) != form) {
    PrepareOthers(batch.column(columns[0]), form);
  } else if (form == Form::kBytes) {
    PrepareBytes(batch.column(columns[0]));
  } else {
    PrepareInts(batch.column(columns[0]));
  }
}

void GroupIndex::Rows::PrepareInts(const Column& column) {
  const auto values = column.Int64s();
  for (int64_t i = 0; i < column.length(); ++i) {
    keys_[i] = MakeKey(values[i]);
    hashes_[i] = base::HashInt(static_cast<uint64_t>(values[i]));
  }
}

void GroupIndex::Rows::PrepareBytes(const Column& column) {
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

// Looks up, in an index of values of one type, rows of another or with nils: most are not there.
void GroupIndex::Rows::PrepareOthers(const Column& column, Form form) {
  for (int64_t i = 0; i < column.length(); ++i) {
    Key& key = keys_[i];
    key = Key{};
    hashes_[i] = 0;
    key.size = UINT32_MAX;  // No key's size.
    const Cell cell = column.At(i);
    if (form == Form::kBytes && cell.type() == Type::kBytes) {
      key = MakeKey(cell.as_bytes());
      hashes_[i] = base::HashBytes(cell.as_bytes());
    } else if (form == Form::kInts && cell.is_number()) {
      // 4.0 is equal to 4.
      const double number = cell.number();
      const bool in_range = number >= -0x1p63 && number < 0x1p63;
      const int64_t value = cell.type() == Type::kInt64 ? cell.as_int64() : in_range ? static_cast<int64_t>(number) : 0;
      if (cell.Compare(Cell::Int64(value)) != 0) continue;
      key = MakeKey(value);
      hashes_[i] = base::HashInt(static_cast<uint64_t>(value));
    }
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

void GroupIndex::Encode() {
  const Form before = std::exchange(form_, Form::kEncoded);
  std::vector<Key> old = std::move(keys_);
  keys_.clear();
  key_hashes_.clear();
  std::fill(slots_.begin(), slots_.end(), Slot{0, 0});
  const uint64_t mask = slots_.size() - 1;
  for (const Key& value : old) {
    std::string encoded;
    batch::AppendEncoded(before == Form::kBytes ? Cell::Bytes(value.bytes()) : Cell::Int64(value.int64()), &encoded);
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
    if (g + kPrefetchAhead < key_hashes_.size()) __builtin_prefetch(&slots_[key_hashes_[g + kPrefetchAhead] & mask], 1);
    uint64_t at = key_hashes_[g] & mask;
    while (slots_[at].group_plus_one != 0) at = (at + 1) & mask;
    slots_[at] = {SlotHash(key_hashes_[g]), static_cast<uint32_t>(g) + 1};
  }
}

const char* GroupIndex::Keep(std::string_view bytes) {
  constexpr int64_t kBlockMin = 2 << 10, kBlockMax = 256 << 10;
  if (bytes.size() > arena_left_) {
    arena_left_ = std::max(static_cast<size_t>(std::clamp(arena_bytes_, kBlockMin, kBlockMax)), bytes.size());
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
  if (form_ == Form::kInts) {
    std::vector<int64_t> values(keys_.size());
    for (size_t g = 0; g < values.size(); ++g) values[g] = keys_[g].int64();
    return {Column::FromInt64s(values)};
  }
  std::vector<ColumnBuilder> builders(key_count_);
  if (key_count_ > 0) {
    for (const Key& key : keys_) {
      std::string_view bytes = key.bytes();
      if (form_ == Form::kBytes) {
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
