// SPDX-License-Identifier: Apache-2.0
//
// What a table is: its keys, the type and width of its rows, what a row holds before it is touched, and the rule that a
// push applies.
//
//   glim::TableSpec{.name = "ctr", .keys = glim::SparseKeys(), .value_type = glim::ValueType::kF32, .rule =
//   glim::Ftrl{.l1 = 1}}
//
// A table maps a key (64 bits) to a row of `width` values. Rows that nobody pushed to are not stored: they are the
// initial value, which is a constant or a random number that depends on nothing but (seed, key, column), so it is the
// same on any layout. A push does not write values, it hands them to the table's update rule, which runs where the row
// lies and may keep state beside it.
//
// Thread: values; copy and send them freely.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "glim/status.h"

namespace glim {

using Key = uint64_t;

// The keys first, first + step, first + 2 * step, ...: `count` of them.
struct KeyRange {
  Key first = 0;
  uint64_t count = 0;
  uint64_t step = 1;
};

enum class ValueType : uint8_t { kF32, kF64, kI32, kI64 };

// "f32", "f64", "i32", "i64".
std::string_view ValueTypeName(ValueType type);
Result<ValueType> ParseValueType(std::string_view name);
constexpr uint32_t ValueBytes(ValueType type) { return type == ValueType::kF32 || type == ValueType::kI32 ? 4 : 8; }
constexpr bool IsInteger(ValueType type) { return type == ValueType::kI32 || type == ValueType::kI64; }

template <class V>
concept TableValue =
    std::same_as<V, float> || std::same_as<V, double> || std::same_as<V, int32_t> || std::same_as<V, int64_t>;

template <TableValue V>
constexpr ValueType ValueTypeOf() {
  if constexpr (std::same_as<V, float>) return ValueType::kF32;
  if constexpr (std::same_as<V, double>) return ValueType::kF64;
  if constexpr (std::same_as<V, int32_t>) return ValueType::kI32;
  if constexpr (std::same_as<V, int64_t>) return ValueType::kI64;
}

// Which keys there are.
struct KeySpace {
  enum class Kind : uint8_t { kDense, kMatrix, kSparse, kColumns };
  Kind kind = Kind::kSparse;
  uint64_t key_count = 0;  // Keys are 0 .. key_count - 1. 0 for sparse keys, which may be any 64 bits.
  uint32_t cols = 0;       // Of a matrix; by row, the width of its rows.
  bool operator==(const KeySpace&) const = default;
};

// A vector: keys 0 .. n - 1.
constexpr KeySpace DenseKeys(uint64_t n) { return {KeySpace::Kind::kDense, n, 0}; }
// A matrix by row: the key is the row number, a row has `cols` values.
constexpr KeySpace MatrixKeys(uint64_t rows, uint32_t cols) { return {KeySpace::Kind::kMatrix, rows, cols}; }
// A matrix by column: its columns are spread over the shards, so a column is pulled and pushed at one or two of them,
// and a row is put together from all (PullColumns, PullRows and their like in table.h). Each value is a row of its own,
// of width 1, to the update rule and to scans; value (row, col) has the key col * rows + row.
constexpr KeySpace ColumnMatrixKeys(uint64_t rows, uint32_t cols) {
  const bool fits = cols == 0 || rows <= ~uint64_t{0} / cols;
  return {KeySpace::Kind::kColumns, fits ? rows * cols : 0, cols};
}
// A hash map: any 64-bit key.
constexpr KeySpace SparseKeys() { return {KeySpace::Kind::kSparse, 0, 0}; }

// Each row has its own length; VPush and VPull say and tell it. Such a row is empty until the first push to it.
inline constexpr uint32_t kVariableWidth = 0xffffffff;

// What a value is before the first push. Random values are for f32 and f64.
struct Constant {
  Constant() = default;
  Constant(std::floating_point auto value) : real(value), is_integer(false) {}
  Constant(std::integral auto value) : integer(static_cast<int64_t>(value)) {}
  double real = 0;
  int64_t integer = 0;  // All 64 bits, for a table of type i64 with the rule min, say.
  bool is_integer = true;
  bool operator==(const Constant&) const = default;
};
struct Uniform {
  double low = 0;  // At least `low`, below `high`.
  double high = 1;
  uint64_t seed = 0;
  bool operator==(const Uniform&) const = default;
};
struct Normal {
  double mean = 0;
  double stddev = 1;
  uint64_t seed = 0;
  bool operator==(const Normal&) const = default;
};
using Initial = std::variant<Constant, Uniform, Normal>;

// Update rules. `v` is the value pushed, `w` the value in the row; rules with state keep it beside the row. All work
// element by element, and a key that stands twice in a push is updated twice, in order.
struct Add {  // w += v. Integers wrap around.
  bool operator==(const Add&) const = default;
};
struct Assign {  // w = v.
  bool operator==(const Assign&) const = default;
};
struct Min {  // w = min(w, v). The initial value counts: choose a large one.
  bool operator==(const Min&) const = default;
};
struct Max {  // w = max(w, v).
  bool operator==(const Max&) const = default;
};
// The others take `v` as a gradient, and need f32 or f64.
struct Sgd {  // w -= rate * v
  double rate = 0.1;
  bool operator==(const Sgd&) const = default;
};
struct AdaGrad {  // n += v * v; w -= rate * v / (sqrt(n) + epsilon)   (Duchi, Hazan, Singer 2011)
  double rate = 0.1;
  double epsilon = 1e-8;
  bool operator==(const AdaGrad&) const = default;
};
struct Adam {  // Kingma and Ba 2015; each row counts its own steps, so rare rows are corrected rightly.
  double rate = 0.001;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  bool operator==(const Adam&) const = default;
};
struct Ftrl {  // FTRL-proximal, per coordinate (McMahan et al. 2013). Weights that l1 holds down are exactly 0.
  double alpha = 0.1;
  double beta = 1;
  double l1 = 0;
  double l2 = 0;
  bool operator==(const Ftrl&) const = default;
};
using UpdateRule = std::variant<Add, Assign, Min, Max, Sgd, AdaGrad, Adam, Ftrl>;

// How keys are spread over shards. kDefault: range for dense keys and matrices, hash for sparse keys. kFunction: as a
// function of the program says (TableSpec::partition_by).
enum class Partitioner : uint8_t { kDefault, kRange, kCyclic, kHash, kFunction };

// How far one worker may be ahead of others (docs/design/clocks.md): pulls of workers that joined the table wait for
// them.
struct Consistency {
  enum class Kind : uint8_t { kAsync, kStale, kBsp };
  Kind kind = Kind::kAsync;
  uint32_t staleness = 0;  // Of kStale: so many clocks.
  bool operator==(const Consistency&) const = default;
};
// No bound: pushes are applied at once, pulls never wait.
inline constexpr Consistency kAsync{};
// A pull at clock c sees all that the others pushed in clocks below c - s, and perhaps more.
constexpr Consistency Staleness(uint32_t s) { return {Consistency::Kind::kStale, s}; }
// Bulk-synchronous: a pull at clock c sees what was pushed in clocks below c, and nothing else. Rows are equal bit by
// bit for any number of servers, shards and processes.
inline constexpr Consistency kBsp{Consistency::Kind::kBsp};

// What a table on servers survives. kMemory: as many servers as it has replicas, less one. kDisk: also all of them at
// once, and a server that comes back with its data folder goes on where it was; a push is acknowledged when it is on
// the disk of every replica.
enum class Durability : uint8_t { kMemory, kDisk };

struct TableSpec {
  std::string name;  // 1 to 64 of A-Z a-z 0-9 _ . -
  KeySpace keys = SparseKeys();
  ValueType value_type = ValueType::kF32;
  uint32_t width = 1;  // Values in a row, or kVariableWidth. A matrix has its own: leave 1, or say the same.
  Initial initial = Constant(0);
  UpdateRule rule = Add{};
  Partitioner partitioner = Partitioner::kDefault;
  std::string partition_by = {};  // For sparse keys: the name of a function (glim/partitioner.h), or empty.
  uint64_t partition_print = 0;   // Tells that function from others of its name; a table's maker sets it.
  uint32_t shards = 0;            // 0: several per core; 16 on servers.
  uint32_t replicas = 1;          // Servers that hold each shard, 1 to 3. A table in this process is there once.
  Consistency consistency = kAsync;
  Durability durability = Durability::kMemory;
  bool operator==(const TableSpec&) const = default;

