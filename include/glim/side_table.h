// SPDX-License-Identifier: Apache-2.0
//
// A dataset that functions of later steps look rows up in: Dataset::AsTable() makes it, the flow fills it before the
// first of those functions runs, and empties it when the run ends. A step says that it reads one, and its function
// captures it:
//
//   const glim::SideTable names = flow.Rows({{7, "ann"}, {9, "bob"}}).AsTable();
//   orders.Map([names](int64_t id, double price) { return std::tuple(names.Get(id), price); }, {names});
//
// With one field the key is the row's number from 1, else field 1; when a key comes again, its last row counts.
//
// Thread: a handle; functions of all tasks read at once. All tasks share one copy of the rows.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <string_view>

#include "glim/batch.h"

namespace glim {

namespace batch {
class KeyedRows;
}

// Cells point into the table and are good until the function returns. Reading a table outside of a run, or in a step
// that did not name it, throws std::logic_error, which fails the run as any exception of a function does.
class SideTable {
 public:
  explicit SideTable(std::shared_ptr<batch::KeyedRows> rows) : rows_(std::move(rows)) {}

  // What to look up: a number, bytes, a bool, or any Cell or Value.
  class Key {
   public:
    Key(const Cell& cell) : cell_(cell) {}
    Key(const Value& value) : cell_(value.cell()) {}
    Key(std::integral auto number) : cell_(Cell::Int64(static_cast<int64_t>(number))) {}
    Key(double number) : cell_(Cell::Double(number)) {}
    Key(bool value) : cell_(Cell::Bool(value)) {}
    Key(std::string_view bytes) : cell_(Cell::Bytes(bytes)) {}
    Key(const std::string& bytes) : cell_(Cell::Bytes(bytes)) {}
    Key(const char* bytes) : cell_(Cell::Bytes(bytes)) {}
    const Cell& cell() const { return cell_; }

   private:
    Cell cell_;
  };

  // The keys that there are.
  int64_t size() const;
  bool Contains(const Key& key) const { return FindRow(key) >= 0; }
  // Field `field` (from 1) of the key's row; without a number, the one behind the key. nil when there is no such row.
  Cell Get(const Key& key) const;
  Cell Get(const Key& key, int field) const;
  // All rows in their order, those too whose key came again; and the number of the key's row in them, from 0, or -1.
  const Batch& rows() const;
  int64_t FindRow(const Key& key) const;

  // For the engine.
  const std::shared_ptr<batch::KeyedRows>& keyed_rows() const { return rows_; }

 private:
  const batch::KeyedRows& filled() const;

  std::shared_ptr<batch::KeyedRows> rows_;
};

}  // namespace glim
