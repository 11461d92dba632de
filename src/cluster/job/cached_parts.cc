// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/cached_parts.h"

#include <optional>

#include "base/try.h"

namespace glim::cluster {
namespace {

constexpr int64_t kShareOfMemory = 4;

int64_t BytesOf(const std::vector<Batch>& batches) {
  int64_t bytes = 0;
  for (const Batch& batch : batches) bytes += batch.MemoryBytes();
  return bytes;
}

}  // namespace

int64_t CachedParts::Begin(const std::set<uint64_t>& alive, std::set<uint64_t> read, int64_t memory_bytes) {
  const std::lock_guard lock(mutex_);
  std::erase_if(parts_, [&](const auto& part) {
    const bool over = !alive.contains(part.first.first);
    if (over) bytes_ -= part.second.bytes;
    return over;
  });
  read_ = std::move(read);
  bytes_max_ = alive.empty() ? 0 : memory_bytes / kShareOfMemory;
  return memory_bytes - bytes_max_;
}

CachedParts::Part CachedParts::Find(uint64_t cache, uint64_t partition) const {
  const std::lock_guard lock(mutex_);
  const auto part = parts_.find({cache, partition});
  return part == parts_.end() ? nullptr : part->second.batches;
}

bool CachedParts::MakeRoom(int64_t bytes) {
  const std::lock_guard lock(mutex_);
  return MakeRoomLocked(bytes);
}

bool CachedParts::MakeRoomLocked(int64_t bytes) {
  if (bytes > bytes_max_) return false;
  for (auto part = parts_.begin(); part != parts_.end() && bytes_ + bytes > bytes_max_;) {
    if (read_.contains(part->first.first)) {
      ++part;
    } else {
      bytes_ -= part->second.bytes;
      part = parts_.erase(part);
    }
  }
  return bytes_ + bytes <= bytes_max_;
}

void CachedParts::Keep(uint64_t cache, uint64_t partition, std::vector<Batch> batches) {
  const int64_t bytes = BytesOf(batches);
  const std::lock_guard lock(mutex_);
  // Another task may have read it at the same time.
  if (parts_.contains({cache, partition}) || !MakeRoomLocked(bytes)) return;
  parts_[{cache, partition}] = {std::make_shared<const std::vector<Batch>>(std::move(batches)), bytes};
  bytes_ += bytes;
}

flow::CachedRows::Reader CachedParts::Read(uint64_t cache, uint64_t partition,
                                           const std::function<std::unique_ptr<exchange::PartitionReader>()>& fetch) {
  if (Part part = Find(cache, partition)) {
    return [part = std::move(part), next = size_t{0}]() mutable -> Result<std::optional<Batch>> {
      if (next == part->size()) return std::optional<Batch>();
      return std::optional<Batch>((*part)[next++]);
    };
  }
  struct Fetching {
    std::unique_ptr<exchange::PartitionReader> reader;
    std::vector<Batch> batches;
    int64_t bytes = 0;
    bool keeps = true;
  };
  auto fetching = std::make_shared<Fetching>();
  fetching->reader = fetch();
  return [this, cache, partition, fetching]() -> Result<std::optional<Batch>> {
    ASSIGN_OR_RETURN(std::optional<Batch> batch, fetching->reader->Next());
    if (batch.has_value() && fetching->keeps) {
      fetching->bytes += batch->MemoryBytes();
      fetching->keeps = MakeRoom(fetching->bytes);
      if (fetching->keeps) {
        fetching->batches.push_back(*batch);
      } else {
        fetching->batches = {};
      }
    } else if (fetching->keeps) {
      Keep(cache, partition, std::move(fetching->batches));
      fetching->keeps = false;
    }
    return batch;
  };
}

int64_t CachedParts::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace glim::cluster
