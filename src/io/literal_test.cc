// SPDX-License-Identifier: Apache-2.0
#include "io/literal_test.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <charconv>
#include <optional>

namespace glim::io {
namespace {

void SkipBlanks(std::string_view* text) {
  while (!text->empty() && text->front() == ' ') text->remove_prefix(1);
}

bool Take(std::string_view* text, std::string_view word) {
  if (!text->starts_with(word)) return false;
  text->remove_prefix(word.size());
  return true;
}

std::optional<Value> ReadBytes(std::string_view* text) {
  std::string bytes;
  for (size_t i = 1; i < text->size(); ++i) {
    const char c = (*text)[i];
    if (c == '"') {
      text->remove_prefix(i + 1);
      return Value(std::move(bytes));
    }
    if (c != '\\') {
      bytes.push_back(c);
      continue;
    }
    const char escaped = ++i < text->size() ? (*text)[i] : '"';
    if (escaped == 'x') {
      unsigned byte = 0;
      std::from_chars(text->data() + i + 1, text->data() + std::min(i + 3, text->size()), byte, 16);
      bytes.push_back(static_cast<char>(byte));
      i += 2;
    } else {
      bytes.push_back(escaped == 'n' ? '\n' : escaped == 't' ? '\t' : escaped);
    }
  }
  return std::nullopt;
}

std::optional<Value> ReadNumber(std::string_view* text) {
  const std::string_view word = text->substr(0, text->find_first_of(" ,}"));
  int64_t whole = 0;
  double number = 0;
  const char* end = word.data() + word.size();
  std::optional<Value> value;
  if (std::from_chars(word.data(), end, whole).ptr == end) {
    value = Value(whole);
  } else if (std::from_chars(word.data(), end, number).ptr == end) {
    value = Value(number);
  }
  if (value.has_value()) text->remove_prefix(word.size());
  return value;
}

std::optional<Value> ReadLiteral(std::string_view* text) {
  if (text->empty()) return std::nullopt;
  if (Take(text, "nil")) return Value();
  if (Take(text, "true")) return Value(true);
  if (Take(text, "false")) return Value(false);
  if (text->front() == '"') return ReadBytes(text);
  if (!Take(text, "{")) return ReadNumber(text);
  std::vector<Value> elements;
  while (!Take(text, "}")) {
    std::optional<Value> element = ReadLiteral(text);
    if (!element.has_value()) return std::nullopt;
    elements.push_back(*std::move(element));
    Take(text, ",");
    SkipBlanks(text);
  }
  return Value(elements);
}

}  // namespace

Row ReadLiterals(std::string_view* text) {
  Row row;
  SkipBlanks(text);
  while (std::optional<Value> value = ReadLiteral(text)) {
    row.push_back(*std::move(value));
    SkipBlanks(text);
  }
  return row;
}

std::string QuoteLiteral(std::string_view bytes) {
  std::string out = "\"";
  for (const char c : bytes) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c >= 0x20 && c < 0x7f) {
      out += c;
    } else {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return out + '"';
}

TEST(Literal, IsReadAndQuoted) {
  std::string_view text = R"(42 -1.5 "a\"\x00" nil {1, {"b"}, true} false)";
  const Row row = ReadLiterals(&text);
  EXPECT_TRUE(text.empty());
  ASSERT_EQ(row.size(), 6u);
  EXPECT_EQ(row[0].as_int64(), 42);
  EXPECT_EQ(row[1].as_double(), -1.5);
  EXPECT_EQ(row[2].as_bytes(), std::string_view("a\"\0", 3));
  EXPECT_EQ(row[3].type(), Type::kNull);
  EXPECT_EQ(row[4].ToString(), "{1, {b}, true}");
  EXPECT_EQ(QuoteLiteral(row[2].as_bytes()), R"("a\"\x00")");
}

}  // namespace glim::io
