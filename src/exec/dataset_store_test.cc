// SPDX-License-Identifier: Apache-2.0
#include "exec/dataset_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <utility>

#include "env/fault/faulty_file_system.h"
#include "env/path.h"
#include "glim/batch_builder.h"
#include "glim/flow.h"

namespace glim::exec {
namespace {

using env::FileOperation;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Partitions of one number and one text in each row.
class SomeRows final : public KeptRows {
 public:
  SomeRows(int partitions, int64_t rows_each, int64_t first = 0) : rows_each_(rows_each) {
    for (int p = 0; p < partitions; ++p) {
      BatchBuilder builder;
      for (int64_t i = 0; i < rows_each; ++i) {
        const int64_t number = first + p * rows_each + i;
        builder.AppendRow({Value(number), Value("row " + std::to_string(number))});
      }
      partitions_.push_back(builder.Finish());
    }
  }
  Result<std::vector<Batch>> ReadPiece(int partition, exchange::SlotPosition* position, int64_t,
                                       size_t) const override {
    if (position->held > 0 || rows_each_ == 0) return std::vector<Batch>();
    position->held = 1;
    return std::vector<Batch>{partitions_[partition]};
  }

 private:
  const int64_t rows_each_;
  std::vector<Batch> partitions_;
};

std::vector<int64_t> FirstColumn(const DatasetFile& file) {
  std::vector<int64_t> numbers;
  for (int p = 0; p < file.partition_count(); ++p) {
    exchange::SlotPosition position;
    while (true) {
      const std::vector<Batch> batches = file.ReadPiece(p, &position, 1, 1).value();
      if (batches.empty()) break;
      for (int64_t r = 0; r < batches[0].row_count(); ++r) {
        numbers.push_back(batches[0].RowAt(r)[0].cell().as_int64());
        EXPECT_EQ(batches[0].RowAt(r)[1].cell().as_bytes(), "row " + std::to_string(numbers.back()));
      }
    }
  }
  return numbers;
}

class DatasetStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    top_ = env_->files().MakeTemporaryFolder("glim-datasets-").value();
    folder_ = env::JoinPath(top_, "a/b");
  }
  void TearDown() override { ASSERT_TRUE(env_->files().RemoveAll(top_).ok()); }

  Result<std::shared_ptr<const DatasetFile>> Keep(DatasetStore& store, const std::string& name, const SomeRows& rows,
                                                  int partitions) {
    return store.Keep(name, {.made_by = "Range", .names = {"n", ""}, .user_partitions = 3, .in_order = true}, rows,
                      partitions, [] { return Status::Ok(); });
  }
  std::vector<std::string> Names(DatasetStore& store) {
    std::vector<Status> unreadable;
    std::vector<std::string> names;
    for (const DatasetInfo& info : store.List(&unreadable).value()) names.push_back(info.name);
    for (const Status& status : unreadable) names.push_back(status.message());
    return names;
  }
  // All that lies in the folder, those that are being written, too.
  std::vector<std::string> Files() {
    std::vector<std::string> names;
    if (const auto entries = env_->files().List(folder_); entries.ok()) {
      for (const auto& entry : *entries) names.push_back(entry.name);
    }
    return names;
  }

  const std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  std::string top_, folder_;
};

