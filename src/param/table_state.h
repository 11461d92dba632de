// SPDX-License-Identifier: Apache-2.0
//
// A shard of a table as what a replica replicates (shard_state.h): the rows and rule state of src/table, changed by
// pushes in the order of a log. Operations and answers are bytes, laid out as below, little-endian;
// docs/design/servers.md says why they are checked again here although clients check them.
//
//   operation   u32 kind (a TableCall) | u32 reserved, 0 | u64 count | count keys of 8 bytes | variable pushes: count
//               lengths of 4 bytes | pushes: the rows' values back to back
//   answer      fixed width: the rows in the order of the keys; variable: count lengths of 4 bytes, then the rows
//
// Thread: that of the replica.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "param/replication/shard_state.h"
#include "param/table_layout.h"

namespace glim::param {

enum class TableCall : uint32_t { kPush = 1, kVariablePush = 2, kPull = 3, kVariablePull = 4 };

// One request to one shard.
struct TableRequest {
  TableCall call = TableCall::kPull;
  std::vector<Key> keys;
  std::vector<uint32_t> lengths;      // Of variable pushes.
  std::span<const std::byte> values;  // Of pushes; the caller's, or a part of the bytes that were decoded.
};

SharedBytes EncodeTableRequest(const TableRequest& request);
// kCorrupt for what no encoder wrote. Whether it makes sense for a table is another question (TableState::Check).
Result<TableRequest> DecodeTableRequest(const SharedBytes& bytes);

class TableState final : public ShardState {
 public:
  // Of `memory_max` bytes at most, by what the shard says it needs.
  TableState(std::shared_ptr<const TableLayout> layout, uint32_t shard, uint64_t memory_max);

  Status Check(const SharedBytes& op) const override;
  bool Fits(const SharedBytes& op, uint64_t reserved_bytes) const override;
  void Apply(const Record& record) override;
  Result<SharedBytes> Read(const SharedBytes& request) const override;
  // All rows with their rule's state, in no order: two equal states may be different bytes.
  std::string Save() const override;
  Status Restore(std::span<const std::byte> bytes) override;
  void Clear() override { rows_ = layout_->MakeShard(shard_); }

  const table::Shard& rows() const { return *rows_; }

 private:
  Status CheckRequest(const TableRequest& request, std::vector<uint64_t>* begins) const;
  Status CheckOwn(std::span<const Key> keys) const;

  const std::shared_ptr<const TableLayout> layout_;
  const uint32_t shard_;
  const uint64_t memory_max_;
  std::unique_ptr<table::Shard> rows_;
};

}  // namespace glim::param
