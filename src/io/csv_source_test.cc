// SPDX-License-Identifier: Apache-2.0
#include "io/csv_source.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "env/fault/faulty_file_system.h"
#include "io/test_files.h"

namespace glim::io {
namespace {

std::string Quote(const std::string& field) {
  std::string out = "\"";
  for (const char c : field) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + "\"";
}

class CsvSource : public ::testing::Test {
 protected:
  Result<Texts> Read(const std::string& bytes, const CsvOptions& options = {}) {
    return ReadAll(*env_, *MakeCsvSource({folder_.Write("a.csv", bytes)}, options));
  }
  // From the name of the file on.
  std::string Error(const std::string& bytes, const CsvOptions& options = {}) {
    auto rows = Read(bytes, options);
    if (rows.ok()) return "no error";
    const std::string& message = rows.status().message();
    return message.substr(std::min(message.find("a.csv"), message.size()));
  }

  std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  TemporaryFolder folder_{*env_};
};

TEST(CsvSourceProperty, RowsComeBackHoweverTheyWereWritten) {
  auto env = env::MakePosixEnv();
  TemporaryFolder folder(*env);
  EXPECT_TRUE(rc::check("random rows", [&] {
    const int width = *rc::gen::inRange(1, 5), row_count = *rc::gen::inRange(0, 40);
    Texts wanted;
    std::string bytes = *rc::gen::element<std::string>("", "\xEF\xBB\xBF");
    for (int i = 0; i < row_count; ++i) {
      std::vector<std::string> row;
      for (int j = 0; j < width; ++j) {
        row.push_back(*rc::gen::container<std::string>(rc::gen::element('a', '"', ',', '\n', '\r', '\0', 'b')));
        const bool must = row[j].find_first_of("\",\n\r") != std::string::npos || (width == 1 && row[j].empty());
        bytes += (j > 0 ? "," : "") + (must || *rc::gen::arbitrary<bool>() ? Quote(row[j]) : row[j]);
      }
      wanted.push_back(row);
      if (i + 1 < row_count || *rc::gen::arbitrary<bool>()) {
        bytes += *rc::gen::element<std::string>("\n", "\r\n", "\n\n", "\n\r\n");
      }
    }
    const std::string path = folder.Write("a.csv", bytes);
    const auto rows = ReadAll(*env, *MakeCsvSource({path}, {}));
    RC_ASSERT(rows.ok());
    RC_ASSERT(*rows == wanted);

    // The same in small pieces.
    env::FaultyFileSystem files(env->files());
    files.SetReadBytesMax(*rc::gen::inRange<size_t>(1, 10));
    env::FaultyEnv slow(*env, files);
    const auto pieces = ReadAll(slow, *MakeCsvSource({path}, {}), 4 << 20, /*in_sequence=*/true);
    RC_ASSERT(pieces.ok());
    RC_ASSERT(*pieces == wanted);
  }));
}

// A reader that looks at one byte at a time: rows, or what is wrong.
struct Oracle {
  std::string_view bytes;
  size_t at = 0;
  int line = 1;
  Texts rows;
  std::string error;

  bool At(char c) const { return at < bytes.size() && bytes[at] == c; }
  bool AtRowEnd(size_t from) const {
    return from == bytes.size() || bytes[from] == '\n' ||
           (bytes[from] == '\r' && (from + 1 == bytes.size() || bytes[from + 1] == '\n'));
  }
  void EndRow() {
    at += At('\r');
    if (At('\n')) ++line;
    at = std::min(at + 1, bytes.size());
  }
  void Fail(int where, const std::string& what) { error = "a.csv\" line " + std::to_string(where) + ": " + what; }

