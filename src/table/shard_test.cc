// SPDX-License-Identifier: Apache-2.0
#include "table/shard.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace glim::table {
namespace {

// One shard of each store, and a map of rows with the same kernel as its oracle.
struct Store {
  const char* name;
  ShardSpec spec;
};
const Store kStores[] = {
    {"sparse, row in the index", {1, {}}},
    {"sparse, rows in slabs", {7, {}}},
    {"sparse, long rows", {100, {}}},
    {"dense", {1, {0, 1, 1000}}},
    {"dense slice, wide", {5, {100, 1, 500}}},
    {"dense, every third", {2, {2, 3, 300}}},
    {"dense, rows of a slab each", {20000, {0, 1, 50}}},
};
const UpdateRule kRules[] = {Add{}, Assign{}, Min{}, Max{}, Sgd{}, AdaGrad{}, Adam{}, Ftrl{.l1 = 0.1}};

TableSpec SpecOf(const Store& store, UpdateRule rule, Initial initial) {
  return {.name = "t", .width = store.spec.width, .initial = initial, .rule = rule};
}

Key AnyKey(const ShardSpec& spec) {
  if (spec.slice.count == 0) return *rc::gen::oneOf(rc::gen::arbitrary<Key>(), rc::gen::inRange<Key>(0, 20));
  return spec.slice.first + spec.slice.stride * *rc::gen::inRange<uint64_t>(0, spec.slice.count);
}

std::vector<float> AnyRow(uint32_t width) {
  std::vector<float> row(width);
  // A few random numbers, repeated: rows may be long.
  const float a = static_cast<float>(*rc::gen::inRange(-100, 100)) / 7,
              b = static_cast<float>(*rc::gen::inRange(-100, 100)) / 9;
  for (uint32_t i = 0; i < width; ++i) row[i] = i % 2 ? a : b * static_cast<float>(i % 5);
  return row;
}

// The rows of a table, one by one.
class Oracle {
 public:
  Oracle(const RowKernel& kernel, uint32_t width) : kernel_(kernel), width_(width) {}
  void Push(Key key, const std::vector<float>& values) {
    auto [row, is_new] = rows_.try_emplace(key, kernel_.CellBytes(width_));
    if (is_new) kernel_.Start(key, 0, {width_, width_}, row->second.data());
    std::byte* cells = row->second.data();
    kernel_.Apply({&cells, 1}, {width_, width_}, reinterpret_cast<const std::byte*>(values.data()), RowOrder{});
  }
  std::vector<float> Pull(Key key) const {
    std::vector<float> row(width_);
    if (auto found = rows_.find(key); found != rows_.end()) {
      std::memcpy(row.data(), found->second.data(), width_ * sizeof(float));
    } else {
      kernel_.Initial(key, width_, reinterpret_cast<std::byte*>(row.data()));
    }
    return row;
  }
  const std::map<Key, std::vector<std::byte>>& rows() const { return rows_; }

