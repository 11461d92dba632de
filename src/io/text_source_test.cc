// SPDX-License-Identifier: Apache-2.0
#include "io/text_source.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "env/fault/faulty_file_system.h"
#include "io/test_files.h"

namespace glim::io {
namespace {

Texts OneColumn(const std::vector<std::string>& values) {
  Texts rows;
  for (const std::string& value : values) rows.push_back({value});
  return rows;
}

std::vector<std::string> Lines(std::string_view bytes) {
  std::vector<std::string> lines;
  while (!bytes.empty()) {
    const size_t end = std::min(bytes.find('\n'), bytes.size());
    lines.emplace_back(bytes.substr(0, end));
    bytes.remove_prefix(std::min(end + 1, bytes.size()));
  }
  return lines;
}

// The lines with the bytes where they start.
Texts LinesWithOffsets(std::string_view bytes) {
  Texts rows;
  size_t offset = 0;
  for (const std::string& line : Lines(bytes)) {
    rows.push_back({line, std::to_string(offset)});
    offset += line.size() + 1;
  }
  return rows;
}

class TextSource : public ::testing::Test {
 protected:
  Texts Read(const std::vector<std::string>& paths, const TextFileOptions& options = {},
             int64_t split_bytes_max = 4 << 20) {
    auto rows = ReadAll(*env_, *MakeTextSource(paths, options), split_bytes_max);
    EXPECT_TRUE(rows.ok()) << rows.status().ToString();
    return rows.ok() ? *rows : Texts{};
  }
  Status Error(const std::string& path, const TextFileOptions& options = {}) {
    return ReadAll(*env_, *MakeTextSource({path}, options)).status();
  }
  // Without the folder.
  std::vector<std::string> Expand(const std::string& path, const TextFileOptions& options = {}) {
    auto found =
        ExpandPaths(*env_, {path.starts_with('/') ? path : folder_.Path(path)}, {options.recursive, options.pattern});
    if (!found.ok()) return {found.status().ToString()};
    for (std::string& name : *found) name.erase(0, folder_.path().size() + 1);
    return *found;
  }

