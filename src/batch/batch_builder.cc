// SPDX-License-Identifier: Apache-2.0
#include "glim/batch_builder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"

namespace glim {
namespace {

// A buffer that grows by doubling; handed over whole.
class GrowingBuffer {
 public:
  template <class T>
  void Push(const T& value) {
    Reserve(sizeof(T));
    std::memcpy(buffer_->mutable_data() + size_, &value, sizeof(T));
    size_ += sizeof(T);
  }
  void Reserve(size_t more) {
    if (size_ + more <= capacity_) [[likely]]
      return;
    const size_t capacity = std::max<size_t>({size_ + more, capacity_ * 2, 1024});
    auto bigger = Buffer::Allocate(capacity);
    if (size_ > 0) std::memcpy(bigger->mutable_data(), buffer_->data(), size_);
    buffer_ = std::move(bigger);
    capacity_ = capacity;
  }
  char* end() { return buffer_->mutable_data() + size_; }
  // Room for `bytes` more, counted as used.
  char* Extend(size_t bytes) {
    Reserve(bytes);
    char* at = buffer_->mutable_data() + size_;
    size_ += bytes;
    return at;
  }
  void PushBit(int64_t i, bool bit) {
    if ((i >> 3) >= static_cast<int64_t>(size_)) Push(uint8_t{0});
    if (bit) buffer_->MutableAs<uint8_t>()[i >> 3] |= static_cast<uint8_t>(1u << (i & 7));
  }
  template <class T>
  T* MutableAs() {
    return buffer_ == nullptr ? nullptr : buffer_->MutableAs<T>();
  }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }
  bool empty() const { return buffer_ == nullptr; }
  BufferRef Take() {
    if (buffer_ == nullptr) buffer_ = Buffer::Allocate(0);
    size_ = capacity_ = 0;
    return std::exchange(buffer_, nullptr);
  }

 private:
  std::shared_ptr<Buffer> buffer_;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

constexpr int64_t kExactMax = int64_t{1} << 53;

bool IsExact(int64_t value) { return value >= -kExactMax && value <= kExactMax; }

bool AreExact(std::span<const int64_t> values) {
  uint64_t any = 0;  // From 0 on, shifted: a large one leaves a high bit.
  for (const int64_t value : values) any |= static_cast<uint64_t>(value) + static_cast<uint64_t>(kExactMax);
  if (any < 2 * static_cast<uint64_t>(kExactMax)) [[likely]]
    return true;
  return std::all_of(values.begin(), values.end(), IsExact);
}

}  // namespace

struct ColumnBuilder::State {
  Type type = Type::kNull;
  int64_t length = 0;
  int64_t null_count = 0;
  bool has_validity = false;
  bool ints_exact = true;  // Every integer so far is exact as a double.
  GrowingBuffer values;
  GrowingBuffer validity;
  GrowingBuffer tags;

  std::vector<BufferRef> blocks;
  std::shared_ptr<Buffer> own_block;  // The last of our own; also in `blocks`.
  uint32_t own_block_number = 0;
  size_t own_used = 0;
  size_t own_bytes = 0;
  Blocks shared;  // Shared last, at `shared_base`.
  uint32_t shared_base = 0;

  std::unique_ptr<ColumnBuilder> elements;
  int64_t list_begin = 0;

  void MarkValid() {
    if (has_validity) validity.PushBit(length, true);
    ++length;
  }

  void StartValidity() {
    if (has_validity) return;
    has_validity = true;
    for (int64_t i = 0; i < length; ++i) validity.PushBit(i, true);
  }

  // The column had nils only: it becomes `to`, with as many nils.
  void StartType(Type to) {
    DCHECK(type == Type::kNull);
    type = to;
    if (to == Type::kAny) {
      for (int64_t i = 0; i < length; ++i) PushAny(Type::kNull, AnyCell{});
      return;
    }
    if (length > 0) {
      has_validity = true;
      for (int64_t i = 0; i < length; ++i) validity.PushBit(i, false);
    }
    switch (to) {
      case Type::kBool:
        for (int64_t i = 0; i < length; ++i) values.PushBit(i, false);
        break;
      case Type::kInt64:
      case Type::kDouble:
        for (int64_t i = 0; i < length; ++i) values.Push(int64_t{0});
        break;
      case Type::kBytes:
        for (int64_t i = 0; i < length; ++i) values.Push(BytesView{});
        break;
      case Type::kList:
        for (int64_t i = 0; i < length + 1; ++i) values.Push(int32_t{0});
        break;
      case Type::kNull:
      case Type::kAny: break;
    }
  }

