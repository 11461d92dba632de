// SPDX-License-Identifier: Apache-2.0
#include "net/base_connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "base/try.h"

namespace glim::net {

std::string_view CloseReasonName(CloseReason reason) {
  switch (reason) {
    case CloseReason::kClosedHere: return "closed here";
    case CloseReason::kClosedThere: return "closed there";
    case CloseReason::kUnreachable: return "unreachable";
    case CloseReason::kTimeout: return "timeout";
    case CloseReason::kRefused: return "refused";
    case CloseReason::kSilent: return "silent";
    case CloseReason::kBroken: return "broken";
    case CloseReason::kBadFrame: return "bad frame";
    case CloseReason::kShutdown: return "shutdown";
  }
  return "unknown";
}

ConnectionSet::~ConnectionSet() {
  CHECK(!loop_.InLoop());
  const auto gone = std::make_shared<std::promise<void>>();
  loop_.Post([this, gone] {
    on_empty_ = [gone] { gone->set_value(); };
    const auto connections = connections_;
    for (const auto& connection : connections) {
      connection->BeginClose(CloseReason::kShutdown, Status::Cancelled("the transport was shut down"));
    }
    TellIfEmpty();
  });
  gone->get_future().wait();
}

void ConnectionSet::Add(std::shared_ptr<BaseConnection> connection) { connections_.insert(std::move(connection)); }

void ConnectionSet::Remove(const std::shared_ptr<BaseConnection>& connection) {
  RemoveStranger(connection.get());
  connections_.erase(connection);
  TellIfEmpty();
}

void ConnectionSet::TellIfEmpty() {
  // Moved out, because the destructor goes on at once.
  if (connections_.empty() && on_empty_) std::exchange(on_empty_, nullptr)();
}

void ConnectionSet::AddStranger(const std::shared_ptr<BaseConnection>& connection, size_t max) {
  strangers_.push_back(connection.get());
  if (strangers_.size() <= max) return;
  BaseConnection* const oldest = strangers_.front();
  strangers_.pop_front();
  oldest->BeginClose(CloseReason::kRefused,
                     Status::Exhausted(fmt::format("{}: more than {} connections have not shown who they are",
                                                   oldest->peer().address, max)));
}

void ConnectionSet::RemoveStranger(const BaseConnection* connection) {
  const auto found = std::find(strangers_.begin(), strangers_.end(), connection);
  if (found != strangers_.end()) strangers_.erase(found);
}

void ConnectionSet::NoteRefused(const Status& why) {
  constexpr int64_t kTellNanos = 10'000'000'000;
  const uint64_t count = refused_.fetch_add(1, std::memory_order_relaxed) + 1;
  const int64_t now = env::Poller::MonotonicNanos();
  if (told_nanos_ != 0 && now - told_nanos_ < kTellNanos) return;
  told_nanos_ = now;
  const uint64_t untold = count - std::exchange(refused_told_, count) - 1;
  base::LogWarning("a connection was turned away: {}{}", why.message(),
                   untold == 0 ? std::string() : fmt::format(" (and {} before it)", untold));
}

BaseConnection::BaseConnection(EventLoop& loop, ConnectionSet& set, std::shared_ptr<const TransportOptions> options)
    : loop_(loop),
      set_(set),
      options_(std::move(options)),
      grant_told_(options_->receive_window_bytes),
      own_role_(options_->role) {
  timer_.emplace(loop_);
}

void BaseConnection::Join(std::shared_ptr<ConnectionHandler> handler) {
  handler_ = std::move(handler);
  set_.Add(shared_from_this());
}

Status BaseConnection::Full(size_t bytes) {
  if (!closed_.empty()) return Status::Unavailable(closed_);
  if (queued_frames_ < options_->send_queue_frames_max &&
      (queued_bytes_ == 0 || queued_bytes_ + bytes <= options_->send_queue_bytes_max)) {
    return {};
  }
  wants_writable_ = true;
  return Status::Exhausted(
      fmt::format("{} frames with {} bytes wait to be sent already", queued_frames_, queued_bytes_));
}

Status BaseConnection::Send(Frame&& frame, SentCallback on_sent) {
  RETURN_IF_ERROR(CheckFrame(frame, options_->limits));
  const size_t bytes = frame.wire_bytes();
  {
    const std::lock_guard lock(mutex_);
    RETURN_IF_ERROR(options_->messages->Check(frame.header.type, own_role_));
    RETURN_IF_ERROR(Full(bytes));
  }
  // The checksums of the payload are the caller's work, so that many callers share it.
  std::string head = EncodeHead(frame);
  {
    const std::lock_guard lock(mutex_);
    RETURN_IF_ERROR(Full(bytes));
    const bool in_loop = loop_.InLoop();
    Outgoing outgoing{std::move(frame), std::move(on_sent), std::move(head), bytes};
    size_t written = 0;
    if (!in_loop && queue_.empty() && !writing_ && sent_bytes_ < granted_bytes_) written = WriteAtOnce(outgoing);
    if (written > 0) {
      sent_bytes_ += bytes;
      spoke_ = true;
      if (written == bytes) {
        if (outgoing.on_sent) {
          loop_.Post([on_sent = std::move(outgoing.on_sent)] { on_sent(Status::Ok()); });
        }
        return {};
      }
      writing_ = true;
      begun_ = Begun{std::move(outgoing), written};
    } else {
      queue_.push_back(std::move(outgoing));
    }
    ++queued_frames_;
    queued_bytes_ += bytes;
    if (!in_loop) {
      PumpSoon();
      return {};
    }
  }
  if (!dispatching_) Pump();
  return {};
}

// The mutex is held: whoever posts does so before closed_ is set, and the loop outlives that.
void BaseConnection::PumpSoon() {
  if (std::exchange(pump_posted_, true)) return;
  loop_.Post([self = shared_from_this()] {
    {
      const std::lock_guard lock(self->mutex_);
      self->pump_posted_ = false;
    }
    if (!self->closing()) self->Pump();
  });
}

bool BaseConnection::PostIfOpen(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  if (!closed_.empty()) return false;
  loop_.Post(std::move(work));
  return true;
}

void BaseConnection::Close() {
  const std::lock_guard lock(mutex_);
  if (!closed_.empty()) return;
  closed_ = "the connection was closed by this side";
  loop_.Post([self = shared_from_this()] {
    self->BeginClose(CloseReason::kClosedHere, Status::Cancelled("closed by this side"));
  });
}

void BaseConnection::Release(size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (!closed_.empty()) return;
  released_bytes_ += bytes;
  // Told in quarters of a window: a peer that waits has used all of it, so it hears of the next quarter in any case.
  const uint64_t grant = released_bytes_ + options_->receive_window_bytes;
  if (grant - grant_told_ < options_->receive_window_bytes / 4 || grant_posted_) return;
  grant_posted_ = true;
  loop_.Post([self = shared_from_this()] {
    {
      const std::lock_guard lock(self->mutex_);
      self->grant_posted_ = false;
      self->grant_told_ = self->released_bytes_ + self->options_->receive_window_bytes;
    }
    if (!self->closing()) self->SendGrant(self->grant_told_);
  });
}

bool BaseConnection::Received(size_t bytes) {
  // The last frame may go beyond the grant: who has one byte of it left may send any frame.
  const bool granted = received_bytes_ < grant_told_;
  received_bytes_ += bytes;
  return granted;
}

void BaseConnection::OnGrant(uint64_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    granted_bytes_ = std::max(granted_bytes_, bytes);
  }
  if (!dispatching_) Pump();
}

