// SPDX-License-Identifier: Apache-2.0
//
// How frames get from one process to another, or from one thread to another: one interface for all ways. The layer
// above neither knows nor cares which way a connection goes.
//
//   net::EventLoop loop;
//   auto transport = net::MakeTcpTransport(loop, options);
//   auto listener = transport->Listen("127.0.0.1:0", [](auto connection) { return std::make_shared<MyHandler>(...); });
//   auto connection = transport->Connect(address, timeout_nanos, std::make_shared<MyHandler>());
//   Status status = connection->Send({.header = {.type = kPush, .request = 7}, .body = ..., .segments = {keys,
//   values}});
//
// A connection promises: frames come whole, in the order in which they were sent, each at most once; OnClosed comes
// exactly once, whatever happens, and says why. It does not reconnect: who wants that makes a new one, and sends again
// what was not answered (the layer above knows how to tell what came twice).
//
// Nothing here grows without end. The sender's queue has a bound: Send says kExhausted, OnWritable tells when to go on.
// A receiver grants its peer some bytes (receive_window_bytes) and grants more as its handler lets go of the frames it
// got; so a slow handler slows the sender down, and a receiver holds at most its window and one frame more.
//
// Each wait has an end: that for a connection and its handshake (timeout), that for a sign of life (both sides send one
// every heartbeat_nanos; TCP alone would not notice a process that is stopped or a machine that is gone).
//
// Thread: Send, Close and Credit from any. Handlers are called in the transport's loop, one call at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "glim/status.h"
#include "net/event_loop.h"
#include "net/frame.h"
#include "net/http.h"
#include "net/key.h"
#include "net/large_blocks.h"
#include "net/messages.h"

namespace glim::net {

enum class CloseReason {
  kClosedHere,   // Close() was called.
  kClosedThere,  // The peer closed, between two frames.
  kUnreachable,  // There was never a connection.
  kTimeout,      // Connecting or the handshake took too long.
  kRefused,      // One side does not want the other: version, cluster, key, role. The status says why.
  kSilent,       // No sign of life from the peer.
  kBroken,       // The connection broke off.
  kBadFrame,     // The peer sent what is no frame, is too large, or more than it was granted.
  kShutdown,     // The transport was destroyed.
};
std::string_view CloseReasonName(CloseReason reason);

struct Closing {
  CloseReason reason = CloseReason::kClosedHere;
  Status status;  // Never ok; a sentence for people.
};

struct Peer {
  std::string address;
  std::string node;         // The name it gave itself: a-z, 0-9 and -, at most 64.
  Role role = Role::kNone;  // What it may do here, proven in the handshake.
  // What is sent leaves this machine, as far as its addresses tell.
  bool other_machine = false;
};

// What the peer's machine has got over the network, and for how long some of it was under way: how fast the network is.
struct Delivery {
  uint64_t bytes = 0;
  int64_t busy_nanos = 0;
};

// The receiver's side of flow control: as long as it lives, the bytes of its frame count as held by the receiver.
class Credit {
 public:
  class Account {
   public:
    virtual ~Account() = default;
    virtual void Release(size_t bytes) = 0;
  };

