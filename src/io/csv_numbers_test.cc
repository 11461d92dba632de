// SPDX-License-Identifier: Apache-2.0
#include "io/csv_numbers.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "glim/batch_builder.h"

namespace glim::io {
namespace {

Column Texts(const std::vector<std::string>& texts) {
  ColumnBuilder builder;
  for (const std::string& text : texts) builder.AppendBytes(text);
  return builder.Finish();
}

TEST(CsvNumbers, WhatJsonWouldCallANumberIsOne) {
  for (const char* text : {"0", "-0", "7", "-12", "9223372036854775807", "-9223372036854775808"}) {
    EXPECT_EQ(NumbersOf(Texts({text}), {}).At(0).type(), Type::kInt64) << text;
  }
  for (const char* text : {"0.5", "-10.50", "1e3", "2E-7", "0.1e+2", "123456789012345678901.5"}) {
    EXPECT_EQ(NumbersOf(Texts({text}), {}).At(0).type(), Type::kDouble) << text;
  }
  for (const char* text : {"",
                           "-",
                           "+1",
                           "007",
                           "-01",
                           ".5",
                           "5.",
                           "1.e3",
                           "1e",
                           "1e+",
                           "0x10",
                           "nan",
                           "inf",
                           "Infinity",
                           " 1",
                           "1 ",
                           "1,5",
                           "9223372036854775808",
                           "-9223372036854775809",
                           "1e999",
                           "-1e-999",
                           "12a",
                           "--1"}) {
    const Column column = NumbersOf(Texts({text}), {});
    EXPECT_EQ(column.At(0), Cell::Bytes(text)) << text;
  }
}

TEST(CsvNumbers, QuotedFieldsAndNilsStay) {
  ColumnBuilder builder;
  for (const char* text : {"1", "2", "x"}) builder.AppendBytes(text);
  builder.AppendNull();
  const Column numbers = NumbersOf(builder.Finish(), std::vector<uint32_t>{1});
  EXPECT_EQ(numbers.At(0), Cell::Int64(1));
  EXPECT_EQ(numbers.At(1), Cell::Bytes("2"));
  EXPECT_EQ(numbers.At(2), Cell::Bytes("x"));
  EXPECT_TRUE(numbers.At(3).is_null());
}

// Columns of whole numbers of up to 8 digits are read another way, until a row is something else.
TEST(CsvNumbers, AreTheSameAloneAndInAColumn) {
  std::vector<std::string> texts;
  for (int64_t n = 1; n < 1'000'000'000; n *= 3) texts.push_back(std::to_string(n));
  texts.push_back("0");
  const Column numbers = NumbersOf(Texts(texts), {});
  EXPECT_EQ(numbers.type(), Type::kInt64);
  for (size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(numbers.At(static_cast<int64_t>(i)).ToString(), texts[i]);
  // Every byte at every place.
  for (size_t size = 1; size <= 9; ++size) {
    for (size_t place = 0; place < size; ++place) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string text(size, '5');
        text[place] = static_cast<char>(byte);
        const bool digit = byte >= '0' && byte <= '9' && !(byte == '0' && place == 0 && size > 1);
        const bool number = digit || (byte == '-' && place == 0 && size > 1) ||
                            (place > 0 && place + 1 < size && (byte == '.' || byte == 'e' || byte == 'E'));
        const Cell cell = NumbersOf(Texts({"12", text}), {}).At(1);
        // 5e55555 is no double.
        if (byte != 'e' && byte != 'E') EXPECT_EQ(cell.is_number(), number) << text;
        if (digit) EXPECT_EQ(cell.ToString(), text);
      }
    }
  }
}

// Columns of one kind are written as such; whatever else comes at any place makes no difference to the others.
TEST(CsvNumbers, AreTheSameWhateverTheOthersAre) {
  const std::vector<std::string> wholes = {"-7", "123456789", "0", "9223372036854775807"};
  const std::vector<std::string> decimals = {"1.5", "-0.25e3", "0.0", "123456789012.3456789"};
  EXPECT_EQ(NumbersOf(Texts(wholes), {}).type(), Type::kInt64);
  EXPECT_EQ(NumbersOf(Texts(decimals), {}).type(), Type::kDouble);
  for (const auto& numbers : {wholes, decimals}) {
    for (const char* other : {"", "x", "12", "2.5", "1e999", "a text that lies in no view"}) {
      for (size_t place = 0; place <= numbers.size(); ++place) {
        std::vector<std::string> texts = numbers;
        texts.insert(texts.begin() + static_cast<ptrdiff_t>(place), other);
        const Column together = NumbersOf(Texts(texts), {});
        for (size_t i = 0; i < texts.size(); ++i) {
          const Column alone = NumbersOf(Texts({texts[i]}), {});
          // A column of both kinds of numbers may hold the whole ones as doubles.
          EXPECT_EQ(together.At(static_cast<int64_t>(i)).is_number(), alone.At(0).is_number()) << texts[i];
          EXPECT_EQ(together.At(static_cast<int64_t>(i)), alone.At(0)) << texts[i];
        }
      }
    }
  }
}

RC_GTEST_PROP(CsvNumbers, AgreeWithAJsonParser, ()) {
  const auto text = *rc::gen::container<std::string>(rc::gen::element('0', '1', '9', '.', '-', '+', 'e', 'E'));
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const Column column = NumbersOf(Texts({text}), {});
  const Cell cell = column.At(0);
  if (json.is_discarded() || !json.is_number()) {
    RC_ASSERT(cell == Cell::Bytes(text));
  } else if (json.is_number_integer() && !(json.is_number_unsigned() && json.get<uint64_t>() > INT64_MAX)) {
    RC_ASSERT(cell.type() == Type::kInt64 && cell.as_int64() == json.get<int64_t>());
  } else if (text.find_first_of(".eE") != std::string::npos) {
    RC_ASSERT(cell.type() == Type::kDouble && cell.as_double() == json.get<double>());
  } else {
    RC_ASSERT(cell == Cell::Bytes(text));
  }
}

}  // namespace
}  // namespace glim::io
