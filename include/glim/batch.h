// SPDX-License-Identifier: Apache-2.0
//
// A Batch is some thousands of rows, stored column by column: what sources give, steps pass on and sinks take.
//
// A column has a type (null, bool, int64, double, bytes, list, or any for mixed values), a validity bitmap for its nils
// and 64-byte aligned, reference-counted buffers laid out as Arrow's C data interface has them (bytes as Arrow's
// 16-byte binary views). So a token cut from a line is a view into the block of the file that holds the line: nothing
// is copied, and the block lives as long as a column points into it. Who keeps rows for long copies them (BatchBuilder
// does).
//
// Values have one total order and one hash over all types: nil < false < true < numbers < bytes < lists; 4 and 4.0 are
// equal and hash alike; NaN equals itself and is above all numbers; bytes compare as unsigned bytes, lists element by
// element. nil is a value.
//
// Rows and columns are counted from 0 in this interface (as in any C++ container); field numbers of flows start at 1.
//
// Thread: batches and columns are immutable values; copy them (a few pointers) and read them from any thread.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace glim {

enum class Type : uint8_t { kNull, kBool, kInt64, kDouble, kBytes, kList, kAny };

// "null", "bool", "int64", "double", "bytes", "list", "any".
std::string_view TypeName(Type type);

// Memory, 64-byte aligned and followed by at least 64 zero or readable bytes, so that SIMD code may read past the end.
// Filled by its maker, then frozen: shared only as `BufferRef`.
class Buffer {
 public:
  // Not cleared, except for the padding.
  static std::shared_ptr<Buffer> Allocate(size_t size);
  // Wraps memory that `owner` keeps alive. No padding is promised by us: the maker sees to it.
  static std::shared_ptr<Buffer> Wrap(const char* data, size_t size, std::shared_ptr<const void> owner);
  ~Buffer();
  Buffer(const Buffer&) = delete;

  char* mutable_data() { return data_; }
  const char* data() const { return data_; }
  size_t size() const { return size_; }
  template <class T>
  const T* As() const {
    return reinterpret_cast<const T*>(data_);
  }
  template <class T>
  T* MutableAs() {
    return reinterpret_cast<T*>(data_);
  }

 private:
  Buffer(char* data, size_t size, std::shared_ptr<const void> owner)
      : data_(data), size_(size), owner_(std::move(owner)) {}
  char* data_;
  size_t size_;
  std::shared_ptr<const void> owner_;  // Null when the memory is our own.
};
using BufferRef = std::shared_ptr<const Buffer>;

// The buffers into which a column's byte views point, shared by all columns cut from them.
using Blocks = std::shared_ptr<const std::vector<BufferRef>>;

namespace internal {

// What of the first four bytes, in the upper half of a word, and of the next eight belongs to a short view of a size.
struct ShortViewMasks {
  explicit constexpr ShortViewMasks(uint32_t size)
      : words{LowBytes(size < 4 ? size : 4) << 32, LowBytes(size < 4 ? 0 : size - 4)} {}
  static constexpr uint64_t LowBytes(uint32_t count) {
    return count >= 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * count)) - 1;
  }
  uint64_t words[2];
};
inline constexpr ShortViewMasks kShortViewMasks[] = {
    ShortViewMasks(0),  ShortViewMasks(1),  ShortViewMasks(2), ShortViewMasks(3), ShortViewMasks(4),
    ShortViewMasks(5),  ShortViewMasks(6),  ShortViewMasks(7), ShortViewMasks(8), ShortViewMasks(9),
    ShortViewMasks(10), ShortViewMasks(11), ShortViewMasks(12)};

}  // namespace internal

// Arrow's binary view: up to 12 bytes lie in the view itself; longer ones are found by block and offset, and carry
// their first four bytes.
struct BytesView {
  static constexpr uint32_t kInlineMax = 12;
  uint32_t size;
  union {
    char inlined[12];
    struct {
      char prefix[4];
      uint32_t block;
      uint32_t offset;
    } ref;
  };