  std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  TemporaryFolder folder_{*env_};
};
using Names = std::vector<std::string>;

TEST(TextSourceProperty, SplitsTogetherGiveEachLineOnce) {
  auto env = env::MakePosixEnv();
  TemporaryFolder folder(*env);
  EXPECT_TRUE(rc::check("any bytes, any split size", [&] {
    std::string bytes;
    const int pieces = *rc::gen::inRange(0, 60);
    for (int i = 0; i < pieces; ++i) {
      bytes += *rc::gen::element<std::string>("\n", "\n\n", "a", "\r\n", std::string("\0", 1), "0123456789ab",
                                              "0123456789abc", std::string(70, 'x'), "\xff\n");
    }
    const std::string path = folder.Write("text", bytes);
    const int64_t split_bytes_max = *rc::gen::inRange(1, 100);
    const auto rows = ReadAll(*env, *MakeTextSource({path}, {}), split_bytes_max);
    RC_ASSERT(rows.ok());
    RC_ASSERT(*rows == OneColumn(Lines(bytes)));
    const auto with_offsets = ReadAll(*env, *MakeTextSource({path}, {.offset = true}), split_bytes_max);
    RC_ASSERT(with_offsets.ok());
    RC_ASSERT(*with_offsets == LinesWithOffsets(bytes));
  }));
}

TEST(TextSourceProperty, SmallPiecesGiveTheSameLines) {
  auto env = env::MakePosixEnv();
  TemporaryFolder folder(*env);
  EXPECT_TRUE(rc::check("a file read in sequence, as a pipe", [&] {
    const auto bytes = *rc::gen::container<std::string>(rc::gen::element('\n', 'a', 'b', '\0'));
    const std::string path = folder.Write("text", bytes);
    env::FaultyFileSystem files(env->files());
    files.SetReadBytesMax(*rc::gen::inRange<size_t>(1, 20));
    env::FaultyEnv slow(*env, files);
    const auto rows = ReadAll(slow, *MakeTextSource({path}, {.offset = true}), 4 << 20, /*in_sequence=*/true);
    RC_ASSERT(rows.ok());
    RC_ASSERT(*rows == LinesWithOffsets(bytes));
  }));
}

TEST_F(TextSource, BlocksAndLongLinesAreCarriedOver) {
  // Several blocks of short lines, with a line of 5 MB among them.
  std::string bytes;
  for (int i = 0; i < 200000; ++i) {
    bytes += "line " + std::to_string(i) + (i % 3 == 0 ? " with some more words\n" : "\n");
    if (i == 100000) bytes += std::string(5 << 20, 'x') + "\n";
  }
  bytes += "last";
  const std::string path = folder_.Write("big", bytes);
  const Texts wanted = OneColumn(Lines(bytes));
  EXPECT_TRUE(Read({path}) == wanted);
  EXPECT_TRUE(Read({path}, {}, 100000) == wanted);
  EXPECT_TRUE(Read({path}, {.offset = true}, 100000) == LinesWithOffsets(bytes));
  EXPECT_TRUE(Read({path}, {}, 1 << 30) == wanted);
}

TEST_F(TextSource, LineOf100MbIsRead) {
  const std::string path = folder_.Write("long", "a\n" + std::string(100 << 20, 'x') + "\nb");
  const Texts rows = Read({path});
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[1][0].size(), size_t{100} << 20);
  EXPECT_EQ(rows[2][0], "b");
}

TEST_F(TextSource, BytesAreKept) {
  const std::string path = folder_.Write("odd", std::string("a\r\n\n\0\xff\n  b \t", 12));
  EXPECT_EQ(Read({path}), (Texts{{"a\r"}, {""}, {std::string("\0\xff", 2)}, {"  b \t"}}));
  EXPECT_EQ(Read({path}, {.strip_cr = true}), (Texts{{"a"}, {""}, {std::string("\0\xff", 2)}, {"  b \t"}}));
  EXPECT_EQ(Read({folder_.Write("cr", "\r\n\r\r\n\r")}, {.strip_cr = true}), (Texts{{""}, {"\r"}, {"\r"}}));
  EXPECT_EQ(Read({folder_.Write("empty", "")}), Texts{});
  EXPECT_EQ(Read({folder_.Write("newline", "\n")}), Texts{{""}});
}

TEST_F(TextSource, FileNameAndOffsetAreFurtherColumns) {
  const std::string a = folder_.Write("a", "1\n2\n"), b = folder_.Write("b", "3");
  EXPECT_EQ(Read({b, a}, {.file_name = true}), (Texts{{"3", b}, {"1", a}, {"2", a}}));
  EXPECT_EQ(Read({b, a}, {.file_name = true, .offset = true}), (Texts{{"3", b, "0"}, {"1", a, "0"}, {"2", a, "2"}}));
}

TEST_F(TextSource, SplitsAreNotLargerThanAsked) {
  const std::string path = folder_.Write("a", std::string(1000, '\n'));
  const auto source = MakeTextSource({path}, {});
  const auto splits = source->MakeSplits(*env_, {.split_bytes_max = 300});
  ASSERT_TRUE(splits.ok());
  ASSERT_EQ(splits->size(), 4u);
  for (const Split& split : *splits) EXPECT_EQ(split.end - split.begin, 250u);
}

TEST_F(TextSource, GlobsFindFiles) {
  for (const char* name :
       {"a.log", "b.log", "c.txt", ".hidden.log", "x/d.log", "x/y/e.log", "x/.git/f.log", "[z].log"}) {
    folder_.Write(name, name);
  }
  EXPECT_EQ(Expand("*.log"), (Names{"[z].log", "a.log", "b.log"}));
  EXPECT_EQ(Expand("?.log"), (Names{"a.log", "b.log"}));
  EXPECT_EQ(Expand("[b-c].*"), (Names{"b.log", "c.txt"}));
  EXPECT_EQ(Expand("[!a].log"), (Names{"b.log"}));
  EXPECT_EQ(Expand("[z].log"), (Names{"[z].log"}));
  EXPECT_EQ(Expand(".*.log"), (Names{".hidden.log"}));
  EXPECT_EQ(Expand("*/*.log"), (Names{"x/d.log"}));
  EXPECT_EQ(Expand("**/*.log"), (Names{"[z].log", "a.log", "b.log", "x/d.log", "x/y/e.log"}));
  EXPECT_EQ(Expand("x/**"), (Names{"x/d.log", "x/y/e.log"}));
  EXPECT_EQ(Expand("**/y/*"), (Names{"x/y/e.log"}));
  EXPECT_EQ(Expand("x"), (Names{"x/d.log"}));
  EXPECT_EQ(Expand("x/"), (Names{"x/d.log"}));
  EXPECT_EQ(Expand("", {.recursive = true, .pattern = "[de]*"}), (Names{"x/d.log", "x/y/e.log"}));
}

TEST_F(TextSource, WhatIsNotThereIsNamed) {
  folder_.Write("x/a", "");
  const std::string missing = folder_.Path("missing");
  EXPECT_EQ(Error(missing).code(), Code::kNotFound);
  EXPECT_NE(Error(missing).message().find("missing\""), std::string::npos) << Error(missing).message();
  EXPECT_EQ(Error(folder_.Path("*.log")).message(), "\"" + folder_.Path("*.log") + "\": no file matches");
  EXPECT_EQ(Error(folder_.Path("nope/**/*.log")).code(), Code::kNotFound);
  EXPECT_EQ(Error(folder_.path()).message(), "\"" + folder_.path() + "\": no file in this folder");
  EXPECT_EQ(Error(folder_.Path("x"), {.pattern = "*.c"}).message(),
            "\"" + folder_.Path("x") + "\": no file in this folder matches \"*.c\"");
}

TEST_F(TextSource, FilesThatClaimToBeEmptyAreRead) {
  EXPECT_FALSE(Read({"/proc/self/status"}).empty());
  EXPECT_EQ(Read({"/dev/null"}), Texts{});
}

TEST_F(TextSource, ReadErrorEndsTheReader) {
  const std::string path = folder_.Write("a", "1\n2\n");
  env::FaultyFileSystem files(env_->files());
  files.FailAt(env::FileOperation::kRead, 1, Status::Unavailable("bad sector"));
  env::FaultyEnv env(*env_, files);
  EXPECT_EQ(ReadAll(env, *MakeTextSource({path}, {})).status().code(), Code::kUnavailable);
}

TEST_F(TextSource, StandardInputAndNamedPipesAreReadInSequence) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const int kept = dup(STDIN_FILENO);
  ASSERT_GE(dup2(ends[0], STDIN_FILENO), 0);
  const auto env = env::MakePosixEnv();
  std::thread writer([&] {
    for (const std::string_view piece : {"one\ntw", "o", "\n\nlast"}) {
      EXPECT_EQ(write(ends[1], piece.data(), piece.size()), static_cast<ssize_t>(piece.size()));
      env->clock().SleepFor(3'000'000);
    }
    close(ends[1]);
  });
  const auto rows = ReadAll(*env, *MakeTextSource({"-"}, {}));
  writer.join();
  dup2(kept, STDIN_FILENO);
  close(kept);
  close(ends[0]);
  ASSERT_TRUE(rows.ok()) << rows.status().ToString();
  EXPECT_EQ(*rows, (Texts{{"one"}, {"two"}, {""}, {"last"}}));