TEST_F(DatasetStoreTest, WhatWasKeptIsReadByPartition) {
  DatasetStore store(*env_, {.folder = folder_});
  EXPECT_EQ(store.Open("numbers").status().code(), Code::kNotFound);
  EXPECT_THAT(Names(store), ElementsAre());
  ASSERT_TRUE(Keep(store, "numbers", SomeRows(3, 2), 3).ok());
  const auto file = store.Open("numbers").value();
  EXPECT_THAT(FirstColumn(*file), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_EQ(file->head().made_by, "Range");
  EXPECT_THAT(file->head().names, ElementsAre("n", ""));
  EXPECT_EQ(file->head().user_partitions, 3);
  EXPECT_TRUE(file->head().in_order);
  const DatasetInfo info = store.Describe("numbers").value();
  EXPECT_EQ(info.rows, 6);
  EXPECT_EQ(info.partitions, 3);
  EXPECT_THAT(Files(), ElementsAre("numbers"));
}

TEST_F(DatasetStoreTest, AnEmptyOneIsThere) {
  DatasetStore store(*env_, {.folder = folder_});
  ASSERT_TRUE(Keep(store, "none", SomeRows(2, 0), 2).ok());
  const auto file = store.Open("none").value();
  EXPECT_EQ(file->partition_count(), 2);
  EXPECT_THAT(FirstColumn(*file), ElementsAre());
}

TEST_F(DatasetStoreTest, BatchesOfManyBlocksComeBack) {
  DatasetStore store(*env_, {.folder = folder_});
  ASSERT_TRUE(Keep(store, "large", SomeRows(2, 200'000), 2).ok());
  const std::vector<int64_t> numbers = FirstColumn(*store.Open("large").value());
  ASSERT_EQ(numbers.size(), 400'000u);
  for (size_t i = 0; i < numbers.size(); ++i) ASSERT_EQ(numbers[i], static_cast<int64_t>(i));
}

TEST_F(DatasetStoreTest, TheFirstOfTwoHasTheName) {
  DatasetStore store(*env_, {.folder = folder_});
  ASSERT_TRUE(Keep(store, "x", SomeRows(1, 2), 1).ok());
  const auto second = Keep(store, "x", SomeRows(1, 2, 70), 1).value();
  EXPECT_THAT(FirstColumn(*second), ElementsAre(70, 71));
  EXPECT_THAT(FirstColumn(*store.Open("x").value()), ElementsAre(0, 1));
  EXPECT_THAT(Files(), ElementsAre("x"));
}

TEST_F(DatasetStoreTest, WhoReadsGoesOnWhenItIsDropped) {
  DatasetStore store(*env_, {.folder = folder_});
  ASSERT_TRUE(Keep(store, "x", SomeRows(1, 2), 1).ok());
  const auto file = store.Open("x").value();
  ASSERT_TRUE(store.Drop("x").ok());
  EXPECT_THAT(FirstColumn(*file), ElementsAre(0, 1));
  EXPECT_EQ(store.Open("x").status().code(), Code::kNotFound);
  EXPECT_EQ(store.Drop("x").code(), Code::kNotFound);
  EXPECT_THAT(Files(), ElementsAre());
}

TEST_F(DatasetStoreTest, ThoseNobodyHasReadForLongestMakeWay) {
  DatasetStore all(*env_, {.folder = folder_});
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(Keep(all, name, SomeRows(1, 1000), 1).ok());
  const int64_t each = all.Describe("a")->file_bytes;
  ASSERT_TRUE(all.Open("a").ok());
  // As a file system may count in ticks of a clock.
  env_->clock().SleepFor(20'000'000);
  ASSERT_TRUE(all.Open("a").ok());
  env_->clock().SleepFor(20'000'000);
  DatasetStore bounded(*env_, {.folder = folder_, .bytes_max = each * 3 + 100});
  ASSERT_TRUE(Keep(bounded, "d", SomeRows(1, 1000), 1).ok());
  EXPECT_THAT(Names(all), ElementsAre("a", "c", "d"));
  const auto large = Keep(bounded, "e", SomeRows(8, 1000), 8);
  EXPECT_EQ(large.status().code(), Code::kExhausted);
  EXPECT_THAT(large.status().message(), HasSubstr("--dataset-disk"));
  EXPECT_THAT(Names(all), ElementsAre("a", "c", "d"));
}

TEST_F(DatasetStoreTest, WhatFailsLeavesNothing) {
  for (const FileOperation operation :
       {FileOperation::kCreate, FileOperation::kWrite, FileOperation::kSync, FileOperation::kClose,
        FileOperation::kRename, FileOperation::kMakeFolder, FileOperation::kOpen, FileOperation::kRead}) {
    env::FaultyFileSystem files(env_->files());
    env::FaultyEnv env(*env_, files);
    DatasetStore store(env, {.folder = folder_});
    files.FailAt(operation, 1, Status::Exhausted("no room"));
    EXPECT_EQ(Keep(store, "x", SomeRows(2, 10), 2).status().code(), Code::kExhausted) << static_cast<int>(operation);
    EXPECT_THAT(Files(), ElementsAre()) << static_cast<int>(operation);
    ASSERT_TRUE(Keep(store, "x", SomeRows(2, 10), 2).ok());
    ASSERT_TRUE(store.Drop("x").ok());
  }
}

TEST_F(DatasetStoreTest, ItIsOnTheDiskBeforeItHasItsName) {
  env::FaultyFileSystem files(env_->files());
  env::FaultyEnv env(*env_, files);
  DatasetStore store(env, {.folder = folder_});
  ASSERT_TRUE(Keep(store, "x", SomeRows(1, 10), 1).ok());
  size_t sync = 0, rename = 0, sync_of_name = 0;
  const std::vector<std::string> log = files.log();
  for (size_t i = 0; i < log.size(); ++i) {
    if (log[i].starts_with("sync \"")) sync = i;
    if (log[i].starts_with("rename")) rename = i;
    if (log[i].starts_with("sync") && rename > 0) sync_of_name = i;
  }
  EXPECT_GT(sync, 0u);
  EXPECT_GT(rename, sync);
  EXPECT_GT(sync_of_name, rename);
}

TEST_F(DatasetStoreTest, WhoIsToStopLeavesNothing) {
  DatasetStore store(*env_, {.folder = folder_});
  int asked = 0;
  const auto stopped = store.Keep("x", {}, SomeRows(3, 10), 3,
                                  [&asked] { return ++asked < 4 ? Status::Ok() : Status::Cancelled("cancelled"); });
  EXPECT_EQ(stopped.status().code(), Code::kCancelled);
  EXPECT_THAT(Files(), ElementsAre());
}

TEST_F(DatasetStoreTest, EveryByteIsChecked) {
  DatasetStore store(*env_, {.folder = folder_});
  ASSERT_TRUE(Keep(store, "x", SomeRows(2, 3), 2).ok());
  const std::string path = env::JoinPath(folder_, "x/rows");
  std::string bytes(store.Describe("x")->file_bytes, '\0');
  ASSERT_EQ(env_->files().OpenRandom(path).value()->ReadAt(0, bytes).value(), bytes.size());
  const auto put = [&](const std::string& changed) {
    const auto file = env_->files().Create(path).value();
    ASSERT_TRUE(file->Append(changed).ok());
    ASSERT_TRUE(file->Close().ok());
  };
  const auto reads = [&]() -> Status {
    const auto file = store.Open("x");
    if (!file.ok()) return file.status();
    for (int p = 0; p < (*file)->partition_count(); ++p) {
      exchange::SlotPosition position;
      if (const auto piece = (*file)->ReadPiece(p, &position, 1 << 20, 10); !piece.ok()) return piece.status();
    }
    return Status::Ok();
  };
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string changed = bytes;
    changed[i] = static_cast<char>(changed[i] ^ 0x10);
    put(changed);
    const Status status = reads();
    EXPECT_FALSE(status.ok()) << i;
    EXPECT_THAT(status.message(), HasSubstr("rows\" is")) << i;
  }
  for (size_t size = 0; size < bytes.size(); ++size) {
    put(bytes.substr(0, size));
    EXPECT_EQ(reads().code(), Code::kCorrupt) << size;
  }
  put(bytes);
  EXPECT_TRUE(reads().ok());
  put(bytes.substr(1));
  EXPECT_THAT(Names(store), ElementsAre(HasSubstr("dataset \"x\": ")));
  EXPECT_TRUE(store.Drop("x").ok());
}

TEST_F(DatasetStoreTest, LeftoversOfThoseThatWereKilledGo) {
  DatasetStore store(*env_, {.folder = folder_});
  const std::string old = env::JoinPath(folder_, ".new-0123456789abcdef");
  const std::string held = env::JoinPath(folder_, ".new-1123456789abcdef");
  const std::string young = env::JoinPath(folder_, ".new-2123456789abcdef");
  for (const std::string& path : {old, held, young}) ASSERT_TRUE(env_->files().MakeFolders(path).ok());
  const auto lock = env_->files().Lock(env::JoinPath(held, "LOCK")).value();
  env::CommandOptions touch;
  touch.argv = {"touch", "-d", "2 minutes ago", old, held};
  ASSERT_EQ(env_->processes().Start(touch).value()->Wait().value(), 0);
  ASSERT_TRUE(Keep(store, "x", SomeRows(1, 1), 1).ok());
  EXPECT_THAT(Files(), ElementsAre(".new-1123456789abcdef", ".new-2123456789abcdef", "x"));
  EXPECT_THAT(Names(store), ElementsAre("x"));
}

TEST_F(DatasetStoreTest, AFlowFindsItsDatasetsBeforeARun) {
  DatasetStore store(*env_, {.folder = folder_});
  Flow reads;
  (void)reads.FromDisk("x");
  EXPECT_THAT(OpenDatasets(store, *reads.graph()).message(), HasSubstr("FromDisk: there is no dataset \"x\" in \""));
  Flow makes;
  (void)makes.Range(0, 3).OnDisk("x");
  EXPECT_TRUE(OpenDatasets(store, *makes.graph()).ok());
  ASSERT_TRUE(Keep(store, "x", SomeRows(1, 3), 1).ok());
  EXPECT_TRUE(OpenDatasets(store, *reads.graph()).ok());
  EXPECT_TRUE(OpenDatasets(store, *makes.graph()).ok());
  Flow prints;
  (void)prints.Range(0, 3).Print().OnDisk("x");  // Who prints rows gives the same.
  EXPECT_TRUE(OpenDatasets(store, *prints.graph()).ok());
  Flow other;
  (void)other.Ints({1, 2}).OnDisk("x");
  EXPECT_THAT(OpenDatasets(store, *other.graph()).message(),
              HasSubstr("dataset \"x\" was made by Range, here it would be by Ints"));
}

TEST_F(DatasetStoreTest, WithoutAFolderThereAreNone) {
  DatasetStore store(*env_, {});
  EXPECT_THAT(store.Open("x").status().message(), HasSubstr("--dataset-dir"));
  EXPECT_THAT(Keep(store, "x", SomeRows(1, 1), 1).status().message(), HasSubstr("--dataset-dir"));
}

}  // namespace
}  // namespace glim::exec
