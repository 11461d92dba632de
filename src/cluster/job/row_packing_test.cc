// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/row_packing.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "batch/batch_codec.h"
#include "cluster/job/remote_rows.h"
#include "glim/batch_builder.h"

namespace glim::cluster {
namespace {

constexpr uint32_t kPiece = 1 << 20;

Batch Words(int64_t rows) {
  BatchBuilder builder;
  for (int64_t i = 0; i < rows; ++i) builder.AppendRow(std::vector<Value>{"a word that comes often", i % 7});
  return builder.Finish();
}

// LZ4 takes nothing off.
Batch Noise(int64_t rows) {
  std::mt19937_64 random(1);
  BatchBuilder builder;
  for (int64_t i = 0; i < rows; ++i) builder.AppendRow(std::vector<Value>{static_cast<int64_t>(random())});
  return builder.Finish();
}

std::string Bytes(const Batch& batch) {
  std::string bytes;
  batch::EncodeBatch(batch, &bytes);
  return bytes;
}

class RowPackingTest : public testing::Test {
 protected:
  net::Frame Answer(const std::vector<Batch>& batches) {
    return AnswerWith(7, {.next = {.held = 3, .block = 4}, .end = false}, batches, &packing_);
  }

  const std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  RowPacking packing_{*env_};
};

TEST_F(RowPackingTest, RowsComeBackAsTheyWere) {
  const std::vector<Batch> sent = {Words(1000), Noise(1000), Words(1), Words(0), Words(3000)};
  const auto rows = RowsOfAnswer(Answer(sent));
  ASSERT_TRUE(rows.ok()) << rows.status().message();
  EXPECT_EQ(rows->answer.next.held, 3);
  EXPECT_FALSE(rows->answer.end);
  ASSERT_EQ(rows->batches.size(), sent.size());
  for (size_t i = 0; i < sent.size(); ++i) EXPECT_EQ(Bytes(rows->batches[i]), Bytes(sent[i])) << i;
}

TEST_F(RowPackingTest, WhatDoesNotGetSmallerGoesAsItIs) {
  const std::vector<Batch> sent = {Words(1000), Noise(1000), Words(1)};
  const net::Frame frame = Answer(sent);
  const auto rows = RowsOfAnswer(frame);
  ASSERT_TRUE(rows.ok());
  ASSERT_EQ(rows->answer.plain_bytes.size(), 3U);
  EXPECT_EQ(rows->answer.plain_bytes[0], Bytes(sent[0]).size());
  EXPECT_LT(frame.segments[1].bytes.size(), Bytes(sent[0]).size() / 8);
  for (const size_t i : {1U, 2U}) {
    EXPECT_EQ(rows->answer.plain_bytes[i], 0U);
    EXPECT_EQ(frame.segments[i + 1].bytes, Bytes(sent[i]));
  }
}

TEST_F(RowPackingTest, WithoutAPackingRowsGoAsTheyAre) {
  const net::Frame frame = AnswerWith(7, {}, {Words(1000)}, nullptr);
  EXPECT_EQ(frame.segments[1].bytes, Bytes(Words(1000)));
  const auto rows = RowsOfAnswer(frame);
  ASSERT_TRUE(rows.ok());
  EXPECT_TRUE(rows->answer.plain_bytes.empty());
}

// Changes on the way are found by checksums of frames; this is about a sender with a bug.
TEST_F(RowPackingTest, AnyOtherBytesAreRowsOrAnError) {
  const net::Frame frame = Answer({Words(100), Noise(20)});
  for (size_t segment = 0; segment < frame.segments.size(); ++segment) {
    const std::string good(frame.segments[segment].bytes);
    for (size_t at = 0; at < good.size(); ++at) {
      for (const int change : {1, 0x80, 0xff}) {
        net::Frame changed = frame;
        std::string bytes = good;
        bytes[at] = static_cast<char>(bytes[at] ^ change);
        changed.segments[segment] = net::Segment::Copy(bytes);
        const auto rows = RowsOfAnswer(changed);
        if (!rows.ok()) continue;
        for (const Batch& batch : rows->batches) (void)Bytes(batch);
      }
      net::Frame cut = frame;
      cut.segments[segment] = net::Segment::Copy(good.substr(0, at));
      EXPECT_FALSE(RowsOfAnswer(cut).ok()) << segment << " " << at;
    }
  }
  net::Frame fewer = frame;
  fewer.segments.pop_back();
  EXPECT_EQ(RowsOfAnswer(fewer).status().code(), Code::kCorrupt);
  fewer.segments.clear();
  EXPECT_EQ(RowsOfAnswer(fewer).status().code(), Code::kCorrupt);
}

TEST_F(RowPackingTest, NoMoreIsAllocatedThanCanBeInIt) {
  const std::string packed(1000, 'x');
  EXPECT_EQ(UnpackRows(packed, 255'001).status().code(), Code::kCorrupt);
  EXPECT_EQ(UnpackRows(packed, 0xffff'ffff).status().code(), Code::kCorrupt);
  EXPECT_EQ(UnpackRows({}, 1).status().code(), Code::kCorrupt);
}

TEST_F(RowPackingTest, NothingIsPackedWithinAMachine) {
  EXPECT_FALSE(packing_.Pays({}));
  EXPECT_FALSE(packing_.Pays({.other_machine = false, .bytes_per_second = 1}));
}

TEST_F(RowPackingTest, IsLeftWhereTheNetworkIsFasterAndTriedAgainLater) {
  const PeerWay slow{.other_machine = true, .bytes_per_second = 1},
      fast{.other_machine = true, .bytes_per_second = 1e18};
  EXPECT_TRUE(packing_.Pays({.other_machine = true}));
  EXPECT_TRUE(packing_.Pays(fast));  // Nothing is known of our own speed.
  for (int i = 0; i < 4; ++i) {
    uint32_t plain_bytes = 0;
    const auto plain = std::make_shared<const std::string>(kPiece, 'a');
    EXPECT_LT(packing_.Pack(plain, &plain_bytes)->size(), kPiece);
    EXPECT_EQ(plain_bytes, kPiece);
  }
  EXPECT_FALSE(packing_.Pays(fast));
  EXPECT_TRUE(packing_.Pays(slow));
  int packed = 0;
  for (int i = 0; i < 320; ++i) packed += packing_.Pays(fast) ? 1 : 0;
  EXPECT_EQ(packed, 10);
}

}  // namespace
}  // namespace glim::cluster