  const std::string path = folder_.Path("pipe");
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  std::thread late([&] {
    const int descriptor = open(path.c_str(), O_WRONLY);
    EXPECT_EQ(write(descriptor, "a\nb", 3), 3);
    close(descriptor);
  });
  EXPECT_EQ(Read({path}), (Texts{{"a"}, {"b"}}));
  late.join();
}

RC_GTEST_PROP(MatchesName, AgreesWithTheSystem, ()) {
  const auto name = *rc::gen::container<std::string>(rc::gen::element('a', 'b', '-', '[', ']', '*'));
  // A class without an end is left out: the system's answers are odd there ("[*-" is not "[-").
  std::string pattern;
  for (const std::string& part : *rc::gen::container<std::vector<std::string>>(rc::gen::element<std::string>(
           "a", "b", "*", "?", "-", "]", "[ab]", "[!a]", "[a-b]", "[]]", "[!]a-]", "[*-]", "[b-a]", "[[]"))) {
    pattern += part;
  }
  RC_ASSERT(MatchesName(pattern, name) == (fnmatch(pattern.c_str(), name.c_str(), 0) == 0));
}

TEST(MatchesName, FollowsTheShell) {
  EXPECT_TRUE(MatchesName("*", ""));
  EXPECT_TRUE(MatchesName("a*b*c", "aXbYbZc"));
  EXPECT_FALSE(MatchesName("a*b*c", "aXbYbZ"));
  EXPECT_TRUE(MatchesName("[]]", "]"));
  EXPECT_TRUE(MatchesName("[a-]", "-"));
  EXPECT_TRUE(MatchesName("[", "["));
  EXPECT_TRUE(MatchesName("\\*", "*"));
  EXPECT_FALSE(MatchesName("\\*", "a"));
  EXPECT_FALSE(MatchesName("[^a]", "a"));
  EXPECT_FALSE(MatchesName("?", ""));
}

}  // namespace
}  // namespace glim::io
