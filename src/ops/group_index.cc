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

constexpr size_t kSlotsMin = 64;
constexpr int64_t kPrefetchAhead = 16;
constexpr size_t kRowsAhead = 4096;  // Of a batch.

// So many slots are for so many groups.
constexpr size_t GroupsOf(size_t slots) { return slots / 8 * 5; }

size_t SlotsFor(size_t groups, size_t slots) {
  while (groups > GroupsOf(slots)) slots *= 2;
  return slots;
}

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
  for (size_t i = 0; i < begins.size(); ++i)
    offsets->MutableAs<int32_t>()[i] = static_cast<int32_t>(begins[i] - begins[0]);
  parts.values = std::move(offsets);
  parts.child = std::make_shared<const Column>(std::move(elements));
  return Column(std::move(parts));
}

uint32_t EndOfPiece(std::span<const uint32_t> begins, uint32_t begin) {
  constexpr uint32_t kGroups = 4096, kRows = 16384;
  const auto group_count = static_cast<uint32_t>(begins.size() - 1);
  uint32_t end = begin + 1;
  while (end < group_count && end - begin < kGroups && begins[end + 1] - begins[begin] <= kRows) ++end;
  return end;
}

Column ListsOf(const Column& rows, std::span<const uint32_t> begins, std::span<const uint32_t> order, uint32_t begin,
               uint32_t end) {
  return ListsOf(rows.Gather(order.subspan(begins[begin], begins[end] - begins[begin])),
                 begins.subspan(begin, end - begin + 1));
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

GroupIndex::GroupIndex(size_t key_count) : key_count_(key_count), slots_(kSlotsMin), rows_(std::make_unique<Rows>()) {}
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

inline bool GroupIndex::Matches(const Key& a, const Key& b) {
  if (std::memcmp(&a, &b, 8) != 0) return false;  // Size and the first four bytes.
  if (std::memcmp(a.tail, b.tail, 8) == 0) return true;
  return a.size > BytesView::kInlineMax && std::memcmp(a.address(), b.address(), a.size) == 0;
}

// The same for equal keys: of a short one by its 16 bytes.
inline uint32_t GroupIndex::HashOf(const Key& key) {
  uint64_t words[2];
  std::memcpy(words, &key, sizeof(words));
  if (key.size > BytesView::kInlineMax) words[1] = base::HashBytes(key.bytes());
  return static_cast<uint32_t>(base::HashPair(words[0], words[1]));
}

void GroupIndex::Insert(const Batch& batch, std::span<const int> key_columns, std::vector<uint32_t>* groups) {
  DCHECK(key_columns.size() == key_count_);
  const int64_t n = batch.row_count();
  groups->resize(n);
  if (key_count_ == 0) {  // One group of all rows.
    if (keys_.empty() && n > 0) keys_.push_back(Key{});
    std::fill(groups->begin(), groups->end(), 0);
    return;
  }
  const Form form = key_count_ == 1 ? FormOf(batch.column(key_columns[0])) : Form::kEncoded;
  if (keys_.empty()) form_ = form;
  if (form_ != form && form_ != Form::kEncoded) Encode();
  for (int64_t begin = 0; begin < n; begin += rows_->count_) {
    rows_->Prepare(batch, key_columns, form_, begin);
    InsertRows(std::span(*groups).subspan(static_cast<size_t>(begin)));
  }
}

void GroupIndex::InsertRows(std::span<uint32_t> groups) {
  const int64_t count = rows_->count_;
  MakeRoom(static_cast<size_t>(count));
  const uint64_t mask = slots_.size() - 1;
  Slot* const slots = slots_.data();
  const uint32_t* const hashes = rows_->hashes_.data();
  const Key* const row_keys = rows_->keys_.data();
  for (int64_t i = 0; i < std::min(kPrefetchAhead, count); ++i) __builtin_prefetch(&slots[hashes[i] & mask], 1);
  for (int64_t i = 0; i < count; ++i) {
    if (i + kPrefetchAhead < count) __builtin_prefetch(&slots[hashes[i + kPrefetchAhead] & mask], 1);
    for (uint64_t at = hashes[i] & mask;; at = (at + 1) & mask) {
      Slot& slot = slots[at];
      if (slot.group_plus_one != 0 && Matches(slot.key, row_keys[i])) {
        groups[static_cast<size_t>(i)] = slot.group_plus_one - 1;
        break;
      }
      if (slot.group_plus_one == 0) {
        Key key = row_keys[i];
        if (key.size > BytesView::kInlineMax) {
          const char* kept = Keep(key.bytes());
          std::memcpy(key.tail, &kept, sizeof(kept));
        }
        keys_.push_back(key);
        slot = {key, hashes[i], static_cast<uint32_t>(keys_.size())};
        groups[static_cast<size_t>(i)] = static_cast<uint32_t>(keys_.size()) - 1;
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
  const uint64_t mask = slots_.size() - 1;
  for (int64_t begin = 0; begin < n; begin += scratch->count_) {
    scratch->Prepare(batch, key_columns, form_, begin);
    const uint32_t* const hashes = scratch->hashes_.data();
    const int64_t count = scratch->count_;
    for (int64_t i = 0; i < std::min(kPrefetchAhead, count); ++i) __builtin_prefetch(&slots_[hashes[i] & mask]);
    for (int64_t i = 0; i < count; ++i) {
      if (i + kPrefetchAhead < count) __builtin_prefetch(&slots_[hashes[i + kPrefetchAhead] & mask]);
      for (uint64_t at = hashes[i] & mask; slots_[at].group_plus_one != 0; at = (at + 1) & mask) {
        const Slot& slot = slots_[at];
        if (Matches(slot.key, scratch->keys_[i])) {
          (*groups)[static_cast<size_t>(begin + i)] = slot.group_plus_one - 1;
          break;
        }
      }
    }
  }
}

void GroupIndex::Rows::Prepare(const Batch& batch, std::span<const int> columns, Form form, int64_t begin) {
  count_ = std::min(kAtOnce, batch.row_count() - begin);
  if (form == Form::kEncoded) {
    PrepareEncoded(batch, columns, begin);
  } else if (FormOf(batch.column(columns[0])) != form) {
    PrepareOthers(batch.column(columns[0]), form, begin);
  } else if (form == Form::kBytes) {
    PrepareBytes(batch.column(columns[0]), begin);
  } else {
    PrepareInts(batch.column(columns[0]), begin);
  }
}

void GroupIndex::Rows::PrepareInts(const Column& column, int64_t begin) {
  const auto values = column.Int64s();
  for (int64_t i = 0; i < count_; ++i) {
    keys_[i] = MakeKey(values[begin + i]);
    hashes_[i] = HashOf(keys_[i]);
  }
}

void GroupIndex::Rows::PrepareBytes(const Column& column, int64_t begin) {
  const BytesView* const views = column.Views().data() + begin;
  Key* const keys = keys_.data();
  uint32_t* const hashes = hashes_.data();
  const int64_t count = count_;
  for (int64_t i = 0; i < count; ++i) {
    uint64_t words[2];  // Of a short key, all of it.
    std::memcpy(words, &views[i], sizeof(words));
    std::memcpy(&keys[i], words, sizeof(words));
    hashes[i] = static_cast<uint32_t>(base::HashPair(words[0], words[1]));
    if (views[i].is_inline()) [[likely]]
      continue;
    const char* at = column.Resolve(views[i]).data();
    std::memcpy(keys[i].tail, &at, sizeof(at));
    hashes[i] = HashOf(keys[i]);
  }
}

// Looks up, in an index of values of one type, rows of another or with nils: most are not there.
void GroupIndex::Rows::PrepareOthers(const Column& column, Form form, int64_t begin) {
  for (int64_t i = 0; i < count_; ++i) {
    Key& key = keys_[i];
    key = Key{};
    hashes_[i] = 0;
    key.size = UINT32_MAX;  // No key's size.
    const Cell cell = column.At(begin + i);
    if (form == Form::kBytes && cell.type() == Type::kBytes) {
      key = MakeKey(cell.as_bytes());
    } else if (form == Form::kInts && cell.is_number()) {
      // 4.0 is equal to 4.
      const double number = cell.number();
      const bool in_range = number >= -0x1p63 && number < 0x1p63;
      const int64_t value = cell.type() == Type::kInt64 ? cell.as_int64() : in_range ? static_cast<int64_t>(number) : 0;
      if (cell.Compare(Cell::Int64(value)) != 0) continue;
      key = MakeKey(value);
    } else {
      continue;
    }
    hashes_[i] = HashOf(key);
  }
}

void GroupIndex::Rows::PrepareEncoded(const Batch& batch, std::span<const int> columns, int64_t begin) {
  encoded_.clear();
  encoded_ends_.clear();
  for (int64_t i = 0; i < count_; ++i) {
    for (const int c : columns) batch::AppendEncoded(batch.At(begin + i, c), &encoded_);
    encoded_ends_.push_back(encoded_.size());
  }
  size_t first = 0;
  for (int64_t i = 0; i < count_; ++i) {
    keys_[i] = MakeKey(std::string_view(encoded_).substr(first, encoded_ends_[i] - first));
    hashes_[i] = HashOf(keys_[i]);
    first = encoded_ends_[i];
  }
}

void GroupIndex::Encode() {
  const Form before = std::exchange(form_, Form::kEncoded);
  std::fill(slots_.begin(), slots_.end(), Slot{});
  for (size_t g = 0; g < keys_.size(); ++g) {
    Key& key = keys_[g];
    std::string encoded;
    batch::AppendEncoded(before == Form::kBytes ? Cell::Bytes(key.bytes()) : Cell::Int64(key.int64()), &encoded);
    const bool is_short = encoded.size() <= BytesView::kInlineMax;
    key = MakeKey(is_short ? std::string_view(encoded) : std::string_view(Keep(encoded), encoded.size()));
    Place(key, HashOf(key), static_cast<uint32_t>(g));
  }
}

void GroupIndex::Place(const Key& key, uint32_t hash, uint32_t group) {
  const uint64_t mask = slots_.size() - 1;
  uint64_t at = hash & mask;
  while (slots_[at].group_plus_one != 0) at = (at + 1) & mask;
  slots_[at] = {key, hash, group + 1};
}

void GroupIndex::MakeRoom(size_t rows) {
  const size_t size = SlotsFor(keys_.size() + rows, slots_.size());
  if (size == slots_.size()) return;
  // From slot to slot, as half of them stay near to each other.
  const env::HugeArray<Slot> before = std::exchange(slots_, env::HugeArray<Slot>(size));
  for (const Slot& slot : before) {
    if (slot.group_plus_one != 0) Place(slot.key, slot.hash, slot.group_plus_one - 1);
  }
}

void GroupIndex::Reserve(size_t groups) {
  if (groups <= keys_.size()) return;
  MakeRoom(groups - keys_.size());
  keys_.reserve(groups);
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
  constexpr size_t kSmall = 4 * kRowsAhead;
  if (slots_.size() == 0) return static_cast<int64_t>(keys_.capacity() * sizeof(Key)) + arena_bytes_;
  const size_t size = keys_.size() + kRowsAhead;
  const size_t slots = keys_.size() > kSmall ? SlotsFor(size, slots_.size()) : slots_.size();
  const size_t keys = keys_.size() > kSmall && size > keys_.capacity() ? 2 * keys_.capacity() : keys_.capacity();
  return static_cast<int64_t>(slots * sizeof(Slot) + keys * sizeof(Key)) + arena_bytes_;
}

int64_t GroupIndex::MemoryBytesFor(size_t groups) const {
  return static_cast<int64_t>(SlotsFor(groups, slots_.size()) * sizeof(Slot) + groups * sizeof(Key)) + arena_bytes_;
}

void GroupIndex::EndLooking() {
  slots_ = env::HugeArray<Slot>(0);
  rows_.reset();
}

std::vector<Column> GroupIndex::Keys() const { return KeysFrom(0, group_count()); }

std::vector<Column> GroupIndex::KeysFrom(uint32_t begin, uint32_t count) const {
  std::vector<uint32_t> groups(count);
  std::iota(groups.begin(), groups.end(), begin);
  return KeysOf(groups);
}

std::vector<Column> GroupIndex::KeysOf(std::span<const uint32_t> groups) const {
  if (form_ == Form::kInts) {
    std::vector<int64_t> values(groups.size());
    for (size_t i = 0; i < values.size(); ++i) values[i] = keys_[groups[i]].int64();
    return {Column::FromInt64s(values)};
  }
  std::vector<ColumnBuilder> builders(key_count_);
  if (key_count_ > 0) {
    for (const uint32_t group : groups) {
      const Key& key = keys_[group];
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
