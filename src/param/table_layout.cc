// SPDX-License-Identifier: Apache-2.0
#include "param/table_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/hash.h"
#include "base/try.h"
#include "param/clocks/worker_clocks.h"

namespace glim::param {
namespace {

constexpr uint32_t kVariableLengthMax = 1 << 22;

partition::Kind KindOf(Partitioner partitioner) {
  switch (partitioner) {
    case Partitioner::kRange: return partition::Kind::kRange;
    case Partitioner::kCyclic: return partition::Kind::kCyclic;
    case Partitioner::kDefault:
    case Partitioner::kHash:
    case Partitioner::kFunction: break;
  }
  return partition::Kind::kHash;
}

Result<table::SharedPartitionFunction> FunctionOf(const TableSpec& spec) {
  if (spec.partitioner != Partitioner::kFunction) return table::SharedPartitionFunction();
  return table::FindPartitionFunction(spec);
}

// Without the function nobody asks it: CheckKeys passes no key.
partition::KeyPartition PartitionOf(const TableSpec& spec, const Result<table::SharedPartitionFunction>& function) {
  if (function.ok() && *function != nullptr) return {*function, spec.shards};
  return {KindOf(spec.partitioner), spec.keys.key_count, spec.shards};
}

}  // namespace

TableLayout::TableLayout(TableSpec spec)
    : spec_(std::move(spec)),
      row_bytes_(spec_.is_variable() ? 0 : size_t{spec_.width} * ValueBytes(spec_.value_type)),
      function_(FunctionOf(spec_)),
      partition_(PartitionOf(spec_, function_)),
      kernel_(table::MakeRowKernel(spec_)) {}

std::unique_ptr<table::Shard> TableLayout::MakeShard(uint32_t shard) const {
  const bool sliced = spec_.keys.kind != KeySpace::Kind::kSparse && partition_.kind() != partition::Kind::kHash;
  // The same for all replicas of a shard, so that the place of a scan is good at each of them.
  const uint64_t salt = base::HashBytes(spec_.name, shard);
  return table::MakeShard({spec_.width, sliced ? partition_.Slice(shard) : partition::KeySlice{}, salt}, *kernel_);
}

std::vector<std::unique_ptr<table::Shard>> TableLayout::MakeShards() const {
  std::vector<std::unique_ptr<table::Shard>> shards;
  for (uint32_t s = 0; s < spec_.shards; ++s) shards.push_back(MakeShard(s));
  return shards;
}

Status TableLayout::CheckFixed(std::string_view call) const {
  if (!spec_.is_variable()) [[likely]]
    return Status::Ok();
  return Status::Invalid(fmt::format("table \"{}\" has rows of variable length; use V{} instead of {}", spec_.name,
                                     call == "Pull" ? "Pull" : "Push", call));
}

Status TableLayout::CheckWithoutWorker(std::string_view call) const {
  if (spec_.consistency != kBsp) [[likely]]
    return Status::Ok();
  return Status::Invalid(
      fmt::format("table \"{}\" is bulk-synchronous: only its workers push to it; join it (Join), instead of {}",
                  spec_.name, call));
}

Status TableLayout::CheckJoin(const JoinOptions& options) const {
  if (options.workers >= 1 && options.workers <= kWorkersMax && options.worker < options.workers) return Status::Ok();
  return Status::Invalid(
      fmt::format("table \"{}\": worker {} of {} cannot be; workers are numbered from 0, and there are at most {}",
                  spec_.name, options.worker, options.workers, kWorkersMax));
}

Status TableLayout::CheckKeys(std::span<const Key> keys) const {
  if (has_function()) [[unlikely]]
    return AskFunction(keys);
  const uint64_t key_count = spec_.keys.key_count;
  if (key_count == 0) return Status::Ok();
  Key most = 0;
  for (Key key : keys) most = std::max(most, key);
  if (most < key_count || keys.empty()) [[likely]]
    return Status::Ok();
  return Status::Invalid(
      fmt::format("table \"{}\": key {} is out of range; there are keys 0 to {}", spec_.name, most, key_count - 1));
}

// For all keys before the first is worked on, so that nothing is done of a request that cannot be done whole.
Status TableLayout::AskFunction(std::span<const Key> keys) const {
  RETURN_IF_ERROR(function_.status());
  const PartitionFunction& function = **function_;
  size_t i = 0;
  try {
    while (i < keys.size() && function(keys[i], spec_.shards) < spec_.shards) ++i;
  } catch (...) {  // What it threw is told below.
  }
  if (i == keys.size()) [[likely]]
    return Status::Ok();
  const auto again = table::AskPartitionFunction(function, keys[i], spec_.shards);
  return Status::Invalid(fmt::format(
      "table \"{}\": partitioner \"{}\": {}", spec_.name, spec_.partition_by,
      again.ok() ? fmt::format("for key {} it does not give the same each time", keys[i]) : again.status().message()));
}

Status TableLayout::CheckRows(std::string_view what, size_t keys, size_t bytes) const {
  if (bytes == keys * row_bytes_) [[likely]]
    return Status::Ok();
  const uint32_t value_bytes = ValueBytes(spec_.value_type);
  if (bytes % value_bytes != 0) {
    return Status::Invalid(fmt::format("table \"{}\": {} bytes are no whole number of {}", spec_.name, bytes,
                                       ValueTypeName(spec_.value_type)));
  }
  return Status::Invalid(fmt::format("table \"{}\": {} for {} numbers, but {} keys of width {} make {}", spec_.name,
                                     what, bytes / value_bytes, keys, spec_.width, keys * spec_.width));
}

Status TableLayout::CheckValues(std::span<const Key> keys, std::span<const std::byte> values,
                                const uint64_t* begins) const {
  const size_t bad = table::FindBadValue(spec_, values);
  const size_t bytes = ValueBytes(spec_.value_type);
  if (bad == values.size() / bytes) [[likely]]
    return Status::Ok();
  double value;
  if (spec_.value_type == ValueType::kF32) {
    float narrow;
    std::memcpy(&narrow, values.data() + bad * bytes, bytes);
    value = narrow;
  } else {
    std::memcpy(&value, values.data() + bad * bytes, bytes);
  }
  const size_t row =
      begins == nullptr ? bad / spec_.width : std::upper_bound(begins, begins + keys.size(), bad) - begins - 1;
  return Status::Invalid(
      fmt::format("table \"{}\": value {} of the push, for key {}, is {}; the rule {} cannot take it", spec_.name, bad,
                  keys[row], value, ToString(spec_.rule)));
}

Status TableLayout::CheckWidths(size_t keys, std::span<const uint32_t> lengths) const {
  if (lengths.size() != keys) {
    return Status::Invalid(fmt::format("table \"{}\": {} lengths for {} keys", spec_.name, lengths.size(), keys));
  }
  if (spec_.is_variable()) return Status::Ok();
  const auto other =
      std::find_if(lengths.begin(), lengths.end(), [&](uint32_t length) { return length != spec_.width; });
  if (other == lengths.end()) return Status::Ok();
  return Status::Invalid(fmt::format("table \"{}\": row {} of the push has {} values, the table's rows have {}",
                                     spec_.name, other - lengths.begin(), *other, spec_.width));
}

Status TableLayout::CheckLengths(size_t value_bytes, std::span<const uint32_t> lengths,
                                 std::vector<uint64_t>* begins) const {
  begins->assign(lengths.size() + 1, 0);
  for (size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] > kVariableLengthMax) {
      return Status::Invalid(fmt::format("table \"{}\": row {} of the push has {} values; at most {}", spec_.name, i,
                                         lengths[i], kVariableLengthMax));
    }
    (*begins)[i + 1] = (*begins)[i] + lengths[i];
  }
  if (value_bytes != begins->back() * ValueBytes(spec_.value_type)) {
    return Status::Invalid(fmt::format("table \"{}\": the lengths say {} values, the push has {}", spec_.name,
                                       begins->back(), value_bytes / ValueBytes(spec_.value_type)));
  }
  return Status::Ok();
}

}  // namespace glim::param