 private:
  const RowKernel& kernel_;
  const uint32_t width_;
  std::map<Key, std::vector<std::byte>> rows_;
};

std::map<Key, std::vector<std::byte>> ScanAll(const Shard& shard, size_t rows_max, size_t row_bytes, bool state) {
  std::map<Key, std::vector<std::byte>> rows;
  uint64_t position = 0;
  RowChunk chunk;
  for (bool done = false; !done;) {
    done = shard.Scan(&position, rows_max, state, &chunk);
    EXPECT_TRUE(done || !chunk.keys.empty());
    EXPECT_EQ(chunk.values.size(), chunk.keys.size() * row_bytes);
    for (size_t i = 0; i < chunk.keys.size(); ++i) {
      auto row = chunk.values.begin() + static_cast<std::ptrdiff_t>(i * row_bytes);
      EXPECT_TRUE(rows.try_emplace(chunk.keys[i], row, row + static_cast<std::ptrdiff_t>(row_bytes)).second);
    }
  }
  return rows;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

RC_GTEST_PROP(Shard, EveryStoreIsAMapOfRows, ()) {
  const Store& store = kStores[*rc::gen::inRange<size_t>(0, std::size(kStores))];
  const UpdateRule rule = kRules[*rc::gen::inRange<size_t>(0, std::size(kRules))];
  const Initial initial = *rc::gen::element<Initial>(Constant(0), Constant(2.5), Uniform{-1, 1, 5}, Normal{0, 1, 5});
  const uint32_t width = store.spec.width;
  auto kernel = MakeRowKernel(SpecOf(store, rule, initial));
  auto shard = MakeShard(store.spec, *kernel);
  Oracle oracle(*kernel, width);

  const int requests = *rc::gen::inRange(1, 5);
  for (int r = 0; r < requests; ++r) {
    std::vector<Key> keys;
    if (*rc::gen::arbitrary<bool>() && store.spec.slice.count > 0) {
      // A run, perhaps with something after it.
      const auto& slice = store.spec.slice;
      uint64_t first = *rc::gen::inRange<uint64_t>(0, slice.count);
      uint64_t count = *rc::gen::inRange<uint64_t>(0, slice.count - first + 1);
      for (uint64_t i = 0; i < count; ++i) keys.push_back(slice.first + (first + i) * slice.stride);
    }
    const int more = *rc::gen::inRange(0, width > 1000 ? 5 : 60);
    for (int i = 0; i < more; ++i) keys.push_back(AnyKey(store.spec));
    // With positions, rows of the caller's buffer are not in the order of the keys.
    std::vector<uint32_t> positions;
    const bool shuffled = *rc::gen::arbitrary<bool>();
    for (uint32_t i = 0; i < keys.size(); ++i) positions.push_back(static_cast<uint32_t>(keys.size() - 1 - i));
    const KeyList list{keys, shuffled ? RowOrder{positions.data(), 0} : RowOrder{}};
    std::vector<float> values(keys.size() * width), out(values.size(), -1);
    for (uint32_t i = 0; i < keys.size(); ++i) {
      auto row = AnyRow(width);
      std::copy(row.begin(), row.end(), values.begin() + static_cast<std::ptrdiff_t>(list.order[i] * width));
      oracle.Push(keys[i], row);
    }
    shard->Push(list, reinterpret_cast<const std::byte*>(values.data()));
    for (Key& key : keys) {
      if (*rc::gen::inRange(0, 4) == 0) key = AnyKey(store.spec);  // Some were never pushed.
    }
    shard->Pull(list, reinterpret_cast<std::byte*>(out.data()));
    for (uint32_t i = 0; i < keys.size(); ++i) {
      auto row = out.begin() + static_cast<std::ptrdiff_t>(list.order[i] * width);
      RC_ASSERT(SameBits({row, row + width}, oracle.Pull(keys[i])));
    }
  }

  RC_ASSERT(shard->keys_stored() == oracle.rows().size());
  uint64_t non_zero = 0;
  for (const auto& [key, row] : oracle.rows()) non_zero += kernel->HasNonZero(row.data(), width);
  RC_ASSERT(shard->CountNonZero() == non_zero);
  const size_t rows_max = *rc::gen::inRange<size_t>(1, 50);
  RC_ASSERT(ScanAll(*shard, rows_max, kernel->CellBytes(width), true) == oracle.rows());

  // What a scan with state gave makes an equal shard.
  auto copy = MakeShard(store.spec, *kernel);
  uint64_t position = 0;
  RowChunk chunk;
  for (bool done = false; !done;) {
    done = shard->Scan(&position, rows_max, true, &chunk);
    copy->Restore(chunk, true);
  }
  RC_ASSERT(ScanAll(*copy, 100, kernel->CellBytes(width), true) == oracle.rows());
}

TEST(Shard, RowsWithoutStateStartTheirStateAnew) {
  for (const Store& store : kStores) {
    auto kernel = MakeRowKernel(SpecOf(store, Ftrl{.l1 = 0.5}, Constant(0)));
    auto shard = MakeShard(store.spec, *kernel), fresh = MakeShard(store.spec, *kernel);
    const Key key = store.spec.slice.first + store.spec.slice.stride;
    std::vector<float> push(store.spec.width, 3.0f), out(push.size());
    const KeyList list{{&key, 1}, {}};
    shard->Push(list, reinterpret_cast<const std::byte*>(push.data()));
    RowChunk chunk;
    uint64_t position = 0;
    shard->Scan(&position, 10, false, &chunk);
    fresh->Restore(chunk, false);
    EXPECT_EQ(ScanAll(*fresh, 10, push.size() * 4, false), ScanAll(*shard, 10, push.size() * 4, false));
    // The state fits the weights: a gradient of 0 leaves them.
    std::fill(push.begin(), push.end(), 0.0f);
    fresh->Pull(list, reinterpret_cast<std::byte*>(out.data()));
    const float before = out[0];
    fresh->Push(list, reinterpret_cast<const std::byte*>(push.data()));
    fresh->Pull(list, reinterpret_cast<std::byte*>(out.data()));
    EXPECT_NE(before, 0);
    EXPECT_NEAR(out[0], before, 1e-6);
  }
}

TEST(DenseShard, MemoryIsForTheSlabsThatAreUsed) {
  auto kernel = MakeRowKernel({.name = "t"});
  auto shard = MakeShard({1, {0, 1, 1000000000}}, *kernel);
  const uint64_t empty = shard->memory_bytes();
  EXPECT_LT(empty, 1000000u);
  std::vector<Key> keys = {0, 1, 999999999};
  std::vector<float> values = {1, 2, 3};
  shard->Push({keys, {}}, reinterpret_cast<const std::byte*>(values.data()));
  EXPECT_EQ(shard->keys_stored(), 3u);
  EXPECT_LT(shard->memory_bytes() - empty, 200000u);
}

// Rows of variable length, against a map of vectors.
RC_GTEST_PROP(VariableShard, IsAMapOfRowsThatGrow, ()) {
  const UpdateRule rule = kRules[*rc::gen::inRange<size_t>(0, std::size(kRules))];
  const Initial initial = *rc::gen::element<Initial>(Constant(0), Constant(2.5), Uniform{-1, 1, 5});
  auto kernel = MakeRowKernel({.name = "t", .width = kVariableWidth, .initial = initial, .rule = rule});
  auto shard = MakeShard({kVariableWidth, {}}, *kernel);
  // The oracle keeps rows at full length, which the kernel updates from the front; lengths apart.
  constexpr uint32_t kLong = 64;
  std::map<Key, std::pair<uint32_t, std::vector<std::byte>>> oracle;

  const int requests = *rc::gen::inRange(1, 6);
  for (int r = 0; r < requests; ++r) {
    std::vector<Key> keys;
    std::vector<uint32_t> lengths;
    std::vector<uint64_t> begins;
    std::vector<float> values;
    const int count = *rc::gen::inRange(0, 40);
    for (int i = 0; i < count; ++i) {
      keys.push_back(*rc::gen::inRange<Key>(0, 15));
      lengths.push_back(*rc::gen::inRange<uint32_t>(0, kLong + 1));
      begins.push_back(values.size());
      auto row = AnyRow(lengths.back());
      values.insert(values.end(), row.begin(), row.end());

      auto [entry, is_new] = oracle.try_emplace(keys.back(), 0, std::vector<std::byte>(kernel->CellBytes(kLong)));
      auto& [length, cells] = entry->second;
      std::byte* bytes = cells.data();
      const bool shorter = std::holds_alternative<Assign>(rule) && lengths.back() < length;
      if (lengths.back() > length) kernel->Start(keys.back(), length, {lengths.back(), kLong}, bytes);
      length = shorter ? lengths.back() : std::max(length, lengths.back());
      if (lengths.back() > 0) {
        kernel->Apply({&bytes, 1}, {lengths.back(), kLong}, reinterpret_cast<const std::byte*>(row.data()), RowOrder{});
      }
    }
    shard->VPush({keys, {}}, reinterpret_cast<const std::byte*>(values.data()), begins.data(), lengths.data());
  }

  std::vector<Key> keys = {16};
  for (const auto& [key, row] : oracle) keys.push_back(key);
  auto check = [&](const Shard& shard) {
    RC_ASSERT(shard.keys_stored() == oracle.size());
    std::vector<uint32_t> lengths(keys.size(), 99);
    shard.VPullLengths({keys, {}}, lengths.data());
    std::vector<uint64_t> begins;
    uint64_t total = 0;
    for (uint32_t length : lengths) {
      begins.push_back(total);
      total += length;
    }
    std::vector<float> out(total);
    shard.VPull({keys, {}}, begins.data(), lengths.data(), reinterpret_cast<std::byte*>(out.data()));
    RC_ASSERT(lengths[0] == 0u);
    for (size_t i = 1; i < keys.size(); ++i) {
      const auto& [length, cells] = oracle[keys[i]];
      RC_ASSERT(lengths[i] == length);
      if (length == 0) continue;
      RC_ASSERT(std::memcmp(out.data() + begins[i], cells.data(), length * sizeof(float)) == 0);
    }
  };
  check(*shard);

  auto copy = MakeShard({kVariableWidth, {}}, *kernel);
  uint64_t position = 0;
  RowChunk chunk;
  for (bool done = false; !done;) {
    done = shard->Scan(&position, 3, true, &chunk);
    RC_ASSERT(chunk.lengths.size() == chunk.keys.size());
    copy->Restore(chunk, true);
  }
  check(*copy);
  // The state came along: a further push does the same to both.
  std::vector<uint32_t> lengths(keys.size(), 5);
  std::vector<uint64_t> begins(keys.size(), 0);
  auto row = AnyRow(5);
  for (auto* s : {shard.get(), copy.get()}) {
    s->VPush({keys, {}}, reinterpret_cast<const std::byte*>(row.data()), begins.data(), lengths.data());
  }
  auto rows_of = [&](const Shard& s) {
    std::map<Key, std::string> rows;
    uint64_t at = 0;
    for (bool done = false; !done;) {
      done = s.Scan(&at, 1, true, &chunk);
      size_t from = 0;
      for (size_t i = 0; i < chunk.keys.size(); ++i) {
        size_t bytes = chunk.lengths[i] == 0 ? 0 : kernel->CellBytes(chunk.lengths[i]);
        rows[chunk.keys[i]] = std::string(reinterpret_cast<const char*>(chunk.values.data()) + from, bytes);
        from += bytes;
      }
    }
    return rows;
  };
  RC_ASSERT(rows_of(*shard) == rows_of(*copy));
}

}  // namespace
}  // namespace glim::table
