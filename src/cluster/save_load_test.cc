// SPDX-License-Identifier: Apache-2.0
//
// Saved models, of tables in this process and on servers: round trips between layouts, every kind of damage to a file,
// and a file system that fails at each step.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "cluster/table_places_test.h"
#include "env/env.h"
#include "env/fault/faulty_file_system.h"

namespace glim::cluster {
namespace {

class SaveLoad : public testing::TestWithParam<PlaceKind> {
 protected:
  SaveLoad() : root_(env_->files().MakeTemporaryFolder("glim-save-load").value()), folder_(root_ + "/model") {}
  ~SaveLoad() override { (void)env_->files().RemoveAll(root_).ok(); }

  std::string Read(const std::string& path) {
    auto file = env_->files().OpenRandom(path).value();
    std::string text(file->size(), '\0');
    EXPECT_EQ(file->ReadAt(0, text).value(), text.size());
    return text;
  }
  void Write(const std::string& path, std::string_view text) {
    auto file = env_->files().Create(path).value();
    ASSERT_TRUE(file->Append(text).ok());
    ASSERT_TRUE(file->Close().ok());
  }
  std::vector<std::string> Names(const std::string& folder) {
    std::vector<std::string> names;
    const auto entries = env_->files().List(folder);
    for (const auto& entry : *entries) names.push_back(entry.name);
    return names;
  }
  Table<float> Make(const std::string& name, TableOptions options = {}, UpdateRule rule = Ftrl{.l1 = 0.1},
                    KeySpace keys = SparseKeys()) {
    return Table<float>(place_->CreateTable(MakeTableSpec<float>(name, keys, rule, options)));
  }

