// SPDX-License-Identifier: Apache-2.0
#include "udf/lua_kernels.h"

#include <cmath>
#include <cstring>
#include <random>

#include "udf/lua_test_support.h"

namespace glim::udf {
namespace {

using enum FunctionRole;

std::string RandomBytes(std::mt19937_64& random) {
  static const std::string kInteresting = std::string(" ,_-azAZ09\t\n\r\0\x7f\x80\xff[]%^", 21);
  std::string text(random() % (random() % 4 == 0 ? 100 : 16), ' ');
  for (char& c : text)
    c = random() % 2 == 0 ? kInteresting[random() % kInteresting.size()] : static_cast<char>(random());
  return text;
}

// The same rows in the same order, with the same types, with kernels and without.
void ExpectSame(const std::string& source, FunctionRole role, const std::vector<Row>& rows,
                const std::string& init = "") {
  const Answer with = RunSource(source, role, rows, init, {.lua_kernels = true});
  const Answer without = RunSource(source, role, rows, init, {.lua_kernels = false});
  EXPECT_EQ(with.status.code(), without.status.code()) << source;
  EXPECT_EQ(with.rows.size(), without.rows.size()) << source;
  EXPECT_TRUE(with.rows == without.rows) << source
                                         << (with.rows.empty() || without.rows.empty()
                                                 ? ""
                                                 : ": " + with.rows[0][0] + " | " + without.rows[0][0]);
}

TEST(LuaKernels, TokensAreThoseOfPlainLua) {
  std::mt19937_64 random(1);
  std::vector<Row> rows;
  for (int i = 0; i < 3000; ++i) rows.push_back({RandomBytes(random)});
  for (const char* pattern : {"%w+",      "%a+",
                              "%d+",      "%S+",
                              "%s+",      "%W+",
                              "%D+",      "%p+",
                              "%P+",      "%c+",
                              "%C+",      "%x+",
                              "%l+",      "%u+",
                              "[%w_]+",   "[^,]+",
                              "[^%s]+",   "[a-z]+",
                              "[a-z-9]+", "[%a-z]+",
                              "[z-a]+",   "[^%w\\n]+",
                              "[%]]+",    "[]]+",
                              "[%-a]+",   "[\\128-\\255]+",
                              ".+",       "a+",
                              "%g+",      "%z+",
                              "[%z]+",    "(%w+)",
                              "%w*",      "%w+%s",
                              "^%w+",     "[%S%s]+",
                              "[,;]+",    "%++",
                              "[%W_]+",   "[^a-c%d]+"}) {
    ExpectSame(std::string("function(line) return line:gmatch(\"") + pattern + "\") end", kFlatMap, rows);
    ExpectSame(std::string("function(line) return string.gmatch(line, \"") + pattern + "\") end", kFlatMap, rows);
  }
}

// Lines as a reader cuts them out of a block, now and then one of them missing, or one from elsewhere.
Batch LinesOfABlock(std::mt19937_64& random) {
  static constexpr std::string_view kBytes = "ab9Z_ ,\r\n";
  std::string text(random() % 2000, ' ');
  const size_t kinds = random() % 2 == 0 ? kBytes.size() : 5;  // With 5 there are long words and few lines.
  for (char& c : text) c = random() % 16 == 0 ? '\n' : kBytes[random() % kinds];
  const auto block = Buffer::Allocate(text.size() + random() % 100);
  std::memset(block->mutable_data(), 'w', block->size());
  std::memcpy(block->mutable_data(), text.data(), text.size());
  std::vector<BytesView> views;
  const auto add = [&](size_t begin, size_t end) {
    views.push_back(
        BytesView::Make(block->data() + begin, static_cast<uint32_t>(end - begin), 0, static_cast<uint32_t>(begin)));
  };
  const size_t skipped = random() % 3 == 0 ? 8 : 1000;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (random() % skipped != 0) add(begin, end);
    if (random() % (2 * skipped) == 0) add(random() % (begin + 1), end);
    begin = end + 1;
  }
  Column::Parts parts;
  parts.type = Type::kBytes;
  parts.length = static_cast<int64_t>(views.size());
  const auto values = Buffer::Allocate(views.size() * sizeof(BytesView));
  std::memcpy(values->mutable_data(), views.data(), views.size() * sizeof(BytesView));
  parts.values = values;
  parts.blocks = std::make_shared<const std::vector<BufferRef>>(1, block);
  return Batch({Column(std::move(parts))}, static_cast<int64_t>(views.size()));
}

TEST(LuaKernels, TokensOfLinesInABlockAreThoseOfPlainLua) {
  std::mt19937_64 random(8);
  for (int run = 0; run < 300; ++run) {
    const Batch lines = LinesOfABlock(random);
    for (const char* pattern : {"%w+", "%d+", "%S+", "[^,]+", "\\n+", "%s+"}) {
      const auto function =
          MakeLuaFunction(std::string("function(line) return line:gmatch('") + pattern + "') end", "");
      const Answer with = RunOn(*function, kFlatMap, {lines}, {.lua_kernels = true});
      const Answer without = RunOn(*function, kFlatMap, {lines}, {.lua_kernels = false});
      ASSERT_TRUE(with.status.ok() && without.status.ok());
      ASSERT_EQ(with.rows, without.rows) << pattern << ", run " << run;
    }
  }
}

TEST(LuaKernels, TokensInOtherFormsAreThoseOfPlainLua) {
  std::mt19937_64 random(3);
  std::vector<Row> rows;
  for (int i = 0; i < 2000; ++i) rows.push_back({RandomBytes(random)});
  rows.push_back({std::string(200000, 'X') + " y"});
  for (const char* pattern : {"%w+", "%u+", "%L+", "[^%s]+", "%w*"}) {
    for (const char* change : {"lower", "upper"}) {
      for (std::string source :
           {"return line:CASE():gmatch(PATTERN)", "return string.gmatch(string.CASE(line), PATTERN)",
            "return string.gmatch(line:CASE(), PATTERN)", "return string.CASE(line):gmatch(PATTERN)",
            "local s = line:CASE() return s:gmatch(PATTERN)",
            "local s = string.CASE(line) return string.gmatch(s, PATTERN)",
            "line = line:CASE() return line:gmatch(PATTERN)", "for w in line:gmatch(PATTERN) do writeRow(w) end",
            "for w in line:gmatch(PATTERN) do writeRow(w, 1) end",
            "for w in string.gmatch(line, PATTERN) do writeRow(w:CASE()) end",
            "for w in line:gmatch(PATTERN) do writeRow(string.CASE(w), 1) end",
            "for w in line:CASE():gmatch(PATTERN) do writeRow(w) end",
            "for w in line:gmatch(PATTERN) do writeRow(w:CASE()) end return",
            // Not known: plain Lua.
            "for w in line:gmatch(PATTERN) do writeRow(1, w:CASE()) end",
            "for w in line:CASE():gmatch(PATTERN) do writeRow(w:lower()) end"}) {
        for (size_t at; (at = source.find("CASE")) != source.npos;) source.replace(at, 4, change);
        source.replace(source.find("PATTERN"), 7, std::string("'") + pattern + "'");
        ExpectSame("function(line) " + source + " end", kFlatMap, rows);
        if (source.find("writeRow") != source.npos) {
          ExpectSame("function(line) " + source + " end", kForEach, rows);
          ExpectSame("function(line) " + source + " end", kMap, rows);
        }
      }
    }
  }
}

bool IsFound(const std::string& source, FunctionRole role) {
  Script script;
  EXPECT_EQ(luaL_dostring(script.L(), ("return " + source).c_str()), 0) << source;
  return FindKernel(script.L(), role).kernel != nullptr;
}

TEST(LuaKernels, TheFormsOfTheHeaderAreFound) {
  for (const char* text : {"line", "line:lower()", "string.upper(line)"}) {
    EXPECT_TRUE(IsFound(std::string("function(line) return ") + text + ":gmatch('%w+') end", kFlatMap));
    EXPECT_TRUE(IsFound(std::string("function(line) local s = ") + text + " return s:gmatch('%w+') end", kFlatMap));
    EXPECT_TRUE(IsFound(std::string("function(line) return string.gmatch(") + text + ", '%w+') end", kFlatMap));
    for (const FunctionRole role : {kFlatMap, kForEach, kMap}) {
      EXPECT_TRUE(
          IsFound(std::string("function(line) for w in ") + text + ":gmatch('%w+') do writeRow(w) end end", role));
    }
  }
  for (const char* row : {"w", "w, 1", "w:lower()", "string.upper(w), 1"}) {
    EXPECT_TRUE(
        IsFound(std::string("function(line) for w in line:gmatch('%w+') do writeRow(") + row + ") end end", kForEach));
  }
  EXPECT_TRUE(IsFound("function(a, b) return b, 1, a end", kMap));
  EXPECT_FALSE(IsFound("function(line) return line:gmatch('%w+') end", kMap));
  EXPECT_FALSE(IsFound("function(line) for w in line:gmatch('%w+') do writeRow(w) end end", kFilter));
  EXPECT_FALSE(IsFound("function(line) for w in line:gmatch('%w*') do writeRow(w) end end", kForEach));
  EXPECT_FALSE(IsFound("function(line) for w in line:gmatch('%w+') do writeRow(w, 2) end end", kForEach));
  EXPECT_FALSE(IsFound("function(line) for w in line:gmatch('%w+') do print(w) end end", kForEach));
}

TEST(LuaKernels, AReplacedLowerOrWriteRowIsUsed) {
  for (const char* init :
       {"string.lower = function() return 'own' end", "function writeRow() end",
        "string = {lower = function() return 'own' end}", "local old = writeRow function writeRow(w) old(w, w) end"}) {
    ExpectSame("function(line) return line:lower():gmatch('%w+') end", kFlatMap, {{"A b"}}, init);
    ExpectSame("function(line) return string.lower(line):gmatch('%w+') end", kFlatMap, {{"A b"}}, init);
    ExpectSame("function(line) for w in line:gmatch('%w+') do writeRow(w:lower()) end end", kForEach, {{"A b"}}, init);
  }
}

TEST(LuaKernels, MovedValuesAreThoseOfPlainLua) {
  EXPECT_EQ(RunSource("function(x) return x end", kMap, {{4.0}}).rows, (Rows{{"int64 4"}}));
  std::mt19937_64 random(2);
  const std::vector<Value> numbers = {4.0,     -4.0, 0.0, -0.0, 4.5, 1e300, 9007199254740992.0, 9007199254740994.0,
                                      INFINITY};
  const std::vector<Value> others = {Value(),
                                     7,
                                     true,
                                     "text",
                                     int64_t{9007199254740993},
                                     4.0,
                                     4.5,
                                     std::vector<Value>{1.0, 2.5},
                                     std::vector<Value>{std::vector<Value>{3.0}, Value()}};
  // Columns of doubles, of whole doubles, and of everything; more rows than one batch of results has.
  std::vector<Row> rows;
  for (int i = 0; i < 9000; ++i) {
    rows.push_back({numbers[random() % numbers.size()], static_cast<double>(i), i < 4096 ? 1.0 : 1.5,
                    others[random() % others.size()], std::vector<Value>{static_cast<double>(random() % 5) / 2}});
  }
  for (const char* moves : {"x, 1", "y", "z, y", "other", "list, x", "2.5, list, other"}) {
    ExpectSame(std::string("function(x, y, z, other, list) return ") + moves + " end", kMap, rows);
  }
}

TEST(LuaKernels, LinesThatAreNotBytesGoToLua) {
  for (const Value& value : {Value(), Value(5), Value(true), Value(std::vector<Value>{1})}) {
    ExpectSame("function(line) return line:gmatch('%w+') end", kFlatMap, {{"a b"}, {value}});
    ExpectSame("function(line) return string.gmatch(line, '%w+') end", kFlatMap, {{value}});
  }
}

TEST(LuaKernels, AReplacedGmatchIsUsed) {
  const char* init = "local old = string.gmatch string.gmatch = function(s, p) return old('replaced', p) end";
  const Answer method = RunSource("function(line) return line:gmatch('%w+') end", kFlatMap, {{"a b"}}, init);
  EXPECT_EQ(method.rows, (Rows{{"bytes replaced"}}));
  const Answer library = RunSource("function(line) return string.gmatch(line, '%w+') end", kFlatMap, {{"a b"}},
                                   "string = {gmatch = function() return ipairs{'own'} end}");
  EXPECT_EQ(library.rows, (Rows{{"int64 1", "bytes own"}}));
}

TEST(LuaKernels, AnOutputThatIsFullStopsTheTokens) {
  Hosts hosts;
  TaskContext task(0, 1, 0, &hosts);
  auto instance = MakeLuaFunction("function(line) return line:gmatch('%w+') end", "")->Instantiate(kFlatMap, task);
  Collector out;
  out.rows_max = 1;
  std::string line;
  for (int i = 0; i < 50000; ++i) line += "w ";
  ASSERT_TRUE((*instance)->Run(MakeBatch({{line}}), out).ok());
  EXPECT_LE(out.rows.size(), 8192u);
}

}  // namespace
}  // namespace glim::udf
