// SPDX-License-Identifier: Apache-2.0
//
// For the tests of databases: random rows, sessions of all kinds, rows as text.
#pragma once

#include <rapidcheck.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "glim/glim.h"

namespace glim {

// A key (nil, a whole number, a double) and a value of any type that databases have.
inline std::vector<Row> SomeSqlRows() {
  const auto key = rc::gen::exec([]() -> Value {
    switch (*rc::gen::inRange(0, 5)) {
      case 0: return {};
      case 1: return static_cast<double>(*rc::gen::inRange(-400, 500)) / 8;
      case 2: return *rc::gen::arbitrary<int64_t>();
      default: return *rc::gen::inRange<int64_t>(-50, 50);
    }
  });
  const auto value = rc::gen::exec([]() -> Value {
    switch (*rc::gen::inRange(0, 4)) {
      case 0: return {};
      case 1: return *rc::gen::arbitrary<int64_t>();
      case 2: return static_cast<double>(*rc::gen::arbitrary<int>()) / 7;
      default: return *rc::gen::container<std::string>(rc::gen::elementOf(std::string("ab,\t\n\r\\N\"' \x01{}")));
    }
  });
  const auto rows = *rc::gen::container<std::vector<Row>>(rc::gen::exec([&] { return Row{*key, *value}; }));
  const int copies = *rc::gen::element(1, 1, 1, 100);
  std::vector<Row> all;
  for (int i = 0; i < copies; ++i) all.insert(all.end(), rows.begin(), rows.end());
  return all;
}

// Sessions are kept: their threads are dear.
inline Session& ASession() {
  static auto* const sessions = new std::map<std::pair<int, int>, std::unique_ptr<Session>>;
  const int threads = *rc::gen::element(1, 2, 4);
  const int partitions = *rc::gen::element(0, 1, 2, 3, 25);
  auto& session = (*sessions)[{threads, partitions}];
  if (session == nullptr) {
    SessionOptions options;
    options.threads = threads;
    options.partitions = partitions;
    session = std::make_unique<Session>(options);
  }
  return *session;
}

// Types show: bytes are quoted.
inline std::string TextOf(const Row& row) {
  std::string text;
  for (const Value& value : row) {
    const bool bytes = value.type() == Type::kBytes;
    text += (bytes ? "'" + std::string(value.as_bytes()) + "'" : value.ToString()) + "|";
  }
  return text + "\n";
}

inline std::string TextOf(const std::vector<Row>& rows) {
  std::string text;
  for (const Row& row : rows) text += TextOf(row);
  return text;
}

inline std::string SortedText(const std::vector<Row>& rows) {
  std::vector<std::string> texts;
  for (const Row& row : rows) texts.push_back(TextOf(row));
  std::sort(texts.begin(), texts.end());
  std::string text;
  for (const std::string& row : texts) text += row;
  return text;
}

}  // namespace glim