  std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  const std::unique_ptr<TablePlace> place_ = MakePlace(GetParam(), *env_);
  const std::string root_;
  const std::string folder_;
};

std::vector<Key> SomeKeys(size_t count) {
  std::vector<Key> keys;
  for (size_t i = 0; i < count; ++i) keys.push_back(i * 37 % count);
  return keys;
}

std::vector<float> SomeValues(size_t count, float scale) {
  std::vector<float> values;
  for (size_t i = 0; i < count; ++i) values.push_back(scale * (static_cast<float>(i % 17) - 8));
  return values;
}

TEST_P(SaveLoad, TrainingGoesOnInAnotherLayoutAsIfNothingHadHappened) {
  int number = 0;
  for (UpdateRule rule : {UpdateRule(Add{}), UpdateRule(AdaGrad{}), UpdateRule(Adam{}), UpdateRule(Ftrl{.l1 = 0.1})}) {
    for (uint32_t width : {1u, 3u, 40u}) {
      for (KeySpace keys : {SparseKeys(), DenseKeys(5000)}) {
        SCOPED_TRACE(ToString(rule) + " x " + std::to_string(width) + ", " + ToString(keys));
        const std::string at = root_ + "/m" + std::to_string(++number);
        TableOptions options{.width = width, .initial = Uniform{-1, 1, 7}, .shards = 3};
        Table<float> kept = Make("kept", options, rule, keys);
        ASSERT_TRUE(kept.ok()) << kept.status().message();
        const std::vector<Key> pushed = SomeKeys(3000);
        const std::vector<float> values = SomeValues(3000 * width, 0.25f);
        ASSERT_TRUE(kept.Push(pushed, values).Wait().ok());
        ASSERT_TRUE(kept.Save(at).ok());

        options.shards = 11;
        options.partitioner = Partitioner::kCyclic;
        Table<float> loaded = Make("loaded", options, rule, keys);
        Status status = loaded.Load(at);
        ASSERT_TRUE(status.ok()) << status.message();
        ASSERT_TRUE(kept.Push(pushed, values).Wait().ok());
        ASSERT_TRUE(loaded.Push(pushed, values).Wait().ok());
        const std::vector<Key> asked = SomeKeys(5000);
        EXPECT_EQ(kept.Pull(asked).Get().value(), loaded.Pull(asked).Get().value());
        EXPECT_EQ(loaded.Describe()->keys_stored, 3000u);
        ASSERT_TRUE(kept.Drop().ok() && loaded.Drop().ok());
      }
    }
  }
}

TEST_P(SaveLoad, RowsOfVariableLengthComeBack) {
  Table<int64_t> table(
      place_->CreateTable(MakeTableSpec<int64_t>("v", SparseKeys(), Add{}, {.width = kVariableWidth, .shards = 3})));
  ASSERT_TRUE(table.ok()) << table.status().message();
  std::vector<Key> keys = {9, 0, ~0ull, 4};
  std::vector<uint32_t> lengths = {3, 1, 0, 2};
  std::vector<int64_t> values = {1, 2, 3, 4, 5, 6};
  ASSERT_TRUE(table.VPush(keys, values, lengths).Wait().ok());
  ASSERT_TRUE(table.Save(folder_).ok());
  Table<int64_t> loaded(place_->LoadTable(folder_, "again"));
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  auto rows = loaded.VPull(keys).Get().value();
  EXPECT_EQ(rows.lengths, lengths);
  EXPECT_EQ(rows.values, values);
  EXPECT_EQ(loaded.Describe()->keys_stored, 4u);
}

TEST_P(SaveLoad, EmptyTableComesBackEmpty) {
  ASSERT_TRUE(Make("e").Save(folder_).ok());
  Table<float> loaded(place_->LoadTable(folder_, "again"));
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  EXPECT_EQ(loaded.Describe()->keys_stored, 0u);
}

TEST_P(SaveLoad, WithoutStateTheRowsFitAnyRule) {
  Table<float> table = Make("t");
  const std::vector<Key> keys = SomeKeys(50);
  ASSERT_TRUE(table.Push(keys, SomeValues(50, 1)).Wait().ok());
  ASSERT_TRUE(table.Save(folder_, {.rule_state = false}).ok());
  Table<float> other = Make("other", {}, Sgd{});
  Status status = other.Load(folder_);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(other.Pull(keys).Get().value(), table.Pull(keys).Get().value());
}

TEST_P(SaveLoad, AnotherKindOfTableIsRefusedAndSaysWhy) {
  ASSERT_TRUE(Make("t").Save(folder_).ok());
  auto refused = [&](TableSpec spec, std::string_view why) {
    spec.name = "wrong";
    TableHandle table = place_->CreateTable(std::move(spec)).value();
    Status status = table->Load(folder_);
    EXPECT_EQ(status.code(), Code::kInvalid) << why;
    EXPECT_NE(status.message().find(why), std::string::npos) << status.message();
    ASSERT_TRUE(table->Drop().ok());
  };
  const Ftrl rule{.l1 = 0.1};
  refused(MakeTableSpec<double>("", SparseKeys(), rule), "value type");
  refused(MakeTableSpec<float>("", SparseKeys(), rule, {.width = 2}), "width");
  refused(MakeTableSpec<float>("", DenseKeys(10), rule), "key space");
  refused(MakeTableSpec<float>("", SparseKeys(), Ftrl{.l1 = 0.2}), "update rule");
}

// Loads a damaged model into a table that holds something; it must be refused and the table must not change.
class SaveLoadDamage : public SaveLoad {
 protected:
  void SetUp() override {
    Table<float> table = Make("t", {.width = 2, .shards = 2});
    ASSERT_TRUE(table.Push(SomeKeys(8), SomeValues(16, 1)).Wait().ok());
    ASSERT_TRUE(table.Save(folder_).ok());
    ASSERT_TRUE(target_.Push(keys_, SomeValues(20, 3)).Wait().ok());
    before_ = target_.Pull(keys_).Get().value();
    ASSERT_EQ(Names(folder_).size(), 3u);
  }
  void ExpectRefused(const std::string& what) {
    Status status = target_.Load(folder_);
    EXPECT_FALSE(status.ok()) << what;
    ASSERT_EQ(target_.Pull(keys_).Get().value(), before_) << what;
    EXPECT_FALSE(place_->LoadTable(folder_, "new").ok()) << what;
  }

  // On servers each try takes milliseconds, so not every byte is tried there.
  const size_t step_ = GetParam().on_servers ? 11 : 1;
  Table<float> target_ = Make("target", {.width = 2, .shards = 5});
  const std::vector<Key> keys_ = SomeKeys(10);
  std::vector<float> before_;
};

TEST_P(SaveLoadDamage, EveryByteFlippedIsFound) {
  for (const std::string& name : Names(folder_)) {
    const std::string path = folder_ + "/" + name, good = Read(path);
    for (size_t i = 0; i < good.size(); i += step_) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << (i % 8)));
      Write(path, bad);
      ExpectRefused(name + " byte " + std::to_string(i));
    }
    Write(path, good);
  }
  EXPECT_TRUE(target_.Load(folder_).ok());
}

TEST_P(SaveLoadDamage, EveryCutAndEveryAddedByteIsFound) {
  for (const std::string& name : Names(folder_)) {
    const std::string path = folder_ + "/" + name, good = Read(path);
    for (size_t length = 0; length < good.size(); length += step_) {
      Write(path, good.substr(0, length));
      ExpectRefused(name + " cut at " + std::to_string(length));
    }
    Write(path, good + '\0');
    ExpectRefused(name + " with a byte more");
    Write(path, good);
  }
  EXPECT_TRUE(target_.Load(folder_).ok());
}

