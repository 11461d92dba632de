// SPDX-License-Identifier: Apache-2.0
#include "io/zip_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zip.h>

#include "io/test_files.h"

namespace glim::io {
namespace {

using ::testing::HasSubstr;

struct Member {
  std::string name, bytes;
  bool encrypted = false;
};

class ZipFile : public ::testing::Test {
 protected:
  // Members with names that end in "/" are folders.
  std::string WriteZip(const std::string& name, const std::vector<Member>& members) {
    const std::string path = folder_.Path(name);
    zip_t* zip = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, nullptr);
    for (const Member& member : members) {
      if (member.name.ends_with('/')) {
        EXPECT_GE(zip_dir_add(zip, member.name.c_str(), 0), 0);
        continue;
      }
      zip_source_t* source = zip_source_buffer(zip, member.bytes.data(), member.bytes.size(), 0);
      const zip_int64_t index = zip_file_add(zip, member.name.c_str(), source, 0);
      EXPECT_GE(index, 0);
      if (member.encrypted) {
        EXPECT_EQ(zip_file_set_encryption(zip, index, ZIP_EM_AES_256, "secret"), 0);
      }
    }
    EXPECT_EQ(zip_close(zip), 0);
    return path;
  }

  Result<Texts> Read(const std::string& path, ZipFileOptions options = {}, int64_t split_bytes_max = 4 << 20) {
    return ReadAll(*env_, *MakeZipSource({path}, std::move(options)), split_bytes_max);
  }
  std::string Error(const std::string& path, ZipFileOptions options = {}) {
    const auto rows = Read(path, std::move(options));
    return rows.ok() ? "no error" : rows.status().ToString();
  }

