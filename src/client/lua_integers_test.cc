// SPDX-License-Identifier: Apache-2.0
//
// 64-bit integers go through Lua functions unharmed: as numbers up to 2^53, as int64_t of the FFI beyond.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <functional>

#include "glim/glim.h"

namespace glim {
namespace {

constexpr int64_t kExactMax = int64_t{1} << 53;

rc::Gen<int64_t> AnyInteger() {
  return rc::gen::exec([]() -> int64_t {
    const int64_t near = *rc::gen::inRange<int64_t>(-3, 4);
    switch (*rc::gen::inRange(0, 6)) {
      case 0: return near;
      case 1: return kExactMax + near;
      case 2: return -kExactMax + near;
      case 3: return near < 0 ? INT64_MAX + near : INT64_MIN + near;
      case 4: return near * 4294967296 + *rc::gen::inRange<int64_t>(-2, 3);
      default: return *rc::gen::arbitrary<int64_t>();
    }
  });
}

Session& ASession(bool kernels) {
  static Session* const sessions[] = {new Session({.threads = 2, .lua_kernels = false}),
                                      new Session({.threads = 2, .lua_kernels = true})};
  return *sessions[kernels ? 1 : 0];
}

// What the steps give for the integers, each with its type, sorted; the same with and without kernels.
std::vector<std::string> Through(const std::vector<int64_t>& integers, const std::function<Dataset(Dataset)>& steps) {
  std::vector<std::string> all[2];
  for (const bool kernels : {false, true}) {
    std::vector<Row> rows;
    Flow flow("integers");
    steps(flow.Ints(integers)).Collect(&rows);
    const Status status = flow.Run(ASession(kernels));
    if (!status.ok()) return {status.message()};
    for (const Row& row : rows) {
      std::string text;
      for (const Value& value : row)
        text += std::string(TypeName(value.type())) + " " + value.cell().ToDebugString() + " ";
      all[kernels ? 1 : 0].push_back(std::move(text));
    }
    std::sort(all[kernels ? 1 : 0].begin(), all[kernels ? 1 : 0].end());
  }
  RC_ASSERT(all[0] == all[1]);
  return all[0];
}

std::vector<std::string> Each(const std::vector<int64_t>& integers,
                              const std::function<std::string(int64_t)>& text = {}) {
  std::vector<std::string> all;
  for (const int64_t x : integers) {
    const std::string shown = "int64 " + std::to_string(x) + " ";
    all.push_back(text ? text(x) : shown);
  }
  std::sort(all.begin(), all.end());
  return all;
}

RC_GTEST_PROP(LuaIntegers, ComeBackUnharmedFromEveryKindOfFunction, ()) {
  const auto integers = *rc::gen::container<std::vector<int64_t>>(AnyInteger());
  const auto same = Each(integers);
  RC_ASSERT(Through(integers, [](Dataset d) { return d.Map("function(x) return x end"); }) == same);
  RC_ASSERT(Through(integers, [](Dataset d) { return d.Map("function(x) local y = {x} return y[1] end"); }) == same);
  RC_ASSERT(Through(integers, [](Dataset d) { return d.FlatMap("function(x) return {x} end"); }) == same);
  RC_ASSERT(Through(integers, [](Dataset d) { return d.ForEach("function(x) writeRow(x) end"); }) == same);
  RC_ASSERT(Through(integers, [](Dataset d) { return d.Filter("function(x) return x == x end"); }) == same);
  RC_ASSERT(Through(integers, [](Dataset d) {
              return d.Map("function(x) return 1, x end")
                  .GroupBy()
                  .FlatMap("function(k, list) local i = 0 return function() i = i + 1 return list[i] end end");
            }) == same);
  RC_ASSERT(
      Through(integers, [](Dataset d) {
        return d.ZipWithIndex().Map("function(x, i) return i, x end").ReduceBy("function(x, y) return y end").Select(2);
      }) == same);
  // As keys.
  auto distinct = integers;
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  RC_ASSERT(Through(integers, [](Dataset d) {
              return d.Map("function(x) return x, 1 end").ReduceBy("function(x, y) return x + y end").Select(1);
            }) == Each(distinct));
}

// To the 14 digits that tostring shows. LuaJIT moves a number that lies in the middle away from zero, printf to the
// even digit.
double RoundedAsLuaDoes(int64_t x) {
  int64_t unit = 1;
  while (std::abs(x) / unit >= 100'000'000'000'000) unit *= 10;
  return static_cast<double>((x + (x < 0 ? -unit : unit) / 2) / unit * unit);
}

RC_GTEST_PROP(LuaIntegers, CanBeFoldedAndComparedAndShown, ()) {
  const auto integers = *rc::gen::nonEmpty(rc::gen::container<std::vector<int64_t>>(AnyInteger()));
  const int64_t most = *std::max_element(integers.begin(), integers.end());
  // A number and an int64_t compare as int64_t, so mixed columns have a largest value.
  RC_ASSERT(Through(integers, [](Dataset d) {
              return d.Reduce("function(x, y) if x < y then return y end return x end");
            }) == Each({most}));
  RC_ASSERT(Through(integers, [](Dataset d) { return d.Map("function(x) return ('%d'):format(x) end"); }) ==
            Each(integers, [](int64_t x) { return "bytes \"" + std::to_string(x) + "\" "; }));
  RC_ASSERT(Through(integers, [](Dataset d) { return d.Map("function(x) return tostring(x) end"); }) ==
            Each(integers, [](int64_t x) {
              if (x > kExactMax || x < -kExactMax) return "bytes \"" + std::to_string(x) + "LL\" ";
              char text[32];
              std::snprintf(text, sizeof(text), "%.14g", RoundedAsLuaDoes(x));
              return "bytes \"" + std::string(text) + "\" ";
            }));
  // Arithmetic of int64_t stays so, and wraps.
  RC_ASSERT(Through(integers, [](Dataset d) { return d.Map("function(x) return (x + 1LL) - 1LL end"); }) ==
            Each(integers));
}

TEST(LuaIntegers, AnUnsignedOneThatFitsComesBackAndOneThatDoesNotShowsTheRow) {
  EXPECT_EQ(Through({7}, [](Dataset d) { return d.Map("function(x) return x + 9223372036854775800ULL end"); }),
            Each({INT64_MAX}));
  const auto failed =
      Through({8}, [](Dataset d) { return d.Map("function(x) return x + 9223372036854775800ULL end"); });
  ASSERT_EQ(failed.size(), 1U);
  EXPECT_EQ(
      failed[0],
      "Map(lua function(x) return x + 9223372036854775800ULL end): 9223372036854775808ULL is more than an integer of "
      "a row can be, which ends at 2^63 - 1, row (8)");
}

TEST(LuaIntegers, AFoldThatMeetsALargeOneGoesOnExactly) {
  // The first values are folded as doubles in a loop.
  std::vector<int64_t> integers(10000, 1);
  integers.push_back(INT64_MAX - 10000);
  EXPECT_EQ(Through(integers, [](Dataset d) { return d.Reduce("function(x, y) return x + y end"); }),
            Each({INT64_MAX}));
}

TEST(LuaIntegers, AreReadFromABatchAsTheyAre) {
  std::vector<int64_t> integers = {INT64_MIN, -kExactMax - 1, -1, 0, kExactMax + 1, INT64_MAX};
  const auto shown = Through(integers, [](Dataset d) {
    return d.ForEachBatch(
        "function(rows)\n"
        "  local x, count = rows:Int64s(1)\n"
        "  for i = 0, count - 1 do assert(x[i] == rows:Row(i + 1) and rows:Column(1)[i + 1] == x[i]) end\n"
        "  error('all ' .. count)\n"
        "end");
  });
  ASSERT_EQ(shown.size(), 1U);
  EXPECT_NE(shown[0].find("all 6"), std::string::npos) << shown[0];
}

}  // namespace
}  // namespace glim