  bool is_variable() const { return width == kVariableWidth; }
};

// The trailing named fields of CreateTable.
struct TableOptions {
  uint32_t width = 1;
  Initial initial = Constant(0);
  Partitioner partitioner = Partitioner::kDefault;
  std::string partition_by = {};
  uint32_t shards = 0;
  uint32_t replicas = 1;
  Consistency consistency = kAsync;
  Durability durability = Durability::kMemory;
};

template <TableValue V>
TableSpec MakeTableSpec(std::string name, KeySpace keys, UpdateRule rule = Add{}, TableOptions options = {}) {
  return {.name = std::move(name),
          .keys = keys,
          .value_type = ValueTypeOf<V>(),
          .width = options.width,
          .initial = options.initial,
          .rule = rule,
          .partitioner = options.partitioner,
          .partition_by = std::move(options.partition_by),
          .shards = options.shards,
          .replicas = options.replicas,
          .consistency = options.consistency,
          .durability = options.durability};
}

// "dense 1000", "matrix 1000 x 16", "columns 1000 x 16", "sparse".
std::string ToString(const KeySpace& keys);
// "constant 0", "uniform low=0 high=1 seed=0", "normal mean=0 stddev=1 seed=0".
std::string ToString(const Initial& initial);
// "add", "ftrl alpha=0.1 beta=1 l1=0 l2=0", ...
std::string ToString(const UpdateRule& rule);
std::string_view ToString(Partitioner partitioner);
// "range", "cyclic", "hash", "by customer".
std::string PartitionText(const TableSpec& spec);
// "async", "bsp", or the number of clocks.
std::string ToString(const Consistency& consistency);
std::string_view ToString(Durability durability);
// What ToString wrote; for rules and initial values, names may be left out to take their defaults.
Result<KeySpace> ParseKeySpace(std::string_view text);
Result<Initial> ParseInitial(std::string_view text);
Result<UpdateRule> ParseUpdateRule(std::string_view text);
Result<Partitioner> ParsePartitioner(std::string_view text);  // Not of a function.
Result<Consistency> ParseConsistency(std::string_view text);
Result<Durability> ParseDurability(std::string_view text);

// kInvalid with what is wrong and what would be right, or the same with the defaults that do not depend on the machine
// filled in (the width of a matrix, the partitioner).
Result<TableSpec> CheckTableSpec(TableSpec spec);

// Some stored rows of a table, in no promised order: what a scan gives.
struct RowChunk {
  std::vector<Key> keys;
  std::vector<std::byte> values;  // Rows back to back, of the table's value type.
  std::vector<uint32_t> lengths;  // For tables of variable width only: values in each row.
};

}  // namespace glim
