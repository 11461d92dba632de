// SPDX-License-Identifier: Apache-2.0
//
// The sparse store. Short rows lie in the key index itself: one cache line for a look-up or an update. Longer ones
// would make the index's free slots expensive; it holds their number, and they lie in slabs: two cache lines and what
// the row has more.
#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>

#include "base/check.h"
#include "table/key_index.h"
#include "table/row_copy.h"
#include "table/row_slabs.h"
#include "table/shard.h"

namespace glim::table {
namespace {

constexpr size_t kGroup = 16;  // Keys in flight: as many cache lines as a core can wait for.
constexpr uint32_t kRowsMax = 0xffffffff;
constexpr size_t kRowPrefetchBytes = 256;  // Of a long row; the hardware sees the rest coming.

// kPayload: bytes of a row in the index, or 0 for rows in slabs.
template <uint32_t kPayload>
class SparseShard final : public Shard {
 public:
  SparseShard(const ShardSpec& spec, const RowKernel& kernel)
      : kernel_(kernel),
        shape_{spec.width, spec.width},
        row_bytes_(size_t{spec.width} * kernel.value_bytes()),
        cell_bytes_(kernel.CellBytes(spec.width)),
        fresh_(cell_bytes_),
        index_(spec.salt),
        slabs_(cell_bytes_) {
    kernel_.Start(0, 0, shape_, fresh_.data());
  }

  void Push(const KeyList& list, const std::byte* values) override {
    Pipeline pipeline(*this, list);
    while (const Group* group = pipeline.Next()) {
      std::array<std::byte*, kGroup> rows;
      // Keys that are stored while the index grows move the rows that were found before them; then all are looked up
      // again.
      bool moved = group->moves != index_.moves();
      uint64_t moves;
      do {
        moves = index_.moves();
        for (size_t i = 0; i < group->count; ++i) {
          rows[i] = moved || group->rows[i] == nullptr ? FindOrStart(group->keys[i], index_.OrderOf(group->keys[i]))
                                                       : const_cast<std::byte*>(group->rows[i]);
        }
        moved = true;
      } while (moves != index_.moves());
      kernel_.Apply({rows.data(), group->count}, shape_, values, group->order);
    }
  }

  void Pull(const KeyList& list, std::byte* out) const override {
    std::vector<std::byte> initial(kernel_.initial_is_constant() ? 0 : kGroup * row_bytes_);
    Pipeline pipeline(*this, list);
    while (Group* group = pipeline.Next()) {
      for (size_t i = 0; i < group->count; ++i) {
        if (group->rows[i] != nullptr) [[likely]]
          continue;
        const std::byte* row = Find(group->keys[i], index_.OrderOf(group->keys[i]));
        if (row == nullptr) {
          row = fresh_.data();
          if (!initial.empty()) {
            kernel_.Initial(group->keys[i], shape_.width, initial.data() + i * row_bytes_);
            row = initial.data() + i * row_bytes_;
          }
        }
        group->rows[i] = const_cast<std::byte*>(row);
      }
      CopyRows(group->rows.data(), group->count, row_bytes_, out, group->order);
    }
  }

  bool Scan(uint64_t* position, size_t rows_max, bool state, RowChunk* chunk) const override {
    chunk->keys.clear();
    chunk->values.clear();
    chunk->lengths.clear();
    const size_t bytes = state ? cell_bytes_ : row_bytes_;
    return index_.Scan(position, rows_max, [&](Key key, const std::byte* payload) {
      const std::byte* row = RowOf(payload);
      chunk->keys.push_back(key);
      chunk->values.insert(chunk->values.end(), row, row + bytes);
    });
  }

  void ScanKeys(std::span<const Key> keys, bool state, RowChunk* chunk) const override {
    *chunk = {};
    const size_t bytes = state ? cell_bytes_ : row_bytes_;
    for (const Key key : keys) {
      const std::byte* row = Find(key, index_.OrderOf(key));
      if (row == nullptr) continue;
      chunk->keys.push_back(key);
      chunk->values.insert(chunk->values.end(), row, row + bytes);
    }
  }

  void Reserve(uint64_t rows) override { index_.Reserve(rows); }

  void Restore(const RowChunk& chunk, bool state) override {
    const size_t bytes = state ? cell_bytes_ : row_bytes_;
    CHECK_EQ(chunk.values.size(), chunk.keys.size() * bytes);
    for (size_t i = 0; i < chunk.keys.size(); ++i) {
      std::byte* row = FindOrStart(chunk.keys[i], index_.OrderOf(chunk.keys[i]));
      std::memcpy(row, chunk.values.data() + i * bytes, bytes);
      if (!state) kernel_.StartState(shape_, row);
    }
  }

  uint64_t keys_stored() const override { return index_.size(); }
  uint64_t memory_bytes() const override { return sizeof(*this) + index_.memory_bytes() + slabs_.memory_bytes(); }

  uint64_t CountNonZero() const override {
    uint64_t count = 0, position = 0;
    index_.Scan(&position, ~size_t{0},
                [&](Key, const std::byte* payload) { count += kernel_.HasNonZero(RowOf(payload), shape_.width); });
    return count;
  }

