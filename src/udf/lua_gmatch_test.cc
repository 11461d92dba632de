// SPDX-License-Identifier: Apache-2.0
#include "udf/lua_gmatch.h"

#include <random>

#include "udf/lua_test_support.h"

namespace glim::udf {
namespace {

using enum FunctionRole;

constexpr char kPieces[] = "abA1 ,-_%[].()$^*+?";

// Mostly patterns that Lua takes, with some noise.
std::string RandomPattern(std::mt19937_64& random) {
  static const std::vector<std::string> kClasses = {
      "%w",     "%a",     "%d",   "%S",    "%s",    "%W",   "%p",   "%x",         "%u",   "%z",
      ".",      "a",      "b",    "-",     "^",     "$",    ",",    "%%",         "%.",   "%(",
      "]",      "%]",     "[ab]", "[^ab]", "[%w_]", "[]a]", "[^]]", "[a-f]",      "[a-]", "[-a]",
      "[%a-z]", "[^%s,]", "[%]]", "[f-a]", "[a^]",  "[%-]", "\xff", "[\x80-\xff]"};
  static const std::vector<std::string> kOthers = {"%1", "%bab", "%f[%w]", "(", ")", "[", "%", "[a", "*", "^", "()"};
  static const std::vector<std::string> kQuantifiers = {"", "", "", "+", "+", "*", "-", "?"};
  std::string pattern;
  int open = 0;
  for (size_t i = random() % 5 + 1; i-- > 0;) {
    if (random() % 6 == 0) pattern += "(", ++open;
    if (random() % 12 == 0) pattern += "()";
    pattern += kClasses[random() % kClasses.size()] + kQuantifiers[random() % kQuantifiers.size()];
    if (open > 0 && random() % 2 == 0) pattern += ")", --open;
    if (random() % 40 == 0) pattern += kOthers[random() % kOthers.size()];
  }
  while (open-- > 0) pattern += ")";
  if (random() % 8 == 0) pattern += "$";
  if (random() % 8 == 0) pattern = "^" + pattern;
  return pattern;
}

std::string RandomText(std::mt19937_64& random) {
  std::string text(random() % 24, ' ');
  for (char& c : text) {
    c = random() % 8 == 0 ? static_cast<char>(random()) : kPieces[random() % (sizeof(kPieces) - 1)];
  }
  return text;
}

// The function is not one that is recognised as a whole, so its iterator is drained.
constexpr const char* kSource = "function(pattern, text) local found = text:gmatch(pattern) return found end";

TEST(LuaGmatch, DrainedIteratorsGiveWhatLuaGives) {
  std::mt19937_64 random(4);
  const auto function = MakeLuaFunction(kSource, "");
  int matches = 0, errors = 0;
  for (int i = 0; i < 2000; ++i) {
    const std::string pattern = RandomPattern(random);
    std::vector<Row> rows;
    for (int j = 0; j < 8; ++j) rows.push_back({pattern, RandomText(random)});
    const Answer drained = RunOn(*function, kFlatMap, {MakeBatch(rows)});
    const Answer called = RunOn(*function, kFlatMap, {MakeBatch(rows)}, {.lua_kernels = false});
    ASSERT_EQ(drained.status.message(), called.status.message()) << pattern;
    ASSERT_TRUE(drained.rows == called.rows) << pattern;
    matches += drained.rows.size() > 0 ? 1 : 0;
    errors += drained.status.ok() ? 0 : 1;
  }
  EXPECT_GT(matches, 1000);
  EXPECT_GT(errors, 10);
}

TEST(LuaGmatch, PatternsThatWeReadAreDrainedHere) {
  Script script;
  lua_State* L = script.L();
  const auto reader = GmatchReader::Make(L);
  ASSERT_NE(reader, nullptr) << "this LuaJIT has other iterators: all still works, but slower";
  Collector out;
  RowEmitter emitter(&out);
  for (const auto& [pattern, drained] : std::vector<std::pair<std::string, bool>>{{"%w+", true},
                                                                                  {"(%w+)=(%w*)", true},
                                                                                  {"()", true},
                                                                                  {"^a-$", true},
                                                                                  {"%bab", false},
                                                                                  {"%f[%w]", false},
                                                                                  {"(a)%1", false}}) {
    ASSERT_EQ(luaL_dostring(L, ("return string.gmatch('a b', '" + pattern + "')").c_str()), 0);
    EXPECT_EQ(reader->Drain(L, lua_gettop(L), &emitter), drained) << pattern;
  }
  ASSERT_EQ(luaL_dostring(L, "return function() end"), 0);
  EXPECT_FALSE(reader->Drain(L, lua_gettop(L), &emitter));
  lua_getglobal(L, "print");
  EXPECT_FALSE(reader->Drain(L, lua_gettop(L), &emitter));
}

TEST(LuaGmatch, AnIteratorGoesOnWhereItStood) {
  for (const bool kernels : {true, false}) {
    // One that was called before, one that is returned again when it is at its end, and with more values behind it.
    EXPECT_EQ(RunSource("function(s) local it = s:gmatch('%w+') it() return it, 1, 2 end", kFlatMap, {{"a b c"}}, "",
                        {.lua_kernels = kernels})
                  .rows,
              (Rows{{"bytes b"}, {"bytes c"}}));
    EXPECT_EQ(RunSource("function(s) kept = kept or s:gmatch('%w+') return kept end", kFlatMap, {{"a b"}, {"c"}}, "",
                        {.lua_kernels = kernels})
                  .rows,
              (Rows{{"bytes a"}, {"bytes b"}}));
    EXPECT_EQ(RunSource("function(s) local it = s:gmatch('()') kept = kept or it return kept end", kFlatMap,
                        {{"ab"}, {"c"}}, "", {.lua_kernels = kernels})
                  .rows,
              (Rows{{"int64 1"}, {"int64 2"}, {"int64 3"}}));
    EXPECT_EQ(RunSource("function(s) writeRow(s, 0) return string.gmatch(s, '.') end", kFlatMap, {{"ab"}}, "",
                        {.lua_kernels = kernels})
                  .rows,
              (Rows{{"bytes ab", "int64 0"}, {"bytes a"}, {"bytes b"}}));
  }
}

TEST(LuaGmatch, AnOutputThatIsFullStopsIt) {
  Hosts hosts;
  TaskContext task(0, 1, 0, &hosts);
  auto instance =
      MakeLuaFunction("function(s) local it = s:gmatch('.') return it end", "")->Instantiate(kFlatMap, task);
  Collector out;
  out.rows_max = 1;
  ASSERT_TRUE((*instance)->Run(MakeBatch({{std::string(50000, 'x')}, {"y"}}), out).ok());
  EXPECT_EQ(out.rows.size(), 4096u);
}

}  // namespace
}  // namespace glim::udf