TEST_P(SaveLoadDamage, MissingAndSwappedFilesAreFound) {
  std::vector<std::string> names = Names(folder_);
  for (const std::string& name : names) {
    const std::string path = folder_ + "/" + name, good = Read(path);
    ASSERT_TRUE(env_->files().RemoveFile(path).ok());
    ExpectRefused(name + " missing");
    Write(path, good);
  }
  std::erase(names, "MANIFEST");
  const std::string first = Read(folder_ + "/" + names[0]), second = Read(folder_ + "/" + names[1]);
  Write(folder_ + "/" + names[0], second);
  ExpectRefused("one file twice");
  Write(folder_ + "/" + names[1], first);
  ExpectRefused("two files swapped");
}

TEST_P(SaveLoadDamage, FilesOfAnotherSaveAreFound) {
  // The same rows, saved twice: only the model's id tells the files apart.
  Table<float> table(place_->OpenTable("t"));
  const std::string other = root_ + "/other";
  ASSERT_TRUE(table.Save(other).ok());
  std::vector<std::string> ours = Names(folder_), theirs = Names(other);
  for (size_t i = 0; i < ours.size(); ++i) {
    if (ours[i] == "MANIFEST") continue;
    const std::string path = folder_ + "/" + ours[i], good = Read(path);
    Write(path, Read(other + "/" + theirs[i]));
    ExpectRefused(ours[i] + " of another save");
    Write(path, good);
  }
}

TEST_P(SaveLoad, SavingOverAModelKeepsOneOfThemWholeWhateverFails) {
  env::FaultyFileSystem files(env_->files());
  env::FaultyEnv env(*env_, files);
  const auto other = place_->Other(env);
  Table<float> table(other->CreateTable(MakeTableSpec<float>("t", SparseKeys(), Add{}, {.shards = 2})));
  const std::vector<Key> keys = {1, 2, 3, 4};
  float value = 1;
  auto push = [&] { ASSERT_TRUE(table.Push(keys, std::vector<float>(4, 1)).Wait().ok()); };
  push();
  ASSERT_TRUE(table.Save(folder_).ok());
  files.Heal();
  push();
  ASSERT_TRUE(table.Save(folder_).ok());
  const int64_t operations = files.total_count();
  ASSERT_GT(operations, 10);
  value = 2;
  for (int64_t n = 1; n <= operations; ++n) {
    push();
    files.Heal();
    files.FailAnyAt(n, Status::Unavailable("planned failure"));
    const bool saved = table.Save(folder_).ok();
    files.Heal();
    Table<float> loaded(other->LoadTable(folder_, "check"));
    ASSERT_TRUE(loaded.ok()) << "operation " << n << ": " << loaded.status().message();
    const std::vector<float> got = loaded.Pull(keys).Get().value();
    const float now = table.Pull(keys).Get().value()[0];
    EXPECT_EQ(got, std::vector<float>(4, got[0])) << n;
    EXPECT_TRUE(got[0] == now || (!saved && got[0] == value)) << "operation " << n << ": " << got[0];
    value = got[0];
    ASSERT_TRUE(loaded.Drop().ok());
  }
}

TEST_P(SaveLoad, OldFilesGoWhenTheNewModelIsIn) {
  Table<float> table = Make("t", {.shards = 2});
  ASSERT_TRUE(table.Save(folder_).ok());
  ASSERT_TRUE(table.Save(folder_).ok());
  EXPECT_EQ(Names(folder_).size(), 3u);
}

TEST_P(SaveLoad, FullDiskLeavesTheOldModelAndNothingElse) {
  env::FaultyFileSystem files(env_->files());
  env::FaultyEnv env(*env_, files);
  const auto other = place_->Other(env);
  Table<float> table(other->CreateTable(MakeTableSpec<float>("t", SparseKeys(), Add{}, {.shards = 2})));
  const std::vector<Key> keys = SomeKeys(1000);
  ASSERT_TRUE(table.Push(keys, std::vector<float>(1000, 1)).Wait().ok());
  ASSERT_TRUE(table.Save(folder_).ok());
  const std::vector<std::string> before = Names(folder_);
  ASSERT_TRUE(table.Push(keys, std::vector<float>(1000, 1)).Wait().ok());
  files.SetDiskBytes(9000);
  Status status = table.Save(folder_);
  EXPECT_EQ(status.code(), Code::kExhausted) << status.message();
  EXPECT_EQ(Names(folder_), before);
  files.Heal();
  Table<float> loaded(other->LoadTable(folder_, "check"));
  EXPECT_EQ(loaded.Pull(keys).Get().value(), std::vector<float>(1000, 1));
}

GLIM_IN_ALL_PLACES(SaveLoad);
GLIM_IN_ALL_PLACES(SaveLoadDamage);

}  // namespace
}  // namespace glim::cluster
