// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/cached_parts.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "glim/batch_builder.h"

namespace glim::cluster {
namespace {

Batch SomeRows(int64_t first) {
  BatchBuilder builder;
  for (int64_t i = 0; i < 100; ++i) builder.AppendRow(std::vector<Value>{first + i});
  return builder.Finish();
}

// Batches, or an error behind the first of them.
class SomeBatches final : public exchange::PartitionReader {
 public:
  explicit SomeBatches(std::vector<Batch> batches, bool fails = false) : batches_(std::move(batches)), fails_(fails) {}
  Result<std::optional<Batch>> Next() override {
    if (fails_ && next_ == 1) return Status::Stale("lost");
    if (next_ == batches_.size()) return std::optional<Batch>();
    return std::optional<Batch>(batches_[next_++]);
  }

 private:
  std::vector<Batch> batches_;
  bool fails_;
  size_t next_ = 0;
};

class CachedPartsTest : public testing::Test {
 protected:
  // How many rows a reader gives.
  int64_t Read(uint64_t cache, uint64_t partition, bool fails = false) {
    const auto next = parts_.Read(cache, partition, [&] {
      ++fetched_;
      return std::make_unique<SomeBatches>(std::vector<Batch>{SomeRows(0), SomeRows(100)}, fails);
    });
    int64_t rows = 0;
    while (true) {
      const auto batch = next();
      if (!batch.ok() || !batch->has_value()) return rows;
      rows += (*batch)->row_count();
    }
  }

  const int64_t part_bytes_ = SomeRows(0).MemoryBytes() + SomeRows(100).MemoryBytes();
  CachedParts parts_;
  int fetched_ = 0;
};

TEST_F(CachedPartsTest, WhatWasReadOnceIsFetchedOnce) {
  EXPECT_EQ(parts_.Begin({1}, {1}, 40 * part_bytes_), 30 * part_bytes_);
  EXPECT_EQ(Read(1, 0), 200);
  EXPECT_EQ(Read(1, 0), 200);
  EXPECT_EQ(fetched_, 1);
  EXPECT_EQ(Read(1, 1), 200);
  EXPECT_EQ(fetched_, 2);
  EXPECT_EQ(parts_.bytes(), 2 * part_bytes_);
  parts_.Begin({1, 2}, {2}, 40 * part_bytes_);
  EXPECT_EQ(parts_.bytes(), 2 * part_bytes_) << "of a cache that is alive";
  EXPECT_EQ(parts_.Begin({}, {}, 40 * part_bytes_), 40 * part_bytes_);
  EXPECT_EQ(parts_.bytes(), 0);
}

TEST_F(CachedPartsTest, WhatWasNotReadToItsEndIsNotKept) {
  parts_.Begin({1}, {1}, 40 * part_bytes_);
  EXPECT_EQ(Read(1, 0, /*fails=*/true), 100);
  EXPECT_EQ(parts_.bytes(), 0);
  EXPECT_EQ(Read(1, 0), 200);
  EXPECT_EQ(fetched_, 2);
}

TEST_F(CachedPartsTest, WhatHasNoRoomIsReadAllTheSame) {
  parts_.Begin({1, 2}, {1}, 4 * (2 * part_bytes_ + 1));
  for (int partition = 0; partition < 4; ++partition) EXPECT_EQ(Read(1, partition), 200);
  EXPECT_EQ(parts_.bytes(), 2 * part_bytes_);
  EXPECT_NE(parts_.Find(1, 0), nullptr) << "what the run reads stays";
  // Another run does not read it, so it makes way.
  parts_.Begin({1, 2}, {2}, 4 * (2 * part_bytes_ + 1));
  EXPECT_EQ(Read(2, 0), 200);
  EXPECT_NE(parts_.Find(2, 0), nullptr);
  EXPECT_LE(parts_.bytes(), 2 * part_bytes_);
}

}  // namespace
}  // namespace glim::cluster