  bool is_inline() const { return size <= kInlineMax; }
  // `data` must lie in block number `block` at `offset` when it is longer than kInlineMax.
  static BytesView Make(const char* data, uint32_t size, uint32_t block, uint32_t offset) {
    BytesView view;
    view.size = size;
    if (size <= kInlineMax) {
      // Of a size that the compiler knows: two pieces may overlap.
      std::memset(view.inlined, 0, sizeof(view.inlined));
      if (size >= 8) {
        std::memcpy(view.inlined, data, 8);
        std::memcpy(view.inlined + size - 4, data + size - 4, 4);
      } else if (size >= 4) {
        std::memcpy(view.inlined, data, 4);
        std::memcpy(view.inlined + size - 4, data + size - 4, 4);
      } else if (size > 0) {
        view.inlined[0] = data[0];
        view.inlined[size / 2] = data[size / 2];
        view.inlined[size - 1] = data[size - 1];
      }
    } else {
      std::memcpy(view.ref.prefix, data, 4);
      view.ref.block = block;
      view.ref.offset = offset;
    }
    return view;
  }
  // The same, faster. Expects: 16 bytes may be read from `data` on.
  static BytesView MakeReadable(const char* data, uint32_t size, uint32_t block, uint32_t offset) {
    static_assert(std::endian::native == std::endian::little);
    uint64_t words[2];
    std::memcpy(&words[0], data, 8);
    std::memcpy(&words[1], data + 4, 8);
    const uint64_t* masks = internal::kShortViewMasks[size <= kInlineMax ? size : kInlineMax].words;
    words[0] = (words[0] << 32 & masks[0]) | size;
    words[1] = size <= kInlineMax ? words[1] & masks[1] : block | uint64_t{offset} << 32;
    BytesView view;
    std::memcpy(&view, words, sizeof(words));
    return view;
  }
};
static_assert(sizeof(BytesView) == 16);

class Column;

// One value, looked at where it lies: valid as long as the column (or Value) it came from.
class Cell {
 public:
  Cell() : type_(Type::kNull), int_(0) {}
  static Cell Bool(bool value);
  static Cell Int64(int64_t value);
  static Cell Double(double value);
  static Cell Bytes(std::string_view value);
  // Elements `begin` .. `begin + size` of `elements`.
  static Cell List(const Column* elements, int64_t begin, int64_t size);

  // Never kAny.
  Type type() const { return type_; }
  bool is_null() const { return type_ == Type::kNull; }
  bool is_number() const { return type_ == Type::kInt64 || type_ == Type::kDouble; }
  // Expect the type of their name.
  bool as_bool() const { return int_ != 0; }
  int64_t as_int64() const { return int_; }
  double as_double() const { return double_; }
  std::string_view as_bytes() const { return {data_, static_cast<size_t>(size_)}; }
  int64_t list_size() const { return size_; }
  Cell list_element(int64_t i) const;
  const Column* list_column() const { return elements_; }
  int64_t list_begin() const { return begin_; }
  // Of a number: as a double, rounded for large integers.
  double number() const { return type_ == Type::kInt64 ? static_cast<double>(int_) : double_; }

  // <0, 0, >0 in the total order.
  int Compare(const Cell& other) const;
  bool operator==(const Cell& other) const { return Compare(other) == 0; }
  bool operator<(const Cell& other) const { return Compare(other) < 0; }
  uint64_t Hash() const;
  // As `Printf("%v")` prints it: nil, true, 4, 4.5, bytes as they are, {1, 2}. A number prints the same however it is
  // stored.
  std::string ToString() const;
  // For messages: bytes quoted, escaped and cut after some 60 characters.
  std::string ToDebugString() const;

 private:
  Type type_;
  union {
    int64_t int_;
    double double_;
    const char* data_;
    const Column* elements_;
  };
  int64_t size_ = 0;
  int64_t begin_ = 0;
};

// One value with its own memory.
class Value {
 public:
  Value() = default;
  Value(bool value) : type_(Type::kBool), int_(value) {}
  Value(int value) : type_(Type::kInt64), int_(value) {}
  Value(int64_t value) : type_(Type::kInt64), int_(value) {}
  Value(double value) : type_(Type::kDouble), double_(value) {}
  Value(std::string value) : type_(Type::kBytes), bytes_(std::make_shared<const std::string>(std::move(value))) {}
  Value(std::string_view value) : Value(std::string(value)) {}
  Value(const char* value) : Value(std::string(value)) {}
  Value(const std::vector<Value>& elements);
  // A copy of what `cell` sees.
  explicit Value(const Cell& cell);

  Type type() const { return type_; }
  Cell cell() const;
  // The cell's, for convenience; they expect the type of their name.
  bool as_bool() const { return int_ != 0; }
  int64_t as_int64() const { return int_; }
  double as_double() const { return double_; }
  std::string_view as_bytes() const { return *bytes_; }
  std::vector<Value> as_list() const;
  std::string ToString() const { return cell().ToString(); }

  bool operator==(const Value& other) const { return cell() == other.cell(); }
  bool operator<(const Value& other) const { return cell() < other.cell(); }

 private:
  Type type_ = Type::kNull;
  union {
    int64_t int_ = 0;
    double double_;
  };
  std::shared_ptr<const std::string> bytes_;
  std::shared_ptr<const Column> elements_;
};
using Row = std::vector<Value>;

// The cell of an `any` column: what lies in the 16 bytes depends on the tag of the row.
union AnyCell {
  int64_t int64;  // bool too
  double number;
  BytesView bytes;
  struct {
    int64_t begin;
    int64_t size;
  } list;
};
static_assert(sizeof(AnyCell) == 16);

