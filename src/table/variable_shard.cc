// SPDX-License-Identifier: Apache-2.0
//
// The store of rows with different lengths: the key index holds where a row is, how long it is and how much room it
// has. A push that is longer than the row makes it longer; what was not there starts at its initial value. A push by
// `assign` replaces the row, so it may get shorter.
#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "table/key_index.h"
#include "table/shard.h"

namespace glim::table {
namespace {

constexpr size_t kGroup = 16;

struct VariableRow {
  std::byte* cells;  // Values, then each slot, `capacity` values apart; then the extras.
  uint32_t length;
  uint32_t capacity;
};
static_assert(sizeof(VariableRow) == 16);

class VariableShard final : public Shard {
 public:
  VariableShard(const ShardSpec& spec, const RowKernel& kernel) : kernel_(kernel), index_(spec.salt) {}
  ~VariableShard() override {
    uint64_t position = 0;
    index_.Scan(&position, ~size_t{0}, [](Key, const std::byte* payload) { ::operator delete(Read(payload).cells); });
  }

  void Push(const KeyList&, const std::byte*) override { CHECK(false); }
  void Pull(const KeyList&, std::byte*) const override { CHECK(false); }

  void VPush(const KeyList& list, const std::byte* values, const uint64_t* begins, const uint32_t* lengths) override {
    ForEachPrefetched(list, [&](Key key, uint64_t order, uint32_t row_number) {
      const uint32_t length = lengths[row_number];
      auto [payload, is_new] = index_.FindOrInsert(key, order);
      VariableRow row = is_new ? VariableRow{} : Read(payload);
      if (length > row.length) Lengthen(key, &row, length);
      if (kernel_.replaces()) row.length = length;
      std::memcpy(payload, &row, sizeof(row));
      if (length == 0) return;
      // The kernel updates the first `length` values.
      kernel_.Apply({&row.cells, 1}, {length, row.capacity}, values + begins[row_number] * kernel_.value_bytes(),
                    RowOrder{});
    });
  }

  void VPullLengths(const KeyList& list, uint32_t* lengths) const override {
    ForEachPrefetched(list, [&](Key key, uint64_t order, uint32_t row_number) {
      const std::byte* payload = index_.Find(key, order);
      lengths[row_number] = payload == nullptr ? 0 : Read(payload).length;
    });
  }

  void VPull(const KeyList& list, const uint64_t* begins, const uint32_t* lengths, std::byte* out) const override {
    const size_t bytes = kernel_.value_bytes();
    ForEachPrefetched(list, [&](Key key, uint64_t order, uint32_t row_number) {
      const std::byte* payload = index_.Find(key, order);
      if (payload == nullptr) return;
      const VariableRow row = Read(payload);
      CHECK_GE(row.length, lengths[row_number]);
      if (row.length > 0) std::memcpy(out + begins[row_number] * bytes, row.cells, lengths[row_number] * bytes);
    });
  }

  bool Scan(uint64_t* position, size_t rows_max, bool state, RowChunk* chunk) const override {
    chunk->keys.clear();
    chunk->values.clear();
    chunk->lengths.clear();
    return index_.Scan(position, rows_max,
                       [&](Key key, const std::byte* payload) { AppendRow(key, Read(payload), state, chunk); });
  }

  void ScanKeys(std::span<const Key> keys, bool state, RowChunk* chunk) const override {
    *chunk = {};
    for (const Key key : keys) {
      const std::byte* payload = index_.Find(key, index_.OrderOf(key));
      if (payload != nullptr) AppendRow(key, Read(payload), state, chunk);
    }
  }

  void Reserve(uint64_t rows) override { index_.Reserve(rows); }

  void Restore(const RowChunk& chunk, bool state) override {
    const size_t bytes = kernel_.value_bytes();
    const std::byte* from = chunk.values.data();
    for (size_t i = 0; i < chunk.keys.size(); ++i) {
      auto [payload, is_new] = index_.FindOrInsert(chunk.keys[i], index_.OrderOf(chunk.keys[i]));
      VariableRow row = is_new ? VariableRow{} : Read(payload);
      const uint32_t length = chunk.lengths[i];
      if (length > row.length) Lengthen(chunk.keys[i], &row, length);
      row.length = length;
      std::memcpy(payload, &row, sizeof(row));
      if (length == 0) continue;
      auto take = [&](size_t to, size_t count) {
        std::memcpy(row.cells + to * bytes, from, count * bytes);
        from += count * bytes;
      };
      take(0, length);
      if (!state) {
        kernel_.StartState({length, row.capacity}, row.cells);
        continue;
      }
      for (uint32_t slot = 1; slot <= kernel_.slots(); ++slot) take(size_t{slot} * row.capacity, length);
      take((size_t{1} + kernel_.slots()) * row.capacity, kernel_.extras());
    }
    CHECK(from == chunk.values.data() + chunk.values.size());
  }

