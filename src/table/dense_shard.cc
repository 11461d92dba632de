// SPDX-License-Identifier: Apache-2.0
//
// The dense store: a row's place is its position in the slice. Slabs of about 64 KiB are made when somebody pushes to
// one of their rows, so a vast table of which little is used costs little; one bit per row of a slab says whether it
// was pushed to.
//
//   pull or push of a random key: the row's cache line (prefetched) and its bit's (32 bits of rows share one in the
//   cache) keys that follow each other (whole vectors, ranges): no work per key; rows of rules without state are one
//   long vector
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <memory>
#include <new>
#include <unordered_set>

#include "base/check.h"
#include "partition/divide.h"
#include "table/row_copy.h"
#include "table/shard.h"

namespace glim::table {
namespace {

constexpr size_t kGroup = 16;
constexpr size_t kSlabBytes = 64 << 10;
constexpr size_t kRowPrefetchBytes = 256;

class DenseShard final : public Shard {
 public:
  DenseShard(const ShardSpec& spec, const RowKernel& kernel)
      : kernel_(kernel),
        slice_(spec.slice),
        by_stride_(spec.slice.stride),
        shape_{spec.width, spec.width},
        row_bytes_(size_t{spec.width} * kernel.value_bytes()),
        cell_bytes_(kernel.CellBytes(spec.width)),
        shift_(static_cast<uint32_t>(std::bit_width(std::max<size_t>(kSlabBytes / cell_bytes_, 1)) - 1)),
        fresh_(cell_bytes_),
        slabs_((slice_.count >> shift_) + 1) {
    kernel_.Start(0, 0, shape_, fresh_.data());
  }

  void Push(const KeyList& list, const std::byte* values) override {
    std::array<std::byte*, kGroup> rows;
    for (size_t begin = 0; begin < list.keys.size();) {
      if (size_t run = RunAt(list, begin); run > 0) {
        PushRun(SlotOf(list.keys[begin]), run, values, list.order[begin]);
        begin += run;
        continue;
      }
      const size_t group = std::min(list.keys.size() - begin, kGroup);
      for (size_t i = 0; i < group; ++i) {
        rows[i] = RowToPush(SlotOf(list.keys[begin + i]));
        PrefetchRow(rows[i]);
      }
      kernel_.Apply({rows.data(), group}, shape_, values, list.order.From(static_cast<uint32_t>(begin)));
      begin += group;
    }
  }

  void Pull(const KeyList& list, std::byte* out) const override {
    std::array<const std::byte*, kGroup> rows;
    std::vector<std::byte> initial(kernel_.initial_is_constant() ? 0 : kGroup * row_bytes_);
    for (size_t begin = 0; begin < list.keys.size();) {
      if (size_t run = RunAt(list, begin); run > 0 && cell_bytes_ == row_bytes_ && kernel_.initial_is_constant()) {
        PullRun(SlotOf(list.keys[begin]), run, out + list.order[begin] * row_bytes_);
        begin += run;
        continue;
      }
      const size_t group = std::min(list.keys.size() - begin, kGroup);
      for (size_t i = 0; i < group; ++i) {
        rows[i] = RowToPull(list.keys[begin + i], initial.empty() ? nullptr : initial.data() + i * row_bytes_);
        PrefetchRow(rows[i]);
      }
      CopyRows(rows.data(), group, row_bytes_, out, list.order.From(static_cast<uint32_t>(begin)));
      begin += group;
    }
  }

  // A position is the number of a row.
  bool Scan(uint64_t* position, size_t rows_max, bool state, RowChunk* chunk) const override {
    chunk->keys.clear();
    chunk->values.clear();
    chunk->lengths.clear();
    const size_t bytes = state ? cell_bytes_ : row_bytes_;
    uint64_t slot = *position;
    ForEachStored(&slot, std::max<size_t>(rows_max, 1), [&](uint64_t at, const std::byte* row) {
      chunk->keys.push_back(KeyOf(at));
      chunk->values.insert(chunk->values.end(), row, row + bytes);
    });
    *position = slot;
    return slot >= slice_.count;
  }

  void ScanKeys(std::span<const Key> keys, bool state, RowChunk* chunk) const override {
    *chunk = {};
    const size_t bytes = state ? cell_bytes_ : row_bytes_;
    for (const Key key : keys) {
      const uint64_t slot = SlotOf(key);
      const Slab& slab = slabs_[slot >> shift_];
      if (slab == nullptr || !IsStored(slab, slot)) continue;
      const std::byte* row = RowIn(slab, slot);
      chunk->keys.push_back(key);
      chunk->values.insert(chunk->values.end(), row, row + bytes);
    }
  }

