// SPDX-License-Identifier: Apache-2.0
//
// Rows that tasks in another process gave: fetched from there, piece by piece, one piece ahead of what is read. The one
// who reads asks, so a slow reader slows nobody down and fills no memory; who has the rows keeps them, so they can be
// read again.
//
// When the other process is lost, or has them no more: kStale.
//
// Thread: any; a reader belongs to its task.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "cluster/job/messages.h"
#include "cluster/job/peer.h"
#include "cluster/job/row_packing.h"
#include "exchange/exchange.h"
#include "flow/graph.h"

namespace glim::cluster {

class RemoteRows final : public exchange::ElsewhereRows {
 public:
  // `peer`: finds the process, for each reader anew. `cancelled`: waits end.
  RemoteRows(std::function<std::shared_ptr<Peer>()> peer, uint64_t run, int stage,
             std::shared_ptr<const std::atomic<bool>> cancelled)
      : peer_(std::move(peer)), run_(run), stage_(stage), cancelled_(std::move(cancelled)) {}

  std::unique_ptr<exchange::PartitionReader> Read(int producer, int consumer, int64_t piece_bytes) override;

 private:
  const std::function<std::shared_ptr<Peer>()> peer_;
  const uint64_t run_;
  const int stage_;
  const std::shared_ptr<const std::atomic<bool>> cancelled_;
};

// Reads batches in answers to the questions of `ask`, for those from a place on.
std::unique_ptr<exchange::PartitionReader> ReadRemotely(std::shared_ptr<Peer> peer,
                                                        std::function<net::Frame(const exchange::SlotPosition&)> ask,
                                                        std::shared_ptr<const std::atomic<bool>> cancelled);

// The answer to a Fetch, from `rows`; packed if there is a packing.
net::Frame AnswerFetch(uint64_t request, const Fetch& fetch, exchange::Exchange& rows, RowPacking* packing);
net::Frame AnswerFetchCached(uint64_t request, const FetchCached& fetch, const flow::CachedRows& rows,
                             RowPacking* packing);
// The answer with `batches`, and what it has of them.
net::Frame AnswerWith(uint64_t request, FetchAnswer answer, const std::vector<Batch>& batches, RowPacking* packing);
struct FetchedRows {
  FetchAnswer answer;
  std::vector<Batch> batches;
};
Result<FetchedRows> RowsOfAnswer(const net::Frame& frame);

}  // namespace glim::cluster
