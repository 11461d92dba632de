// SPDX-License-Identifier: Apache-2.0
//
// The twenty runs of N words that come most often: examples/ngrams.lua in C++.
#include <cctype>
#include <cstdlib>
#include <deque>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "glim/glim.h"

int main(int argc, char** argv) {
  glim::Session session(argc, argv);
  std::vector<std::string> files = session.arguments();
  size_t n = 3;
  if (!files.empty()) {
    n = std::strtoul(files[0].c_str(), nullptr, 10);
    files.erase(files.begin());
  }
  if (files.empty()) files = {"/usr/share/perl"};

  glim::Flow flow("n-grams");
  flow.TextFile(files, {.recursive = true})
      .FlatMap([n](std::string_view line, glim::Emitter& out) {
        std::string words;         // Of the line, each followed by a space.
        std::deque<size_t> begin;  // Where the last n of them begin.
        bool within = false;
        for (const char c : std::string(line) + " ") {
          if (std::isalpha(static_cast<unsigned char>(c))) {
            if (!within) begin.push_back(words.size());
            words += static_cast<char>(std::tolower(c));
            within = true;
          } else if (within) {
            within = false;
            if (begin.size() == n) {
              out(std::string_view(words).substr(begin.front()));
              begin.pop_front();
            }
            words += ' ';
          }
        }
      })
      .Map([](std::string_view words) { return std::tuple(words, int64_t{1}); })
      .ReduceBy([](int64_t x, int64_t y) { return x + y; })
      .Top(20, {glim::OrderBy(2, glim::Descending), glim::OrderBy(1)})
      .Printf("%s: %d\n");
  return glim::ExitCode(flow.Run(session));
}
