// SPDX-License-Identifier: Apache-2.0
//
// The words that are most particular to one file of many: examples/tf_idf.lua in C++.
#include <cctype>
#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>
#include <tuple>

#include "glim/glim.h"

namespace {

void LowerCaseWords(std::string_view line, std::string_view file, glim::Emitter& out) {
  std::string word;
  for (size_t i = 0; i <= line.size(); ++i) {
    const auto c = i < line.size() ? static_cast<unsigned char>(line[i]) : ' ';
    if (std::isalpha(c)) {
      word += static_cast<char>(std::tolower(c));
    } else if (!word.empty()) {
      out(word, file, 1);
      word.clear();
    }
  }
}

int64_t Sum(int64_t x, int64_t y) { return x + y; }

}  // namespace

int main(int argc, char** argv) {
  glim::Session session(argc, argv);
  const auto& files = session.arguments();
  if (files.empty()) {
    std::fprintf(stderr, "usage: %s FILE...\n", argv[0]);
    return 2;
  }
  glim::Flow flow("tf-idf");
  const glim::Dataset counts = flow.TextFile(files, {.file_name = true})  // line, file
                                   .FlatMap(LowerCaseWords)
                                   .ReduceBy(Sum, glim::Field(1, 2));  // word, file, count in the file
  const glim::Dataset files_with = counts.Map([](std::string_view word) { return std::tuple(word, int64_t{1}); })
                                       .ReduceBy(Sum);  // word, number of files
  const auto file_count = static_cast<double>(files.size());
  counts
      .Join(files_with)  // word, file, count, number of files
      .Map([=](std::string_view word, std::string_view file, int64_t count, int64_t with) {
        return std::tuple(word, file, static_cast<double>(count) * std::log(file_count / static_cast<double>(with)));
      })
      .Top(20, {glim::OrderBy(3, glim::Descending), glim::OrderBy(1), glim::OrderBy(2)})
      .Printf("%s %s %.4f\n");
  return glim::ExitCode(flow.Run(session));
}