std::optional<BaseConnection::Begun> BaseConnection::BeginWriting() {
  const std::lock_guard lock(mutex_);
  writing_ = true;
  return std::exchange(begun_, std::nullopt);
}

void BaseConnection::HoldWriting() {
  const std::lock_guard lock(mutex_);
  writing_ = true;
}

void BaseConnection::EndWriting() {
  const std::lock_guard lock(mutex_);
  writing_ = false;
}

std::optional<BaseConnection::Outgoing> BaseConnection::NextOutgoing() {
  if (!open()) return std::nullopt;
  const std::lock_guard lock(mutex_);
  if (queue_.empty() || sent_bytes_ >= granted_bytes_) return std::nullopt;
  Outgoing outgoing = std::move(queue_.front());
  queue_.pop_front();
  sent_bytes_ += outgoing.bytes;
  spoke_ = true;
  return outgoing;
}

void BaseConnection::DoneWith(Outgoing& outgoing, const Status& status) {
  bool writable = false;
  {
    const std::lock_guard lock(mutex_);
    --queued_frames_;
    queued_bytes_ -= outgoing.bytes;
    writable = wants_writable_ && closed_.empty() && queued_bytes_ <= options_->send_queue_bytes_max / 2 &&
               queued_frames_ <= options_->send_queue_frames_max / 2;
    if (writable) wants_writable_ = false;
  }
  if (outgoing.on_sent) outgoing.on_sent(status);
  if (writable && open()) handler_->OnWritable();
}

