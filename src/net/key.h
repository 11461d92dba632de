// SPDX-License-Identifier: Apache-2.0
//
// Keys: what a process must have to be let into a cluster beyond its own machine.
//
// `glim init` makes a cluster key, for the nodes (master, servers, agents), and from it client keys, for programs. A
// cluster key holds a certificate with its private key, by which nodes speak TLS, and a random token for each role. A
// client key holds the token of one role, and the fingerprint of the certificate: a client talks to nothing else.
//
// Secrets are in files that only their owner may read, never in arguments, environment, messages or logs. The file is
// text; the format is in docs/format/keys.md.
//
// Thread: values and plain functions.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "env/env.h"
#include "glim/status.h"
#include "net/messages.h"

namespace glim::net {

struct Key {
  std::string cluster;
  std::string fingerprint;               // SHA-256 of the certificate, 32 bytes.
  std::map<Role, std::string> tokens;    // 32 bytes each; of all roles in a cluster key, of one in a client key.
  std::string certificate, private_key;  // PEM; empty in a client key.

  bool of_cluster() const { return !private_key.empty(); }
};

// A new one, with a certificate of its own. kInvalid when `cluster` is no name.
Result<Key> MakeClusterKey(const std::string& cluster);
// What a client of this role needs of it. Expects: cluster_key.of_cluster(), role != kNone.
Key MakeClientKey(const Key& cluster_key, Role role);

std::string FormatKey(const Key& key);
Result<Key> ParseKey(std::string_view text);

// Never replaces a file: a lost cluster key locks everybody out.
Status WriteKey(env::FileSystem& files, const std::string& path, const Key& key);
// Refuses a file that others than its owner may read or write.
Result<Key> ReadKey(env::FileSystem& files, const std::string& path);

}  // namespace glim::net
