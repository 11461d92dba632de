// SPDX-License-Identifier: Apache-2.0
#include "exec/cache_space.h"

#include <algorithm>
#include <atomic>

namespace glim::exec {

// The program alone has some 15 MiB, so what is left of little is less than half; of very little, what a run needs to
// go on.
int64_t RowBytes(int64_t memory_bytes) {
  constexpr int64_t kRest = 24 << 20, kRestOfLittle = 12 << 20, kLeast = 4 << 20;
  const int64_t most = memory_bytes / 4 * 3, half = memory_bytes / 2;
  return std::max({most - kRest, std::min(half, most - kRestOfLittle), std::min(half, kLeast)});
}

uint64_t NewCacheId() {
  static std::atomic<uint64_t> last_id{0};
  return ++last_id;
}

void Fill(flow::CachedRows* cache, std::shared_ptr<const CachePartitions> partitions) {
  const exchange::Exchange& rows = partitions->rows();
  cache->partition_count = rows.consumers();
  cache->row_count = rows.RowCount(0, rows.consumers());
  cache->bytes = rows.KeptBytes();
  cache->id = NewCacheId();
  cache->kept = partitions;
  cache->read = [partitions = std::move(partitions)](size_t partition) -> flow::CachedRows::Reader {
    const auto place = static_cast<int>(partition);
    std::shared_ptr<exchange::PartitionReader> reader = partitions->rows().MakeReader(place, place + 1, /*take=*/false);
    return [partitions, reader] { return reader->Next(); };
  };
  cache->filled = true;
}

}  // namespace glim::exec
