// SPDX-License-Identifier: Apache-2.0
#include "io/csv_source.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "env/fault/faulty_file_system.h"
#include "glim/batch_builder.h"
#include "io/row_encoder.h"
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

// All rows of the file cut into small splits, opened in an order that has nothing to do with the file's.
Result<Texts> ReadInAnyOrder(env::Env& env, const Source& source, int64_t split_bytes_max) {
  auto splits = source.MakeSplits(env, {.split_bytes_max = split_bytes_max});
  if (!splits.ok()) return splits.status();
  std::vector<Texts> parts(splits->size());
  std::vector<size_t> order(splits->size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[*rc::gen::inRange<size_t>(0, i)]);
  for (const size_t i : order) {
    auto reader = source.Open(env, (*splits)[i]);
    if (!reader.ok()) return reader.status();
    while (true) {
      auto batch = (*reader)->Next();
      if (!batch.ok()) return batch.status();
      if (!batch->has_value()) break;
      AppendTexts(**batch, &parts[i]);
    }
  }
  Texts rows;
  for (const Texts& part : parts) rows.insert(rows.end(), part.begin(), part.end());
  return rows;
}

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

    // And cut into splits.
    const int64_t split_bytes = *rc::gen::inRange(1, 60);
    const bool header = *rc::gen::arbitrary<bool>() && !wanted.empty();
    const auto source = MakeCsvSource({path}, {.header = header});
    if (header) wanted.erase(wanted.begin());
    const auto in_order = ReadAll(*env, *source, split_bytes);
    RC_ASSERT(in_order.ok());
    const auto shuffled = ReadInAnyOrder(*env, *source, split_bytes);
    RC_ASSERT(shuffled.ok());
    RC_ASSERT(*in_order == wanted);
    RC_ASSERT(*shuffled == wanted);
  }));
}

// Written as the engine does it, and read again: the same rows, nils too.
TEST(CsvSourceProperty, WhatIsWrittenIsReadAgain) {
  auto env = env::MakePosixEnv();
  TemporaryFolder folder(*env);
  EXPECT_TRUE(rc::check("random rows", [&] {
    const int width = *rc::gen::inRange(1, 5);
    const auto text = *rc::gen::element<std::string>("", "NULL", "a", "3");
    const char delimiter = *rc::gen::element(',', '\t', ';', 'x', '%', '4');
    Texts wanted;
    std::string bytes;
    auto encoder =
        MakeCsvEncoder({.header = std::vector<std::string>(width, "b\"x"), .delimiter = delimiter, .null = text});
    RC_ASSERT(encoder.ok());
    (*encoder)->AppendHead(&bytes);
    for (int i = *rc::gen::inRange(0, 10); i > 0; --i) {
      BatchBuilder builder(width);
      // Columns of one type are written in another way than others.
      const bool mixed = *rc::gen::inRange(0, 2) == 0;
      for (int rows = *rc::gen::inRange(1, 10); rows > 0; --rows) {
        std::vector<std::string> texts;
        for (int j = 0; j < width; ++j) {
          Value value;
          if (!mixed && j % 2 == 0) {
            value = Value(*rc::gen::element<std::string>("plain", "words", "as long as it takes, \"or so\"",
                                                         "longer than a view", "NULL", "", "a"));
          } else if (!mixed) {
            value = Value(*rc::gen::inRange(-5, 500));
          } else if (*rc::gen::inRange(0, 4) > 0) {
            value = Value(
                *rc::gen::element<std::string>("", "a", "NULL", "\"", "a,\tb;x", "\n", "\r", "\xEF\xBB\xBF", "a\"\"b"));
          } else if (*rc::gen::inRange(0, 2) > 0) {
            value = Value(*rc::gen::inRange(-5, 5));
          }
          builder.column(j).Append(value);
          const bool lost = value.type() == Type::kNull && width == 1 && text.empty();
          texts.push_back(lost ? "" : value.type() == Type::kNull ? "(nil)" : value.ToString());
        }
        builder.EndRow();
        wanted.push_back(texts);
      }
      RC_ASSERT((*encoder)->Append(builder.Finish(), &bytes).ok());
    }
    const std::string path = folder.Write("a.csv", bytes);
    const auto source = MakeCsvSource({path}, {.header = true, .delimiter = delimiter, .null = text});
    auto splits = source->MakeSplits(*env, {.split_bytes_max = 20});
    RC_ASSERT(splits.ok());
    Texts got;
    for (const Split& split : *splits) {
      auto reader = *source->Open(*env, split);
      while (true) {
        auto batch = *reader->Next();
        if (!batch.has_value()) break;
        for (int64_t row = 0; row < batch->row_count(); ++row) {
          std::vector<std::string> texts;
          for (int j = 0; j < width; ++j) {
            const Cell cell = batch->At(row, j);
            texts.push_back(cell.is_null() ? "(nil)" : cell.ToString());
          }
          got.push_back(texts);
        }
      }
    }
    RC_ASSERT(got == wanted);
  }));
}

