// SPDX-License-Identifier: Apache-2.0
//
// A shard of a table as what a replica replicates (shard_state.h): the rows and rule state of src/table, changed by
// requests (table_request.h) in the order of a log; with them what belongs to no row yet: requests of which not all
// pieces are here, and rows that are being loaded to take the place of those that are. docs/design/servers.md says why
// requests are checked again here although clients check them.
//
// A Save holds the shard for a moment, in which no push is taken, and marks its rows (marked_rows.h), which it then
// reads. Both are made by records of the log, so that another member can go on, but they are no part of what is saved
// and restored: where a member came from a snapshot meanwhile, the Save fails. A hold ends by itself after
// kHoldNanos, and takes the mark with it, because what was marked elsewhere is then of another moment; a mark that
// nobody reads goes after kMarkNanos. The primary sees to that (Overdue).
//
// Memory is counted in a budget that all shards of a server share. What is in the log must be applied, so that may go
// above the limit; a push that may need more than there is, and an answer that does, are told so before anything is
// allocated.
//
// Thread: that of the replica.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/memory_budget.h"
#include "param/marked_rows.h"
#include "param/replication/shard_state.h"
#include "param/table_layout.h"
#include "param/table_request.h"

namespace glim::param {

class TableState final : public ShardState {
 public:
  static constexpr int64_t kHoldNanos = 5'000'000'000;
  static constexpr int64_t kMarkNanos = 120'000'000'000;

  TableState(std::shared_ptr<const TableLayout> layout, uint32_t shard, std::shared_ptr<base::MemoryBudget> memory);
  ~TableState() override;

  Status Check(const SharedBytes& op) const override;
  bool is_held() const override { return holder_ != 0; }
  bool Fits(const SharedBytes& op, uint64_t reserved_bytes) const override;
  bool FitsSnapshot(uint64_t bytes) const override;
  // What came in pieces, and what was loaded, cannot be checked before it is whole. When it makes no sense then, it
  // changes nothing; no client of ours sends such.
  SharedBytes Apply(const Record& record) override;
  void Forget(const Producer& producer) override;
  Result<SharedBytes> Read(const SharedBytes& request) const override;
  // All rows with their rule's state, in no order: two equal states may be different bytes.
  std::string Save() const override;
  Status Restore(std::span<const std::byte> bytes) override;
  bool on_disk() const override { return layout_->spec().durability == Durability::kDisk; }
  void Clear() override;

  void Watch(int64_t now) override;
  void Heard(const SharedBytes& request, int64_t now) override;
  std::optional<SharedBytes> Overdue(int64_t now) override;

  const table::Shard& rows() const { return *rows_; }

 private:
  using Loading = std::map<Producer, std::unique_ptr<table::Shard>>;
  // By producer and the number of the request.
  using Pieces = std::map<std::pair<Producer, uint64_t>, std::string>;
  // By the number of the save.
  struct Mark {
    Producer producer;
    std::unique_ptr<MarkedRows> rows;
    bool state = false;
  };

  Status CheckRequest(const TableRequest& request, std::vector<uint64_t>* begins) const;
  Status CheckOwn(std::span<const Key> keys) const;
  size_t CellBytes(uint32_t length, bool state) const;
  Status DecodeRows(std::span<const std::byte> chunks, bool state, table::Shard* into) const;
  void EncodeRows(const table::Shard& shard, bool state, std::string* to) const;

  SharedBytes Carry(const Producer& producer, const TableRequest& request);
  void BeforePush(std::span<const Key> keys);
  void HoldOrMark(const Producer& producer, const TableRequest& request);
  void Release(uint64_t save);
  void TakeLoaded(const Producer& producer);
  SharedBytes AddPiece(const Producer& producer, const TableRequest& request);
  Result<SharedBytes> ReadRows(const TableRequest& request) const;
  Result<SharedBytes> ReadVariableRows(const TableRequest& request) const;
  Result<SharedBytes> ScanRows(const TableRequest& request) const;
  Result<SharedBytes> ScanMarked(const TableRequest& request) const;
  // Owns memory of the budget as long as anybody holds the bytes. kExhausted when there is none.
  Result<SharedBytes> Answer(uint64_t bytes_max, const std::function<void(std::string*)>& write) const;
  void CountMemory();

  const std::shared_ptr<const TableLayout> layout_;
  const uint32_t shard_;
  const std::shared_ptr<base::MemoryBudget> memory_;
  int64_t counted_bytes_ = 0;           // Of the budget.
  std::shared_ptr<table::Shard> rows_;  // A mark may have the old ones, when others took their place.
  Loading loading_;
  Pieces pieces_;
  uint64_t piece_bytes_ = 0;
  std::map<uint64_t, Mark> marks_;
  uint64_t holder_ = 0;  // The number of the save that holds the shard.
  Producer holder_producer_;
  // The primary's: since when the holder holds; when a mark was last read.
  int64_t held_at_ = 0;
  std::map<uint64_t, int64_t> read_at_;
};

}  // namespace glim::param
