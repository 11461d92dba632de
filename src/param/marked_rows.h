// SPDX-License-Identifier: Apache-2.0
//
// The rows of a shard as they were at one moment, while pushes go on: what Save reads (docs/design/servers.md).
//
// Nothing is copied at that moment. A row is kept when the first push since then changes it, and a scan puts what was
// kept in the place of what is there now. So it costs one copy of each row that is pushed to meanwhile, at most a copy
// of the shard. Rows never go one by one; when all are replaced (Load), the old ones are handed over.
//
// Thread: that of the shard. Always true: a key in kept_ has the row of then at its place, or had none.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "glim/table_spec.h"
#include "table/key_index.h"
#include "table/shard.h"

namespace glim::param {

class MarkedRows {
 public:
  // `cell_bytes(length)`: of a row of so many values, with the rule's state if that is wanted.
  MarkedRows(bool state, std::function<size_t(uint32_t)> cell_bytes)
      : state_(state), cell_bytes_(std::move(cell_bytes)) {}

  // Before a push to these keys.
  void BeforePush(const table::Shard& rows, std::span<const Key> keys);
  // Others took their place; these are changed no more.
  void Replaced(std::shared_ptr<const table::Shard> rows) {
    if (replaced_ == nullptr) replaced_ = std::move(rows);
  }

  // As Shard::Scan: positions are those of `rows`, whose rows of now they are. A chunk may be empty before the end.
  bool Scan(const table::Shard& rows, uint64_t* position, size_t rows_max, RowChunk* chunk) const;

  uint64_t memory_bytes() const { return kept_.memory_bytes() + block_bytes_ + replaced_bytes(); }

 private:
  // Where a row lies: u32 block + 1 (0: there was none) | u32 offset, a u32 length, its cells.
  struct Place {
    uint32_t block = 0;
    uint32_t offset = 0;
  };
  static_assert(sizeof(Place) == 8);

  uint64_t replaced_bytes() const { return replaced_ == nullptr ? 0 : replaced_->memory_bytes(); }
  void Keep(Place* place, uint32_t length, std::span<const std::byte> cells);

  const bool state_;
  const std::function<size_t(uint32_t)> cell_bytes_;
  table::KeyIndex<8> kept_;
  std::deque<std::string> blocks_;
  uint64_t block_bytes_ = 0;
  std::shared_ptr<const table::Shard> replaced_;
};

}  // namespace glim::param
