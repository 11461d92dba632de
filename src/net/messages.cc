// SPDX-License-Identifier: Apache-2.0
#include "net/messages.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace glim::net {
namespace {

constexpr size_t kNameBytesMax = 64;

}  // namespace

std::string_view RoleName(Role role) {
  switch (role) {
    case Role::kNone: return "none";
    case Role::kReadOnly: return "read-only";
    case Role::kClient: return "client";
    case Role::kNode: return "node";
  }
  return "unknown";
}

std::optional<Role> RoleNamed(std::string_view name) {
  for (const Role role : {Role::kReadOnly, Role::kClient, Role::kNode}) {
    if (RoleName(role) == name) return role;
  }
  return std::nullopt;
}

Status CheckName(std::string_view what, std::string_view name) {
  const bool good = !name.empty() && name.size() <= kNameBytesMax && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
  if (good) return {};
  return Status::Invalid(fmt::format("a name of a {} has 1 to {} of a-z, 0-9 and -", what, kNameBytesMax));
}

void MessageTable::Add(uint16_t type, std::string name, Role least) {
  CHECK_GE(type, kFirstMessageType);
  CHECK(least != Role::kNone);
  CHECK(entries_.try_emplace(type, Entry{std::move(name), least}).second);
}

Status MessageTable::Check(uint16_t type, Role role) const {
  const auto found = entries_.find(type);
  if (found == entries_.end()) return Status::Invalid(fmt::format("{} is no type of message", type));
  const auto& [name, least] = found->second;
  if (role >= least) return {};
  return Status::Invalid(
      fmt::format("message \"{}\" wants role {}; this one is {}", name, RoleName(least), RoleName(role)));
}

}  // namespace glim::net