void BaseConnection::ExpectOpenWithin(int64_t nanos, std::string waiting_for) {
  timer_->Start(nanos, [this, nanos, waiting_for = std::move(waiting_for)] {
    BeginClose(CloseReason::kTimeout,
               Status::Timeout(fmt::format("{} took more than {} ms", waiting_for, nanos / 1'000'000)));
  });
}

void BaseConnection::Opened(Peer peer, uint64_t granted_bytes, std::shared_ptr<ConnectionHandler> handler) {
  peer_ = std::move(peer);
  if (handler) handler_ = std::move(handler);
  {
    const std::lock_guard lock(mutex_);
    granted_bytes_ = granted_bytes;
  }
  open_ = true;
  timer_->Start(options_->heartbeat_nanos, [this] { Tick(); });
  handler_->OnOpen(*this);
  if (open() && !dispatching_) Pump();
}

// Time is counted in beats, not on a clock: when this process itself was stopped for a while, its peers are not dead.
void BaseConnection::Tick() {
  silent_ticks_ = std::exchange(heard_, false) ? 0 : silent_ticks_ + 1;
  const auto silent_nanos = silent_ticks_ * options_->heartbeat_nanos;
  if (silent_nanos >= options_->dead_nanos) {
    BeginClose(CloseReason::kSilent, Status::Unavailable(fmt::format("no sign of life from {} for {} ms", peer_.address,
                                                                     silent_nanos / 1'000'000)));
    return;
  }
  bool spoke = false;
  {
    const std::lock_guard lock(mutex_);
    spoke = std::exchange(spoke_, false);
  }
  if (!spoke) SendHeartbeat();
  if (!closing()) timer_->Start(options_->heartbeat_nanos, [this] { Tick(); });
}

void BaseConnection::BeginClose(CloseReason reason, Status status) {
  if (closing_) return;
  closing_ = Closing{reason, std::move(status)};
  const bool turned_away = reason == CloseReason::kRefused || reason == CloseReason::kBadFrame ||
                           (!open_ && (reason == CloseReason::kTimeout || reason == CloseReason::kBroken));
  if (accepted_ && turned_away) set_.NoteRefused(closing_->status);
  {
    const std::lock_guard lock(mutex_);
    if (closed_.empty()) closed_ = "the connection is closed: " + closing_->status.message();
  }
  timer_->Cancel();
  StopTransfer();
}

void BaseConnection::FinishClose() {
  const auto self = shared_from_this();
  std::deque<Outgoing> dropped;
  {
    const std::lock_guard lock(mutex_);
    dropped.swap(queue_);
    if (begun_) dropped.push_front(std::move(std::exchange(begun_, std::nullopt)->outgoing));
  }
  for (Outgoing& outgoing : dropped) DoneWith(outgoing, closing_->status);
  timer_.reset();
  if (handler_) {
    handler_->OnClosed(*closing_);
    handler_.reset();
  }
  set_.Remove(self);
}

}  // namespace glim::net