  uint64_t room() const override {
    return kInline ? ~uint64_t{0} : kRowsMax - std::min<uint64_t>(index_.size(), kRowsMax);
  }

 private:
  static constexpr bool kInline = kPayload > 0;
  using Index = KeyIndex<kInline ? kPayload : 4>;

  // Some keys on their way through the three steps of a look-up: home bucket prefetched, home bucket searched (and row
  // or next bucket prefetched), done.
  struct Group {
    const Key* keys = nullptr;
    size_t count = 0;
    RowOrder order;
    uint64_t moves = 0;
    std::array<typename Index::Home, kGroup> homes;
    std::array<std::byte*, kGroup> rows;  // Null: not found at home.
  };

  // Takes the groups of a request through the steps, three of them at a time.
  class Pipeline {
   public:
    Pipeline(const SparseShard& shard, const KeyList& list) : shard_(shard), list_(list) {
      Prefetch(groups_[0]);
      Prefetch(groups_[1]);
      Search(groups_[0]);
    }
    // The next group to finish; null at the end.
    Group* Next() {
      Group& group = groups_[next_];
      if (group.count == 0) return nullptr;
      Prefetch(groups_[(next_ + 2) % 3]);
      next_ = (next_ + 1) % 3;
      Search(groups_[next_]);
      return &group;
    }

   private:
    void Prefetch(Group& group) {
      group.keys = list_.keys.data() + begin_;
      group.count = std::min(list_.keys.size() - begin_, kGroup);
      group.order = list_.order.From(static_cast<uint32_t>(begin_));
      group.moves = shard_.index_.moves();
      for (size_t i = 0; i < group.count; ++i)
        group.homes[i] = shard_.index_.PrefetchHome(shard_.index_.OrderOf(group.keys[i]));
      begin_ += group.count;
    }
    void Search(Group& group) {
      if (group.moves != shard_.index_.moves()) {
        std::fill_n(group.rows.begin(), group.count, nullptr);
        return;
      }
      for (size_t i = 0; i < group.count; ++i) {
        std::byte* payload = Index::FindAtHome(group.keys[i], group.homes[i]);
        if constexpr (!kInline) {
          if (payload != nullptr) {
            payload = const_cast<std::byte*>(shard_.RowOf(payload));
            shard_.PrefetchRow(payload);
          }
        }
        group.rows[i] = payload;
      }
    }

    const SparseShard& shard_;
    const KeyList& list_;
    size_t begin_ = 0;
    size_t next_ = 0;
    std::array<Group, 3> groups_;
  };

  static uint32_t Number(const std::byte* payload) {
    uint32_t number;
    std::memcpy(&number, payload, sizeof(number));
    return number;
  }
  const std::byte* RowOf(const std::byte* payload) const {
    if constexpr (kInline) return payload;
    return slabs_.row(Number(payload));
  }

  void PrefetchRow(const std::byte* row) const {
    if constexpr (kInline) return;
    for (size_t at = 0; at < std::min(cell_bytes_, kRowPrefetchBytes); at += 64) __builtin_prefetch(row + at, 1);
  }

  const std::byte* Find(Key key, uint64_t order) const {
    const std::byte* payload = index_.Find(key, order);
    if (payload == nullptr) return nullptr;
    const std::byte* row = RowOf(payload);
    PrefetchRow(row);
    return row;
  }

  std::byte* FindOrStart(Key key, uint64_t order) {
    auto [payload, is_new] = index_.FindOrInsert(key, order);
    std::byte* row = payload;
    if constexpr (!kInline) {
      uint32_t number = is_new ? slabs_.Add() : Number(payload);
      if (is_new) std::memcpy(payload, &number, sizeof(number));
      row = slabs_.row(number);
    }
    if (!is_new) {
      PrefetchRow(row);
    } else if (kernel_.initial_is_constant()) {
      std::memcpy(row, fresh_.data(), kInline ? kPayload : cell_bytes_);
    } else {
      kernel_.Start(key, 0, shape_, row);
    }
    return row;
  }

  const RowKernel& kernel_;
  const RowShape shape_;
  const size_t row_bytes_;
  const size_t cell_bytes_;       // With the rule's state; equals kPayload when that is not 0.
  std::vector<std::byte> fresh_;  // A fresh row, where the initial value is constant.
  Index index_;
  RowSlabs slabs_;  // Empty when rows are in the index.
};

}  // namespace

std::unique_ptr<Shard> MakeSparseShard(const ShardSpec& spec, const RowKernel& kernel) {
  switch (kernel.CellBytes(spec.width)) {
    case 4: return std::make_unique<SparseShard<4>>(spec, kernel);
    case 8: return std::make_unique<SparseShard<8>>(spec, kernel);
    case 12: return std::make_unique<SparseShard<12>>(spec, kernel);
    case 16: return std::make_unique<SparseShard<16>>(spec, kernel);
    case 24: return std::make_unique<SparseShard<24>>(spec, kernel);
    default: return std::make_unique<SparseShard<0>>(spec, kernel);
  }
}

}  // namespace glim::table
