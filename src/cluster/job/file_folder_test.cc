// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/file_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <span>

#include "cluster/job/file_list.h"
#include "cluster/job/program_digest.h"
#include "env/path.h"

namespace glim::cluster {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A list here, and a folder there.
class FileFolderTest : public testing::Test {
 protected:
  FileFolderTest() : root_(*env_->files().MakeTemporaryFolder("glim-files-")) {}
  ~FileFolderTest() override {
    there_.reset();
    (void)env_->files().RemoveAll(root_);
  }

  std::string At(const std::string& name) const { return env::JoinPath(root_, name); }
  std::string Write(const std::string& name, const std::string& text) {
    const auto file = env_->files().Create(At(name));
    EXPECT_TRUE((*file)->Append(text).ok() && (*file)->Close().ok());
    return At(name);
  }
  std::string ReadFile(const std::string& path) {
    const auto file = env_->files().OpenRandom(path);
    if (!file.ok()) return file.status().message();
    std::string text((*file)->size(), '\0');
    EXPECT_EQ(*(*file)->ReadAt(0, std::span(text)), text.size());
    return text;
  }
  Status Send(const std::vector<ListedFile>& list) {
    std::vector<OpenRun::File> files;
    for (const ListedFile& listed : list) files.push_back(listed.file);
    return there_->Get(files, [&](const OpenRun::File& file, uint64_t offset) {
      ++pieces_;
      return PieceOf(env_->files(), list, {file.name, file.digest, offset});
    });
  }
  std::vector<std::string> Names(const std::string& folder) {
    std::vector<std::string> names;
    for (const auto& entry : *env_->files().List(folder)) names.push_back(entry.name);
    return names;
  }

  const std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  const std::string root_;
  FileList list_{*env_};
  std::unique_ptr<FileFolder> there_ = std::make_unique<FileFolder>(*env_, At("there"));
  int pieces_ = 0;
};

TEST_F(FileFolderTest, FilesComeOnceAndAnewWhenTheyHaveChanged) {
  const std::string large(2 * kProgramPieceBytes + 1, 'x');
  EXPECT_TRUE(*list_.Add(Write("a", "one")));
  EXPECT_TRUE(*list_.Add(Write("large", large)));
  EXPECT_TRUE(*list_.Add(Write("empty", "")));
  EXPECT_FALSE(*list_.Add(At("a")));
  ASSERT_TRUE(Send(*list_.Read()).ok());
  EXPECT_EQ(pieces_, 4);
  EXPECT_THAT(Names(At("there")), ElementsAre("a", "empty", "large"));
  EXPECT_EQ(ReadFile(At("there/large")), large);
  EXPECT_EQ(ReadFile(At("there/empty")), "");
  ASSERT_TRUE(Send(*list_.Read()).ok());
  EXPECT_EQ(pieces_, 4);
  Write("a", "two");
  ASSERT_TRUE(Send(*list_.Read()).ok());
  EXPECT_EQ(pieces_, 5);
  EXPECT_EQ(ReadFile(At("there/a")), "two");
  EXPECT_EQ(ReadFile(At("there/large")), large);
  there_.reset();
  EXPECT_THAT(Names(root_), ElementsAre("a", "empty", "large"));
}

TEST_F(FileFolderTest, AProgramCanBeExecutedThere) {
  EXPECT_TRUE(list_.Add(Write("run", "#!/bin/sh\nexit $1\n")).ok());
  const auto chmod = env_->processes().Start({.argv = {"chmod", "551", At("run")}, .environment = {}});
  EXPECT_EQ(*(*chmod)->Wait(), 0);
  ASSERT_TRUE(Send(*list_.Read()).ok());
  const auto process = env_->processes().Start({.argv = {At("there/run"), "7"}, .environment = {}});
  ASSERT_TRUE(process.ok()) << process.status().message();
  EXPECT_EQ(*(*process)->Wait(), 7);
  EXPECT_EQ(env_->files().Stat(At("there/run"))->permissions, 0500U);
}

TEST_F(FileFolderTest, AFileThatChangesWhileItIsSentIsRefused) {
  EXPECT_TRUE(list_.Add(Write("a", "one")).ok());
  const std::vector<ListedFile> list = *list_.Read();
  Write("a", "four");
  const Status status = Send(list);
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("/a\" has changed while a run sent it"));
  EXPECT_FALSE(env_->files().Stat(At("there")).ok());
  // The next run sends what is there then.
  ASSERT_TRUE(Send(*list_.Read()).ok());
  EXPECT_EQ(ReadFile(At("there/a")), "four");
}

