// SPDX-License-Identifier: Apache-2.0
//
// The frame: what every message between Glim's processes looks like on the wire (docs/format/wire.md has the bytes).
//
// A frame is a head of 48 bytes, a table of its payload segments (8 bytes each), an optional body, and the segments
// themselves. The body is small and opaque here (the layer above writes and reads it); segments are raw columns, keys
// or values, sent from where they lie and received where they shall lie. Each part has its own CRC-32C, so that a
// flipped bit is found in the part where it is, and nothing is believed before it was checked: first the head, then its
// table, then the body, at last the payload.
//
// Cost: 48 bytes and one checksum more for a message without payload; 8 bytes for each segment. A checksum of 1 MB is
// about 20 us of one core (ISA-L), a tenth of what loopback TCP takes for it.
//
// Thread: values and plain functions; a FrameDecoder belongs to one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "glim/status.h"
#include "net/large_blocks.h"

namespace glim::net {

constexpr size_t kFrameHeadBytes = 48;
constexpr size_t kSegmentEntryBytes = 8;
constexpr size_t kSegmentsMax = 16;

// What the layer above says of a frame.
struct FrameHeader {
  uint16_t type = 0;     // Those below 16 are the connection's own.
  uint16_t flags = 0;    // Of the type.
  uint64_t request = 0;  // Pairs an answer with its question.
  uint64_t epoch = 0;    // Of the table or view that the sender knows.
  bool operator==(const FrameHeader&) const = default;
};

// A piece of payload. With an owner the bytes live as long as it does; without one they are borrowed, and somebody else
// promises that they stay.
struct Segment {
  std::string_view bytes;
  std::shared_ptr<const void> owner;  // Of `more`, too.
  // The checksum of the bytes when it is known, as it is of those that were received: who passes them on need not look
  // at them again, and what changed in his memory is found by the next one.
  std::optional<uint32_t> crc = {};
  // What follows `bytes` and lies elsewhere: whoever sends a head and values need not copy them together. Segments that
  // were received have none.
  std::string_view more = {};

  size_t size() const { return bytes.size() + more.size(); }
  // Owns a copy.
  static Segment Copy(std::string_view bytes, std::string_view more = {});
};

struct Frame {
  FrameHeader header;
  std::string body;
  std::vector<Segment> segments;

  size_t payload_bytes() const;
  // All of it, as it is on the wire.
  size_t wire_bytes() const;
};

struct FrameLimits {
  size_t body_bytes_max = size_t{1} << 20;
  size_t payload_bytes_max = size_t{64} << 20;  // All segments of a frame together.
};

// kInvalid when the frame is larger than the limits; such a frame is not to be sent.
Status CheckFrame(const Frame& frame, const FrameLimits& limits);
// Head and table, checksums of body and segments included. Body and segments follow them on the wire.
// Expects: CheckFrame() is ok.
std::string EncodeFrameHead(const Frame& frame);

// What a head says of the parts that follow it.
struct FrameHead {
  FrameHeader header;
  uint32_t body_bytes = 0;
  std::vector<uint32_t> segment_bytes;
  size_t wire_bytes = 0;
};

// Takes what a FrameDecoder finds. An error that a method returns ends the decoding with that error.
class FrameSink {
 public:
  virtual ~FrameSink() = default;
  // The head and its table were checked; nothing of the body was looked at.
  virtual Status OnHead(const FrameHead& head) = 0;
  // Where the payload shall be received: `targets` has an empty span for each segment. Those that are set must have
  // room for head.segment_bytes and stay until OnFrame; for others the decoder takes memory.
  virtual void OnBody(const FrameHead& head, std::string_view body, std::span<std::span<char>> targets) {}
  // The frame, whole and checked. Segments that were received into a target have no owner.
  virtual Status OnFrame(Frame frame, size_t wire_bytes) = 0;
};

// Makes frames of bytes that come in pieces of any size.
//
// Always true: no more than the limits is ever allocated, and that only when the head that asks for it was checked.
// After an error every call gives that error.
class FrameDecoder {
 public:
  // `blocks`: where payload has its memory from. Null: from no others than this one.
  FrameDecoder(const FrameLimits& limits, FrameSink* sink, std::shared_ptr<LargeBlocks> blocks = nullptr)
      : limits_(limits), sink_(sink), blocks_(blocks ? std::move(blocks) : std::make_shared<LargeBlocks>()) {}

  // The next bytes. kCorrupt: not a frame, or a wrong checksum; kInvalid: larger than the limits.
  Status Feed(std::string_view bytes);
  // The place of the next bytes of payload, when payload comes next; else empty. Whoever puts bytes there himself says
  // how many with Filled(), instead of giving them to Feed().
  std::span<char> Direct();
  Status Filled(size_t bytes);

  // The payload that is being received goes nowhere from now on, if it is of this request, and the frame is not given
  // to the sink: its target is free again. True when it was.
  bool Discard(uint64_t request);

  // From the next frame on.
  void set_limits(const FrameLimits& limits) { limits_ = limits; }
  // Between two frames.
  bool idle() const { return part_ == Part::kHead && have_ == 0; }

 private:
  enum class Part { kHead, kTable, kBody, kPayload };

  // So many bytes more are in place.
  void Have(size_t bytes);
  Status OnPart();
  Status OnHeadBytes();
  Status OnTableBytes();
  Status OnBodyBytes();
  Status NextSegment();
  void Enter(Part part, std::span<char> place);
  Status Fail(Status status);

  FrameLimits limits_;
  FrameSink* sink_;
  const std::shared_ptr<LargeBlocks> blocks_;
  Status failed_;
  Part part_ = Part::kHead;
  std::array<char, kFrameHeadBytes> head_bytes_{};
  std::array<char, kSegmentsMax * kSegmentEntryBytes> table_bytes_{};
  std::span<char> place_{head_bytes_};  // Of the part that is being received; have_ bytes of it are there.
  size_t have_ = 0;

  FrameHead head_;
  uint32_t table_crc_ = 0;
  uint32_t body_crc_ = 0;
  uint32_t payload_crc_ = 0;  // Of what is in place of a segment.
  std::vector<uint32_t> segment_crcs_;
  std::vector<std::span<char>> targets_;
  Frame frame_;
  bool discarding_ = false;
};

}  // namespace glim::net
