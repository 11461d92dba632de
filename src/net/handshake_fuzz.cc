// SPDX-License-Identifier: Apache-2.0
//
// Any bytes are a frame of the handshake, or a key file, or an error. The first byte of the input says which.
#include <cstdint>
#include <memory>
#include <string>

#include "base/check.h"
#include "net/handshake.h"
#include "net/key.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace glim;
  using namespace glim::net;
  if (size == 0) return 0;
  static const auto key = std::make_shared<const Key>(MakeClusterKey("local").value());
  TransportOptions options;
  const uint16_t type = data[0] % 5;
  if (data[0] % 2 == 0) options.key = key;
  const std::string body(reinterpret_cast<const char*>(data + 1), size - 1);
  const Frame frame{.header = {.type = type}, .body = body, .segments = {}};
  Handshake server(options), client(options);
  const Frame challenge = server.Challenge();
  const auto other = server.OnHello(frame);
  if (other.ok()) {
    CHECK(CheckName("node", other->node).ok());
    CHECK(!options.key);  // Nobody guesses a token.
  }
  (void)client.OnChallenge(frame).ok();
  CHECK(client.OnChallenge(challenge).ok());
  const auto welcome = client.OnWelcome(frame);
  if (!welcome.ok()) {
    for (const char c : welcome.status().message()) CHECK(c >= ' ' && c <= '~');
  }
  if (type == 0) {
    const auto parsed = ParseKey(body);
    if (parsed.ok()) CHECK(ParseKey(FormatKey(*parsed)).ok());
  }
  return 0;
}
