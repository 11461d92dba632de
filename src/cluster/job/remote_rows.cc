// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/remote_rows.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "base/try.h"
#include "batch/batch_codec.h"
#include "cluster/job/messages.h"
#include "exec/cache_space.h"

namespace glim::cluster {
namespace {

// The first segment of an answer is its body.
constexpr size_t kBatchesMax = net::kSegmentsMax - 1;

// What one question brings.
struct Piece {
  std::mutex mutex;
  std::condition_variable arrived;
  std::optional<Result<net::Frame>> answer;
};

Result<FetchAnswer> AnswerOf(const net::Frame& frame) {
  ASSIGN_OR_RETURN(const std::string_view body, BodyOfAnswer(frame));
  ASSIGN_OR_RETURN(FetchAnswer answer, DecodeFetchAnswer(body));
  if (!answer.plain_bytes.empty() && answer.plain_bytes.size() != frame.segments.size() - 1)
    return Status::Corrupt("rows of which it is not said how they are packed");
  return answer;
}

Result<std::vector<Batch>> BatchesOf(const net::Frame& frame, const FetchAnswer& answer) {
  std::vector<Batch> batches;
  for (size_t i = 1; i < frame.segments.size(); ++i) {
    const std::string_view bytes = frame.segments[i].bytes;
    const uint32_t plain_bytes = answer.plain_bytes.empty() ? 0 : answer.plain_bytes[i - 1];
    std::shared_ptr<Buffer> buffer;
    if (plain_bytes > 0) {
      ASSIGN_OR_RETURN(buffer, UnpackRows(bytes, plain_bytes));
    } else {
      // Behind a buffer there is room to read on, behind a segment there is none.
      buffer = Buffer::Allocate(bytes.size());
      std::copy(bytes.begin(), bytes.end(), buffer->mutable_data());
    }
    ASSIGN_OR_RETURN(Batch batch, batch::DecodeBatch(buffer));
    batches.push_back(std::move(batch));
  }
  return batches;
}

class RemoteReader final : public exchange::PartitionReader {
 public:
  using Question = std::function<net::Frame(const exchange::SlotPosition&)>;
  RemoteReader(std::shared_ptr<Peer> peer, Question question, std::shared_ptr<const std::atomic<bool>> cancelled)
      : peer_(std::move(peer)), question_(std::move(question)), cancelled_(std::move(cancelled)) {
    Ask();
  }

  Result<std::optional<Batch>> Next() override {
    while (next_ == batches_.size()) {
      if (piece_ == nullptr) return std::optional<Batch>();
      RETURN_IF_ERROR(Take());
    }
    return std::optional<Batch>(std::move(batches_[next_++]));
  }

 private:
  void Ask() {
    piece_ = std::make_shared<Piece>();
    peer_->Ask(question_(from_), [piece = piece_](Result<net::Frame> answer) {
      {
        const std::lock_guard lock(piece->mutex);
        piece->answer = std::move(answer);
      }
      piece->arrived.notify_one();
    });
  }

  Status Take() {
    constexpr auto kLook = std::chrono::milliseconds(50);
    const auto piece = std::exchange(piece_, nullptr);
    net::Frame frame;
    {
      std::unique_lock lock(piece->mutex);
      while (!piece->arrived.wait_for(lock, kLook, [&] { return piece->answer.has_value(); })) {
        if (cancelled_->load(std::memory_order_relaxed)) return Status::Cancelled("cancelled");
      }
      ASSIGN_OR_RETURN(frame, *std::exchange(piece->answer, std::nullopt));
    }
    ASSIGN_OR_RETURN(FetchAnswer answer, AnswerOf(frame));
    if (!answer.end) {
      from_ = answer.next;
      Ask();
    }
    ASSIGN_OR_RETURN(batches_, BatchesOf(frame, answer));
    next_ = 0;
    return Status::Ok();
  }

