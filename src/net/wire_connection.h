// SPDX-License-Identifier: Apache-2.0
//
// A connection whose frames go as bytes: the handshake, writing frames piece by piece, making frames of what comes. A
// kind of wire (TCP, TLS, shared memory) adds how bytes move: WriteSome, and calls of OnBytes with what came.
//
// Between two frames, a heartbeat or a grant of credit goes before frames that wait; there is never more than one of
// each to send, so they need no queue.
//
// Thread: the loop's.
#pragma once

#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/base_connection.h"
#include "net/handshake.h"

namespace glim::net {

// WriteSome gets so many pieces at most: the system takes no more than a thousand in one call, and fewer are enough.
constexpr size_t kPiecesMax = 64;

class WireConnection : public BaseConnection, private FrameSink {
 public:
  // With an acceptor this is the server's side. Both the acceptor and the handler that Join gets may be empty, not
  // both.
  WireConnection(EventLoop& loop, ConnectionSet& set, std::shared_ptr<const TransportOptions> options,
                 std::shared_ptr<const Acceptor> acceptor);

  void Discard(uint64_t request) final;

 protected:
  // Bytes can go: the handshake begins.
  void Start(std::string peer_address);
  // The client's side, after Start: says that frames will come, to a server that may speak something else as well.
  void SpeakFirst();

  // Gives the beginning of `pieces` to the wire and returns how many bytes it took. 0: the wire is full and will call
  // OnWritable. The pieces stay until then.
  virtual Result<size_t> WriteSome(std::span<const std::string_view> pieces) = 0;
  // `bytes` of the last pieces were taken meanwhile; more may be written.
  void OnWritable(size_t bytes);

  // Where the next bytes may be put by the wire itself; see FrameDecoder.
  std::span<char> Direct() { return decoder_.Direct(); }
  // What came: `direct` bytes that were put into Direct(), then `more`.
  void OnBytes(size_t direct, std::string_view more);
  // The peer sends no more.
  void OnEnd();

  // Gives back what was being sent, and finishes. For StopTransfer, when nothing reads the pieces any more.
  void DropSending();

 private:
  void Pump() final;
  void SendHeartbeat() final;
  void SendGrant(uint64_t bytes) final;
  std::string EncodeHead(const Frame& frame) final { return EncodeFrameHead(frame); }

  Status OnHead(const FrameHead& head) final;
  void OnBody(const FrameHead& head, std::string_view body, std::span<std::span<char>> targets) final;
  Status OnFrame(Frame frame, size_t wire_bytes) final;

  Status OnHandshakeFrame(const Frame& frame);
  void OpenWith(const Handshake::Other& other);
  void SendOwn(Frame frame);
  void Gather();
  void Advance(size_t bytes);

  const std::shared_ptr<const Acceptor> acceptor_;
  Handshake handshake_;
  FrameDecoder decoder_;

  // Being written: the first `written_` bytes of them are. Our own frames (handshake, heartbeat, grant) have bytes ==
  // 0.
  std::deque<Outgoing> sending_;
  size_t sending_bytes_ = 0;
  size_t written_ = 0;
  std::vector<std::string_view> pieces_;
  bool wire_full_ = false;
  bool heartbeat_due_ = false;
  uint64_t grant_due_ = 0;
  Status refusal_;  // To be told to the peer before we close.
  bool peer_spoke_first_ = false;
};

}  // namespace glim::net
