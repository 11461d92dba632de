// SPDX-License-Identifier: Apache-2.0
#include "glim/text.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace glim {
namespace {

using Pieces = std::vector<std::string>;

// One byte after the other.
template <size_t kCount>
Pieces Runs(std::string_view text, const ByteRanges<kCount>& set) {
  Pieces runs;
  bool inside = false;
  for (const char c : text) {
    if (set.Has(c) && !inside) runs.emplace_back();
    if (set.Has(c)) runs.back() += c;
    inside = set.Has(c);
  }
  return runs;
}

template <size_t kCount>
Pieces Fields(std::string_view text, const ByteRanges<kCount>& separators) {
  Pieces fields(1);
  for (const char c : text) {
    if (separators.Has(c)) {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  return fields;
}

// In memory of just its size, so that a sanitizer sees what reads beyond it.
class Text {
 public:
  explicit Text(std::string_view text) : size_(text.size()), bytes_(new char[text.size()]) {
    text.copy(bytes_.get(), size_);
  }
  std::string_view get() const { return {bytes_.get(), size_}; }

 private:
  size_t size_;
  std::unique_ptr<char[]> bytes_;
};

void ExpectAllPieces(std::string_view bytes) {
  constexpr ByteRanges kHigh("\x80\xFF");
  const Text text(bytes);
  const auto collect = [](Pieces* pieces) { return [pieces](std::string_view piece) { pieces->emplace_back(piece); }; };
  Pieces words, high, commas, spaces;
  ForEachWord(text.get(), collect(&words));
  ForEachRun<kHigh>(text.get(), collect(&high));
  ForEachField(text.get(), ',', collect(&commas));
  ForEachField<kSpaceBytes>(text.get(), collect(&spaces));
  EXPECT_EQ(words, Runs(bytes, kWordBytes));
  EXPECT_EQ(high, Runs(bytes, kHigh));
  EXPECT_EQ(commas, Fields(bytes, ByteRanges(",,")));
  EXPECT_EQ(spaces, Fields(bytes, kSpaceBytes));
}

TEST(Text, SetsHoldTheirRangesWithBothEnds) {
  constexpr ByteRanges kAll("\x01\xFF");
  static_assert(kWordBytes.Has('0') && kWordBytes.Has('9') && kWordBytes.Has('z') && !kWordBytes.Has('_'));
  static_assert(kSpaceBytes.Has(' ') && kSpaceBytes.Has('\n') && kSpaceBytes.Has('\r') && !kSpaceBytes.Has('\x0E'));
  static_assert(!kAll.Has('\0') && kAll.Has('\xFF') && kAll.Has('\x80'));
  for (int byte = 0; byte < 256; ++byte) {
    const std::string text(1, static_cast<char>(byte));
    int runs = 0;
    ForEachRun<kAll>(text, [&](std::string_view) { ++runs; });
    EXPECT_EQ(runs, byte == 0 ? 0 : 1) << byte;
    ExpectAllPieces(text);
  }
}

TEST(Text, PiecesOfAllSizesAtAllPlaces) {
  for (size_t size = 0; size <= 200; ++size) {
    ExpectAllPieces(std::string(size, 'x'));
    ExpectAllPieces(std::string(size, ','));
    for (size_t at = 0; at < size; ++at) {
      std::string text(size, 'x');
      text[at] = ',';
      ExpectAllPieces(text);
      text.assign(size, ' ');
      text[at] = 'x';
      ExpectAllPieces(text);
    }
  }
}

TEST(Text, PiecesOfAnyText) {
  EXPECT_TRUE(rc::check([] {
    const auto bytes = *rc::gen::container<std::string>(
        rc::gen::oneOf(rc::gen::elementOf(std::string(", \tab\0\x80\xFF", 8)), rc::gen::arbitrary<char>()));
    const auto times = *rc::gen::inRange(1, 20);
    std::string text;
    for (int i = 0; i < times; ++i) text += bytes;
    ExpectAllPieces(text);
  }));
}

TEST(Text, FalseEndsTheSearch) {
  const std::string text = "one two," + std::string(100, ' ') + "three,four";
  for (size_t wanted = 1; wanted <= 4; ++wanted) {
    Pieces words, fields;
    ForEachWord(text, [&](std::string_view word) {
      words.emplace_back(word);
      return words.size() < wanted;
    });
    EXPECT_EQ(words.size(), wanted);
    ForEachField(text, ',', [&](std::string_view field) {
      fields.emplace_back(field);
      return fields.size() < wanted;
    });
    EXPECT_EQ(fields.size(), std::min<size_t>(wanted, 3));
  }
}

}  // namespace
}  // namespace glim