  void PushAny(Type tag, const AnyCell& cell) {
    tags.Push(tag);
    values.Push(cell);
  }

  // Every row so far becomes a cell of an `any` column.
  void ToAny() {
    if (type == Type::kAny) return;
    if (type == Type::kNull) return StartType(Type::kAny);
    GrowingBuffer old = std::move(values);
    values = GrowingBuffer();
    const uint8_t* valid = has_validity ? validity.MutableAs<uint8_t>() : nullptr;
    for (int64_t i = 0; i < length; ++i) {
      AnyCell cell{};
      if (valid != nullptr && !((valid[i >> 3] >> (i & 7)) & 1)) {
        PushAny(Type::kNull, cell);
        continue;
      }
      switch (type) {
        case Type::kBool: cell.int64 = (old.MutableAs<uint8_t>()[i >> 3] >> (i & 7)) & 1; break;
        case Type::kInt64: cell.int64 = old.MutableAs<int64_t>()[i]; break;
        case Type::kDouble: cell.number = old.MutableAs<double>()[i]; break;
        case Type::kBytes: cell.bytes = old.MutableAs<BytesView>()[i]; break;
        case Type::kList: {
          const int32_t* offsets = old.MutableAs<int32_t>() + i;
          cell.list = {offsets[0], offsets[1] - offsets[0]};
          break;
        }
        case Type::kNull:
        case Type::kAny: break;
      }
      PushAny(type, cell);
    }
    has_validity = false;
    validity = GrowingBuffer();
    type = Type::kAny;
  }

  void IntsToDoubles() {
    auto* ints = values.MutableAs<int64_t>();
    auto* doubles = values.MutableAs<double>();
    for (int64_t i = 0; i < length; ++i) {
      const auto number = static_cast<double>(ints[i]);
      std::memcpy(&doubles[i], &number, sizeof(number));
    }
    type = Type::kDouble;
  }

  // Copies bytes too long for a view into a block of ours.
  BytesView CopyLong(std::string_view value) {
    constexpr size_t kBlockMin = 4 << 10;
    constexpr size_t kBlockMax = 1 << 20;
    if (own_block == nullptr || own_used + value.size() > own_block->size()) {
      const size_t size = std::max(value.size(), std::clamp(own_bytes, kBlockMin, kBlockMax));
      own_block = Buffer::Allocate(size);
      own_block_number = static_cast<uint32_t>(blocks.size());
      blocks.push_back(own_block);
      own_used = 0;
      own_bytes += size;
    }
    std::memcpy(own_block->mutable_data() + own_used, value.data(), value.size());
    const BytesView view = BytesView::Make(own_block->data() + own_used, static_cast<uint32_t>(value.size()),
                                           own_block_number, static_cast<uint32_t>(own_used));
    own_used += value.size();
    return view;
  }

  BytesView CopyView(std::string_view value) {
    if (value.size() <= BytesView::kInlineMax) {
      return BytesView::Make(value.data(), static_cast<uint32_t>(value.size()), 0, 0);
    }
    return CopyLong(value);
  }

  // Null: see Int64Room.
  char* Room(Type of, size_t bytes) {
    if (type == Type::kNull && length == 0) StartType(of);
    if (type != of || has_validity) return nullptr;
    values.Reserve(bytes);
    return values.end();
  }

  // Of `block`, which a view is to lie in; the last ones are those that are asked for.
  uint32_t NumberOf(const BufferRef& block) {
    for (size_t i = blocks.size(); i-- > 0;) {
      if (blocks[i] == block) return static_cast<uint32_t>(i);
    }
    blocks.push_back(block);
    return static_cast<uint32_t>(blocks.size()) - 1;
  }

