// SPDX-License-Identifier: Apache-2.0
//
// TLS 1.3 as bytes in and bytes out, without a socket: OpenSSL between two pieces of memory.
//
// It encrypts as much as the caller gives it, and is done with that memory when the call returns.
//
// A client knows its server by the fingerprint of the certificate, which is in every key; names and dates in it say
// nothing, so OpenSSL is not asked to verify them.
//
// Thread: that of its connection. A TlsContext is read by any.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "glim/status.h"
#include "net/key.h"

struct ssl_ctx_st;
struct ssl_st;
struct bio_st;

namespace glim::net {

// One side of all connections with one key.
class TlsContext {
 public:
  enum class Side { kClient, kServer };
  // Expects: for a server, key.of_cluster().
  TlsContext(const Key& key, Side side);

  ssl_ctx_st* get() const { return context_.get(); }
  Side side() const { return side_; }

 private:
  const Side side_;
  const std::shared_ptr<ssl_ctx_st> context_;
};

class TlsSession {
 public:
  explicit TlsSession(const TlsContext& context);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;

  // What came from the peer.
  void Take(std::string_view ciphertext);
  // Goes on with the handshake; true when it is done. Expects nothing else to be called before.
  Result<bool> Handshake();
  // Of the certificate that the peer has shown, once the handshake is done. Empty when it has shown none.
  std::string PeerFingerprint() const;
  // What can be decrypted, up to the size of `out`; 0 when more must come first.
  Result<size_t> Read(std::span<char> out);
  // The peer said that it sends no more.
  bool ended() const { return ended_; }
  Status Write(std::string_view plain);
  // What is to be sent to the peer, added to `out`.
  void Drain(std::string* out);

 private:
  Status Failure(std::string_view doing) const;

  ssl_st* const ssl_;
  bio_st* const in_;  // Both belong to ssl_.
  bio_st* const out_;
  bool ended_ = false;
};

}  // namespace glim::net