  std::string Quoted() {
    std::string field;
    const int opened = line;
    for (++at;; ++at) {
      if (at == bytes.size()) {
        Fail(opened, "a quote is opened and never closed");
        return field;
      }
      if (At('"') && !(at + 1 < bytes.size() && bytes[at + 1] == '"')) break;
      at += At('"');
      line += At('\n');
      field += bytes[at];
    }
    ++at;
    if (!At(',') && !AtRowEnd(at)) Fail(line, "bytes after a closing quote");
    return field;
  }
  std::string Plain() {
    std::string field;
    while (!At(',') && !AtRowEnd(at)) field += bytes[at++];
    return field;
  }
  void Read() {
    if (bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);
    while (at < bytes.size() && error.empty()) {
      if (AtRowEnd(at)) {
        EndRow();
        continue;
      }
      const int row_line = line;
      std::vector<std::string> row;
      while (true) {
        row.push_back(At('"') ? Quoted() : Plain());
        if (!error.empty()) return;
        if (!At(',')) break;
        ++at;
      }
      EndRow();
      if (!rows.empty() && row.size() != rows[0].size()) {
        return Fail(row_line, std::to_string(row.size()) + (row.size() == 1 ? " column" : " columns") + ", expected " +
                                  std::to_string(rows[0].size()));
      }
      rows.push_back(row);
    }
  }
};

TEST(CsvSourceProperty, AnyBytesAreRowsOrTheRightMistake) {
  auto env = env::MakePosixEnv();
  TemporaryFolder folder(*env);
  EXPECT_TRUE(rc::check("against a reader of single bytes", [&] {
    std::string bytes;
    const int pieces = *rc::gen::inRange(0, 40);
    for (int i = 0; i < pieces; ++i) {
      bytes += *rc::gen::element<std::string>("a,b\n", "a,b\n", "c,\"d\"\r\n", "\"", ",", "\n", "\r", "\r\n", "\"\"",
                                              "x", "\xEF\xBB\xBF", "\"q\nr\",long field of text\n");
    }
    Oracle oracle;
    oracle.bytes = bytes;
    oracle.Read();
    const std::string path = folder.Write("a.csv", bytes);
    env::FaultyFileSystem files(env->files());
    files.SetReadBytesMax(*rc::gen::inRange<size_t>(1, 30));
    env::FaultyEnv slow(*env, files);
    const auto whole = ReadAll(*env, *MakeCsvSource({path}, {}));
    const auto pieced = ReadAll(slow, *MakeCsvSource({path}, {}), 4 << 20, /*in_sequence=*/true);
    for (const Result<Texts>* rows : {&whole, &pieced}) {
      RC_ASSERT(rows->ok() == oracle.error.empty());
      if (rows->ok()) RC_ASSERT(**rows == oracle.rows);
      if (!rows->ok()) RC_ASSERT(rows->status().message().ends_with("/" + oracle.error));
    }
  }));
}

TEST_F(CsvSource, ManyBlocksWithQuotedNewlines) {
  std::string bytes;
  Texts wanted;
  for (int i = 0; i < 150000; ++i) {
    const std::string text = "say \"" + std::to_string(i) + "\"\nnext line";
    bytes += std::to_string(i) + "," + Quote(text) + "\r\n";
    wanted.push_back({std::to_string(i), text});
  }
  const auto rows = Read(bytes);
  ASSERT_TRUE(rows.ok()) << rows.status().ToString();
  EXPECT_TRUE(*rows == wanted);
}

TEST_F(CsvSource, PlainRowsAreReadAsThoseWithQuotesAre) {
  // Batches that fill, blank lines and quotes among plain rows, at every distance from the end of a block.
  for (const int length : {1, 7, 13, 60}) {
    std::string bytes;
    Texts wanted;
    for (int i = 0; i < 60000; ++i) {
      const std::string number = std::to_string(i), text(i % (length + 1), 'x');
      const bool quoted = i % 1000 == 999;
      bytes += number + "," + (quoted ? Quote(text) : text) + (i % 3 == 0 ? "\r\n" : "\n");
      if (i % 777 == 0) bytes += i % 2 == 0 ? "\n" : "\r\n";
      wanted.push_back({number, text});
    }
    const auto rows = Read(bytes);
    ASSERT_TRUE(rows.ok()) << rows.status().ToString();
    EXPECT_TRUE(*rows == wanted);
    EXPECT_EQ(Error(bytes + "1,2,3\n"), "a.csv\" line 60079: 3 columns, expected 2");
  }
}

TEST_F(CsvSource, LongFieldIsRead) {
  const std::string text(3 << 20, 'x');
  const auto rows = Read("a,b\n" + Quote(text + "\"") + ",c\n");
  ASSERT_TRUE(rows.ok());
  ASSERT_EQ(rows->size(), 2u);
  EXPECT_TRUE((*rows)[1][0] == text + "\"");
}

TEST_F(CsvSource, HeaderOfEachFileIsSkipped) {
  const std::string a = folder_.Write("a.csv", "n,m\n1,2\n"), b = folder_.Write("b.csv", "n,m\n3,4");
  EXPECT_EQ(*ReadAll(*env_, *MakeCsvSource({a, b}, {.header = true})), (Texts{{"1", "2"}, {"3", "4"}}));
  const std::string c = folder_.Write("c.csv", "n\n3\n");
  const Status error = ReadAll(*env_, *MakeCsvSource({a, c}, {.header = true})).status();
  EXPECT_EQ(error.message(), "\"" + c + "\" has 1 column, \"" + a + "\" has 2");
  const std::string d = folder_.Write("d.csv", "n,\"k\"\"\"\n5,6\n");
  const Status other_name = ReadAll(*env_, *MakeCsvSource({a, d}, {.header = true})).status();
  EXPECT_EQ(other_name.message(), "\"" + d + "\": column 2 is \"k\\\"\", in \"" + a + "\" it is \"m\"");
  EXPECT_EQ(*Read("n,m\n", {.header = true}), Texts{});
  EXPECT_EQ(*Read("", {.header = true}), Texts{});
}

TEST_F(CsvSource, DelimiterAndQuoteCanBeChosen) {
  EXPECT_EQ(*Read("a;'b;''c'\n\"x\";,\n", {.delimiter = ';', .quote = '\''}), (Texts{{"a", "b;'c"}, {"\"x\"", ","}}));
  EXPECT_FALSE(Read("a", {.delimiter = '"'}).ok());
  EXPECT_FALSE(Read("a", {.delimiter = '\n'}).ok());
}

TEST_F(CsvSource, EmptyFieldsAreFieldsAndBlankLinesAreNothing) {
  EXPECT_EQ(*Read(",\n\n\r\n\"\",a\n,"), (Texts{{"", ""}, {"", "a"}, {"", ""}}));
  EXPECT_EQ(*Read("\"\"\n\n\"\""), (Texts{{""}, {""}}));
  EXPECT_EQ(*Read("\r\n\r"), Texts{});
  EXPECT_EQ(*Read("a\"b,c\n"), (Texts{{"a\"b", "c"}}));
}

TEST_F(CsvSource, MistakesAreNamedWithTheirLine) {
  EXPECT_EQ(Error("a,b,c,d\n\n1,\"2\n2\",3,4\r\n\n\n1,2,3\n"), "a.csv\" line 7: 3 columns, expected 4");
  EXPECT_EQ(Error("a,b\nc\n"), "a.csv\" line 2: 1 column, expected 2");
  EXPECT_EQ(Error("a\n\"b\nc"), "a.csv\" line 2: a quote is opened and never closed");
  EXPECT_EQ(Error("\""), "a.csv\" line 1: a quote is opened and never closed");
  EXPECT_EQ(Error("a\n\"b\nc\"d\n"), "a.csv\" line 3: bytes after a closing quote");
  EXPECT_EQ(Error("n,m\n1\n", {.header = true}), "a.csv\" line 2: 1 column, expected 2");
}

}  // namespace
}  // namespace glim::io
