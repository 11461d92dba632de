// SPDX-License-Identifier: Apache-2.0
#include "net/frame.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/try.h"
#include "net/bytes.h"

namespace glim::net {
namespace {

// Copied at a time; then its checksum is taken, while it is in the nearest cache.
constexpr size_t kCopyBytes = 16 * 1024;

constexpr std::string_view kMagic = "GLM";
constexpr uint8_t kFrameVersion = 1;

// Where the fields of a head stand.
constexpr size_t kTypeAt = 4, kFlagsAt = 6, kRequestAt = 8, kEpochAt = 16, kBodyBytesAt = 24, kBodyCrcAt = 28,
                 kSegmentCountAt = 32, kReservedAt = 34, kTableCrcAt = 36, kReservedTooAt = 40, kHeadCrcAt = 44;

Status TooLarge(std::string_view what, size_t bytes, size_t max) {
  return Status::Invalid(fmt::format("a frame with {} bytes of {}; at most {} are allowed", bytes, what, max));
}

}  // namespace

Segment Segment::Copy(std::string_view bytes, std::string_view more) {
  auto owner = std::make_shared<std::string>();
  owner->reserve(bytes.size() + more.size());
  owner->append(bytes).append(more);
  const std::string_view view = *owner;
  return {view, std::move(owner)};
}

size_t Frame::payload_bytes() const {
  size_t bytes = 0;
  for (const Segment& segment : segments) bytes += segment.size();
  return bytes;
}

size_t Frame::wire_bytes() const {
  return kFrameHeadBytes + segments.size() * kSegmentEntryBytes + body.size() + payload_bytes();
}

Status CheckFrame(const Frame& frame, const FrameLimits& limits) {
  if (frame.body.size() > limits.body_bytes_max) {
    return TooLarge("body", frame.body.size(), limits.body_bytes_max);
  }
  if (frame.segments.size() > kSegmentsMax) {
    return Status::Invalid(
        fmt::format("a frame with {} segments; at most {} are allowed", frame.segments.size(), kSegmentsMax));
  }
  const size_t payload = frame.payload_bytes();
  if (payload > limits.payload_bytes_max) return TooLarge("payload", payload, limits.payload_bytes_max);
  return {};
}

std::string EncodeFrameHead(const Frame& frame) {
  CHECK_LE(frame.segments.size(), kSegmentsMax);
  std::string table;
  for (const Segment& segment : frame.segments) {
    PutNumber(static_cast<uint32_t>(segment.size()), &table);
    PutNumber(segment.crc ? *segment.crc : base::Crc32c(segment.more, base::Crc32c(segment.bytes)), &table);
  }
  std::string head;
  head.reserve(kFrameHeadBytes + table.size());
  head.append(kMagic);
  PutNumber(kFrameVersion, &head);
  PutNumber(frame.header.type, &head);
  PutNumber(frame.header.flags, &head);
  PutNumber(frame.header.request, &head);
  PutNumber(frame.header.epoch, &head);
  PutNumber(static_cast<uint32_t>(frame.body.size()), &head);
  PutNumber(base::Crc32c(frame.body), &head);
  PutNumber(static_cast<uint16_t>(frame.segments.size()), &head);
  PutNumber(uint16_t{0}, &head);
  PutNumber(base::Crc32c(table), &head);
  PutNumber(uint32_t{0}, &head);
  PutNumber(base::Crc32c(head), &head);
  CHECK_EQ(head.size(), kFrameHeadBytes);
  return head + table;
}

Status FrameDecoder::Feed(std::string_view bytes) {
  if (!failed_.ok()) return failed_;
  while (!bytes.empty()) {
    const size_t count = std::min({bytes.size(), place_.size() - have_, kCopyBytes});
    if (!discarding_) std::memcpy(place_.data() + have_, bytes.data(), count);
    bytes.remove_prefix(count);
    Have(count);
    if (have_ < place_.size()) continue;
    if (Status status = OnPart(); !status.ok()) return Fail(std::move(status));
  }
  return {};
}

std::span<char> FrameDecoder::Direct() {
  if (!failed_.ok() || part_ != Part::kPayload || discarding_) return {};
  return place_.subspan(have_);
}

Status FrameDecoder::Filled(size_t bytes) {
  if (!failed_.ok()) return failed_;
  CHECK_LE(bytes, Direct().size());
  Have(bytes);
  if (bytes == 0 || have_ < place_.size()) return {};
  if (Status status = OnPart(); !status.ok()) return Fail(std::move(status));
  return {};
}

void FrameDecoder::Have(size_t bytes) {
  if (part_ == Part::kPayload && !discarding_) {
    payload_crc_ = base::Crc32c({place_.data() + have_, bytes}, payload_crc_);
  }
  have_ += bytes;
}

bool FrameDecoder::Discard(uint64_t request) {
  if (part_ != Part::kPayload || discarding_ || head_.header.request != request) return false;
  discarding_ = true;
  return true;
}

Status FrameDecoder::Fail(Status status) {
  failed_ = status;
  frame_ = {};
  targets_.clear();
  return status;
}

void FrameDecoder::Enter(Part part, std::span<char> place) {
  part_ = part;
  place_ = place;
  have_ = 0;
  payload_crc_ = 0;
}

Status FrameDecoder::OnPart() {
  switch (part_) {
    case Part::kHead: return OnHeadBytes();
    case Part::kTable: return OnTableBytes();
    case Part::kBody: return OnBodyBytes();
    case Part::kPayload: {
      const size_t index = frame_.segments.size() - 1;
      if (!discarding_ && payload_crc_ != segment_crcs_[index]) {
        return Status::Corrupt(fmt::format("segment {} of a frame does not fit its checksum", index + 1));
      }
      return NextSegment();
    }
  }
  return {};
}

Status FrameDecoder::OnHeadBytes() {
  const char* bytes = head_bytes_.data();
  if (std::string_view(bytes, kMagic.size()) != kMagic) return Status::Corrupt("these bytes are not a frame of Glim");
  if (static_cast<uint8_t>(bytes[kMagic.size()]) != kFrameVersion) {
    return Status::Invalid(fmt::format("a frame of format version {}; this side reads version {}",
                                       static_cast<uint8_t>(bytes[kMagic.size()]), kFrameVersion));
  }
  if (base::Crc32c({bytes, kHeadCrcAt}) != NumberAt<uint32_t>(bytes + kHeadCrcAt)) {
    return Status::Corrupt("the head of a frame does not fit its checksum");
  }
  head_.header = {.type = NumberAt<uint16_t>(bytes + kTypeAt),
                  .flags = NumberAt<uint16_t>(bytes + kFlagsAt),
                  .request = NumberAt<uint64_t>(bytes + kRequestAt),
                  .epoch = NumberAt<uint64_t>(bytes + kEpochAt)};
  head_.body_bytes = NumberAt<uint32_t>(bytes + kBodyBytesAt);
  body_crc_ = NumberAt<uint32_t>(bytes + kBodyCrcAt);
  const size_t segments = NumberAt<uint16_t>(bytes + kSegmentCountAt);
  table_crc_ = NumberAt<uint32_t>(bytes + kTableCrcAt);
  if (NumberAt<uint16_t>(bytes + kReservedAt) != 0 || NumberAt<uint32_t>(bytes + kReservedTooAt) != 0) {
    return Status::Corrupt("a reserved byte in the head of a frame is not 0");
  }
  if (head_.body_bytes > limits_.body_bytes_max) return TooLarge("body", head_.body_bytes, limits_.body_bytes_max);
  if (segments > kSegmentsMax) {
    return Status::Invalid(fmt::format("a frame with {} segments; at most {} are allowed", segments, kSegmentsMax));
  }
  head_.segment_bytes.assign(segments, 0);
  segment_crcs_.assign(segments, 0);
  Enter(Part::kTable, std::span(table_bytes_).first(segments * kSegmentEntryBytes));
  return segments == 0 ? OnTableBytes() : Status::Ok();
}

Status FrameDecoder::OnTableBytes() {
  if (base::Crc32c({place_.data(), place_.size()}) != table_crc_) {
    return Status::Corrupt("the table of segments of a frame does not fit its checksum");
  }
  size_t payload = 0;
  for (size_t i = 0; i < head_.segment_bytes.size(); ++i) {
    const char* entry = place_.data() + i * kSegmentEntryBytes;
    payload += head_.segment_bytes[i] = NumberAt<uint32_t>(entry);
    segment_crcs_[i] = NumberAt<uint32_t>(entry + sizeof(uint32_t));
  }
  if (payload > limits_.payload_bytes_max) return TooLarge("payload", payload, limits_.payload_bytes_max);
  head_.wire_bytes = kFrameHeadBytes + place_.size() + head_.body_bytes + payload;
  RETURN_IF_ERROR(sink_->OnHead(head_));

  frame_ = {.header = head_.header, .body = std::string(head_.body_bytes, '\0'), .segments = {}};
  Enter(Part::kBody, frame_.body);
  return head_.body_bytes == 0 ? OnBodyBytes() : Status::Ok();
}

Status FrameDecoder::OnBodyBytes() {
  if (base::Crc32c(frame_.body) != body_crc_) return Status::Corrupt("the body of a frame does not fit its checksum");
  targets_.assign(head_.segment_bytes.size(), {});
  if (!targets_.empty()) sink_->OnBody(head_, frame_.body, targets_);
  return NextSegment();
}

// Goes on with the segment behind those that the frame has; segments without bytes have nothing to wait for.
Status FrameDecoder::NextSegment() {
  while (frame_.segments.size() < head_.segment_bytes.size()) {
    const size_t index = frame_.segments.size();
    const size_t bytes = head_.segment_bytes[index];
    std::span<char> place = targets_[index];
    std::shared_ptr<const void> owner;
    if (place.data() == nullptr || discarding_) {
      // Not zeroed: a peer that announces megabytes and sends none makes us touch none.
      auto memory = blocks_->Take(discarding_ ? 0 : bytes);
      place = {memory.get(), bytes};
      owner = std::move(memory);
    }
    CHECK_GE(place.size(), bytes);
    place = place.first(bytes);
    frame_.segments.push_back({{place.data(), place.size()}, std::move(owner), segment_crcs_[index]});
    Enter(Part::kPayload, place);
    if (bytes > 0) return {};
    if (segment_crcs_[index] != 0) return Status::Corrupt("an empty segment of a frame has a checksum");
  }
  Enter(Part::kHead, head_bytes_);
  if (discarding_) {
    discarding_ = false;
    frame_ = {};
    return {};
  }
  return sink_->OnFrame(std::move(frame_), head_.wire_bytes);
}

}  // namespace glim::net