TEST(CsvEncoder, WhatCannotBeWrittenIsAnError) {
  const auto encode = [](const CsvWriteOptions& options, const std::vector<Row>& rows) -> std::string {
    auto encoder = MakeCsvEncoder(options);
    if (!encoder.ok()) return encoder.status().message();
    std::string out;
    for (const Row& row : rows) {
      BatchBuilder builder;
      builder.AppendRow(row);
      const Status status = (*encoder)->Append(builder.Finish(), &out);
      if (!status.ok()) return status.message();
    }
    return out;
  };
  EXPECT_EQ(encode({}, {{1, "a,b", 2.5, Value()}}), "1,\"a,b\",2.5,\n");
  EXPECT_EQ(encode({}, {{1, 2}, {3}}), "1 column, other rows have 2: (3)");
  EXPECT_EQ(encode({.header = {"a"}}, {{1, 2}}), "2 columns, the header has 1: (1, 2)");
  EXPECT_EQ(encode({.quote = 0}, {{"a,b"}}), "\"a,b\" would need quotes, and there are none");
  EXPECT_EQ(encode({.null = "a,b"}, {}), "the text for nil, \"a,b\", has a delimiter, quote or line end");
  EXPECT_EQ(encode({.delimiter = '"'}, {}), "delimiter and quote must differ, and be no line ends");
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
    const int64_t split_bytes = *rc::gen::inRange(1, 60);
    const auto cut = ReadAll(*env, *MakeCsvSource({path}, {}), split_bytes);
    const auto shuffled = ReadInAnyOrder(*env, *MakeCsvSource({path}, {}), split_bytes);
    RC_ASSERT(shuffled.ok() == oracle.error.empty());
    if (shuffled.ok()) RC_ASSERT(*shuffled == oracle.rows);
    for (const Result<Texts>* rows : {&whole, &pieced, &cut}) {
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

TEST_F(CsvSource, ATextWithoutQuotesMeansNil) {
  EXPECT_EQ(*Read("NULL,\"NULL\"\nNULLS,\n", {.null = "NULL"}), (Texts{{"nil", "NULL"}, {"NULLS", ""}}));
  EXPECT_EQ(*Read(",\"\"\na,\n", {.null = ""}), (Texts{{"nil", ""}, {"a", "nil"}}));
  const std::string long_text = "a text longer than a short view";
  EXPECT_EQ(*Read(long_text + "," + long_text + "!\n", {.null = long_text}), (Texts{{"nil", long_text + "!"}}));
  std::string bytes;
  Texts wanted;
  for (int i = 0; i < 10000; ++i) {
    bytes += i % 7 == 0 ? "\"\",\n" : i % 5 == 0 ? ",\n" : "x,\n";
    wanted.push_back({i % 7 == 0 ? "" : i % 5 == 0 ? "nil" : "x", "nil"});
  }
  EXPECT_TRUE(*Read(bytes, {.null = ""}) == wanted);
}

TEST_F(CsvSource, FieldsCanBeNumbers) {
  EXPECT_EQ(*Read("10.50,007\n,\"1.0\"\n1.00,x\n", {.numbers = true}),
            (Texts{{"10.5", "007"}, {"nil", "1.0"}, {"1", "x"}}));
  EXPECT_EQ(*Read("1.50,-\n-,\n", {.null = "-", .numbers = true}), (Texts{{"1.5", "nil"}, {"nil", ""}}));
  std::string bytes;
  Texts wanted;
  for (int i = 0; i < 10000; ++i) {
    bytes += i % 7 == 0 ? "\"1.0\"\n" : "1.0\n";
    wanted.push_back({i % 7 == 0 ? "1.0" : "1"});
  }
  EXPECT_TRUE(*Read(bytes, {.numbers = true}) == wanted);
}

TEST_F(CsvSource, ColumnsAreChosenByNumberOrName) {
  EXPECT_EQ(*Read("a,b,c\n1,2,3\n4,\"5\",6\n", {.columns = {3, 2, 3}}),
            (Texts{{"c", "b", "c"}, {"3", "2", "3"}, {"6", "5", "6"}}));
  EXPECT_EQ(*Read("a,\"b \"\"x\"\"\",c\n1,2,3\n", {.header = true, .columns = {"c", 1, "b \"x\""}}),
            (Texts{{"3", "1", "2"}}));
  EXPECT_EQ(Error("a,b\n1,2\n", {.header = true, .columns = {"d"}}), "a.csv\": no column \"d\", it has 2: a, b");
  EXPECT_EQ(Error("a,b\n1,2\n", {.columns = {3}}), "a.csv\": no column 3, it has 2");
  EXPECT_FALSE(Read("a,b\n", {.columns = {"a"}}).ok());
  EXPECT_FALSE(Read("a,b\n", {.columns = {0}}).ok());
  EXPECT_EQ(Error("a,b\n1,2\n1\n", {.columns = {1}}), "a.csv\" line 3: 1 column, expected 2");
}

TEST_F(CsvSource, WithoutAQuoteQuotesAreBytes) {
  EXPECT_EQ(*Read(std::string("\"a,b\"\n\0,\0\n", 10), {.quote = 0}),
            (Texts{{"\"a", "b\""}, {std::string(1, '\0'), std::string(1, '\0')}}));
  const std::string path = folder_.Write("b.csv", std::string("\0,b\nc,\0\n\"\n", 10));
  EXPECT_EQ(ReadAll(*env_, *MakeCsvSource({path}, {.quote = 0}), 4).status().message(),
            "\"" + path + "\" line 3: 1 column, expected 2");
}

TEST_F(CsvSource, EmptyFieldsAreFieldsAndBlankLinesAreNothing) {
  EXPECT_EQ(*Read(",\n\n\r\n\"\",a\n,"), (Texts{{"", ""}, {"", "a"}, {"", ""}}));
  EXPECT_EQ(*Read("\"\"\n\n\"\""), (Texts{{""}, {""}}));
  EXPECT_EQ(*Read("\r\n\r"), Texts{});
  EXPECT_EQ(*Read("a\"b,c\n"), (Texts{{"a\"b", "c"}}));
}

TEST_F(CsvSource, MistakesAreNamedWithTheirLine) {
  std::string rows;
  for (int i = 0; i < 1000; ++i) rows += i % 2 == 0 ? "a,b\n" : "a,\"\n\"\n";
  const std::string path = folder_.Write("a.csv", rows + "c\n");
  const auto cut = ReadAll(*env_, *MakeCsvSource({path}, {}), 100);
  EXPECT_EQ(cut.status().message(), "\"" + path + "\" line 1501: 1 column, expected 2");
  EXPECT_EQ(Error("a,b,c,d\n\n1,\"2\n2\",3,4\r\n\n\n1,2,3\n"), "a.csv\" line 7: 3 columns, expected 4");
  EXPECT_EQ(Error("a,b\nc\n"), "a.csv\" line 2: 1 column, expected 2");
  EXPECT_EQ(Error("a\n\"b\nc"), "a.csv\" line 2: a quote is opened and never closed");
  EXPECT_EQ(Error("\""), "a.csv\" line 1: a quote is opened and never closed");
  EXPECT_EQ(Error("a\n\"b\nc\"d\n"), "a.csv\" line 3: bytes after a closing quote");
  EXPECT_EQ(Error("n,m\n1\n", {.header = true}), "a.csv\" line 2: 1 column, expected 2");
}

}  // namespace
}  // namespace glim::io
