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
        slabs_(cell_bytes_) {
    kernel_.Start(0, 0, shape_, fresh_.data());
  }

  void Push(const KeyList& list, const std::byte* values) override {
    std::array<uint64_t, kGroup> orders, next_orders;
    std::array<std::byte*, kGroup> rows;
    const Key* keys = list.keys.data();
    size_t count = list.keys.size();
    size_t group = std::min(count, kGroup);
    Prepare(keys, group, orders);
    for (size_t begin = 0; begin < count;) {
      const size_t next = begin + group, next_group = std::min(count - next, kGroup);
      Prepare(keys + next, next_group, next_orders);
      // Keys that are stored while the index grows move the rows that were found before them; on the second time all
      // are found.
      uint64_t moves;
      do {
        moves = index_.moves();
        for (size_t i = 0; i < group; ++i) rows[i] = FindOrStart(keys[begin + i], orders[i]);
      } while (moves != index_.moves());
      kernel_.Apply({rows.data(), group}, shape_, values, list.order.From(static_cast<uint32_t>(begin)));
      orders = next_orders;
      begin = next;
      group = next_group;
    }
  }

  void Pull(const KeyList& list, std::byte* out) const override {
    std::array<uint64_t, kGroup> orders, next_orders;
    std::array<const std::byte*, kGroup> rows;
    std::vector<std::byte> initial(kernel_.initial_is_constant() ? 0 : kGroup * row_bytes_);
    const Key* keys = list.keys.data();
    size_t count = list.keys.size();
    size_t group = std::min(count, kGroup);
    Prepare(keys, group, orders);
    for (size_t begin = 0; begin < count;) {
      const size_t next = begin + group, next_group = std::min(count - next, kGroup);
      Prepare(keys + next, next_group, next_orders);
      for (size_t i = 0; i < group; ++i) {
        rows[i] = Find(keys[begin + i], orders[i]);
        if (rows[i] == nullptr) {
          rows[i] = fresh_.data();
          if (!initial.empty()) {
            rows[i] = initial.data() + i * row_bytes_;
            kernel_.Initial(keys[begin + i], shape_.width, initial.data() + i * row_bytes_);
          }
        }
      }
      CopyRows(rows.data(), group, row_bytes_, out, list.order.From(static_cast<uint32_t>(begin)));
      orders = next_orders;
      begin = next;
      group = next_group;
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

  void Restore(const RowChunk& chunk, bool state) override {
    const size_t bytes = state ? cell_bytes_ : row_bytes_;
    CHECK_EQ(chunk.values.size(), chunk.keys.size() * bytes);
    for (size_t i = 0; i < chunk.keys.size(); ++i) {
      std::byte* row = FindOrStart(chunk.keys[i], Index::OrderOf(chunk.keys[i]));
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

  void Prepare(const Key* keys, size_t count, std::array<uint64_t, kGroup>& orders) const {
    for (size_t i = 0; i < count; ++i) {
      orders[i] = Index::OrderOf(keys[i]);
      index_.Prefetch(orders[i]);
    }
  }

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
