// SPDX-License-Identifier: Apache-2.0
//
// The first frames of a connection, before anything else is read: who is there, and may it come in?
//
//   server -> client   challenge: protocol version, a random number
//   client -> server   hello: version, cluster, node name, wanted role, window, a random number, proof
//   server -> client   welcome: node name, window, proof          or   refused: a sentence
//
// With keys, the proofs are HMAC-SHA256, by the token of the role, over both random numbers and all that was said: the
// token itself never travels, nobody can use what he overheard, and each side knows that the other has the token.
// Without keys (a cluster on one machine) the proofs are empty and each gets the role that it asks for.
//
// No I/O here: frames in, frames out. All frames of a handshake together are below kHandshakeBytesMax.
//
// Thread: that of its connection.
#pragma once

#include <functional>
#include <string>

#include "net/frame.h"
#include "net/transport.h"

namespace glim::net {

constexpr uint16_t kProtocolVersion = 1;
constexpr size_t kHandshakeBytesMax = 4096;

// What the decoder allows until the handshake is done.
FrameLimits HandshakeLimits();

class Handshake {
 public:
  struct Other {
    std::string node;
    Role role = Role::kNone;
    uint64_t window_bytes = 0;
  };

  explicit Handshake(const TransportOptions& options);

  // The server's part. After a Status that is not ok, Refused(status) is for the client.
  Frame Challenge();
  Result<Other> OnHello(const Frame& frame);
  Frame Welcome();
  static Frame Refused(const Status& status);

  // The client's part.
  Result<Frame> OnChallenge(const Frame& frame);
  bool challenged() const { return !hello_.empty(); }
  // Also for the server's refusal, which becomes the Status.
  Result<Other> OnWelcome(const Frame& frame);

 private:
  const std::string& Cluster() const;
  std::string Proof(std::string_view who, Role role, std::string_view said) const;

  const TransportOptions& options_;
  std::string server_nonce_;
  std::string hello_;  // Without its proof.
  Role role_ = Role::kNone;
};

}  // namespace glim::net
