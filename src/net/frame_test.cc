// SPDX-License-Identifier: Apache-2.0
#include "net/frame.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <deque>
#include <fstream>
#include <sstream>

#include "base/crc32c.h"
#include "base/try.h"
#include "net/bytes.h"

namespace glim::net {
namespace {

std::string Encoded(const Frame& frame) {
  std::string bytes = EncodeFrameHead(frame) + frame.body;
  for (const Segment& segment : frame.segments) bytes += segment.bytes;
  return bytes;
}

bool Same(const Frame& a, const Frame& b) {
  return a.header == b.header && a.body == b.body &&
         std::equal(a.segments.begin(), a.segments.end(), b.segments.begin(), b.segments.end(),
                    [](const Segment& x, const Segment& y) { return x.bytes == y.bytes; });
}

struct Frames : FrameSink {
  Status OnHead(const FrameHead& head) override {
    heads.push_back(head);
    return head_answer;
  }
  void OnBody(const FrameHead& head, std::string_view body, std::span<std::span<char>> targets) override {
    for (size_t i = 0; i < targets.size() && i < own.size(); ++i) targets[i] = own[i];
  }
  Status OnFrame(Frame frame, size_t wire_bytes) override {
    EXPECT_EQ(wire_bytes, frame.wire_bytes());
    frames.push_back(std::move(frame));
    return {};
  }
  std::vector<FrameHead> heads;
  std::vector<Frame> frames;
  std::vector<std::span<char>> own;
  Status head_answer;
};

Frame SomeFrame() {
  Frame frame;
  frame.header = {*rc::gen::arbitrary<uint16_t>(), *rc::gen::arbitrary<uint16_t>(), *rc::gen::arbitrary<uint64_t>(),
                  *rc::gen::arbitrary<uint64_t>()};
  frame.body = *rc::gen::arbitrary<std::string>();
  for (size_t i = *rc::gen::inRange<size_t>(0, 5); i > 0; --i) {
    frame.segments.push_back(Segment::Copy(*rc::gen::arbitrary<std::string>()));
  }
  return frame;
}

RC_GTEST_PROP(Frame, ComesBackHoweverItsBytesAreCut, ()) {
  std::vector<Frame> sent;
  std::string bytes;
  for (size_t i = *rc::gen::inRange<size_t>(1, 5); i > 0; --i) {
    sent.push_back(SomeFrame());
    bytes += Encoded(sent.back());
  }
  Frames sink;
  FrameDecoder decoder({}, &sink);
  for (std::string_view rest = bytes; !rest.empty();) {
    const auto direct = decoder.Direct();
    size_t count = std::min(rest.size(), *rc::gen::inRange<size_t>(1, 70));
    if (!direct.empty() && *rc::gen::arbitrary<bool>()) {
      count = std::min(count, direct.size());
      std::copy_n(rest.data(), count, direct.data());
      RC_ASSERT(decoder.Filled(count).ok());
    } else {
      RC_ASSERT(decoder.Feed(rest.substr(0, count)).ok());
    }
    rest.remove_prefix(count);
  }
  RC_ASSERT(decoder.idle());
  RC_ASSERT(std::equal(sent.begin(), sent.end(), sink.frames.begin(), sink.frames.end(), Same));
}

RC_GTEST_PROP(Frame, EveryFlippedBitIsFound, ()) {
  const std::string bytes = Encoded(SomeFrame());
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string changed = bytes;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
    Frames sink;
    FrameDecoder decoder({}, &sink);
    const Status status = decoder.Feed(changed);
    RC_ASSERT(!status.ok());
    RC_ASSERT(sink.frames.empty());
    RC_ASSERT(decoder.Feed(bytes).code() == status.code());  // It does not go on behind an error.
  }
}

TEST(Frame, WhatIsPassedOnKeepsTheChecksumItCameWith) {
  const Frame sent{.header = {.type = 20}, .body = "b", .segments = {Segment::Copy("payload"), Segment::Copy("")}};
  Frames first;
  ASSERT_TRUE(FrameDecoder({}, &first).Feed(Encoded(sent)).ok());
  Frame passed = first.frames.at(0);
  EXPECT_EQ(passed.segments[0].crc, base::Crc32c("payload"));
  EXPECT_EQ(Encoded(passed), Encoded(sent));
  // What changes in the memory of the one who passes it on does not get further.
  const std::string changed = "pAyload";
  passed.segments[0].bytes = changed;
  Frames second;
  EXPECT_EQ(FrameDecoder({}, &second).Feed(Encoded(passed)).code(), Code::kCorrupt);
}

TEST(Frame, LargerThanTheLimitsIsNeitherSentNorReceived) {
  const FrameLimits limits{.body_bytes_max = 10, .payload_bytes_max = 100};
  Frame body{.header = {}, .body = std::string(11, 'x'), .segments = {}};
  Frame payload{.header = {}, .body = {}, .segments = {Segment::Copy(std::string(60, 'x'))}};
  payload.segments.push_back(Segment::Copy(std::string(41, 'x')));
  Frame many{.header = {}, .body = {}, .segments = std::vector<Segment>(kSegmentsMax + 1)};
  EXPECT_EQ(CheckFrame(body, limits).message(), "a frame with 11 bytes of body; at most 10 are allowed");
  EXPECT_EQ(CheckFrame(payload, limits).message(), "a frame with 101 bytes of payload; at most 100 are allowed");
  EXPECT_EQ(CheckFrame(many, limits).message(), "a frame with 17 segments; at most 16 are allowed");
  for (const Frame* frame : {&body, &payload}) {
    Frames sink;
    FrameDecoder decoder(limits, &sink);
    EXPECT_EQ(decoder.Feed(Encoded(*frame)).code(), Code::kInvalid);
    EXPECT_TRUE(sink.heads.empty());
  }
  body.body.pop_back();
  payload.segments[1].bytes.remove_suffix(1);
  for (const Frame* frame : {&body, &payload}) {
    EXPECT_TRUE(CheckFrame(*frame, limits).ok());
    Frames sink;
    FrameDecoder decoder(limits, &sink);
    EXPECT_TRUE(decoder.Feed(Encoded(*frame)).ok());
    EXPECT_EQ(sink.frames.size(), 1u);
  }
}

// A head whose checksum is right, whatever its fields say.
std::string Forged(size_t at, std::string_view field) {
  std::string head = EncodeFrameHead(Frame{});
  head.replace(at, field.size(), field);
  head.resize(kFrameHeadBytes - 4);
  PutNumber(base::Crc32c(head), &head);
  return head;
}

TEST(Frame, ForgedHeadsAreRefused) {
  const std::pair<std::string, std::string> cases[] = {
      {Forged(0, "HTTP"), "these bytes are not a frame of Glim"},
      {Forged(3, "\x02"), "a frame of format version 2; this side reads version 1"},
      {Forged(24, "\xff\xff\xff\xff"), "a frame with 4294967295 bytes of body; at most 1048576 are allowed"},
      {Forged(32, "\xff\xff"), "a frame with 65535 segments; at most 16 are allowed"},
      {Forged(34, "\x01"), "a reserved byte in the head of a frame is not 0"},
      {Forged(40, "\x01"), "a reserved byte in the head of a frame is not 0"},
      {Forged(28, "\x01"), "the body of a frame does not fit its checksum"},
      {Forged(36, "\x01"), "the table of segments of a frame does not fit its checksum"},
  };
  for (const auto& [bytes, message] : cases) {
    Frames sink;
    FrameDecoder decoder({}, &sink);
    EXPECT_EQ(decoder.Feed(bytes).message(), message);
    EXPECT_TRUE(sink.frames.empty());
  }
}

TEST(Frame, PayloadGoesWhereTheReceiverWantsIt) {
  const Frame frame{.header = {.type = 20}, .body = "b", .segments = {Segment::Copy("keys"), Segment::Copy("values")}};
  std::string own(9, '-');
  Frames sink;
  sink.own = {std::span<char>(own).subspan(0, 5)};
  FrameDecoder decoder({}, &sink);
  ASSERT_TRUE(decoder.Feed(Encoded(frame)).ok());
  EXPECT_EQ(own, "keys-----");
  ASSERT_EQ(sink.frames.size(), 1u);
  EXPECT_EQ(sink.frames[0].segments[0].bytes.data(), own.data());
  EXPECT_EQ(sink.frames[0].segments[0].owner, nullptr);
  EXPECT_NE(sink.frames[0].segments[1].owner, nullptr);
  EXPECT_TRUE(Same(sink.frames[0], frame));
}

TEST(Frame, DiscardedPayloadTouchesItsTargetNoMore) {
  const Frame frame{
      .header = {.type = 20, .request = 7}, .body = "", .segments = {Segment::Copy("keys"), Segment::Copy("values")}};
  const std::string bytes = Encoded(frame);
  std::string own(10, '-');
  Frames sink;
  sink.own = {std::span<char>(own).subspan(0, 4), std::span<char>(own).subspan(4)};
  FrameDecoder decoder({}, &sink);
  ASSERT_TRUE(decoder.Feed(std::string_view(bytes).substr(0, bytes.size() - 8)).ok());
  EXPECT_FALSE(decoder.Discard(8));
  EXPECT_TRUE(decoder.Discard(7));
  EXPECT_TRUE(decoder.Direct().empty());
  ASSERT_TRUE(decoder.Feed(std::string_view(bytes).substr(bytes.size() - 8)).ok());
  EXPECT_EQ(own, "ke--------");
  EXPECT_TRUE(sink.frames.empty());
  EXPECT_TRUE(decoder.idle());
  ASSERT_TRUE(decoder.Feed(bytes).ok());  // The next one comes as ever.
  EXPECT_EQ(own, "keysvalues");
  EXPECT_EQ(sink.frames.size(), 1u);
}

TEST(Frame, SinkMayRefuseAHeadBeforeItsBodyIsReceived) {
  Frames sink;
  sink.head_answer = Status::Invalid("not you");
  FrameDecoder decoder({}, &sink);
  const std::string bytes = Encoded({.header = {}, .body = "body", .segments = {}});
  EXPECT_EQ(decoder.Feed(std::string_view(bytes).substr(0, kFrameHeadBytes)).message(), "not you");
}

// testdata/NAME.hex: bytes as hexadecimal digits, comments behind #.
std::string Golden(const std::string& name) {
  std::ifstream file(std::string(GLIM_SOURCE_DIR "/src/net/testdata/") + name);
  EXPECT_TRUE(file.is_open()) << name;
  std::string bytes;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    for (std::string word; words >> word;) bytes += static_cast<char>(std::stoi(word, nullptr, 16));
  }
  return bytes;
}

