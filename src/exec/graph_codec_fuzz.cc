// SPDX-License-Identifier: Apache-2.0
//
// Any bytes are an error or a flow; a flow can be planned, and is written as bytes that give the same flow again.
// Functions are made but never loaded: bytecode may do anything (graph_codec.h).
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "exec/graph_codec.h"
#include "plan/plan.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace glim;
  const exec::GraphDecoding decoding;
  const auto graph = exec::DecodeGraph({reinterpret_cast<const char*>(data), size}, decoding);
  if (!graph.ok()) return 0;
  const auto bytes = exec::EncodeGraph(**graph);
  CHECK(bytes.ok());
  const auto again = exec::DecodeGraph(*bytes, decoding);
  CHECK(again.ok());
  CHECK(*exec::EncodeGraph(**again) == *bytes);
  (void)plan::MakePlan(*again, (*again)->EndsToRun());
  return 0;
}
