// SPDX-License-Identifier: Apache-2.0
#include "cluster/program_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cluster/job/program_digest.h"
#include "env/path.h"

namespace glim::cluster {
namespace {

class ProgramStoreTest : public testing::Test {
 protected:
  ProgramStoreTest() : folder_(*env_->files().MakeTemporaryFolder("glim-programs-")) { Open({.folder = folder_}); }
  ~ProgramStoreTest() override { (void)env_->files().RemoveAll(folder_); }

  void Open(ProgramStoreOptions options) { store_ = *ProgramStore::Open(*env_, std::move(options)); }

  static std::string NameOf(const std::string& program) {
    ProgramDigest digest;
    for (size_t at = 0; at < program.size(); at += kProgramPieceBytes)
      digest.Add(program.substr(at, kProgramPieceBytes));
    return digest.Name();
  }
  // As if the driver had `sent` under the name of `program`.
  Result<std::string> Get(const std::string& program, const std::string& sent) {
    return store_->Get(NameOf(program), program.size(), [&](uint64_t offset) -> Result<std::string> {
      ++pieces_;
      return sent.substr(offset, kProgramPieceBytes);
    });
  }
  std::vector<std::string> Names() {
    std::vector<std::string> names;
    for (const auto& entry : *env_->files().List(folder_)) names.push_back(entry.name);
    return names;
  }

  const std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  const std::string folder_;
  std::unique_ptr<ProgramStore> store_;
  int pieces_ = 0;
};

TEST_F(ProgramStoreTest, AProgramIsFetchedOnceAndCanBeExecuted) {
  const std::string program = "#!/bin/sh\nexit $1\n#" + std::string(2 * kProgramPieceBytes, 'x');
  const auto path = Get(program, program);
  ASSERT_TRUE(path.ok()) << path.status().message();
  EXPECT_EQ(pieces_, 3);
  const auto process = env_->processes().Start({.argv = {*path, "7"}, .environment = {}});
  ASSERT_TRUE(process.ok()) << process.status().message();
  EXPECT_EQ(*(*process)->Wait(), 7);
  EXPECT_EQ(*Get(program, program), *path);
  // Also by the next agent.
  Open({.folder = folder_});
  EXPECT_EQ(*Get(program, program), *path);
  EXPECT_EQ(pieces_, 3);
}

TEST_F(ProgramStoreTest, OtherBytesThanTheNamedOnesAreRefused) {
  const std::string program(kProgramPieceBytes + 10, 'x');
  std::string other = program;
  other[kProgramPieceBytes] = 'y';
  EXPECT_EQ(Get(program, other).status().code(), Code::kCorrupt);
  EXPECT_EQ(Get(program, program.substr(0, 5)).status().code(), Code::kCorrupt);
  EXPECT_EQ(Get(program, "").status().code(), Code::kCorrupt);
  EXPECT_THAT(Names(), testing::IsEmpty());
  EXPECT_TRUE(Get(program, program).ok());
  EXPECT_EQ(store_->Get("../agent", 1, nullptr).status().code(), Code::kInvalid);
}

TEST_F(ProgramStoreTest, AFetchThatFailsLeavesNothing) {
  const auto status =
      store_->Get(NameOf("x"), 1, [](uint64_t) -> Result<std::string> { return Status::Stale("gone"); });
  EXPECT_EQ(status.status().code(), Code::kStale);
  EXPECT_THAT(Names(), testing::IsEmpty());
}

TEST_F(ProgramStoreTest, AFileThatWasDamagedIsFetchedAnew) {
  const std::string path = *Get("program", "program");
  ASSERT_TRUE((*env_->files().Create(path))->Append("damaged").ok());
  Open({.folder = folder_});
  EXPECT_EQ(*Get("program", "program"), path);
  EXPECT_EQ(pieces_, 2);
}

TEST_F(ProgramStoreTest, ThoseGoThatWereNotWantedForLongest) {
  Open({.folder = folder_, .programs_max = 2, .bytes_max = 10});
  ASSERT_TRUE(Get("aaa", "aaa").ok());
  ASSERT_TRUE(Get("bbb", "bbb").ok());
  ASSERT_TRUE(Get("aaa", "aaa").ok());
  ASSERT_TRUE(Get("ccc", "ccc").ok());
  EXPECT_THAT(Names(), testing::UnorderedElementsAre(NameOf("aaa"), NameOf("ccc")));
  ASSERT_TRUE(Get("12345678", "12345678").ok());
  EXPECT_THAT(Names(), testing::ElementsAre(NameOf("12345678")));
  EXPECT_EQ(Get("12345678901", "12345678901").status().code(), Code::kExhausted);
}

}  // namespace
}  // namespace glim::cluster