TEST_F(FileFolderTest, BytesOfAnotherDigestAreRefusedAndNamed) {
  const std::vector<OpenRun::File> files = {{.name = "a", .digest = "00", .size = 3, .permissions = 0644}};
  const auto give = [&](std::string bytes) {
    return there_->Get(files, [&](const OpenRun::File&, uint64_t) -> Result<std::string> { return bytes; });
  };
  EXPECT_THAT(give("one").message(), HasSubstr("\"a\" is not the file that the driver named"));
  EXPECT_THAT(give("four").message(), HasSubstr("a piece of \"a\" is too long or too short"));
  EXPECT_THAT(give("").message(), HasSubstr("a piece of \"a\" is too long or too short"));
  EXPECT_FALSE(env_->files().Stat(At("there")).ok());
}

TEST_F(FileFolderTest, AListThatMakesNoSenseIsRefusedBeforeItIsFetched) {
  const auto get = [&](std::vector<OpenRun::File> files) {
    return there_->Get(files, [&](const OpenRun::File&, uint64_t) -> Result<std::string> {
      ++pieces_;
      return Status::Internal("asked");
    });
  };
  for (const std::string name : {"", ".", "..", "../a", "a/b", "/a"})
    EXPECT_EQ(get({{.name = name, .digest = "00", .size = 1, .permissions = 0}}).code(), Code::kCorrupt) << name;
  EXPECT_EQ(get({{.name = std::string("a\0b", 3), .digest = "00", .size = 1, .permissions = 0}}).code(),
            Code::kCorrupt);
  EXPECT_EQ(get({{.name = "a", .digest = "00", .size = UINT64_MAX, .permissions = 0},
                 {.name = "b", .digest = "00", .size = 2, .permissions = 0}})
                .code(),
            Code::kCorrupt);
  EXPECT_EQ(
      get(std::vector<OpenRun::File>(kFilesMax + 1, {.name = "a", .digest = "", .size = 0, .permissions = 0})).code(),
      Code::kCorrupt);
  EXPECT_EQ(pieces_, 0);
  EXPECT_TRUE(get({}).ok());
  EXPECT_THAT(Names(root_), ElementsAre());
}

TEST_F(FileFolderTest, AFolderThatIsThereIsLetBe) {
  ASSERT_TRUE(env_->files().MakeFolders(At("there")).ok());
  Write("there/mine", "mine");
  EXPECT_TRUE(list_.Add(Write("a", "one")).ok());
  EXPECT_THAT(Send(*list_.Read()).message(), HasSubstr("is there already"));
  there_.reset();
  EXPECT_EQ(ReadFile(At("there/mine")), "mine");
}

TEST_F(FileFolderTest, AListTakesFilesOfDifferentNamesOnly) {
  ASSERT_TRUE(env_->files().MakeFolders(At("folder")).ok());
  EXPECT_TRUE(list_.Add(Write("a", "one")).ok());
  EXPECT_THAT(list_.Add(Write("folder/a", "")).status().message(), HasSubstr("have one name"));
  EXPECT_THAT(list_.Add(At("folder")).status().message(), HasSubstr("is a folder"));
  EXPECT_EQ(list_.Add(At("b")).status().code(), Code::kNotFound);
  EXPECT_EQ(list_.Read()->size(), 1U);
  EXPECT_TRUE(env_->files().RemoveFile(At("a")).ok());
  EXPECT_EQ(list_.Look().code(), Code::kNotFound);
}

}  // namespace
}  // namespace glim::cluster
