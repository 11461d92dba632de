// SPDX-License-Identifier: Apache-2.0
#include "net/ring.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <random>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

namespace glim::net {
namespace {

struct Shared {
  explicit Shared(size_t size) : bytes(size) {}
  RingControl control{};
  std::vector<char> bytes;
};

std::string SomeBytes(size_t size, std::mt19937& dice) {
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(dice());
  return bytes;
}

TEST(Ring, WhatIsWrittenIsReadInPiecesOfAnySize) {
  Shared shared(4096);
  RingWriter writer(&shared.control, shared.bytes);
  RingReader reader(&shared.control, shared.bytes);
  std::mt19937 dice(1);
  std::string written, read;
  for (int i = 0; i < 5000; ++i) {
    if (dice() % 2 == 0) {
      const std::string one = SomeBytes(dice() % 3000, dice), two = SomeBytes(dice() % 3000, dice);
      const std::array<std::string_view, 3> pieces = {one, "", two};
      bool wake = true;
      const auto taken = writer.Write(pieces, &wake);
      ASSERT_TRUE(taken.ok());
      EXPECT_FALSE(wake);
      written += (one + two).substr(0, *taken);
      // All that there is room for.
      EXPECT_EQ(*taken, std::min(one.size() + two.size(), 4096 - (written.size() - *taken - read.size())));
    } else {
      const auto next = reader.Peek();
      ASSERT_TRUE(next.ok());
      EXPECT_EQ(next->empty(), written.size() == read.size());
      const size_t some = next->empty() ? 0 : 1 + dice() % next->size();
      read += next->substr(0, some);
      reader.Advance(some);
    }
  }
  EXPECT_GT(read.size(), size_t{1'000'000});
  EXPECT_EQ(read, written.substr(0, read.size()));
}

TEST(Ring, ShortMessagesStayAtTheFront) {
  Shared shared(1 << 20);
  RingWriter writer(&shared.control, shared.bytes);
  RingReader reader(&shared.control, shared.bytes);
  std::mt19937 dice(4);
  bool wake = false;
  // Some that are all read, and in between one that finds another one in front of it.
  for (int i = 0; i < 5000; ++i) {
    const std::string one = SomeBytes(1 + dice() % 3000, dice), two = SomeBytes(dice() % 3000, dice);
    ASSERT_EQ(writer.Write(std::array<std::string_view, 1>{one}, &wake).value(), one.size());
    EXPECT_EQ(reader.Peek()->data(), shared.bytes.data());
    ASSERT_EQ(writer.Write(std::array<std::string_view, 1>{two}, &wake).value(), two.size());
    const size_t first = 1 + dice() % one.size();
    const std::string begin(reader.Peek()->substr(0, first));
    reader.Advance(first);
    ASSERT_EQ(begin + std::string(*reader.Peek()), one + two);
    reader.Advance(one.size() + two.size() - first);
    ASSERT_TRUE(reader.Peek()->empty());
  }
  EXPECT_EQ(std::string(shared.bytes.begin() + 6000, shared.bytes.end()),
            std::string(shared.bytes.size() - 6000, '\0'));
}

TEST(Ring, EachSideIsWokenOnlyWhenItSleeps) {
  Shared shared(64 * 1024);
  RingWriter writer(&shared.control, shared.bytes);
  RingReader reader(&shared.control, shared.bytes);
  const std::string text(48 * 1024, 'x');
  const std::array<std::string_view, 1> pieces = {text};
  bool wake = true;
  EXPECT_EQ(writer.Write(pieces, &wake).value(), text.size());
  EXPECT_FALSE(wake);
  EXPECT_FALSE(reader.Sleep());  // There is something.
  EXPECT_FALSE(reader.Advance(text.size()));
  EXPECT_TRUE(reader.Sleep());
  EXPECT_EQ(writer.Write(pieces, &wake).value(), text.size());
  EXPECT_TRUE(wake);
  EXPECT_EQ(writer.Write(pieces, &wake).value(), 16u * 1024);
  EXPECT_FALSE(wake);                                  // It is awake.
  EXPECT_EQ(writer.Write(pieces, &wake).value(), 0u);  // And now the writer sleeps.
  EXPECT_FALSE(reader.Advance(16 * 1024));             // There is too little room to wake it for.
  EXPECT_TRUE(reader.Advance(16 * 1024));
  EXPECT_FALSE(reader.Advance(16 * 1024));
}

TEST(Ring, ALongWriteReturnsForAReaderThatSleeps) {
  Shared shared(1 << 20);
  RingWriter writer(&shared.control, shared.bytes);
  RingReader reader(&shared.control, shared.bytes);
  ASSERT_TRUE(reader.Sleep());
  const std::string text(1 << 20, 'x');
  const std::array<std::string_view, 1> pieces = {text};
  bool wake = false;
  const size_t taken = writer.Write(pieces, &wake).value();
  EXPECT_TRUE(wake);
  EXPECT_GT(taken, 0u);
  EXPECT_LT(taken, text.size());
}

TEST(Ring, PositionsThatCannotBeAreFound) {
  for (const uint64_t lie : {uint64_t{5000}, uint64_t{1} << 40, uint64_t{1} << 63}) {
    Shared shared(4096);
    RingWriter writer(&shared.control, shared.bytes);
    RingReader reader(&shared.control, shared.bytes);
    const std::array<std::string_view, 1> pieces = {"text"};
    bool wake = false;
    ASSERT_TRUE(writer.Write(pieces, &wake).ok());
    shared.control.written = lie;
    EXPECT_EQ(reader.Peek().status().code(), Code::kCorrupt);
    shared.control.read = lie;
    EXPECT_EQ(writer.Write(pieces, &wake).status().code(), Code::kCorrupt);
  }
}

// The other side changes everything at any time: whatever comes of it, both stay within their bytes (ASan looks).
TEST(Ring, MemoryThatChangesUnderOurHandsDoesNoHarm) {
  Shared shared(4096);
  RingWriter writer(&shared.control, shared.bytes);
  RingReader reader(&shared.control, shared.bytes);
  std::mt19937 dice(2);
  uint64_t moved = 0;
  const std::string text = SomeBytes(5000, dice);
  for (int i = 0; i < 20'000; ++i) {
    // Near to what may be, so that much of it passes.
    shared.control.written = moved + dice() % 5000;
    shared.control.read = moved - std::min<uint64_t>(moved, dice() % 5000);
    shared.control.reader_sleeps = dice();
    shared.control.writer_sleeps = dice() % 2;
    shared.control.shift = dice();
    const std::array<std::string_view, 1> pieces = {std::string_view(text).substr(dice() % 5000)};
    bool wake = false;
    if (const auto taken = writer.Write(pieces, &wake); taken.ok()) {
      EXPECT_LE(*taken, 4096u);
      moved += *taken;
    }
    if (const auto next = reader.Peek(); next.ok() && !next->empty()) {
      EXPECT_LE(next->size(), 4096u);
      const std::string copy(*next);
      reader.Advance(next->size());
    }
  }
}

// Both sleep whenever they may: each wake-up that is lost is for ever.
TEST(Ring, NobodySleepsForEver) {
  Shared shared(4096);
  std::counting_semaphore<> writer_woken(0), reader_woken(0);
  constexpr size_t kBytes = 4'000'000;
  std::thread other([&] {
    RingReader reader(&shared.control, shared.bytes);
    std::mt19937 dice(3);
    size_t read = 0;
    while (read < kBytes) {
      const auto next = reader.Peek();
      ASSERT_TRUE(next.ok());
      if (next->empty()) {
        if (reader.Sleep()) reader_woken.acquire();
        continue;
      }
      for (size_t i = 0; i < next->size(); ++i) ASSERT_EQ((*next)[i], static_cast<char>((read + i) * 31));
      read += next->size();
      if (reader.Advance(next->size())) writer_woken.release();
    }
  });
  RingWriter writer(&shared.control, shared.bytes);
  std::mt19937 dice(4);
  for (size_t written = 0; written < kBytes;) {
    std::string text(std::min<size_t>(kBytes - written, 1 + dice() % 6000), '\0');
    for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>((written + i) * 31);
    const std::array<std::string_view, 1> pieces = {text};
    bool wake = false;
    const auto taken = writer.Write(pieces, &wake);
    ASSERT_TRUE(taken.ok());
    if (wake) reader_woken.release();
    if (*taken == 0) writer_woken.acquire();
    written += *taken;
  }
  other.join();
}

}  // namespace
}  // namespace glim::net