  uint64_t keys_stored() const override { return index_.size(); }
  uint64_t memory_bytes() const override { return sizeof(*this) + index_.memory_bytes() + cells_bytes_; }

  uint64_t CountNonZero() const override {
    uint64_t count = 0, position = 0;
    index_.Scan(&position, ~size_t{0}, [&](Key, const std::byte* payload) {
      const VariableRow row = Read(payload);
      count += row.length > 0 && kernel_.HasNonZero(row.cells, row.length);
    });
    return count;
  }

 private:
  using Index = KeyIndex<sizeof(VariableRow)>;

  static VariableRow Read(const std::byte* payload) {
    VariableRow row;
    std::memcpy(&row, payload, sizeof(row));
    return row;
  }

  void AppendRow(Key key, const VariableRow& row, bool state, RowChunk* chunk) const {
    const size_t bytes = kernel_.value_bytes();
    const auto append = [&](size_t from, size_t count) {
      if (count == 0) return;
      chunk->values.insert(chunk->values.end(), row.cells + from * bytes, row.cells + (from + count) * bytes);
    };
    chunk->keys.push_back(key);
    chunk->lengths.push_back(row.length);
    append(0, row.length);
    if (!state || row.capacity == 0) return;
    for (uint32_t slot = 1; slot <= kernel_.slots(); ++slot) append(size_t{slot} * row.capacity, row.length);
    append((size_t{1} + kernel_.slots()) * row.capacity, kernel_.extras());
  }

  template <class Work>
  void ForEachPrefetched(const KeyList& list, Work work) const {
    std::array<uint64_t, kGroup> orders;
    for (size_t begin = 0; begin < list.keys.size(); begin += kGroup) {
      const size_t group = std::min(list.keys.size() - begin, kGroup);
      for (size_t i = 0; i < group; ++i) {
        orders[i] = index_.OrderOf(list.keys[begin + i]);
        index_.PrefetchHome(orders[i]);
      }
      for (size_t i = 0; i < group; ++i) {
        if (const std::byte* payload = index_.Find(list.keys[begin + i], orders[i]))
          __builtin_prefetch(Read(payload).cells, 1);
      }
      for (size_t i = 0; i < group; ++i) work(list.keys[begin + i], orders[i], list.order[begin + i]);
    }
  }

  // Makes the row `length` long: with fresh values and state from its old length on.
  void Lengthen(Key key, VariableRow* row, uint32_t length) {
    if (length > row->capacity) {
      // The first push says how long rows of this key are; one that grows gets some room to grow on.
      const uint32_t capacity = row->capacity == 0 ? length : std::max(length, row->capacity + row->capacity / 2);
      const size_t bytes = kernel_.CellBytes(capacity), value_bytes = kernel_.value_bytes();
      auto* cells = static_cast<std::byte*>(::operator new(bytes));
      if (row->length > 0) {
        for (size_t slot = 0; slot <= kernel_.slots(); ++slot) {
          std::memcpy(cells + slot * capacity * value_bytes, row->cells + slot * row->capacity * value_bytes,
                      row->length * value_bytes);
        }
      }
      if (row->capacity > 0) {
        const size_t slots = 1 + kernel_.slots();
        std::memcpy(cells + slots * capacity * value_bytes, row->cells + slots * row->capacity * value_bytes,
                    kernel_.extras() * value_bytes);
        ::operator delete(row->cells);
        cells_bytes_ -= kernel_.CellBytes(row->capacity);
      }
      cells_bytes_ += bytes;
      row->cells = cells;
      row->capacity = capacity;
    }
    kernel_.Start(key, row->length, {length, row->capacity}, row->cells);
    row->length = length;
  }

  const RowKernel& kernel_;
  Index index_;
  uint64_t cells_bytes_ = 0;
};

}  // namespace

std::unique_ptr<Shard> MakeVariableShard(const ShardSpec& spec, const RowKernel& kernel) {
  return std::make_unique<VariableShard>(spec, kernel);
}

}  // namespace glim::table
