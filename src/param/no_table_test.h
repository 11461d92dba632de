// SPDX-License-Identifier: Apache-2.0
//
// A table for tests that is only described: all calls fail but spec(). What a test asks for it overrides.
#pragma once

#include <string>
#include <utility>

#include "glim/table.h"

namespace glim::param {

class NoTable : public TableClient {
 public:
  explicit NoTable(TableSpec spec) : spec_(std::move(spec)) {}
  const TableSpec& spec() const override { return spec_; }
  Future<void> Push(std::span<const Key>, std::span<const std::byte>, const PushOptions&) override { return No(); }
  Future<void> Pull(std::span<const Key>, std::span<std::byte>, const PullOptions&) override { return No(); }
  Future<void> PushPull(std::span<const Key>, std::span<const std::byte>, std::span<std::byte>,
                        const PushOptions&) override {
    return No();
  }
  Future<void> VPush(std::span<const Key>, std::span<const std::byte>, std::span<const uint32_t>,
                     const PushOptions&) override {
    return No();
  }
  Future<VariableBytes> VPull(std::span<const Key>, const PullOptions&) override { return No(); }
  Status Scan(ScanCursor*, size_t, RowChunk*) override { return No(); }
  Result<uint64_t> CountNonZero() override { return No(); }
  Result<TableInfo> Describe() override { return No(); }
  Status Save(const std::string&, const SaveOptions&) override { return No(); }
  Status Load(const std::string&, const LoadOptions&) override { return No(); }
  Status Drop() override { return No(); }

 private:
  static Status No() { return Status::Internal("this is no table"); }
  const TableSpec spec_;
};

}  // namespace glim::param
