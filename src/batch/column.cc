// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/check.h"
#include "glim/batch.h"
#include "glim/batch_builder.h"

namespace glim {
namespace {

bool BitAt(const Buffer& bits, int64_t i) { return (bits.As<uint8_t>()[i >> 3] >> (i & 7)) & 1; }

BufferRef GatherBits(const Buffer& bits, int64_t offset, std::span<const uint32_t> rows) {
  auto out = Buffer::Allocate((rows.size() + 7) / 8);
  std::memset(out->mutable_data(), 0, out->size());
  auto* bytes = out->MutableAs<uint8_t>();
  for (size_t i = 0; i < rows.size(); ++i) {
    if (BitAt(bits, offset + rows[i])) bytes[i >> 3] |= static_cast<uint8_t>(1u << (i & 7));
  }
  return out;
}

template <class T>
BufferRef GatherFixed(const Buffer& values, int64_t offset, std::span<const uint32_t> rows) {
  auto out = Buffer::Allocate(rows.size() * sizeof(T));
  const T* from = values.As<T>() + offset;
  T* to = out->MutableAs<T>();
  for (size_t i = 0; i < rows.size(); ++i) to[i] = from[rows[i]];
  return out;
}

// Bytes per row in `values`, about.
int64_t ValueWidth(Type type) {
  switch (type) {
    case Type::kNull:
    case Type::kBool: return 0;
    case Type::kInt64:
    case Type::kDouble: return 8;
    case Type::kBytes: return sizeof(BytesView);
    case Type::kList: return sizeof(int32_t);
    case Type::kAny: return sizeof(AnyCell) + 1;
  }
  return 0;
}

}  // namespace

Column Column::Nulls(int64_t length) {
  Parts parts;
  parts.length = length;
  parts.null_count = length;
  return Column(std::move(parts));
}

Column Column::Constant(const Value& value, int64_t length) {
  if (value.type() == Type::kInt64) {
    Parts parts;
    parts.type = Type::kInt64;
    parts.length = length;
    auto values = Buffer::Allocate(length * sizeof(int64_t));
    std::fill_n(values->MutableAs<int64_t>(), length, value.as_int64());
    parts.values = std::move(values);
    return Column(std::move(parts));
  }
  ColumnBuilder builder;
  builder.Append(value);
  const std::vector<uint32_t> zeros(length, 0);
  return builder.Finish().Gather(zeros);
}

Column Column::FromInt64s(std::span<const int64_t> from) {
  Parts parts;
  parts.type = Type::kInt64;
  parts.length = static_cast<int64_t>(from.size());
  auto values = Buffer::Allocate(from.size_bytes());
  std::copy(from.begin(), from.end(), values->MutableAs<int64_t>());
  parts.values = std::move(values);
  return Column(std::move(parts));
}

Column Column::FromDoubles(std::span<const double> from) {
  Parts parts;
  parts.type = Type::kDouble;
  parts.length = static_cast<int64_t>(from.size());
  auto values = Buffer::Allocate(from.size_bytes());
  std::copy(from.begin(), from.end(), values->MutableAs<double>());
  parts.values = std::move(values);
  return Column(std::move(parts));
}

bool Column::IsNull(int64_t row) const {
  if (parts_.type == Type::kNull) return true;
  if (parts_.type == Type::kAny) return Tags()[row] == Type::kNull;
  return parts_.validity != nullptr && !BitAt(*parts_.validity, parts_.offset + row);
}

Cell Column::At(int64_t row) const {
  DCHECK(row >= 0 && row < parts_.length);
  if (IsNull(row)) return {};
  switch (parts_.type) {
    case Type::kBool: return Cell::Bool(BoolAt(row));
    case Type::kInt64: return Cell::Int64(Int64s()[row]);
    case Type::kDouble: return Cell::Double(Doubles()[row]);
    case Type::kBytes: return Cell::Bytes(BytesAt(row));
    case Type::kList: {
      const int32_t* offsets = parts_.values->As<int32_t>() + parts_.offset + row;
      return Cell::List(parts_.child.get(), offsets[0], offsets[1] - offsets[0]);
    }
    case Type::kAny: {
      const AnyCell& cell = AnyCells()[row];
      switch (Tags()[row]) {
        case Type::kBool: return Cell::Bool(cell.int64 != 0);
        case Type::kInt64: return Cell::Int64(cell.int64);
        case Type::kDouble: return Cell::Double(cell.number);
        case Type::kBytes: return Cell::Bytes(Resolve(cell.bytes));
        case Type::kList: return Cell::List(parts_.child.get(), cell.list.begin, cell.list.size);
        case Type::kNull:
        case Type::kAny: break;
      }
      break;
    }
    case Type::kNull: break;
  }
  return {};
}

Column Column::Slice(int64_t begin, int64_t length) const {
  CHECK(begin >= 0 && length >= 0 && begin + length <= parts_.length);
  Parts parts = parts_;
  parts.offset += begin;
  parts.length = length;
  if (parts.type == Type::kNull) {
    parts.null_count = length;
  } else if (parts.validity != nullptr) {
    parts.null_count = -1;
  }
  return Column(std::move(parts));
}

Column Column::Gather(std::span<const uint32_t> rows) const {
  Parts parts;
  parts.type = parts_.type;
  parts.length = static_cast<int64_t>(rows.size());
  if (parts_.type == Type::kNull) {
    parts.null_count = parts.length;
    return Column(std::move(parts));
  }
  if (parts_.validity != nullptr) {
    parts.validity = GatherBits(*parts_.validity, parts_.offset, rows);
    parts.null_count = -1;
  }
  parts.blocks = parts_.blocks;
  switch (parts_.type) {
    case Type::kBool: parts.values = GatherBits(*parts_.values, parts_.offset, rows); break;
    case Type::kInt64:
    case Type::kDouble: parts.values = GatherFixed<int64_t>(*parts_.values, parts_.offset, rows); break;
    case Type::kBytes: parts.values = GatherFixed<BytesView>(*parts_.values, parts_.offset, rows); break;
    case Type::kAny:
      parts.values = GatherFixed<AnyCell>(*parts_.values, parts_.offset, rows);
      parts.tags = GatherFixed<Type>(*parts_.tags, parts_.offset, rows);
      parts.child = parts_.child;
      break;
    case Type::kList: {
      const int32_t* offsets = parts_.values->As<int32_t>() + parts_.offset;
      auto out = Buffer::Allocate((rows.size() + 1) * sizeof(int32_t));
      std::vector<uint32_t> elements;
      out->MutableAs<int32_t>()[0] = 0;
      for (size_t i = 0; i < rows.size(); ++i) {
        for (int32_t e = offsets[rows[i]]; e < offsets[rows[i] + 1]; ++e) elements.push_back(static_cast<uint32_t>(e));
        out->MutableAs<int32_t>()[i + 1] = static_cast<int32_t>(elements.size());
      }
      parts.values = std::move(out);
      parts.child = std::make_shared<const Column>(parts_.child->Gather(elements));
      break;
    }
    case Type::kNull: break;
  }
  return Column(std::move(parts));
}

int64_t Column::MemoryBytes(bool with_blocks) const {
  int64_t bytes = static_cast<int64_t>(sizeof(Column)) + ValueWidth(parts_.type) * parts_.length + parts_.length / 4;
  if (parts_.child != nullptr) bytes += parts_.child->MemoryBytes(with_blocks);
  if (with_blocks && parts_.blocks != nullptr) {
    for (const BufferRef& block : *parts_.blocks) bytes += static_cast<int64_t>(block->size());
  }
  return bytes;
}

int64_t Column::OwnBytes() const {
  int64_t bytes = static_cast<int64_t>(sizeof(Column)) + ValueWidth(parts_.type) * parts_.length + parts_.length / 4;
  switch (parts_.type) {
    case Type::kBytes:
      for (const BytesView& view : Views()) bytes += view.is_inline() ? 0 : view.size;
      break;
    case Type::kList: {
      const int32_t* offsets = parts_.values->As<int32_t>() + parts_.offset;
      const int64_t elements = offsets[parts_.length] - offsets[0];
      if (elements > 0) bytes += parts_.child->Slice(offsets[0], elements).OwnBytes();
      break;
    }
    case Type::kAny:
      for (int64_t row = 0; row < parts_.length; ++row) {
        const AnyCell& cell = AnyCells()[static_cast<size_t>(row)];
        const Type type = Tags()[static_cast<size_t>(row)];
        if (type == Type::kBytes && !cell.bytes.is_inline()) bytes += cell.bytes.size;
        if (type == Type::kList && cell.list.size > 0) {
          bytes += parts_.child->Slice(cell.list.begin, cell.list.size).OwnBytes();
        }
      }
      break;
    case Type::kNull:
    case Type::kBool:
    case Type::kInt64:
    case Type::kDouble: break;
  }
  return bytes;
}

}  // namespace glim