TEST(Frame, IsOnTheWireAsTheGoldenFilesSay) {
  std::string keys;
  for (const uint64_t key : {uint64_t{1}, uint64_t{0x0102030405060708}, ~uint64_t{0}}) PutNumber(key, &keys);
  std::string values;
  for (const float value : {0.5f, -1.0f, 3.0f}) PutNumber(value, &values);
  const std::pair<std::string, Frame> cases[] = {
      {"frame_empty.hex", {.header = {.type = 5}, .body = {}, .segments = {}}},
      {"frame_body.hex",
       {.header = {.type = 16, .flags = 0x8001, .request = 0x1122334455667788, .epoch = 42},
        .body = "hello, world",
        .segments = {}}},
      {"frame_segments.hex",
       {.header = {.type = 17, .flags = 0, .request = 1, .epoch = 2},
        .body = "push",
        .segments = {Segment::Copy(keys), Segment::Copy(values), Segment::Copy("")}}},
  };
  for (const auto& [name, frame] : cases) {
    const std::string golden = Golden(name);
    std::string hex;
    for (const char c : Encoded(frame)) hex += fmt::format("{:02x} ", static_cast<uint8_t>(c));
    EXPECT_EQ(Encoded(frame), golden) << name << " should be\n" << hex;
    Frames sink;
    FrameDecoder decoder({}, &sink);
    ASSERT_TRUE(decoder.Feed(golden).ok()) << name;
    ASSERT_EQ(sink.frames.size(), 1u);
    EXPECT_TRUE(Same(sink.frames[0], frame)) << name;
  }
}

}  // namespace
}  // namespace glim::net
