// SPDX-License-Identifier: Apache-2.0
//
// Whom to suggest: friends of your friends who are not yours yet: examples/self_join.lua in C++.
#include <cstdio>
#include <string_view>
#include <tuple>

#include "glim/glim.h"

int main(int argc, char** argv) {
  glim::Session session(argc, argv);
  glim::Flow flow("friends of friends");
  const glim::Dataset friends = flow.TextFile(session.arguments().empty() ? "-" : session.arguments()[0])
                                    .Map(R"lua(function(line) return line:match("(%S+)%s+(%S+)") end)lua")
                                    .Distinct();
  friends
      .Join(friends, glim::On(2), glim::On(1))  // the friend of both, someone, a friend's friend
      .Select(2, 3)
      .Filter([](std::string_view someone, std::string_view other) { return someone != other; })
      .AntiJoin(friends, glim::Field(1, 2))
      .Map([](std::string_view someone, std::string_view other) { return std::tuple(someone, other, int64_t{1}); })
      .ReduceBy([](int64_t x, int64_t y) { return x + y; }, glim::Field(1, 2))
      .SortBy({glim::OrderBy(3, glim::Descending), glim::OrderBy(1), glim::OrderBy(2)})
      .Printf("%s %s %d\n");
  return glim::ExitCode(flow.Run(session));
}