  void Restore(const RowChunk& chunk, bool state) override {
    const size_t bytes = state ? cell_bytes_ : row_bytes_;
    CHECK_EQ(chunk.values.size(), chunk.keys.size() * bytes);
    for (size_t i = 0; i < chunk.keys.size(); ++i) {
      std::byte* row = RowToPush(SlotOf(chunk.keys[i]));
      std::memcpy(row, chunk.values.data() + i * bytes, bytes);
      if (!state) kernel_.StartState(shape_, row);
    }
  }

  uint64_t keys_stored() const override { return stored_; }
  uint64_t memory_bytes() const override {
    return sizeof(*this) + slabs_.size() * sizeof(slabs_[0]) + slab_count_ * SlabBytes();
  }

  // Scattered keys have a slab each; neighbours share one.
  uint64_t GrowthBytes(std::span<const Key> keys) const override {
    std::unordered_set<uint64_t> fresh;
    uint64_t last = ~uint64_t{0};
    for (const Key key : keys) {
      const uint64_t slab = SlotOf(key) >> shift_;
      if (slab == last) continue;
      last = slab;
      if (slabs_[slab] == nullptr) fresh.insert(slab);
    }
    return fresh.size() * SlabBytes();
  }
  uint64_t growth_bytes_max() const override { return (slabs_.size() - slab_count_) * SlabBytes(); }

  uint64_t CountNonZero() const override {
    uint64_t count = 0, slot = 0;
    ForEachStored(&slot, ~size_t{0},
                  [&](uint64_t, const std::byte* row) { count += kernel_.HasNonZero(row, shape_.width); });
    return count;
  }

 private:
  static constexpr size_t kAlignment = 64;
  struct Free {
    void operator()(std::byte* slab) const { ::operator delete(slab, std::align_val_t(kAlignment)); }
  };
  // Rows, then their bits.
  using Slab = std::unique_ptr<std::byte[], Free>;

  uint64_t SlotOf(Key key) const {
    return slice_.stride == 1 ? key - slice_.first : by_stride_.Quotient(key - slice_.first);
  }
  Key KeyOf(uint64_t slot) const { return slice_.first + slot * slice_.stride; }
  uint64_t SlabRows() const { return uint64_t{1} << shift_; }
  size_t WordCount() const { return (SlabRows() + 63) / 64; }
  size_t WordsAt() const { return ((cell_bytes_ << shift_) + 7) / 8 * 8; }
  size_t SlabBytes() const { return WordsAt() + WordCount() * 8; }
  std::byte* RowIn(const Slab& slab, uint64_t slot) const {
    return slab.get() + (slot & (SlabRows() - 1)) * cell_bytes_;
  }
  uint64_t* WordsOf(const Slab& slab) const { return reinterpret_cast<uint64_t*>(slab.get() + WordsAt()); }

  bool IsStored(const Slab& slab, uint64_t slot) const {
    uint64_t at = slot & (SlabRows() - 1);
    return WordsOf(slab)[at / 64] >> (at % 64) & 1;
  }
  // True when it was not.
  bool SetStored(const Slab& slab, uint64_t slot) {
    uint64_t at = slot & (SlabRows() - 1), bit = uint64_t{1} << (at % 64);
    uint64_t& word = WordsOf(slab)[at / 64];
    bool is_new = (word & bit) == 0;
    word |= bit;
    stored_ += is_new;
    return is_new;
  }

  const Slab& SlabToPush(uint64_t slot) {
    Slab& slab = slabs_[slot >> shift_];
    if (slab == nullptr) [[unlikely]] {
      slab.reset(static_cast<std::byte*>(::operator new(SlabBytes(), std::align_val_t(kAlignment))));
      ++slab_count_;
      std::memset(WordsOf(slab), 0, WordCount() * 8);
      if (kernel_.initial_is_constant()) {
        for (uint64_t i = 0; i < SlabRows(); ++i) std::memcpy(slab.get() + i * cell_bytes_, fresh_.data(), cell_bytes_);
      }
    }
    return slab;
  }

  // Rows of a constant initial value are fresh when their slab is made; others when they are first pushed to.
  std::byte* RowToPush(uint64_t slot) {
    const Slab& slab = SlabToPush(slot);
    std::byte* row = RowIn(slab, slot);
    if (SetStored(slab, slot) && !kernel_.initial_is_constant()) kernel_.Start(KeyOf(slot), 0, shape_, row);
    return row;
  }