  std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  TemporaryFolder folder_{*env_};
};

TEST_F(ZipFile, AMemberIsARowOfItsNameAndItsBytes) {
  const std::string path =
      WriteZip("a.zip", {{"b.txt", "two\nlines\n"}, {"d/", ""}, {"d/a.bin", {"\0\xff", 2}}, {"none", ""}});
  EXPECT_EQ(*Read(path), (Texts{{"b.txt", "two\nlines\n"}, {"d/a.bin", {"\0\xff", 2}}, {"none", ""}}));
  EXPECT_EQ(*Read(path, {.pattern = "d/*"}), (Texts{{"d/a.bin", {"\0\xff", 2}}}));
  EXPECT_EQ(*Read(path, {.pattern = "*.txt", .file_name = true}), (Texts{{"b.txt", "two\nlines\n", path}}));
  EXPECT_EQ(*Read(path, {.pattern = "*.pdf"}), Texts());
}

TEST_F(ZipFile, ManySplitsGiveTheRowsOfOne) {
  std::vector<Member> members;
  for (int i = 0; i < 1000; ++i)
    members.push_back({"m" + std::to_string(i), std::string(static_cast<size_t>(i % 97), 'a')});
  const std::string path = WriteZip("a.zip", members);
  const auto whole = Read(path);
  ASSERT_EQ(whole->size(), members.size());
  EXPECT_EQ((*whole)[999], (std::vector<std::string>{"m999", std::string(999 % 97, 'a')}));
  for (const int64_t bytes : {1, 100, 10000}) EXPECT_EQ(*Read(path, {}, bytes), *whole) << bytes;
  EXPECT_GT(MakeZipSource({path}, {})->MakeSplits(*env_, {.split_bytes_max = 1})->size(), 10u);
}

TEST_F(ZipFile, AnEstimateCountsTheMembersAndTheirBytes) {
  const std::string path = WriteZip("a.zip", {{"b.txt", "two\nlines\n"}, {"d/", ""}, {"d/a.bin", {"\0\xff", 2}}});
  const auto estimate = [&](const std::string& paths, ZipFileOptions options = {}) {
    return MakeZipSource({paths}, std::move(options))->MakeEstimate(*env_);
  };
  EXPECT_EQ(estimate(path).rows, 2);
  EXPECT_EQ(estimate(path).bytes, 12);
  EXPECT_TRUE(estimate(path).rows_exact);
  EXPECT_EQ(estimate(path, {.pattern = "d/*"}).bytes, 2);
  WriteZip("b.zip", {{"c", "x"}});
  EXPECT_EQ(estimate(folder_.path()).rows, 3);
  EXPECT_EQ(estimate(folder_.Path("none.zip")).rows, std::nullopt);
}

TEST_F(ZipFile, AFolderStandsForItsZipFiles) {
  WriteZip("b.zip", {{"x", "1"}});
  WriteZip("a.zip", {{"y", "2"}});
  folder_.Write("c.txt", "no archive");
  folder_.Write("d/e.txt", "no archive");
  WriteZip("d/f.zip", {{"z", "3"}});
  EXPECT_EQ(*Read(folder_.path()), (Texts{{"y", "2"}, {"x", "1"}}));
  EXPECT_EQ(*Read(folder_.path(), {.recursive = true}), (Texts{{"y", "2"}, {"x", "1"}, {"z", "3"}}));
  EXPECT_EQ(*Read(folder_.Path("?.zip")), (Texts{{"y", "2"}, {"x", "1"}}));
  EXPECT_THAT(Error(folder_.Path("d/*.7z")), HasSubstr("no file matches"));
  EXPECT_THAT(Error(folder_.Path("none.zip")), HasSubstr("no such file"));
}

TEST_F(ZipFile, AnArchiveWithoutMembersAndAFileWithoutBytesHaveNoRows) {
  EXPECT_EQ(*Read(folder_.Write("nothing.zip", "")), Texts());
  // Nothing but the end of a directory; libzip writes no file for an empty archive.
  const std::string path = folder_.Write("empty.zip", std::string("PK\5\6") + std::string(18, '\0'));
  EXPECT_EQ(*Read(path), Texts());
}

TEST_F(ZipFile, WhatIsNoArchiveIsAnErrorWithItsName) {
  EXPECT_THAT(Error(folder_.Write("text.zip", "some text")), HasSubstr("text.zip\": no zip archive"));
  EXPECT_THAT(Error("-"), HasSubstr("at its end"));
  EXPECT_THAT(Error("http://127.0.0.1/a.zip"), HasSubstr("at its end"));
}

TEST_F(ZipFile, AnEncryptedMemberIsAnErrorUnlessThePatternLeavesItOut) {
  const std::string path = WriteZip("a.zip", {{"open", "1"}, {"locked", "2", true}});
  EXPECT_THAT(Error(path), HasSubstr("a.zip\": member \"locked\" is encrypted"));
  EXPECT_EQ(*Read(path, {.pattern = "o*"}), (Texts{{"open", "1"}}));
}

TEST_F(ZipFile, AMemberBeyondTheLimitIsNotUnpacked) {
  const std::string path = WriteZip("bomb.zip", {{"bomb", std::string(10 << 20, '\0')}});
  EXPECT_LT(ReadWhole(*env_, path).size(), 20000u);
  EXPECT_THAT(Error(path, {.member_bytes_max = (10 << 20) - 1}),
              HasSubstr("member \"bomb\" has 10485760 bytes, more than member_bytes_max = 10485759"));
  EXPECT_EQ(Read(path, {.member_bytes_max = 10 << 20})->size(), 1u);
  EXPECT_THAT(Error(path, {.member_bytes_max = 0}), HasSubstr("member_bytes_max is a number from 1"));
}

TEST_F(ZipFile, AMemberThatHoldsMoreThanItClaimsIsAnError) {
  const std::string path = WriteZip("bomb.zip", {{"bomb", std::string(1 << 20, 'x')}});
  std::string bytes = ReadWhole(*env_, path);
  // The size of the member in the local header, and in the directory.
  for (const auto& [header, offset] : {std::pair("PK\3\4", 22), std::pair("PK\1\2", 24)}) {
    const size_t at = bytes.find(header);
    ASSERT_NE(at, std::string::npos);
    bytes.replace(at + static_cast<size_t>(offset), 4, std::string("\x10\0\0\0", 4));
  }
  EXPECT_THAT(Error(folder_.Write("liar.zip", bytes)), HasSubstr("liar.zip\": member \"bomb\": "));
}

TEST_F(ZipFile, DamageIsAnErrorOrHarmless) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += std::to_string(i * i) + "\n";
  const std::string path = WriteZip("a.zip", {{"a", text}, {"b", text}});
  const std::string bytes = ReadWhole(*env_, path);
  const Texts good = *Read(path);
  for (size_t i = 0; i < bytes.size(); i += 7) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    const auto rows = Read(folder_.Write("d.zip", damaged));
    // Names, dates and the like carry no checksum; what the members hold does.
    if (!rows.ok()) continue;
    for (const auto& row : *rows) EXPECT_EQ(row[1], text) << "byte " << i;
  }
  int failed = 0;
  for (size_t size = 1; size < bytes.size(); size += 11) {
    failed += !Read(folder_.Write("d.zip", bytes.substr(0, size))).ok();
  }
  EXPECT_EQ(failed, static_cast<int>((bytes.size() + 9) / 11)) << "an archive that was cut off has no directory";
}

}  // namespace
}  // namespace glim::io
