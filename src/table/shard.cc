// SPDX-License-Identifier: Apache-2.0
#include "table/shard.h"

#include "base/check.h"

namespace glim::table {

// Of a shard with rows of fixed width nobody asks these.
void Shard::VPush(const KeyList&, const std::byte*, const uint64_t*, const uint32_t*) { CHECK(false); }
void Shard::VPullLengths(const KeyList&, uint32_t*) const { CHECK(false); }
void Shard::VPull(const KeyList&, const uint64_t*, const uint32_t*, std::byte*) const { CHECK(false); }

std::unique_ptr<Shard> MakeShard(const ShardSpec& spec, const RowKernel& kernel) {
  if (spec.width == kVariableWidth) return MakeVariableShard(spec, kernel);
  if (spec.slice.count > 0) return MakeDenseShard(spec, kernel);
  return MakeSparseShard(spec, kernel);
}

}  // namespace glim::table
