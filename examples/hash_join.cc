// SPDX-License-Identifier: Apache-2.0
//
// Counts kinds of words: examples/hash_join.lua in C++. Prints its stages, too, when the first argument is `explain`.
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "glim/glim.h"

int main(int argc, char** argv) {
  glim::Session session(argc, argv);
  std::vector<std::string> files = session.arguments();
  const bool explain = !files.empty() && files[0] == "explain";
  if (explain) files.erase(files.begin());
  if (files.empty()) files = {"-"};

  glim::Flow flow("kinds of words");
  const glim::Dataset kinds = flow.Rows({{"a", "article"},
                                         {"an", "article"},
                                         {"the", "article"},
                                         {"he", "pronoun"},
                                         {"she", "pronoun"},
                                         {"it", "pronoun"},
                                         {"they", "pronoun"},
                                         {"that", "pronoun"},
                                         {"and", "conjunction"},
                                         {"or", "conjunction"},
                                         {"but", "conjunction"},
                                         {"that", "conjunction"}});
  flow.TextFile(files)
      .FlatMap(R"(function(line) return line:lower():gmatch("%a+") end)")
      .RoundRobin(7)
      .HashJoin(kinds)  // word, kind
      .Map([](std::string_view, std::string_view kind) { return std::tuple(kind, int64_t{1}); })
      .ReduceBy([](int64_t x, int64_t y) { return x + y; })
      .Sort()
      .Printf("%s %d\n");
  return glim::ExitCode(explain ? flow.Run(glim::Explain()) : flow.Run(session));
}
