// SPDX-License-Identifier: Apache-2.0
//
// How commands show lists, sizes and times.
//
// Thread: values.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace glim::app {

// Columns as wide as their widest cell, two blanks between them.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> head) { rows_.push_back(std::move(head)); }
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string ToText() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

std::string Bytes(uint64_t bytes);
// UTC.
std::string TimeText(int64_t millis);

}  // namespace glim::app
