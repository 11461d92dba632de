// SPDX-License-Identifier: Apache-2.0
//
// A table whose calls are another one's, but for those that a derived class answers itself.
//
// Thread: as the other's.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>

#include "glim/table.h"

namespace glim::param {

class ForwardingTable : public TableClient {
 public:
  const TableSpec& spec() const override { return table()->spec(); }
  Future<void> Push(std::span<const Key> keys, std::span<const std::byte> values, const PushOptions& options) override {
    return table()->Push(keys, values, options);
  }
  Future<void> Pull(std::span<const Key> keys, std::span<std::byte> out, const PullOptions& options) override {
    return table()->Pull(keys, out, options);
  }
  Future<void> PushPull(std::span<const Key> keys, std::span<const std::byte> values, std::span<std::byte> out,
                        const PushOptions& options) override {
    return table()->PushPull(keys, values, out, options);
  }
  Future<void> VPush(std::span<const Key> keys, std::span<const std::byte> values, std::span<const uint32_t> lengths,
                     const PushOptions& options) override {
    return table()->VPush(keys, values, lengths, options);
  }
  Future<VariableBytes> VPull(std::span<const Key> keys, const PullOptions& options) override {
    return table()->VPull(keys, options);
  }
  Status Scan(ScanCursor* cursor, size_t rows_max, RowChunk* chunk) override {
    return table()->Scan(cursor, rows_max, chunk);
  }
  Result<uint64_t> CountNonZero() override { return table()->CountNonZero(); }
  Result<TableInfo> Describe() override { return table()->Describe(); }
  Result<std::string> Handle() const override { return table()->Handle(); }
  Status Save(const std::string& folder, const SaveOptions& options) override { return table()->Save(folder, options); }
  Status Load(const std::string& folder, const LoadOptions& options) override { return table()->Load(folder, options); }
  Status Drop() override { return table()->Drop(); }
  Result<WorkerHandle> Join(const JoinOptions& options) override { return table()->Join(options); }
  Status RemoveWorker(uint32_t worker) override { return table()->RemoveWorker(worker); }
  Status status() const override { return table()->status(); }

 protected:
  // The other one. Not null.
  virtual TableHandle table() const = 0;
};

// A table that is another one after it was made anew: for handles that programs keep meanwhile. All have one
// description.
//
// Thread: any.
class ReboundTable final : public ForwardingTable {
 public:
  explicit ReboundTable(TableHandle table) : spec_(table->spec()), table_(std::move(table)) {}

  const TableSpec& spec() const override { return spec_; }
  void Set(TableHandle table) {
    const std::lock_guard lock(mutex_);
    table_ = std::move(table);
  }
  // The one that it is now; `table` itself when that is no ReboundTable.
  static TableHandle Now(const TableHandle& table) {
    const auto rebound = std::dynamic_pointer_cast<ReboundTable>(table);
    return rebound != nullptr ? rebound->table() : table;
  }

 protected:
  TableHandle table() const override {
    const std::lock_guard lock(mutex_);
    return table_;
  }

 private:
  const TableSpec spec_;
  mutable std::mutex mutex_;
  TableHandle table_;
};

}  // namespace glim::param
