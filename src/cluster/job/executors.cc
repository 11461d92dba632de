// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/executors.h"

#include <fmt/format.h>

#include <chrono>
#include <condition_variable>
#include <set>

#include "base/try.h"
#include "cluster/job/messages.h"

namespace glim::cluster {
namespace {

constexpr int64_t kConnectNanos = 3'000'000'000;
constexpr int64_t kEndNanos = 2'000'000'000;

}  // namespace

Executors::Executors(const JobDriverOptions& options, net::EventLoop& loop, Peer::Asked asked)
    : options_(options), loop_(loop), asked_(std::move(asked)), lost_peer_(Peer::MakeLost(loop)) {
  net::TransportOptions transport;
  transport.messages = &JobMessages();
  transport.key = options_.key;
  if (options_.key != nullptr) transport.cluster = options_.key->cluster;
  transport.node = "driver";
  transport.role = net::Role::kClient;
  transport.limits.payload_bytes_max = kPayloadBytesMax;
  loop_.Call([&] { transport_ = net::MakeTcpTransport(loop_, std::move(transport)); });
}

// Connections end while there still is somebody to hear of it.
Executors::~Executors() { transport_.reset(); }

Result<std::vector<int>> Executors::Launch() {
  std::vector<ExecutorPlace> at_work;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [number, place] : places_) at_work.push_back(place.executor);
  }
  ASSIGN_OR_RETURN(const std::vector<ExecutorPlace> executors, options_.launch(at_work));
  std::vector<int> numbers;
  for (const ExecutorPlace& executor : executors) numbers.push_back(Add(executor));
  return numbers;
}

int Executors::Add(const ExecutorPlace& executor) {
  int place = 0;
  loop_.Call([&] {
    {
      const std::lock_guard lock(mutex_);
      place = next_place_++;
    }
    auto peer =
        std::make_shared<Peer>(loop_, fmt::format("executor {} at {}", place, executor.address), asked_,
                               [this, place](const std::shared_ptr<Peer>&, const Status& why) { OnLost(place, why); });
    {
      const std::lock_guard lock(mutex_);
      places_[place] = {executor, peer, 0};
    }
    peer->Attach(transport_->Connect(executor.address, kConnectNanos, peer));
  });
  return place;
}

void Executors::OnLost(int place, const Status& why) {
  const std::lock_guard lock(mutex_);
  places_.erase(place);
  if (lost_ != nullptr) lost_(place, why);
}

std::vector<int> Executors::Listen(Lost lost) {
  const std::lock_guard lock(mutex_);
  lost_ = std::move(lost);
  std::vector<int> numbers;
  for (const auto& [number, place] : places_) numbers.push_back(number);
  return numbers;
}

size_t Executors::count() const {
  const std::lock_guard lock(mutex_);
  return places_.size();
}

std::vector<std::pair<int, std::string>> Executors::Addresses() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::pair<int, std::string>> addresses;
  for (const auto& [number, place] : places_) addresses.emplace_back(number, place.executor.address);
  return addresses;
}

std::optional<ExecutorPlace> Executors::Find(int place) const {
  const std::lock_guard lock(mutex_);
  const auto it = places_.find(place);
  return it == places_.end() ? std::nullopt : std::optional(it->second.executor);
}

std::shared_ptr<Peer> Executors::PeerAt(int place) const {
  const std::lock_guard lock(mutex_);
  const auto it = places_.find(place);
  return it == places_.end() ? lost_peer_ : it->second.peer;
}

std::vector<std::shared_ptr<Peer>> Executors::Peers() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Peer>> peers;
  for (const auto& [number, place] : places_) peers.push_back(place.peer);
  return peers;
}

void Executors::TellOutcomes(int place, const std::vector<std::shared_ptr<const std::string>>& outcomes) {
  cluster::TellOutcomes tell;
  {
    const std::lock_guard lock(mutex_);
    const auto it = places_.find(place);
    if (it == places_.end()) return;
    tell.first = it->second.outcomes_told + 1;
    for (uint64_t& told = it->second.outcomes_told; told < outcomes.size(); ++told)
      tell.outcomes.push_back(*outcomes[told]);
  }
  if (!tell.outcomes.empty()) PeerAt(place)->Ask(ToFrame(tell), [](const Result<net::Frame>&) {});
}

void Executors::EndRun(uint64_t run, const std::function<bool()>& longer) {
  struct Waiting {
    std::mutex mutex;
    std::condition_variable changed;
    std::set<size_t> left;  // Of the peers.
  };
  auto waiting = std::make_shared<Waiting>();
  const std::vector<std::shared_ptr<Peer>> peers = Peers();
  for (size_t i = 0; i < peers.size(); ++i) waiting->left.insert(i);
  for (size_t i = 0; i < peers.size(); ++i) {
    peers[i]->Ask(ToFrame(cluster::EndRun{run}), [waiting, i](const Result<net::Frame>&) {
      {
        const std::lock_guard lock(waiting->mutex);
        waiting->left.erase(i);
      }
      waiting->changed.notify_one();
    });
  }
  std::unique_lock lock(waiting->mutex);
  bool ended = false;
  do {
    ended = waiting->changed.wait_for(lock, std::chrono::nanoseconds(kEndNanos), [&] { return waiting->left.empty(); });
  } while (!ended && longer());
  const std::set<size_t> stuck = waiting->left;
  lock.unlock();
  // Who does not end in time is in a function without an end: it is of no use any more.
  for (const size_t i : stuck) peers[i]->Close();
}

}  // namespace glim::cluster