  const std::byte* RowToPull(Key key, std::byte* initial) const {
    const uint64_t slot = SlotOf(key);
    const Slab& slab = slabs_[slot >> shift_];
    if (slab != nullptr && (initial == nullptr || IsStored(slab, slot))) return RowIn(slab, slot);
    if (initial == nullptr) return fresh_.data();
    kernel_.Initial(key, shape_.width, initial);
    return initial;
  }

  void PrefetchRow(const std::byte* row) const {
    for (size_t at = 0; at < std::min(cell_bytes_, kRowPrefetchBytes); at += 64) __builtin_prefetch(row + at, 1);
  }

  // How many keys from `begin` on follow each other in rows that follow each other; 0 when they are too few to be worth
  // it.
  size_t RunAt(const KeyList& list, size_t begin) const {
    constexpr size_t kRunMin = 64;
    const Key* keys = list.keys.data() + begin;
    const size_t count = list.keys.size() - begin;
    const uint64_t stride = slice_.stride;
    if (count < kRunMin || list.order.positions != nullptr || keys[kRunMin - 1] != keys[0] + (kRunMin - 1) * stride)
      return 0;
    size_t run = 1;
    while (run < count && keys[run] == keys[run - 1] + stride) ++run;
    return run >= kRunMin ? run : 0;
  }

  // Calls work(slab, slot, count) for the parts of a run that lie in one slab.
  template <class Work>
  void ForEachPart(uint64_t slot, size_t count, Work work) const {
    while (count > 0) {
      size_t part = std::min<uint64_t>(count, SlabRows() - (slot & (SlabRows() - 1)));
      work(slot, part);
      slot += part;
      count -= part;
    }
  }

  void PushRun(uint64_t first, size_t count, const std::byte* values, uint32_t value_row) {
    ForEachPart(first, count, [&](uint64_t slot, size_t part) {
      const Slab& slab = SlabToPush(slot);
      for (size_t i = 0; i < part; ++i) {
        if (SetStored(slab, slot + i) && !kernel_.initial_is_constant()) {
          kernel_.Start(KeyOf(slot + i), 0, shape_, RowIn(slab, slot + i));
        }
      }
      if (cell_bytes_ == row_bytes_) {
        kernel_.ApplyRun(RowIn(slab, slot), values + value_row * row_bytes_, part * shape_.width);
      } else {
        std::array<std::byte*, kGroup> rows;
        for (size_t begin = 0; begin < part; begin += kGroup) {
          const size_t group = std::min(part - begin, kGroup);
          for (size_t i = 0; i < group; ++i) rows[i] = RowIn(slab, slot + begin + i);
          kernel_.Apply({rows.data(), group}, shape_, values,
                        RowOrder{nullptr, static_cast<uint32_t>(value_row + begin)});
        }
      }
      value_row += static_cast<uint32_t>(part);
    });
  }

  void PullRun(uint64_t first, size_t count, std::byte* out) const {
    ForEachPart(first, count, [&](uint64_t slot, size_t part) {
      const Slab& slab = slabs_[slot >> shift_];
      if (slab != nullptr) {
        std::memcpy(out, RowIn(slab, slot), part * row_bytes_);
      } else {
        for (size_t i = 0; i < part; ++i) std::memcpy(out + i * row_bytes_, fresh_.data(), row_bytes_);
      }
      out += part * row_bytes_;
    });
  }

  template <class Visit>
  void ForEachStored(uint64_t* slot, size_t count_max, Visit visit) const {
    while (*slot < slice_.count && count_max > 0) {
      const Slab& slab = slabs_[*slot >> shift_];
      const uint64_t end = std::min(slice_.count, (*slot | (SlabRows() - 1)) + 1);
      if (slab == nullptr) {
        *slot = end;
        continue;
      }
      for (; *slot < end && count_max > 0; ++*slot) {
        if (!IsStored(slab, *slot)) continue;
        visit(*slot, RowIn(slab, *slot));
        --count_max;
      }
    }
  }

  const RowKernel& kernel_;
  const partition::KeySlice slice_;
  const partition::Divider by_stride_;
  const RowShape shape_;
  const size_t row_bytes_;
  const size_t cell_bytes_;
  const uint32_t shift_;  // Rows in a slab: 1 << shift_.
  std::vector<std::byte> fresh_;
  std::vector<Slab> slabs_;
  uint64_t slab_count_ = 0;
  uint64_t stored_ = 0;
};

}  // namespace

std::unique_ptr<Shard> MakeDenseShard(const ShardSpec& spec, const RowKernel& kernel) {
  return std::make_unique<DenseShard>(spec, kernel);
}

}  // namespace glim::table
