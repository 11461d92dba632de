// SPDX-License-Identifier: Apache-2.0
//
// The executors that a driver has: which there are, how they are reached, and what all of them are told. They are
// started by JobDriverOptions::launch, and are here until their connection is lost. Each has a number, from 1 on, none
// of which comes twice; the driver itself is place 0 and not here. docs/design/jobs.md
//
// Thread: any, but Launch from one at a time. Questions of executors come in the loop; who hears of losses is told in
// the loop, or by whoever closes a connection, under a lock: he does not ask anything here then.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cluster/job/driver.h"
#include "cluster/job/peer.h"
#include "net/event_loop.h"
#include "net/transport.h"

namespace glim::cluster {

class Executors {
 public:
  using Lost = std::function<void(int place, const Status& why)>;

  // `options` and `loop` outlive this.
  Executors(const JobDriverOptions& options, net::EventLoop& loop, Peer::Asked asked);
  ~Executors();
  Executors(const Executors&) = delete;

  // Has those started that are missing. The numbers of the new ones.
  Result<std::vector<int>> Launch();

  // From now on `lost` hears when one is lost. The numbers of those that are there; whoever is lost later is heard of.
  std::vector<int> Listen(Lost lost);

  size_t count() const;
  std::vector<std::pair<int, std::string>> Addresses() const;
  // nullopt, and one that answers nothing: it was lost.
  std::optional<ExecutorPlace> Find(int place) const;
  std::shared_ptr<Peer> PeerAt(int place) const;

  // Those of the program's runs that the executor has not heard of.
  void TellOutcomes(int place, const std::vector<std::shared_ptr<const std::string>>& outcomes);
  // Waits until all have ended the run, but for none who does not: he is let go of. `longer`: asked whether to wait on.
  void EndRun(uint64_t run, const std::function<bool()>& longer);

 private:
  struct Place {
    ExecutorPlace executor;
    std::shared_ptr<Peer> peer;
    uint64_t outcomes_told = 0;  // Of the program's runs.
  };

  int Add(const ExecutorPlace& executor);
  void OnLost(int place, const Status& why);
  std::vector<std::shared_ptr<Peer>> Peers() const;

  const JobDriverOptions& options_;
  net::EventLoop& loop_;
  const Peer::Asked asked_;
  const std::shared_ptr<Peer> lost_peer_;
  std::unique_ptr<net::Transport> transport_;
  mutable std::mutex mutex_;  // Of the next lines.
  std::map<int, Place> places_;
  int next_place_ = 1;
  Lost lost_;
};

}  // namespace glim::cluster
