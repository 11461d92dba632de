// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/peer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cluster/job/messages.h"

namespace glim::cluster {

std::shared_ptr<Peer> Peer::MakeLost(net::EventLoop& loop) {
  auto peer = std::make_shared<Peer>(loop, "a process that was lost", nullptr, nullptr);
  peer->closed_ = true;
  peer->why_ = Status::Stale(peer->name_);
  return peer;
}

void Peer::Ask(net::Frame question, Answered answered) {
  loop_.Run([self = shared_from_this(), question = std::make_shared<net::Frame>(std::move(question)),
             answered = std::move(answered)]() mutable {
    if (self->closed_) {
      answered(self->why_);
      return;
    }
    question->header.request = self->next_request_++;
    self->waiting_[question->header.request] = std::move(answered);
    self->Send(std::move(*question));
  });
}

void Peer::Answer(net::Frame answer) {
  loop_.Run([self = shared_from_this(), answer = std::make_shared<net::Frame>(std::move(answer))] {
    if (self->closed_) return;
    --self->unanswered_;
    self->Send(std::move(*answer));
  });
}

void Peer::Close() {
  loop_.Run([self = shared_from_this()] {
    if (!self->closed_ && self->connection_ != nullptr) self->connection_->Close();
  });
}

PeerWay Peer::Way() {
  if (connection_ == nullptr || !connection_->peer().other_machine) return {};
  // The system counts the time in steps of up to 10 ms.
  constexpr uint64_t kBytes = 32'000'000;
  constexpr int64_t kNanos = 100'000'000, kNanosMin = 1'000'000;
  const net::Delivery now = connection_->delivery();
  const uint64_t bytes = now.bytes - measured_.bytes;
  const int64_t nanos = now.busy_nanos - measured_.busy_nanos;
  if (bytes >= kBytes || nanos >= kNanos) {
    bytes_per_second_ = static_cast<double>(bytes) * 1e9 / static_cast<double>(std::max(nanos, kNanosMin));
    measured_ = now;
  }
  return {.other_machine = true, .bytes_per_second = bytes_per_second_};
}

void Peer::Send(net::Frame frame) {
  if (unsent_.empty()) {
    const Status status = connection_->Send(std::move(frame));
    // A connection that is closed says so itself.
    if (status.ok() || status.code() == Code::kUnavailable) return;
    if (status.code() != Code::kExhausted) {
      Fail(status);
      return;
    }
  }
  unsent_.push_back(std::move(frame));
}

void Peer::OnWritable() {
  while (!unsent_.empty()) {
    const Status status = connection_->Send(std::move(unsent_.front()));
    if (status.code() == Code::kExhausted) return;
    unsent_.pop_front();
    if (!status.ok() && status.code() != Code::kUnavailable) Fail(status);
  }
}

void Peer::OnFrame(net::Frame frame, net::Credit) {
  if (closed_) return;
  if (frame.header.type == kAnswerMessage) {
    const auto it = waiting_.find(frame.header.request);
    if (it == waiting_.end()) return;
    const Answered answered = std::move(it->second);
    waiting_.erase(it);
    answered(std::move(frame));
    return;
  }
  if (++unanswered_ > kUnansweredMax) {
    Fail(Status::Exhausted(fmt::format("{} asks more than it may", name_)));
    return;
  }
  // It may end the connection, and with it asked_.
  const Asked asked = asked_;
  asked(shared_from_this(), std::move(frame));
}

void Peer::OnClosed(const net::Closing& closing) {
  Fail(Status::Stale(fmt::format("{} is lost: {}", name_, closing.status.message())));
}

void Peer::Fail(const Status& status) {
  if (std::exchange(closed_, true)) return;
  why_ = Status::Stale(status.message());
  const auto connection = std::exchange(connection_, nullptr);
  if (connection != nullptr) connection->Close();
  unsent_.clear();
  // Both may hold who made us.
  asked_ = nullptr;
  // First that the other side is lost, then what was lost with it: or somebody would ask it again.
  if (const Lost lost = std::exchange(lost_, nullptr)) lost(shared_from_this(), why_);
  for (auto& [request, answered] : std::exchange(waiting_, {})) answered(why_);
}

}  // namespace glim::cluster