  Credit() = default;
  Credit(std::shared_ptr<Account> account, size_t bytes) : account_(std::move(account)), bytes_(bytes) {}
  Credit(Credit&& other) noexcept : account_(std::move(other.account_)), bytes_(std::exchange(other.bytes_, 0)) {}
  Credit& operator=(Credit&& other) noexcept {
    std::swap(account_, other.account_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Credit() {
    if (account_) account_->Release(bytes_);
  }

 private:
  std::shared_ptr<Account> account_;
  size_t bytes_ = 0;
};

class Connection {
 public:
  virtual ~Connection() = default;

  // Called in the loop, once, when the bytes of the frame were taken, or will not be: borrowed segments are free again.
  // Ok does not mean that the peer has it; only an answer does.
  using SentCallback = std::function<void(const Status&)>;
  // Queues the frame; `frame` is moved from only when this is ok. kExhausted: the queue is full, OnWritable comes when
  // it is worth trying again. kUnavailable: the connection is closed. kInvalid: too large, or of a type that our role
  // may not send. May be called before the connection is open.
  virtual Status Send(Frame&& frame, SentCallback on_sent = {}) = 0;

  // What was not sent yet is dropped, and what was sent may not arrive: who wants to be sure waits for an answer first.
  // OnClosed comes later; frames may come until then.
  virtual void Close() = 0;

  // Loop thread. If payload of `request` is being received into a target of OnBody, it goes there no more and its frame
  // is dropped: for who gives up waiting and wants the target back.
  virtual void Discard(uint64_t request) = 0;

  // From OnOpen on.
  virtual const Peer& peer() const = 0;

  // Loop thread. Of a connection with another machine; else nothing.
  virtual Delivery delivery() const { return {}; }
};

class ConnectionHandler {
 public:
  virtual ~ConnectionHandler() = default;
  // The handshake is done.
  virtual void OnOpen(Connection& connection) {}
  // Payload comes with this head and body: `targets`, one for each segment and empty, may be set to where it shall be
  // received. A target has at least head.segment_bytes and stays until OnFrame, Discard or OnClosed.
  virtual void OnBody(const FrameHead& head, std::string_view body, std::span<std::span<char>> targets) {}
  // Keep the credit as long as the frame waits to be worked on.
  virtual void OnFrame(Frame frame, Credit credit) = 0;
  // After a Send said kExhausted: half of the queue is free.
  virtual void OnWritable() {}
  // The last call.
  virtual void OnClosed(const Closing& closing) = 0;
};

// Is asked for the handler of each connection whose handshake is done.
using Acceptor = std::function<std::shared_ptr<ConnectionHandler>(const std::shared_ptr<Connection>&)>;

// Destroying it stops accepting; connections go on.
class Listener {
 public:
  virtual ~Listener() = default;
  // Where it listens, with the port that was chosen for port 0.
  virtual const std::string& address() const = 0;
};

struct TransportOptions {
  const MessageTable* messages = nullptr;  // Never null.

  // Who we are. Without a key there is no listening and connecting beyond this machine, and here everybody gets the
  // role that he asks for.
  std::shared_ptr<const Key> key;
  std::string cluster = "local";  // Both sides must say the same; with a key it is the key's.
  std::string node = "unnamed";
  Role role = Role::kNode;  // What we want to be where we connect to.

  bool tls_on_loopback = false;  // Beyond loopback there is always TLS.
  // With peers on this machine, where both sides allow it and are of one user; never with tls_on_loopback. It takes up
  // to a megabyte for each connection.
  bool shared_memory = true;

  FrameLimits limits;
  // Where large payload is received. Never null.
  std::shared_ptr<LargeBlocks> blocks = std::make_shared<LargeBlocks>();
  size_t send_queue_bytes_max = size_t{32} << 20;  // One frame may always wait, however large.
  size_t send_queue_frames_max = 4096;
  size_t receive_window_bytes = size_t{8} << 20;

  int64_t heartbeat_nanos = 250'000'000;
  int64_t dead_nanos = 3'000'000'000;
  int64_t handshake_nanos = 5'000'000'000;  // Of connections that we accept.
  size_t unauthenticated_max = 128;         // In their handshake; one more, and the oldest of them is dropped.

  // Answers those who ask a TCP listener by HTTP, without a key: programs of this machine, or everybody. Empty: nobody.
  HttpHandler http;
  bool http_for_all = false;
};

// Destroying it, or a Listener, from within the loop is a mistake; a transport closes its connections.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual Result<std::unique_ptr<Listener>> Listen(const std::string& address, Acceptor acceptor) = 0;
  // Never fails at once: what goes wrong is told to the handler's OnClosed.
  virtual std::shared_ptr<Connection> Connect(const std::string& address, int64_t timeout_nanos,
                                              std::shared_ptr<ConnectionHandler> handler) = 0;
  // How many connections its listeners turned away so far: of strangers without a key, with another one or another
  // version, that say what is no frame, or nothing in time; and of those who did what their role may not. The log names
  // some of them. Thread: any.
  virtual uint64_t refused_count() const = 0;
};

// Over sockets of TCP, with TLS beyond loopback, and through shared memory between processes of one machine.
// Addresses are "host:port", of a name or a number, [v6]:port; port 0 for Listen takes a free one.
std::unique_ptr<Transport> MakeTcpTransport(EventLoop& loop, TransportOptions options);

// The transports of one process find each other in a hub, by any name. Segments with an owner are not copied, the
// receiver gets them as they are; borrowed ones are copied once, or a receiver that keeps a frame would keep its sender
// waiting.
class InprocHub {
 public:
  InprocHub();
  ~InprocHub();
  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};
std::unique_ptr<Transport> MakeInprocTransport(EventLoop& loop, InprocHub& hub, TransportOptions options);

}  // namespace glim::net
