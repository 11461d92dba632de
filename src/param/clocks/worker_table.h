// SPDX-License-Identifier: Apache-2.0
//
// What a worker of an embedded table and one of a table on servers have in common: what is not the worker's is the
// table's.
//
// Thread: one at a time.
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>

#include "glim/table.h"

namespace glim::param {

class WorkerTable : public WorkerClient {
 public:
  WorkerTable(TableHandle table, const JoinOptions& options)
      : table_(std::move(table)), worker_(options.worker), workers_(options.workers) {}

  const TableSpec& spec() const override { return table_->spec(); }
  uint32_t worker() const override { return worker_; }
  uint32_t workers() const override { return workers_; }

  Future<void> PushPull(std::span<const Key>, std::span<const std::byte>, std::span<std::byte>,
                        const PushOptions&) override {
    return Status::Invalid(
        fmt::format("table \"{}\": PushPull is not for workers with a clock; push, then pull", spec().name));
  }
  Status Scan(ScanCursor* cursor, size_t rows_max, RowChunk* chunk) override {
    return table_->Scan(cursor, rows_max, chunk);
  }
  Result<uint64_t> CountNonZero() override { return table_->CountNonZero(); }
  Result<TableInfo> Describe() override { return table_->Describe(); }
  Result<std::string> Handle() const override { return table_->Handle(); }
  Status Save(const std::string& folder, const SaveOptions& options) override { return table_->Save(folder, options); }
  Status Load(const std::string& folder, const LoadOptions& options) override { return table_->Load(folder, options); }
  Status Drop() override { return table_->Drop(); }
  Result<WorkerHandle> Join(const JoinOptions& options) override { return table_->Join(options); }
  Status RemoveWorker(uint32_t worker) override { return table_->RemoveWorker(worker); }

 private:
  const TableHandle table_;
  const uint32_t worker_;
  const uint32_t workers_;
};

}  // namespace glim::param
