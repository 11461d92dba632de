// SPDX-License-Identifier: Apache-2.0
//
// The types of frames, and who may send which. The layer above enters its types in a MessageTable, each with its name
// and the least role that may send it; a connection looks there once, when the head of a frame has come and before any
// of its body is read. So no handler can forget to ask, and one test can try all types.
//
// Thread: a MessageTable is filled once and then read by any.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "glim/status.h"

namespace glim::net {

// What a peer may do, each all that those before it may. Processes of the cluster are nodes, programs are clients.
enum class Role : uint8_t { kNone = 0, kReadOnly = 1, kClient = 2, kNode = 3 };

// "none", "read-only", "client", "node".
std::string_view RoleName(Role role);
std::optional<Role> RoleNamed(std::string_view name);

// Ok when `name` may be that of a cluster or node: 1 to 64 of a-z, 0-9 and -, so that it is safe wherever it goes.
Status CheckName(std::string_view what, std::string_view name);

// The types of a connection's own frames.
enum ConnectionFrame : uint16_t {
  kChallengeFrame = 1,
  kHelloFrame = 2,
  kWelcomeFrame = 3,
  kRefusedFrame = 4,
  kHeartbeatFrame = 5,
  kCreditFrame = 6,
};
constexpr uint16_t kFirstMessageType = 16;

class MessageTable {
 public:
  // Expects: type >= kFirstMessageType, not entered before; least != kNone.
  void Add(uint16_t type, std::string name, Role least);
  // Ok when `role` may send frames of this type; else kInvalid with the reason.
  Status Check(uint16_t type, Role role) const;

  struct Entry {
    std::string name;
    Role least;
  };
  const std::map<uint16_t, Entry>& entries() const { return entries_; }

 private:
  std::map<uint16_t, Entry> entries_;
};

}  // namespace glim::net
