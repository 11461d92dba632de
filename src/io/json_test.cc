// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "glim/batch_builder.h"
#include "io/json_source.h"
#include "io/row_encoder.h"
#include "io/test_files.h"

namespace glim::io {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

class JsonLines : public ::testing::Test {
 protected:
  Result<Texts> Read(const std::string& bytes, const JsonLinesOptions& options = {}, int64_t split_bytes = 4 << 20) {
    return ReadAll(*env_, *MakeJsonSource({folder_.Write("a.jsonl", bytes)}, options), split_bytes);
  }

  std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  TemporaryFolder folder_{*env_};
};

TEST_F(JsonLines, PathsBecomeColumns) {
  const std::string bytes =
      "{\"a\": {\"b\": [10, {\"c\": \"x\\ny\"}]}, \"d.e\": true}\n\n \t\n{\"a\": null}\r\n[1]\n\"s\"\n{\"a\":{\"b\":[]}}";
  EXPECT_EQ(*Read(bytes, {.columns = {"a.b[1].c", "a.b[0]", "[\"d.e\"]", "a", "[0]"}}),
            (Texts{{"x\ny", "10", "true", "{\"b\":[10,{\"c\":\"x\\ny\"}]}", "nil"},
                   {"nil", "nil", "nil", "nil", "nil"},
                   {"nil", "nil", "nil", "nil", "1"},
                   {"nil", "nil", "nil", "nil", "nil"},
                   {"nil", "nil", "nil", "{\"b\":[]}", "nil"}}));
  EXPECT_EQ(*Read("\xEF\xBB\xBF{\"a\":1}\n", {.columns = {"a"}}), (Texts{{"1"}}));
  EXPECT_EQ(*Read(" {\"a\" : 1}\r\n\n7"), (Texts{{" {\"a\" : 1}"}, {"7"}}));
  EXPECT_EQ(*Read(""), Texts{});
}

TEST_F(JsonLines, NumbersAreExactWhereTheyFit) {
  EXPECT_EQ(*Read("[9223372036854775807,-9223372036854775808,9223372036854775808,-9223372036854775809,1e3,0.1,"
                  "123456789012345678901234567890,\"123456789012345678901234567890\"]",
                  {.columns = {"[0]", "[1]", "[2]", "[3]", "[4]", "[5]", "[6]", "[7]"}}),
            (Texts{{"9223372036854775807", "-9223372036854775808", "9223372036854775808", "-9223372036854775809",
                    "1000", "0.1", "123456789012345678901234567890", "123456789012345678901234567890"}}));
  EXPECT_FALSE(Read("[1e999]").ok());
}

TEST_F(JsonLines, AMistakeNamesFileAndLineWhereverTheFileIsCut) {
  std::string bytes;
  for (int i = 0; i < 100; ++i) bytes += i % 10 == 0 ? "\n" : "{\"a\": [1, 2, 3]}\n";
  for (const char* bad :
       {"{\"a\": 1", "{\"a\": tru}", "{\"b\": 01, \"a\": 1}", "nil", "{} {}", "[1,]", "{\"a\": \"\xff\"}"}) {
    for (const int64_t split_bytes : {50, 700, 1 << 20}) {
      for (const bool columns : {false, true}) {
        const auto rows =
            Read(bytes + bad + "\n" + bytes,
                 {.columns = columns ? std::vector<std::string>{"a"} : std::vector<std::string>{}}, split_bytes);
        EXPECT_EQ(rows.status().code(), Code::kInvalid);
        EXPECT_THAT(rows.status().message(), HasSubstr("a.jsonl\" line 101: no JSON, "));
        const auto skipped = Read(bytes + bad + "\n" + bytes, {.skip_bad = true}, split_bytes);
        EXPECT_EQ(skipped->size(), 180u);
      }
    }
  }
}

TEST(JsonPath, SaysWhatIsWrong) {
  for (const char* path : {"a", "a.b", "a[0][1].b", "[\"x.y\"]", "[3]", "a[\"b c\"][0].d"}) {
    EXPECT_TRUE(ParseJsonPath(path).ok()) << path;
  }
  EXPECT_EQ(ParseJsonPath("a.").status().message(), "path \"a.\", byte 3: expected a name");
  EXPECT_THAT(ParseJsonPath("").status().message(), EndsWith("expected a name"));
  EXPECT_THAT(ParseJsonPath("a[x]").status().message(),
              EndsWith("byte 2: expected a number from 0 in brackets, like tags[0]"));
  EXPECT_FALSE(ParseJsonPath("a[-1]").ok());
  EXPECT_FALSE(ParseJsonPath("a[1").ok());
  EXPECT_FALSE(ParseJsonPath("a[1]b").ok());
  EXPECT_FALSE(ParseJsonPath("[\"a").ok());
}

Value AnyJsonValue(int depth) {
  switch (*rc::gen::inRange(0, depth > 0 ? 6 : 5)) {
    case 0: return Value();
    case 1: return Value(*rc::gen::arbitrary<bool>());
    case 2: return Value(*rc::gen::arbitrary<int64_t>());
    case 3: return Value(static_cast<double>(*rc::gen::arbitrary<int32_t>()) / 7);
    case 4:
      return Value(*rc::gen::container<std::string>(rc::gen::element('a', '"', '\\', '\n', '\t', '\x01', '\0', '/')));
    default: {
      std::vector<Value> elements;
      for (int i = *rc::gen::inRange(0, 4); i > 0; --i) elements.push_back(AnyJsonValue(depth - 1));
      return Value(elements);
    }
  }
}

TEST(JsonLinesProperty, WhatIsWrittenIsReadAgain) {
  auto env = env::MakePosixEnv();
  TemporaryFolder folder(*env);
  EXPECT_TRUE(rc::check("random rows", [&] {
    auto encoder = MakeJsonEncoder({"a", "b \"c\"."});
    RC_ASSERT(encoder.ok());
    std::string bytes;
    Texts wanted;
    for (int i = *rc::gen::inRange(0, 10); i > 0; --i) {
      BatchBuilder builder(2);
      const Row row{AnyJsonValue(2), AnyJsonValue(2)};
      builder.AppendRow(row);
      RC_ASSERT((*encoder)->Append(builder.Finish(), &bytes).ok());
      wanted.push_back({row[0].ToString(), row[1].ToString()});
    }
    const std::string path = folder.Write("a.jsonl", bytes);
    const auto rows =
        ReadAll(*env, *MakeJsonSource({path}, {.columns = {"a", "[\"b \"c\".\"]"}}), *rc::gen::inRange(1, 100));
    if (!rows.ok()) RC_FAIL(rows.status().message());
    RC_ASSERT(*rows == wanted);
  }));
}

TEST(JsonEncoder, WhatJsonCannotHoldIsAnError) {
  const auto encode = [](const Row& row) {
    BatchBuilder builder;
    builder.AppendRow(row);
    std::string out;
    return (*MakeJsonEncoder({"a", "b"}))->Append(builder.Finish(), &out).message();
  };
  EXPECT_EQ(encode({1, "a\xff"}), "column 2: \"a\xff\" is not UTF-8, which JSON must be");
  EXPECT_EQ(encode({1}), "2 names, the row has 1 column: (1)");
  EXPECT_THAT(encode({std::vector<Value>{1.0 / 0.0}, 1}), HasSubstr("column 1: JSON has no"));
  EXPECT_FALSE(MakeJsonEncoder({"\xff"}).ok());
}

}  // namespace
}  // namespace glim::io