class Column {
 public:
  // `length` nils.
  static Column Nulls(int64_t length);
  // The same value in every row.
  static Column Constant(const Value& value, int64_t length);
  static Column FromInt64s(std::span<const int64_t> values);
  static Column FromDoubles(std::span<const double> values);

  // What a column is made of; for those who build one directly (sources, kernels, the bridge to Arrow). `values` holds
  // bits for kBool, int64_t, double, BytesView, or AnyCell; for kList `length + 1` offsets (int32_t) into `child`.
  struct Parts {
    Type type = Type::kNull;
    int64_t length = 0;
    int64_t offset = 0;      // First row within the buffers.
    int64_t null_count = 0;  // -1: not counted; 0 allows `validity` to be null.
    BufferRef validity;      // A bit per row, 1 = there is a value; null: no nils. Not used by kNull and kAny.
    BufferRef values;
    BufferRef tags;                       // kAny: a Type per row.
    Blocks blocks;                        // kBytes and kAny.
    std::shared_ptr<const Column> child;  // Elements of kList, and of lists in kAny.
  };
  Column() = default;
  explicit Column(Parts parts) : parts_(std::move(parts)) {}

  Type type() const { return parts_.type; }
  int64_t length() const { return parts_.length; }
  // Nils of a kAny column are in its tags and not counted here.
  bool may_have_nulls() const {
    return parts_.type == Type::kNull || parts_.type == Type::kAny || parts_.validity != nullptr;
  }
  bool IsNull(int64_t row) const;
  Cell At(int64_t row) const;

  // Direct access, by type. Rows with a nil have some value there.
  std::span<const int64_t> Int64s() const {
    return {parts_.values->As<int64_t>() + parts_.offset, size_t(parts_.length)};
  }
  std::span<const double> Doubles() const {
    return {parts_.values->As<double>() + parts_.offset, size_t(parts_.length)};
  }
  std::span<const BytesView> Views() const {
    return {parts_.values->As<BytesView>() + parts_.offset, size_t(parts_.length)};
  }
  std::span<const AnyCell> AnyCells() const {
    return {parts_.values->As<AnyCell>() + parts_.offset, size_t(parts_.length)};
  }
  std::span<const Type> Tags() const { return {parts_.tags->As<Type>() + parts_.offset, size_t(parts_.length)}; }
  bool BoolAt(int64_t row) const {
    const int64_t bit = parts_.offset + row;
    return (parts_.values->As<uint8_t>()[bit >> 3] >> (bit & 7)) & 1;
  }
  // Expects kBytes.
  std::string_view BytesAt(int64_t row) const { return Resolve(Views()[row]); }
  // The bytes of one of this column's views (kBytes or kAny). The view must outlive the result when it is inline.
  std::string_view Resolve(const BytesView& view) const {
    if (view.is_inline()) return {view.inlined, view.size};
    return {(*parts_.blocks)[view.ref.block]->data() + view.ref.offset, view.size};
  }

  // Rows `begin` .. `begin + length`; shares the buffers.
  Column Slice(int64_t begin, int64_t length) const;
  // The rows in the order of `rows`, which may repeat; bytes are not copied.
  Column Gather(std::span<const uint32_t> rows) const;
  // Bytes of all buffers that this column keeps alive through itself; blocks are shared, so they count only when
  // `with_blocks`.
  int64_t MemoryBytes(bool with_blocks) const;
  // Of this column's rows alone, however many others share its buffers: what a copy of them would take.
  int64_t OwnBytes() const;

  const Parts& parts() const { return parts_; }

 private:
  Parts parts_;
};

class Batch {
 public:
  Batch() = default;
  // Expects: every column has `row_count` rows.
  Batch(std::vector<Column> columns, int64_t row_count);

  int64_t row_count() const { return row_count_; }
  int column_count() const { return static_cast<int>(columns_.size()); }
  const Column& column(int i) const { return columns_[i]; }
  const std::vector<Column>& columns() const { return columns_; }
  Cell At(int64_t row, int column) const { return columns_[column].At(row); }
  // A copy of one row.
  Row RowAt(int64_t row) const;
  // `("apple", 3, nil)`, for messages; long ones are cut.
  std::string RowToDebugString(int64_t row) const;

  Batch Slice(int64_t begin, int64_t length) const;
  Batch Gather(std::span<const uint32_t> rows) const;
  // Expects: indexes below column_count().
  Batch Select(std::span<const int> columns) const;
  // Bytes kept alive, blocks included once per column that points to other ones.
  int64_t MemoryBytes() const;
  // What a copy of the rows would take.
  int64_t OwnBytes() const;

 private:
  std::vector<Column> columns_;
  int64_t row_count_ = 0;
};

}  // namespace glim
