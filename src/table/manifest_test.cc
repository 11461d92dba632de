// SPDX-License-Identifier: Apache-2.0
#include "table/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/crc32c.h"

namespace glim::table {
namespace {

Manifest Example() {
  return {
      .spec = {.name = "ctr",
               .keys = SparseKeys(),
               .value_type = ValueType::kF32,
               .width = 1,
               .initial = Constant(0),
               .rule = Ftrl{.alpha = 0.1, .beta = 1, .l1 = 1, .l2 = 0},
               .partitioner = Partitioner::kHash,
               .shards = 2},
      .model_id = 0x123456789abcdef,
      .slots = 2,
      .extras = 0,
      .has_state = true,
      .files = {{"rows-0123456789abcdef-00000", 10, 400, 0xdeadbeef}, {"rows-0123456789abcdef-00001", 7, 340, 0x42}}};
}

// docs/format/table.md shows this text.
constexpr const char* kText =
    "glim table model 1\nname ctr\nkeys sparse\ntype f32\nwidth 1\ninitial constant 0\nrule ftrl alpha=0.1 beta=1 l1=1 l2=0\n"
    "partitioner hash\nshards 2\nstate yes\nslots 2\nextras 0\nmodel 0123456789abcdef\nrows 17\nfiles 2\n"
    "file rows-0123456789abcdef-00000 10 400 deadbeef\nfile rows-0123456789abcdef-00001 7 340 00000042\n";

TEST(Manifest, TextIsAsTheFormatSays) {
  std::string text = EncodeManifest(Example());
  EXPECT_EQ(text.substr(0, text.size() - 16), kText);
  EXPECT_EQ(text.substr(text.size() - 16), "crc32c 33ca9487\n");
}

TEST(Manifest, ATableOnDiskSaysSo) {
  Manifest manifest = Example();
  manifest.spec.durability = Durability::kDisk;
  const std::string text = EncodeManifest(manifest);
  EXPECT_NE(text.find("shards 2\ndurability disk\nstate yes\n"), std::string::npos) << text;
  const auto back = DecodeManifest(text);
  ASSERT_TRUE(back.ok()) << back.status().message();
  EXPECT_EQ(back->spec, manifest.spec);
}

TEST(Manifest, AFunctionAsPartitionerIsNamedWithItsFingerprint) {
  Manifest manifest = Example();
  manifest.spec.partitioner = Partitioner::kFunction;
  manifest.spec.partition_by = "customer";
  manifest.spec.partition_print = 0xc0ffee;
  const std::string text = EncodeManifest(manifest);
  EXPECT_NE(text.find("partitioner by customer 0000000000c0ffee\nshards 2\n"), std::string::npos) << text;
  const auto back = DecodeManifest(text);
  ASSERT_TRUE(back.ok()) << back.status().message();
  EXPECT_EQ(back->spec, manifest.spec);
}

TEST(Manifest, IsReadBack) {
  auto manifest = DecodeManifest(EncodeManifest(Example()));
  ASSERT_TRUE(manifest.ok()) << manifest.status().message();
  EXPECT_EQ(manifest->spec, Example().spec);
  EXPECT_EQ(manifest->files, Example().files);
  EXPECT_EQ(manifest->model_id, Example().model_id);
  EXPECT_EQ(manifest->slots, 2u);
  EXPECT_TRUE(manifest->has_state);
  EXPECT_EQ(manifest->rows(), 17u);
}

TEST(Manifest, NamesTheConsistencyOfATableThatIsNotAsynchronous) {
  for (const Consistency consistency : {kBsp, Staleness(0), Staleness(3)}) {
    Manifest manifest = Example();
    manifest.spec.consistency = consistency;
    const auto read = DecodeManifest(EncodeManifest(manifest));
    ASSERT_TRUE(read.ok()) << read.status().message();
    EXPECT_EQ(read->spec, manifest.spec);
  }
}

TEST(Manifest, EveryFlippedBitAndEveryCutIsNoticed) {
  const std::string text = EncodeManifest(Example());
  for (size_t i = 0; i < text.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = text;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      auto manifest = DecodeManifest(damaged);
      ASSERT_FALSE(manifest.ok()) << i << " " << bit;
      EXPECT_EQ(manifest.status().code(), Code::kCorrupt);
    }
    EXPECT_FALSE(DecodeManifest(text.substr(0, i)).ok());
  }
  EXPECT_FALSE(DecodeManifest(text + "\n").ok());
}

// With a good checksum: from another program, or a newer version of this one.
TEST(Manifest, TextThatMakesNoSenseIsRefusedWithTheReason) {
  auto decode = [](std::string from, std::string to) {
    std::string text = kText;
    size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    char line[32];
    std::snprintf(line, sizeof(line), "crc32c %08x\n", base::Crc32c(text));
    return DecodeManifest(text + line).status();
  };
  EXPECT_TRUE(decode("name ctr", "name abc").ok());
  const std::pair<std::string, std::string> cases[] = {
      {"model 1\n", "model 2\n"},
      {"name ctr", "name a/b"},
      {"partitioner hash", "partitioner by"},
      {"partitioner hash", "partitioner by f"},
      {"partitioner hash", "partitioner by f x"},
      {"partitioner hash", "partitioner by  12"},
      {"partitioner hash", "partitioner by f 12 "},
      {"name ctr", "nom ctr"},
      {"keys sparse", "keys sparse 3"},
      {"type f32", "type f16"},
      {"width 1", "width 0"},
      {"width 1", "width -1"},
      {"rule ftrl", "rule ftlr"},
      {"alpha=0.1", "alpha=0"},
      {"state yes", "state maybe"},
      {"rows 17", "rows 18"},
      {"files 2", "files 3"},
      {"files 2", "files 1"},
      {"files 2", "files 9999999999"},
      {"rows-01", "../rows-01"},
      {"rows-01", ".rows-01"},
      {" 400 ", " 4x0 "},
      {"deadbeef\nfile", "deadbeef\nfiel"},
      {"shards 2", "shards"},
      {"shards 2\n", "shards 2\nconsistency soon\n"},
      {"00000042\n", "00000042"},
  };
  for (const auto& [from, to] : cases) {
    Status status = decode(from, to);
    EXPECT_EQ(status.code(), Code::kCorrupt) << from << " -> " << to;
    EXPECT_FALSE(status.message().empty());
  }
}

}  // namespace
}  // namespace glim::table
