// SPDX-License-Identifier: Apache-2.0
//
// What Explain knows of sizes before a run.
#include <gtest/gtest.h>

#include <cstdlib>

#include "env/env.h"
#include "glim/glim.h"

namespace glim {
namespace {

template <class T>
std::string Explained(T flow) {
  char* text = nullptr;
  size_t size = 0;
  FILE* out = open_memstream(&text, &size);
  EXPECT_EQ(flow.Run(Explain{out}).message(), "");
  std::fclose(out);
  const std::string copy(text, size);
  std::free(text);
  return copy;
}

TEST(Explain, TellsTheRowsOfValuesOfTheProgramAsFarAsTheyAreKnown) {
  Flow flow("f");
  std::vector<Row> rows;
  flow.Range(0, 1000)
      .Select(1)
      .Filter("function(n) return n > 10 end")
      .Sort()
      .Limit(7, 2)
      .FlatMap("function(n) return {n} end")
      .Reduce("function(a, b) return a + b end")
      .Collect(&rows);
  EXPECT_EQ(Explained(flow),
            "flow \"f\"\n"
            "stage 1\n"
            "  read   Range(0, 1000)  (1000 rows)\n"
            "  do     Select(1)  (1000 rows)\n"
            "  fused  Filter(lua function(n) return n > 10 end)  (at most 1000 rows, kernel)\n"
            "  fused  Sort(1)  (at most 1000 rows)\n"
            "  send   merge sorted to 1 partition\n"
            "stage 2, one task\n"
            "  read   stage 1\n"
            "  do     Limit(7, 2)  (at most 7 rows)\n"
            "  fused  FlatMap(lua function(n) return {n} end)  (plain Lua: line 1: a table)\n"
            "  fused  Reduce combine(lua function(a, b) return a + b end)  (at most 1 row, kernel)\n"
            "  send   gather in order to 1 partition\n"
            "stage 3, one task\n"
            "  read   stage 2\n"
            "  do     Reduce merge(lua function(a, b) return a + b end)  (at most 1 row, kernel)\n"
            "  write  Collect\n");
}

TEST(Explain, TellsTheBytesOfFiles) {
  const auto env = env::MakePosixEnv();
  const std::string folder = *env->files().MakeTemporaryFolder("explain");
  for (const char* name : {"/a.txt", "/b.txt"}) {
    auto file = *env->files().Create(folder + name);
    EXPECT_TRUE(file->Append(std::string(1 << 20, '\n')).ok());
    EXPECT_TRUE(file->Close().ok());
  }
  EXPECT_NE(Explained(Flow("f").TextFile(folder + "/*.txt")).find("*.txt\")  (about 2.0 MiB)\n"), std::string::npos);
  EXPECT_NE(Explained(Flow("f").TextFile(folder + "/none.txt")).find("none.txt\")\n"), std::string::npos);
  EXPECT_NE(Explained(Flow("f").Stdin()).find("read   Stdin\n"), std::string::npos);
  EXPECT_TRUE(env->files().RemoveAll(folder).ok());
}

TEST(Explain, KnowsWhatACacheHolds) {
  Flow flow("f");
  const Dataset cached = flow.Strings({"a", "b"}).Cache();
  EXPECT_TRUE(cached.Run().ok());
  EXPECT_NE(Explained(cached.Map("function(x) return x end")).find("read   Cache  (2 rows, about "), std::string::npos);
}

TEST(Explain, TakesNothingFromAChannel) {
  auto channel = std::make_shared<Channel>();
  channel->Close();
  Flow flow("f");
  const Dataset rows = flow.Channel(channel);
  EXPECT_NE(Explained(rows).find("read   Channel\n"), std::string::npos);
  EXPECT_TRUE(rows.Run().ok());
}

}  // namespace
}  // namespace glim
