// SPDX-License-Identifier: Apache-2.0
#include "table/partitioner.h"

#include <fmt/format.h>

#include <exception>
#include <map>
#include <mutex>
#include <utility>

#include "base/hash.h"
#include "base/try.h"
#include "table/names.h"

namespace glim {
namespace table {
namespace {

struct Registered {
  std::mutex mutex;
  std::map<std::string, SharedPartitionFunction> functions;
};

Registered& AllRegistered() {
  static Registered registered;
  return registered;
}

SharedPartitionFunction Find(const std::string& name) {
  Registered& all = AllRegistered();
  const std::lock_guard lock(all.mutex);
  const auto found = all.functions.find(name);
  return found == all.functions.end() ? nullptr : found->second;
}

// Part of the format between programs: the probes may never change.
uint64_t PrintOf(const PartitionFunction& function, uint32_t shards) {
  uint64_t print = base::HashInt(shards);
  const auto add = [&](Key key) {
    const auto shard = AskPartitionFunction(function, key, shards);
    print = base::HashInt(print ^ base::HashInt(key) ^ (shard.ok() ? *shard : ~uint64_t{0}));
  };
  for (Key key = 0; key < 256; ++key) add(key);
  for (uint32_t bit = 8; bit < 64; ++bit) {
    const Key power = Key{1} << bit;
    for (const Key key : {power - 1, power, power + 1}) add(key);
  }
  // Of each size some, and the largest.
  for (uint32_t i = 0; i < 512; ++i) add(base::HashInt(i) >> (i % 64));
  add(~Key{0});
  return print;
}

Status NotRegistered(const TableSpec& spec) {
  return Status::Invalid(fmt::format(
      "table \"{}\": this program has no partitioner \"{}\"; register it (glim::RegisterPartitioner) before "
      "the first Session",
      spec.name, spec.partition_by));
}

}  // namespace

Result<uint32_t> AskPartitionFunction(const PartitionFunction& function, Key key, uint32_t shards) {
  std::string why;
  try {
    const uint32_t shard = function(key, shards);
    if (shard < shards) return shard;
    why = fmt::format("gives shard {} of {}", shard, shards);
  } catch (const std::exception& e) {
    why = fmt::format("failed: {}", e.what());
  } catch (...) {
    why = "failed";
  }
  return Status::Invalid(fmt::format("for key {} it {}", key, why));
}

Status TakePartitionPrint(TableSpec* spec) {
  spec->partition_print = 0;
  if (spec->partitioner != Partitioner::kFunction) return Status::Ok();
  const SharedPartitionFunction function = Find(spec->partition_by);
  if (function == nullptr) return NotRegistered(*spec);
  spec->partition_print = PrintOf(*function, spec->shards);
  return Status::Ok();
}

Result<SharedPartitionFunction> FindPartitionFunction(const TableSpec& spec) {
  SharedPartitionFunction function = Find(spec.partition_by);
  if (function == nullptr) return NotRegistered(spec);
  if (PrintOf(*function, spec.shards) == spec.partition_print) return function;
  return Status::Invalid(fmt::format(
      "table \"{}\": the partitioner \"{}\" of this program puts keys elsewhere than the one that the table "
      "was made with",
      spec.name, spec.partition_by));
}

}  // namespace table

Status RegisterPartitioner(const std::string& name, PartitionFunction function) {
  if (function == nullptr) return Status::Invalid(fmt::format("partitioner \"{:.100}\" has no function", name));
  RETURN_IF_ERROR(table::CheckName("partitioner", name));
  table::Registered& all = table::AllRegistered();
  const std::lock_guard lock(all.mutex);
  const auto shared = std::make_shared<const PartitionFunction>(std::move(function));
  if (all.functions.try_emplace(name, shared).second) return Status::Ok();
  return Status::Invalid(fmt::format("there is a partitioner \"{}\" already", name));
}

}  // namespace glim
