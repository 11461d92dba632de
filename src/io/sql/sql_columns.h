// SPDX-License-Identifier: Apache-2.0
//
// The columns of a table that a flow writes. Their types follow the values unless the user gave them: a new table
// begins with the narrowest types that hold its first rows, and is widened (int to double, anything to text) when a
// row comes that wants it. So the types do not depend on how the rows were cut into batches.
//
// Thread: KindsOf and Check from any; the rest that of the sink.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "glim/batch.h"
#include "glim/sinks.h"
#include "glim/status.h"

namespace glim::io {

// Which kinds of values a column has had: a bit for each.
using ValueKinds = uint8_t;
inline constexpr ValueKinds kBoolKind = 1, kIntKind = 2, kDoubleKind = 8, kBytesKind = 16;
inline constexpr ValueKinds kLargeIntKind = 4;  // Too large to be a double without loss.

// kInvalid, with the row, for a list, which no column can hold.
Result<std::vector<ValueKinds>> KindsOf(const Batch& batch);

// What a database calls the types.
struct SqlTypeNames {
  std::string_view nothing, boolean, integer, real;
  std::string_view number;  // Whole numbers of 64 bits and doubles, without loss.
  std::string_view text;
  std::string_view mixed;
  std::string_view binary;  // Part of the name of all types that take bytes which are no text.
};

class SqlColumns {
 public:
  // Of a new table: one for each name. `types` are empty or as many; an empty one follows the values.
  static Result<SqlColumns> ForNew(const std::vector<std::string>& names, const std::vector<std::string>& types,
                                   const SqlTypeNames& type_names);
  // Of one that is there.
  static SqlColumns ForOld(const std::vector<std::string>& names, const std::vector<std::string>& types,
                           const SqlTypeNames& type_names);

  size_t count() const { return columns_.size(); }
  // Takes bytes as they are, not as text.
  bool binary(size_t i) const { return columns_[i].binary; }
  const std::string& name(size_t i) const { return columns_[i].name; }

  // kInvalid, with a row, when `batch` has another number of columns.
  Status Check(const Batch& batch) const;
  // The columns whose types must change before rows with such values come, as they are now.
  std::vector<size_t> Widen(std::span<const ValueKinds> kinds);
  std::string_view type(size_t i) const;
  // `"a" bigint, "b" text`, and `"a", "b"`.
  std::string Definitions() const;
  std::string Names() const;

 private:
  struct Item {
    std::string name;
    std::string type;  // Empty: follows `kinds`.
    bool binary = false;
    ValueKinds kinds = 0;
  };
  explicit SqlColumns(const SqlTypeNames& type_names) : type_names_(&type_names) {}
  void Add(const std::string& name, const std::string& type);

  const SqlTypeNames* type_names_;
  std::vector<Item> columns_;
};

}  // namespace glim::io