  void PushView(const BytesView& view) {
    if (type != Type::kBytes) [[unlikely]] {
      if (type == Type::kNull) {
        StartType(Type::kBytes);
      } else {
        ToAny();
        AnyCell cell{};
        cell.bytes = view;
        PushAny(Type::kBytes, cell);
        ++length;
        return;
      }
    }
    values.Push(view);
    MarkValid();
  }
};

ColumnBuilder::ColumnBuilder() : state_(std::make_unique<State>()) {}
ColumnBuilder::ColumnBuilder(ColumnBuilder&&) noexcept = default;
ColumnBuilder& ColumnBuilder::operator=(ColumnBuilder&&) noexcept = default;
ColumnBuilder::~ColumnBuilder() = default;

void ColumnBuilder::AppendNull() {
  State& s = *state_;
  ++s.null_count;
  switch (s.type) {
    case Type::kNull: ++s.length; return;
    case Type::kAny:
      s.PushAny(Type::kNull, AnyCell{});
      ++s.length;
      return;
    case Type::kBool: s.values.PushBit(s.length, false); break;
    case Type::kInt64:
    case Type::kDouble: s.values.Push(int64_t{0}); break;
    case Type::kBytes: s.values.Push(BytesView{}); break;
    case Type::kList: s.values.Push(static_cast<int32_t>(s.list_begin)); break;
  }
  s.StartValidity();
  s.validity.PushBit(s.length, false);
  ++s.length;
}

void ColumnBuilder::AppendBool(bool value) {
  State& s = *state_;
  if (s.type == Type::kNull) s.StartType(Type::kBool);
  if (s.type != Type::kBool) {
    s.ToAny();
    AnyCell cell{};
    cell.int64 = value;
    s.PushAny(Type::kBool, cell);
    ++s.length;
    return;
  }
  s.values.PushBit(s.length, value);
  s.MarkValid();
}

void ColumnBuilder::AppendInt64(int64_t value) {
  State& s = *state_;
  if (s.type == Type::kNull) s.StartType(Type::kInt64);
  if (s.type == Type::kInt64) {
    s.ints_exact &= IsExact(value);
    s.values.Push(value);
    s.MarkValid();
  } else if (s.type == Type::kDouble && IsExact(value)) {
    s.values.Push(static_cast<double>(value));
    s.MarkValid();
  } else {
    s.ToAny();
    AnyCell cell{};
    cell.int64 = value;
    s.PushAny(Type::kInt64, cell);
    ++s.length;
  }
}

void ColumnBuilder::AppendDouble(double value) {
  State& s = *state_;
  if (s.type == Type::kNull) s.StartType(Type::kDouble);
  if (s.type == Type::kInt64 && s.ints_exact) s.IntsToDoubles();
  if (s.type == Type::kDouble) {
    s.values.Push(value);
    s.MarkValid();
  } else {
    s.ToAny();
    AnyCell cell{};
    cell.number = value;
    s.PushAny(Type::kDouble, cell);
    ++s.length;
  }
}

void ColumnBuilder::AppendBytes(std::string_view value) { state_->PushView(state_->CopyView(value)); }

void ColumnBuilder::Append(const Cell& value) {
  switch (value.type()) {
    case Type::kBool: return AppendBool(value.as_bool());
    case Type::kInt64: return AppendInt64(value.as_int64());
    case Type::kDouble: return AppendDouble(value.as_double());
    case Type::kBytes: return AppendBytes(value.as_bytes());
    case Type::kList: {
      ColumnBuilder& into = elements();
      for (int64_t i = 0; i < value.list_size(); ++i) into.Append(value.list_element(i));
      return AppendList();
    }
    case Type::kNull:
    case Type::kAny: break;
  }
  AppendNull();
}

void ColumnBuilder::AppendRows(const Column& column, std::span<const uint32_t> rows) {
  State& s = *state_;
  if (rows.empty()) return;
  if (column.type() != Type::kNull && s.type == Type::kNull && s.length == 0 && column.type() != Type::kAny) {
    s.StartType(column.type());
  }
  const bool plain = column.type() == s.type && !column.may_have_nulls() && !s.has_validity;
  if (plain && s.type == Type::kInt64) {
    const auto from = column.Int64s();
    auto* to = reinterpret_cast<int64_t*>(s.values.Extend(rows.size() * sizeof(int64_t)));
    bool exact = true;
    for (const uint32_t row : rows) {
      exact &= IsExact(from[row]);
      *to++ = from[row];
    }
    s.ints_exact &= exact;
    s.length += static_cast<int64_t>(rows.size());
    return;
  }
  if (plain && s.type == Type::kDouble) {
    const auto from = column.Doubles();
    auto* to = reinterpret_cast<double*>(s.values.Extend(rows.size() * sizeof(double)));
    for (const uint32_t row : rows) *to++ = from[row];
    s.length += static_cast<int64_t>(rows.size());
    return;
  }
  if (plain && s.type == Type::kBytes) {
    const auto from = column.Views();
    auto* to = reinterpret_cast<BytesView*>(s.values.Extend(rows.size() * sizeof(BytesView)));
    for (const uint32_t row : rows) {
      const BytesView& view = from[row];
      *to++ = view.is_inline() ? view : s.CopyLong(column.Resolve(view));
    }
    s.length += static_cast<int64_t>(rows.size());
    return;
  }
  for (const uint32_t row : rows) Append(column.At(row));
}

void ColumnBuilder::AppendColumn(const Column& column) {
  constexpr int64_t kPiece = 1024;
  uint32_t rows[kPiece];
  for (int64_t begin = 0; begin < column.length(); begin += kPiece) {
    const int64_t count = std::min(kPiece, column.length() - begin);
    for (int64_t i = 0; i < count; ++i) rows[i] = static_cast<uint32_t>(begin + i);
    AppendRows(column, {rows, static_cast<size_t>(count)});
  }
}

void ColumnBuilder::ShareBlocks(const Blocks& blocks) {
  State& s = *state_;
  if (blocks == nullptr || blocks == s.shared) return;
  s.shared = blocks;
  s.shared_base = static_cast<uint32_t>(s.blocks.size());
  s.blocks.insert(s.blocks.end(), blocks->begin(), blocks->end());
  s.own_block = nullptr;
}

void ColumnBuilder::AppendView(const BytesView& view) {
  State& s = *state_;
  BytesView moved = view;
  if (!moved.is_inline()) moved.ref.block += s.shared_base;
  s.PushView(moved);
}

void ColumnBuilder::AppendShared(const char* data, uint32_t size, uint32_t block, uint32_t offset) {
  state_->PushView(BytesView::Make(data, size, block + state_->shared_base, offset));
}

int64_t* ColumnBuilder::Int64Room(int64_t count) {
  return reinterpret_cast<int64_t*>(state_->Room(Type::kInt64, static_cast<size_t>(count) * sizeof(int64_t)));
}

double* ColumnBuilder::DoubleRoom(int64_t count) {
  return reinterpret_cast<double*>(state_->Room(Type::kDouble, static_cast<size_t>(count) * sizeof(double)));
}

BytesView* ColumnBuilder::BytesRoom(int64_t count) {
  return reinterpret_cast<BytesView*>(state_->Room(Type::kBytes, static_cast<size_t>(count) * sizeof(BytesView)));
}

void ColumnBuilder::AddRows(int64_t written) {
  State& s = *state_;
  const size_t width = s.type == Type::kBytes ? sizeof(BytesView) : sizeof(int64_t);
  const char* const rows = s.values.Extend(static_cast<size_t>(written) * width);
  s.length += written;
  if (s.type != Type::kInt64) return;
  s.ints_exact &= AreExact({reinterpret_cast<const int64_t*>(rows), static_cast<size_t>(written)});
}

BytesView ColumnBuilder::LongView(std::string_view value, const Blocks& near) {
  if (near != nullptr) {
    for (const BufferRef& block : *near) {
      const auto offset = reinterpret_cast<uintptr_t>(value.data()) - reinterpret_cast<uintptr_t>(block->data());
      if (offset >= block->size() || value.size() > block->size() - offset) continue;
      return BytesView::Make(value.data(), static_cast<uint32_t>(value.size()), state_->NumberOf(block),
                             static_cast<uint32_t>(offset));
    }
  }
  return state_->CopyLong(value);
}

ColumnBuilder& ColumnBuilder::elements() {
  if (state_->elements == nullptr) state_->elements = std::make_unique<ColumnBuilder>();
  return *state_->elements;
}

void ColumnBuilder::AppendList() {
  State& s = *state_;
  const int64_t begin = s.list_begin;
  const int64_t end = elements().length();
  s.list_begin = end;
  if (s.type == Type::kNull) s.StartType(Type::kList);
  if (s.type == Type::kList) {
    if (s.values.size() == 0) s.values.Push(static_cast<int32_t>(begin));
    CHECK_LE(end, int64_t{INT32_MAX});
    s.values.Push(static_cast<int32_t>(end));
    s.MarkValid();
  } else {
    s.ToAny();
    AnyCell cell{};
    cell.list = {begin, end - begin};
    s.PushAny(Type::kList, cell);
    ++s.length;
  }
}

int64_t ColumnBuilder::length() const { return state_->length; }

int64_t ColumnBuilder::memory_bytes() const {
  const State& s = *state_;
  int64_t bytes = static_cast<int64_t>(s.values.capacity() + s.validity.capacity() + s.tags.capacity() + s.own_bytes);
  if (s.elements != nullptr) bytes += s.elements->memory_bytes();
  return bytes;
}

Column ColumnBuilder::Finish() {
  State& s = *state_;
  Column::Parts parts;
  parts.type = s.type;
  parts.length = s.length;
  parts.null_count = s.type == Type::kAny ? 0 : s.null_count;
  if (s.type != Type::kNull) {
    if (s.type == Type::kList && s.values.size() == 0) s.values.Push(int32_t{0});
    parts.values = s.values.Take();
    if (s.has_validity) parts.validity = s.validity.Take();
    if (s.type == Type::kAny) parts.tags = s.tags.Take();
  }
  if (s.type == Type::kBytes || s.type == Type::kAny) {
    // The blocks of one other column and no own ones: share that column's list as well.
    const bool only_shared = s.shared != nullptr && s.shared_base == 0 && s.blocks.size() == s.shared->size();
    parts.blocks = only_shared ? s.shared : std::make_shared<const std::vector<BufferRef>>(std::move(s.blocks));
  }
  if (s.type == Type::kList) elements();  // A list column has a child, even when all its rows are nil.
  if (s.elements != nullptr) parts.child = std::make_shared<const Column>(s.elements->Finish());
  *state_ = State();
  return Column(std::move(parts));
}

void BatchBuilder::AppendRow(const Row& row) {
  if (row_count_ == 0 && column_count() != static_cast<int>(row.size())) SetColumnCount(static_cast<int>(row.size()));
  CHECK_EQ(row.size(), columns_.size());
  for (size_t i = 0; i < row.size(); ++i) columns_[i].Append(row[i]);
  EndRow();
}

void BatchBuilder::AppendRows(const Batch& batch, std::span<const uint32_t> rows) {
  if (row_count_ == 0 && column_count() != batch.column_count()) SetColumnCount(batch.column_count());
  CHECK_EQ(column_count(), batch.column_count());
  for (int i = 0; i < batch.column_count(); ++i) columns_[i].AppendRows(batch.column(i), rows);
  EndRows(static_cast<int64_t>(rows.size()));
}

void BatchBuilder::SetColumnCount(int count) {
  CHECK_EQ(row_count_, 0);
  columns_.clear();
  columns_.resize(count);
}

int64_t BatchBuilder::memory_bytes() const {
  int64_t bytes = 0;
  for (const ColumnBuilder& column : columns_) bytes += column.memory_bytes();
  return bytes;
}

Batch BatchBuilder::Finish() {
  std::vector<Column> columns;
  columns.reserve(columns_.size());
  for (ColumnBuilder& column : columns_) columns.push_back(column.Finish());
  return Batch(std::move(columns), std::exchange(row_count_, 0));
}

}  // namespace glim
