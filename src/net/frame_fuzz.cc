// SPDX-License-Identifier: Apache-2.0
//
// Any bytes are frames or an error, the same ones however they are cut; and frames are written as they were read. The
// first byte of the input says where to cut.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "net/frame.h"

namespace {

using namespace glim;
using namespace glim::net;

struct Sink : FrameSink {
  Status OnHead(const FrameHead& head) override { return {}; }
  Status OnFrame(Frame frame, size_t wire_bytes) override {
    bytes += EncodeFrameHead(frame) + frame.body;
    for (const Segment& segment : frame.segments) bytes += segment.bytes;
    return {};
  }
  std::string bytes;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  const FrameLimits limits{.body_bytes_max = 1 << 16, .payload_bytes_max = 1 << 20};
  Sink whole, cut;
  FrameDecoder one(limits, &whole), many(limits, &cut);
  const Status status = one.Feed(bytes);
  Status piecewise;
  for (size_t at = 0; at < bytes.size() && piecewise.ok(); at += data[0] % 64 + 1) {
    piecewise = many.Feed(bytes.substr(at, data[0] % 64 + 1));
  }
  CHECK_EQ(status.message(), piecewise.message());
  CHECK(whole.bytes == cut.bytes);
  CHECK(bytes.starts_with(whole.bytes));
  return 0;
}