  const std::shared_ptr<Peer> peer_;
  const Question question_;
  exchange::SlotPosition from_;
  const std::shared_ptr<const std::atomic<bool>> cancelled_;
  std::shared_ptr<Piece> piece_;  // That was asked for; null at the end.
  std::vector<Batch> batches_;
  size_t next_ = 0;
};

class NoReader final : public exchange::PartitionReader {
 public:
  Result<std::optional<Batch>> Next() override { return Status::Stale("the process that has the rows is not known"); }
};

}  // namespace

std::unique_ptr<exchange::PartitionReader> RemoteRows::Read(int producer, int consumer, int64_t piece_bytes) {
  std::shared_ptr<Peer> peer = peer_();
  Fetch fetch{.run = run_,
              .stage = stage_,
              .producer = producer,
              .consumer = consumer,
              .from = {},
              .bytes_max = static_cast<uint32_t>(piece_bytes)};
  return ReadRemotely(
      std::move(peer),
      [fetch](const exchange::SlotPosition& from) {
        Fetch next = fetch;
        next.from = from;
        return ToFrame(next);
      },
      cancelled_);
}

std::unique_ptr<exchange::PartitionReader> ReadRemotely(std::shared_ptr<Peer> peer,
                                                        std::function<net::Frame(const exchange::SlotPosition&)> ask,
                                                        std::shared_ptr<const std::atomic<bool>> cancelled) {
  if (peer == nullptr) return std::make_unique<NoReader>();
  return std::make_unique<RemoteReader>(std::move(peer), std::move(ask), std::move(cancelled));
}

net::Frame AnswerWith(uint64_t request, FetchAnswer answer, const std::vector<Batch>& batches, RowPacking* packing) {
  std::vector<net::Segment> segments;
  for (const Batch& batch : batches) {
    auto encoded = std::make_shared<std::string>();
    batch::EncodeBatch(batch, encoded.get());
    std::shared_ptr<const std::string> bytes = std::move(encoded);
    if (packing != nullptr) bytes = packing->Pack(std::move(bytes), &answer.plain_bytes.emplace_back());
    const std::string_view view = *bytes;
    segments.push_back({.bytes = view, .owner = std::move(bytes)});
  }
  return MakeAnswer(request, Status::Ok(), Encode(answer), std::move(segments));
}

Result<FetchedRows> RowsOfAnswer(const net::Frame& frame) {
  FetchedRows rows;
  ASSIGN_OR_RETURN(rows.answer, AnswerOf(frame));
  ASSIGN_OR_RETURN(rows.batches, BatchesOf(frame, rows.answer));
  return rows;
}

net::Frame AnswerFetch(uint64_t request, const Fetch& fetch, exchange::Exchange& rows, RowPacking* packing) {
  FetchAnswer answer{.next = fetch.from, .end = false};
  auto batches = rows.ReadSlot(fetch.producer, fetch.consumer, &answer.next, fetch.bytes_max, kBatchesMax);
  if (!batches.ok()) return MakeAnswer(request, batches.status());
  answer.end = batches->empty();
  return AnswerWith(request, std::move(answer), *batches, packing);
}

net::Frame AnswerFetchCached(uint64_t request, const FetchCached& fetch, const flow::CachedRows& rows,
                             RowPacking* packing) {
  const auto* kept = dynamic_cast<const exec::KeptRows*>(rows.kept.get());
  if (kept == nullptr || fetch.partition >= static_cast<uint32_t>(rows.partition_count))
    return MakeAnswer(request, Status::Corrupt("a partition that the cache has not"));
  FetchAnswer answer{.next = fetch.from, .end = false};
  auto batches = kept->ReadPiece(static_cast<int>(fetch.partition), &answer.next, fetch.bytes_max, kBatchesMax);
  if (!batches.ok()) return MakeAnswer(request, batches.status());
  answer.end = batches->empty();
  return AnswerWith(request, std::move(answer), *batches, packing);
}

}  // namespace glim::cluster
