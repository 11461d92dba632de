// SPDX-License-Identifier: Apache-2.0
#include "net/wire_connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/try.h"

namespace glim::net {
namespace {

// What is gathered for one call of the system goes before any heartbeat.
constexpr size_t kGatherBytes = 256 * 1024;
// Then others on this loop have their turn.
constexpr size_t kPumpBytes = size_t{16} << 20;

}  // namespace

WireConnection::WireConnection(EventLoop& loop, ConnectionSet& set, std::shared_ptr<const TransportOptions> options,
                               std::shared_ptr<const Acceptor> acceptor)
    : BaseConnection(loop, set, std::move(options)),
      acceptor_(std::move(acceptor)),
      handshake_(this->options()),
      decoder_(HandshakeLimits(), this, this->options().blocks) {
  accepted_ = acceptor_ != nullptr;
  if (acceptor_) set_own_role(Role::kNode);
}

void WireConnection::Start(std::string peer_address) {
  peer_.address = std::move(peer_address);
  if (acceptor_) SendOwn(handshake_.Challenge());
}

void WireConnection::SpeakFirst() { SendOwn({.header = {.type = kHeartbeatFrame}, .body = {}, .segments = {}}); }

// ------------------------------------------------------------------------------------------------------------- writing

void WireConnection::SendOwn(Frame frame) {
  std::string head = EncodeFrameHead(frame);
  sending_bytes_ += frame.wire_bytes();
  HoldWriting();  // Nothing shall overtake the welcome.
  sending_.push_back({std::move(frame), {}, std::move(head), 0});
  if (!dispatching_) Pump();
}

void WireConnection::SendHeartbeat() {
  heartbeat_due_ = true;
  Pump();
}

void WireConnection::SendGrant(uint64_t bytes) {
  grant_due_ = bytes;
  if (!dispatching_) Pump();
}

void WireConnection::Gather() {
  if (std::exchange(heartbeat_due_, false) && sending_.empty()) {
    SendOwn({.header = {.type = kHeartbeatFrame}, .body = {}, .segments = {}});
  }
  if (const uint64_t grant = std::exchange(grant_due_, 0); grant != 0) {
    SendOwn({.header = {.type = kCreditFrame, .request = grant}, .body = {}, .segments = {}});
  }
  while (sending_bytes_ < kGatherBytes && sending_.size() < kPiecesMax) {
    auto next = NextOutgoing();
    if (!next) break;
    sending_bytes_ += next->bytes;
    sending_.push_back(*std::move(next));
  }
}

void WireConnection::Pump() {
  size_t pumped = 0;
  // Gather and on_sent may come back to Pump.
  const bool nested = std::exchange(dispatching_, true);
  while (!closing() && !wire_full_) {
    if (auto begun = BeginWriting()) {
      sending_bytes_ += begun->outgoing.bytes;
      written_ = begun->written;
      sending_.push_front(std::move(begun->outgoing));
    }
    Gather();
    if (sending_.empty()) {
      EndWriting();
      break;
    }
    pieces_.clear();
    size_t skip = written_;
    for (const Outgoing& outgoing : sending_) {
      const auto add = [&](std::string_view piece) {
        const size_t skipped = std::min(skip, piece.size());
        skip -= skipped;
        if (skipped < piece.size() && pieces_.size() < kPiecesMax) pieces_.push_back(piece.substr(skipped));
      };
      add(outgoing.head);
      add(outgoing.frame.body);
      for (const Segment& segment : outgoing.frame.segments) {
        add(segment.bytes);
        add(segment.more);
      }
      if (pieces_.size() == kPiecesMax) break;
    }
    const auto taken = WriteSome(pieces_);
    if (!taken.ok()) {
      BeginClose(CloseReason::kBroken, taken.status());
      break;
    }
    if (*taken == 0) {
      wire_full_ = true;
      break;
    }
    Advance(*taken);
    pumped += *taken;
    if (pumped >= kPumpBytes && !sending_.empty()) {
      wire_full_ = true;
      loop().Post([self = shared_from_this(), this] { OnWritable(0); });
    }
  }
  dispatching_ = nested;
}

void WireConnection::OnWritable(size_t bytes) {
  wire_full_ = false;
  if (closing()) return;
  const bool nested = std::exchange(dispatching_, true);
  Advance(bytes);
  dispatching_ = nested;
  if (!dispatching_) Pump();
}

void WireConnection::Advance(size_t bytes) {
  written_ += bytes;
  while (!sending_.empty()) {
    const size_t size = sending_.front().frame.wire_bytes();
    if (written_ < size) return;
    written_ -= size;
    sending_bytes_ -= size;
    Outgoing done = std::move(sending_.front());
    sending_.pop_front();
    if (done.bytes > 0) DoneWith(done, Status::Ok());
  }
  if (!refusal_.ok()) BeginClose(CloseReason::kRefused, refusal_);
}

void WireConnection::DropSending() {
  for (Outgoing& outgoing : std::exchange(sending_, {})) {
    if (outgoing.bytes > 0) DoneWith(outgoing, Status::Unavailable("the connection was closed before this was sent"));
  }
  FinishClose();
}

// ------------------------------------------------------------------------------------------------------------- reading

void WireConnection::OnBytes(size_t direct, std::string_view more) {
  if (closing() || !refusal_.ok()) return;
  Heard();
  dispatching_ = true;
  Status status = decoder_.Filled(direct);
  if (status.ok()) status = decoder_.Feed(more);
  dispatching_ = false;
  if (closing()) return;
  if (!status.ok() && refusal_.ok())
    return BeginClose(CloseReason::kBadFrame, std::move(status).With("from " + peer_.address));
  Pump();
}

void WireConnection::OnEnd() {
  if (closing()) return;
  if (decoder_.idle() && open()) {
    return BeginClose(CloseReason::kClosedThere, Status::Unavailable(peer_.address + " closed the connection"));
  }
  BeginClose(CloseReason::kBroken, Status::Unavailable(fmt::format("the connection with {} ended within a {}",
                                                                   peer_.address, open() ? "frame" : "handshake")));
}

void WireConnection::Discard(uint64_t request) { decoder_.Discard(request); }

Status WireConnection::OnHead(const FrameHead& head) {
  const uint16_t type = head.header.type;
  if (!open()) return {};  // The limits of a handshake are limit enough; OnFrame looks at the rest.
  if (type == kHeartbeatFrame || type == kCreditFrame) {
    if (head.wire_bytes == kFrameHeadBytes) return {};
    return Status::Corrupt(fmt::format("a frame of type {} with a body", type));
  }
  if (Status status = options().messages->Check(type, peer_.role); !status.ok()) {
    BeginClose(CloseReason::kRefused, std::move(status).With(fmt::format("\"{}\" at {}", peer_.node, peer_.address)));
    return Status::Cancelled("closing");
  }
  if (!Received(head.wire_bytes)) return Status::Corrupt("more bytes than were granted");
  return {};
}

void WireConnection::OnBody(const FrameHead& head, std::string_view body, std::span<std::span<char>> targets) {
  handler().OnBody(head, body, targets);
}

Status WireConnection::OnFrame(Frame frame, size_t wire_bytes) {
  if (!open()) {
    RETURN_IF_ERROR(OnHandshakeFrame(frame));
  } else if (frame.header.type == kCreditFrame) {
    OnGrant(frame.header.request);
  } else if (frame.header.type != kHeartbeatFrame) {
    handler().OnFrame(std::move(frame), Credit(shared_from_this(), wire_bytes));
  }
  return closing() || !refusal_.ok() ? Status::Cancelled("closing") : Status::Ok();
}

// ----------------------------------------------------------------------------------------------------------- handshake

Status WireConnection::OnHandshakeFrame(const Frame& frame) {
  if (!acceptor_) {
    if (handshake_.challenged()) {
      auto welcome = handshake_.OnWelcome(frame);
      if (!welcome.ok()) {
        BeginClose(CloseReason::kRefused, std::move(welcome).status().With(peer_.address));
        return {};
      }
      OpenWith(*welcome);
      return {};
    }
    auto hello = handshake_.OnChallenge(frame);
    if (hello.ok()) {
      SendOwn(*std::move(hello));
    } else {
      BeginClose(CloseReason::kRefused, std::move(hello).status().With(peer_.address));
    }
    return {};
  }
  if (frame.header.type == kHeartbeatFrame && !std::exchange(peer_spoke_first_, true)) return {};
  const auto hello = handshake_.OnHello(frame);
  if (!hello.ok()) {
    refusal_ = hello.status();
    refusal_ = std::move(refusal_).With("refused " + peer_.address);
    SendOwn(Handshake::Refused(hello.status()));
    return {};
  }
  set().RemoveStranger(this);
  SendOwn(handshake_.Welcome());
  OpenWith(*hello);
  return {};
}

void WireConnection::OpenWith(const Handshake::Other& other) {
  decoder_.set_limits(options().limits);
  peer_.node = other.node;
  peer_.role = other.role;
  const auto handler = acceptor_ ? (*acceptor_)(std::static_pointer_cast<Connection>(shared_from_this())) : nullptr;
  if (acceptor_ && !handler) {
    return BeginClose(CloseReason::kClosedHere, Status::Cancelled("nobody wanted this connection"));
  }
  Opened(peer_, other.window_bytes, handler);
}

}  // namespace glim::net
