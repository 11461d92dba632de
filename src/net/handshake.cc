// SPDX-License-Identifier: Apache-2.0
#include "net/handshake.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/try.h"
#include "net/bytes.h"
#include "net/crypto.h"

namespace glim::net {
namespace {

constexpr size_t kNonceBytes = 32;

Frame FrameOf(uint16_t type, std::string body) {
  return {.header = {.type = type}, .body = std::move(body), .segments = {}};
}

Status Unexpected(const Frame& frame) {
  return Status::Corrupt(fmt::format("a frame of type {} in the handshake", frame.header.type));
}

Status CheckVersion(uint16_t theirs, std::string_view who) {
  if (theirs == kProtocolVersion) return {};
  return Status::Invalid(
      fmt::format("the {} speaks version {} of the protocol, this side version {}", who, theirs, kProtocolVersion));
}

}  // namespace

FrameLimits HandshakeLimits() {
  return {.body_bytes_max = kHandshakeBytesMax - 2 * kFrameHeadBytes, .payload_bytes_max = 0};
}

Handshake::Handshake(const TransportOptions& options) : options_(options) {}

std::string Handshake::Proof(std::string_view who, Role role, std::string_view said) const {
  if (!options_.key) return {};
  std::string text(who);
  text += server_nonce_;
  text += hello_;  // With the client's nonce.
  text += said;
  return HmacSha256(options_.key->tokens.at(role), text);
}

const std::string& Handshake::Cluster() const { return options_.key ? options_.key->cluster : options_.cluster; }

Frame Handshake::Challenge() {
  server_nonce_ = RandomBytes(kNonceBytes);
  std::string body;
  PutNumber(kProtocolVersion, &body);
  PutText(server_nonce_, &body);
  return FrameOf(kChallengeFrame, std::move(body));
}

Result<Frame> Handshake::OnChallenge(const Frame& frame) {
  if (frame.header.type != kChallengeFrame) return Unexpected(frame);
  ByteReader reader(frame.body);
  // The version first: what follows it may be another's to read.
  const auto version = reader.Number<uint16_t>();
  if (reader.ok()) RETURN_IF_ERROR(CheckVersion(version, "server"));
  server_nonce_ = reader.Text();
  if (!reader.complete() || server_nonce_.size() != kNonceBytes) return Status::Corrupt("a challenge that is none");

  role_ = options_.role;
  if (options_.key && !options_.key->tokens.contains(role_)) {
    return Status::Invalid(fmt::format("the key has no token for role {}", RoleName(role_)));
  }
  hello_.clear();
  PutNumber(kProtocolVersion, &hello_);
  PutText(Cluster(), &hello_);
  PutText(options_.node, &hello_);
  PutNumber(role_, &hello_);
  PutNumber(uint64_t{options_.receive_window_bytes}, &hello_);
  PutText(RandomBytes(kNonceBytes), &hello_);
  std::string body = hello_;
  PutText(Proof("client", role_, {}), &body);
  return FrameOf(kHelloFrame, std::move(body));
}

Result<Handshake::Other> Handshake::OnHello(const Frame& frame) {
  if (frame.header.type != kHelloFrame) return Unexpected(frame);
  ByteReader reader(frame.body);
  const auto version = reader.Number<uint16_t>();
  if (reader.ok()) RETURN_IF_ERROR(CheckVersion(version, "client"));
  const auto cluster = reader.Text();
  const auto node = reader.Text();
  const auto role = reader.Number<uint8_t>();
  const auto window = reader.Number<uint64_t>();
  const auto nonce = reader.Text();
  const auto proof = reader.Text();
  if (!reader.complete() || nonce.size() != kNonceBytes || role < uint8_t(Role::kReadOnly) ||
      role > uint8_t(Role::kNode)) {
    return Status::Corrupt("a hello that is none");
  }
  RETURN_IF_ERROR(CheckName("node", node));
  RETURN_IF_ERROR(CheckName("cluster", cluster));
  role_ = static_cast<Role>(role);
  hello_ = frame.body.substr(0, frame.body.size() - proof.size() - sizeof(uint16_t));
  if (options_.key && !options_.key->tokens.contains(role_)) {
    return Status::Invalid(fmt::format("this side's key has no token for role {}", RoleName(role_)));
  }
  if (!SameSecret(proof, Proof("client", role_, {}))) {
    return Status::Invalid(
        fmt::format("the key of \"{}\" does not fit this cluster and role {}", node, RoleName(role_)));
  }
  if (cluster != Cluster()) {
    return Status::Invalid(fmt::format("this is cluster \"{}\", not \"{}\"", Cluster(), cluster));
  }
  return Other{.node = std::string(node), .role = role_, .window_bytes = window};
}

Frame Handshake::Welcome() {
  std::string body;
  PutText(options_.node, &body);
  PutNumber(uint64_t{options_.receive_window_bytes}, &body);
  const std::string proof = Proof("server", role_, body);
  PutText(proof, &body);
  return FrameOf(kWelcomeFrame, std::move(body));
}

Frame Handshake::Refused(const Status& status) {
  std::string body;
  PutText(std::string_view(status.message()).substr(0, kHandshakeBytesMax / 4), &body);
  return FrameOf(kRefusedFrame, std::move(body));
}

Result<Handshake::Other> Handshake::OnWelcome(const Frame& frame) {
  ByteReader reader(frame.body);
  if (frame.header.type == kRefusedFrame) {
    std::string why(reader.Text());
    // Somebody else's text, on its way to a terminal.
    std::replace_if(why.begin(), why.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    return Status::Invalid("refused by the server: " + why);
  }
  if (frame.header.type != kWelcomeFrame) return Unexpected(frame);
  Other other{.node = std::string(reader.Text()), .role = Role::kNode, .window_bytes = reader.Number<uint64_t>()};
  const size_t said_bytes = sizeof(uint16_t) + other.node.size() + sizeof(uint64_t);
  const auto proof = reader.Text();
  if (!reader.complete()) return Status::Corrupt("a welcome that is none");
  RETURN_IF_ERROR(CheckName("node", other.node));
  if (!SameSecret(proof, Proof("server", role_, std::string_view(frame.body).substr(0, said_bytes)))) {
    return Status::Invalid("the server does not have the key of this cluster");
  }
  return other;
}

}  // namespace glim::net
