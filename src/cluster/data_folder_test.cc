// SPDX-License-Identifier: Apache-2.0
#include "cluster/data_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "env/path.h"

namespace glim::cluster {
namespace {

using testing::HasSubstr;

class DataFolderTest : public testing::Test {
 protected:
  DataFolderTest() : root_(*env_->files().MakeTemporaryFolder("data-folder")), path_(env::JoinPath(root_, "a/b")) {}
  ~DataFolderTest() override { (void)env_->files().RemoveAll(root_); }

  const std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  const std::string root_, path_;
};

TEST_F(DataFolderTest, AServerKeepsItsNumber) {
  uint32_t number = 0;
  {
    const auto folder = DataFolder::Open(*env_, path_, FolderKind::kServer, "local");
    ASSERT_TRUE(folder.ok()) << folder.status().message();
    number = (*folder)->server();
    EXPECT_GT(number, 0u);
  }
  EXPECT_EQ((*DataFolder::Open(*env_, path_, FolderKind::kServer, "local"))->server(), number);
  EXPECT_EQ((*DataFolder::Open(*env_, path_, FolderKind::kServer, "local", number))->server(), number);
  const Status other = DataFolder::Open(*env_, path_, FolderKind::kServer, "local", number + 1).status();
  EXPECT_EQ(other.code(), Code::kInvalid);
  EXPECT_THAT(other.message(), HasSubstr("belongs to the server " + std::to_string(number)));
}

TEST_F(DataFolderTest, OneProcessHasIt) {
  const auto folder = DataFolder::Open(*env_, path_, FolderKind::kMaster, "local");
  ASSERT_TRUE(folder.ok()) << folder.status().message();
  const Status second = DataFolder::Open(*env_, path_, FolderKind::kMaster, "local").status();
  EXPECT_EQ(second.code(), Code::kUnavailable);
  EXPECT_THAT(second.message(), HasSubstr("\"" + path_ + "\" is in use by another process"));
}

TEST_F(DataFolderTest, WhatIsAnothersIsLeftAlone) {
  ASSERT_TRUE(DataFolder::Open(*env_, path_, FolderKind::kMaster, "ads").ok());
  EXPECT_THAT(DataFolder::Open(*env_, path_, FolderKind::kServer, "ads", 3).status().message(),
              HasSubstr("belongs to the master of cluster ads, not to the server 3 of cluster ads"));
  EXPECT_THAT(DataFolder::Open(*env_, path_, FolderKind::kMaster, "maps").status().message(),
              HasSubstr("belongs to the master of cluster ads, not to the master of cluster maps"));
}

TEST_F(DataFolderTest, AnOwnerThatMakesNoSenseIsNamed) {
  for (const std::string text : {"", "server", "server 0 of cluster x\n", "master of cluster x", "server 1\n"}) {
    ASSERT_TRUE(env_->files().MakeFolders(path_).ok());
    const auto file = env_->files().Create(env::JoinPath(path_, "OWNER"));
    ASSERT_TRUE((*file)->Append(text).ok());
    ASSERT_TRUE((*file)->Close().ok());
    const Status status = DataFolder::Open(*env_, path_, FolderKind::kMaster, "x").status();
    EXPECT_EQ(status.code(), Code::kCorrupt) << text;
    EXPECT_THAT(status.message(), HasSubstr("OWNER"));
  }
}

}  // namespace
}  // namespace glim::cluster
