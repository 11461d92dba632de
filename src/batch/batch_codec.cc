// SPDX-License-Identifier: Apache-2.0
#include "batch/batch_codec.h"

#include <fmt/core.h>

#include <limits>
#include <numeric>

#include "base/check.h"
#include "base/try.h"

namespace glim::batch {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr int kDepthMax = 200;  // Of lists in lists.

template <class T>
void Append(T value, std::string* out) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(T));
}

// Room for `size` bytes more.
char* Extend(size_t size, std::string* out) {
  out->resize(out->size() + size);
  return out->data() + out->size() - size;
}

size_t BitBytes(int64_t rows) { return static_cast<size_t>(rows + 7) / 8; }

// A bit for each row, `bit(row)`.
template <class Bit>
void AppendBits(int64_t rows, Bit bit, std::string* out) {
  char* const bytes = Extend(BitBytes(rows), out);
  std::memset(bytes, 0, BitBytes(rows));
  for (int64_t row = 0; row < rows; ++row) {
    if (bit(row)) bytes[row >> 3] = static_cast<char>(bytes[row >> 3] | 1 << (row & 7));
  }
}

void EncodeColumn(const Column& column, std::string* out);

void EncodeBytes(const Column& column, bool nulls, std::string* out) {
  const auto views = column.Views();
  char* sizes = Extend(views.size() * sizeof(uint32_t), out);
  size_t total = 0;
  for (size_t row = 0; row < views.size(); ++row) {
    const uint32_t size = nulls && column.IsNull(static_cast<int64_t>(row)) ? 0 : views[row].size;
    std::memcpy(sizes + row * sizeof(size), &size, sizeof(size));
    total += size;
  }
  // A short one is copied as it lies in its view, whole: what is too much is written over, or cut off in the end.
  constexpr size_t kSlack = BytesView::kInlineMax;
  char* to = Extend(total + kSlack, out);
  for (size_t row = 0; row < views.size(); ++row) {
    if (nulls && column.IsNull(static_cast<int64_t>(row))) continue;
    const BytesView& view = views[row];
    if (view.is_inline()) {
      std::memcpy(to, view.inlined, sizeof(view.inlined));
    } else {
      std::memcpy(to, column.Resolve(view).data(), view.size);
    }
    to += view.size;
  }
  out->resize(out->size() - kSlack);
}

void EncodeList(const Column& column, std::string* out) {
  const Column::Parts& parts = column.parts();
  const int32_t* offsets = parts.values->As<int32_t>() + parts.offset;
  for (int64_t row = 0; row < parts.length; ++row) Append(static_cast<uint32_t>(offsets[row + 1] - offsets[row]), out);
  const int64_t elements = offsets[parts.length] - offsets[0];
  Append(elements, out);
  // A column of nothing but empty lists may have no elements at all.
  EncodeColumn(elements == 0 ? Column::Nulls(0) : parts.child->Slice(offsets[0], elements), out);
}

void EncodeAny(const Column& column, std::string* out) {
  const auto tags = column.Tags();
  const auto cells = column.AnyCells();
  std::memcpy(Extend(tags.size(), out), tags.data(), tags.size());
  std::vector<uint32_t> elements;
  for (size_t row = 0; row < tags.size(); ++row) {
    const AnyCell& cell = cells[row];
    switch (tags[row]) {
      case Type::kBytes: Append(int64_t{cell.bytes.size}, out); break;
      case Type::kList:
        Append(cell.list.size, out);
        elements.resize(elements.size() + static_cast<size_t>(cell.list.size));
        std::iota(elements.end() - cell.list.size, elements.end(), static_cast<uint32_t>(cell.list.begin));
        break;
      case Type::kBool:
      case Type::kInt64:
      case Type::kDouble: Append(cell.int64, out); break;
      case Type::kNull:
      case Type::kAny: Append(int64_t{0}, out); break;
    }
  }
  for (size_t row = 0; row < tags.size(); ++row) {
    if (tags[row] == Type::kBytes) out->append(column.Resolve(cells[row].bytes));
  }
  Append(static_cast<int64_t>(elements.size()), out);
  if (!elements.empty()) EncodeColumn(column.parts().child->Gather(elements), out);
}

void EncodeColumn(const Column& column, std::string* out) {
  const Column::Parts& parts = column.parts();
  const bool nulls = parts.type != Type::kNull && parts.type != Type::kAny && parts.validity != nullptr;
  out->push_back(static_cast<char>(parts.type));
  out->push_back(nulls ? 1 : 0);
  if (nulls) AppendBits(parts.length, [&](int64_t row) { return !column.IsNull(row); }, out);
  switch (parts.type) {
    case Type::kNull: return;
    case Type::kBool: return AppendBits(parts.length, [&](int64_t row) { return column.BoolAt(row); }, out);
    case Type::kInt64:
    case Type::kDouble: {
      const size_t size = static_cast<size_t>(parts.length) * sizeof(int64_t);
      std::memcpy(Extend(size, out), column.Int64s().data(), size);
      return;
    }
    case Type::kBytes: return EncodeBytes(column, nulls, out);
    case Type::kList: return EncodeList(column, out);
    case Type::kAny: return EncodeAny(column, out);
  }
}

Status Corrupt(const char* what) { return Status::Corrupt(fmt::format("damaged batch: {}", what)); }

class Decoder {
 public:
  Decoder(const BufferRef& bytes, size_t begin)
      : bytes_(bytes), blocks_(std::make_shared<const std::vector<BufferRef>>(1, bytes)), at_(begin) {}

  Result<Batch> Run() {
    ASSIGN_OR_RETURN(const auto rows, Take<uint32_t>());
    ASSIGN_OR_RETURN(const auto columns, Take<uint32_t>());
    if (columns > Left()) return Corrupt("more columns than bytes");
    std::vector<Column> made;
    for (uint32_t c = 0; c < columns; ++c) {
      ASSIGN_OR_RETURN(Column column, TakeColumn(rows, 0));
      made.push_back(std::move(column));
    }
    return at_ == bytes_->size() ? Result<Batch>(Batch(std::move(made), rows)) : Corrupt("bytes behind it");
  }

 private:
  size_t Left() const { return bytes_->size() - at_; }

  Result<const char*> TakeBytes(uint64_t size) {
    if (size > Left()) return Corrupt("it ends too early");
    const char* const from = bytes_->data() + at_;
    at_ += size;
    return from;
  }

  template <class T>
  Result<T> Take() {
    ASSIGN_OR_RETURN(const char* const from, TakeBytes(sizeof(T)));
    T value;
    std::memcpy(&value, from, sizeof(T));
    return value;
  }

  // `count` numbers, copied: they may lie anywhere here.
  Result<BufferRef> TakeNumbers(int64_t count, size_t size) {
    ASSIGN_OR_RETURN(const char* const from, TakeBytes(static_cast<uint64_t>(count) * size));
    auto buffer = Buffer::Allocate(static_cast<size_t>(count) * size);
    std::memcpy(buffer->mutable_data(), from, buffer->size());
    return BufferRef(std::move(buffer));
  }

  Result<BufferRef> TakeBits(int64_t rows) { return TakeNumbers(static_cast<int64_t>(BitBytes(rows)), 1); }

  // `rows` is below 2^32, so no product here is too large.
  Result<Column> TakeColumn(int64_t rows, int depth) {
    if (depth > kDepthMax) return Corrupt("lists in lists without end");
    Column::Parts parts;
    ASSIGN_OR_RETURN(parts.type, Take<Type>());
    ASSIGN_OR_RETURN(const auto nulls, Take<uint8_t>());
    parts.length = rows;
    if (nulls > 1 || (nulls == 1 && (parts.type == Type::kNull || parts.type == Type::kAny)))
      return Corrupt("its nils");
    if (nulls == 1) {
      ASSIGN_OR_RETURN(parts.validity, TakeBits(rows));
      parts.null_count = -1;
    }
    switch (parts.type) {
      case Type::kNull: return Column::Nulls(rows);
      case Type::kBool: {
        ASSIGN_OR_RETURN(parts.values, TakeBits(rows));
        return Column(std::move(parts));
      }
      case Type::kInt64:
      case Type::kDouble: {
        ASSIGN_OR_RETURN(parts.values, TakeNumbers(rows, sizeof(int64_t)));
        return Column(std::move(parts));
      }
      case Type::kBytes: return TakeViews(std::move(parts));
      case Type::kList: return TakeList(std::move(parts), depth);
      case Type::kAny: return TakeAny(std::move(parts), depth);
    }
    return Corrupt("its type");
  }

  // Of bytes that come next.
  Result<BytesView> TakeView(uint64_t size) {
    const size_t offset = at_;
    ASSIGN_OR_RETURN(const char* const from, TakeBytes(size));
    return BytesView::Make(from, static_cast<uint32_t>(size), 0, static_cast<uint32_t>(offset));
  }

  Result<Column> TakeViews(Column::Parts parts) {
    ASSIGN_OR_RETURN(const char* const sizes, TakeBytes(static_cast<uint64_t>(parts.length) * sizeof(uint32_t)));
    const auto size_of = [sizes](int64_t row) {
      uint32_t size;
      std::memcpy(&size, sizes + row * static_cast<int64_t>(sizeof(size)), sizeof(size));
      return size;
    };
    uint64_t total = 0;
    for (int64_t row = 0; row < parts.length; ++row) total += size_of(row);
    size_t at = at_;
    RETURN_IF_ERROR(TakeBytes(total).status());
    auto buffer = Buffer::Allocate(static_cast<size_t>(parts.length) * sizeof(BytesView));
    auto* const views = buffer->MutableAs<BytesView>();
    const char* const data = bytes_->data();
    // Up to here, 16 bytes may be read from each.
    const size_t readable = bytes_->size() < sizeof(BytesView) ? 0 : bytes_->size() - sizeof(BytesView) + 1;
    for (int64_t row = 0; row < parts.length; ++row) {
      const uint32_t size = size_of(row);
      const auto offset = static_cast<uint32_t>(at);
      views[row] = at < readable ? BytesView::MakeReadable(data + at, size, 0, offset)
                                 : BytesView::Make(data + at, size, 0, offset);
      at += size;
    }
    parts.values = std::move(buffer);
    parts.blocks = blocks_;
    return Column(std::move(parts));
  }

  Result<Column> TakeList(Column::Parts parts, int depth) {
    ASSIGN_OR_RETURN(const char* const counts, TakeBytes(static_cast<uint64_t>(parts.length) * sizeof(uint32_t)));
    auto offsets = Buffer::Allocate(static_cast<size_t>(parts.length + 1) * sizeof(int32_t));
    int64_t total = 0;
    for (int64_t row = 0; row < parts.length; ++row) {
      offsets->MutableAs<int32_t>()[row] = static_cast<int32_t>(total);
      uint32_t count;
      std::memcpy(&count, counts + row * static_cast<int64_t>(sizeof(count)), sizeof(count));
      total += count;
      if (total > std::numeric_limits<int32_t>::max()) return Corrupt("its lists");
    }
    offsets->MutableAs<int32_t>()[parts.length] = static_cast<int32_t>(total);
    ASSIGN_OR_RETURN(const auto elements, Take<int64_t>());
    if (elements != total) return Corrupt("its lists");
    ASSIGN_OR_RETURN(Column child, TakeColumn(elements, depth + 1));
    parts.child = std::make_shared<const Column>(std::move(child));
    parts.values = std::move(offsets);
    return Column(std::move(parts));
  }

  Result<Column> TakeAny(Column::Parts parts, int depth) {
    ASSIGN_OR_RETURN(parts.tags, TakeNumbers(parts.length, sizeof(Type)));
    ASSIGN_OR_RETURN(const char* const values, TakeBytes(static_cast<uint64_t>(parts.length) * sizeof(int64_t)));
    auto cells = Buffer::Allocate(static_cast<size_t>(parts.length) * sizeof(AnyCell));
    int64_t elements = 0;
    for (int64_t row = 0; row < parts.length; ++row) {
      AnyCell& cell = cells->MutableAs<AnyCell>()[row];
      std::memset(&cell, 0, sizeof(cell));
      int64_t value;
      std::memcpy(&value, values + row * static_cast<int64_t>(sizeof(value)), sizeof(value));
      switch (parts.tags->As<Type>()[row]) {
        case Type::kNull: break;
        case Type::kBool:
        case Type::kInt64:
        case Type::kDouble: cell.int64 = value; break;
        case Type::kBytes: {
          if (value < 0) return Corrupt("its sizes");
          ASSIGN_OR_RETURN(cell.bytes, TakeView(static_cast<uint64_t>(value)));
          break;
        }
        case Type::kList:
          if (value < 0 || value > std::numeric_limits<int32_t>::max() - elements) return Corrupt("its lists");
          cell.list = {elements, value};
          elements += value;
          break;
        case Type::kAny:
        default: return Corrupt("its types");
      }
    }
    ASSIGN_OR_RETURN(const auto told, Take<int64_t>());
    if (told != elements) return Corrupt("its lists");
    Column child = Column::Nulls(0);
    if (elements > 0) {
      ASSIGN_OR_RETURN(child, TakeColumn(elements, depth + 1));
    }
    parts.child = std::make_shared<const Column>(std::move(child));
    parts.values = std::move(cells);
    parts.blocks = blocks_;
    return Column(std::move(parts));
  }

  const BufferRef& bytes_;
  const Blocks blocks_;
  size_t at_;
};

}  // namespace

void EncodeBatch(const Batch& batch, std::string* out) {
  CHECK_LE(batch.row_count(), int64_t{std::numeric_limits<uint32_t>::max()});
  Append(static_cast<uint32_t>(batch.row_count()), out);
  Append(static_cast<uint32_t>(batch.column_count()), out);
  for (const Column& column : batch.columns()) EncodeColumn(column, out);
}

Result<Batch> DecodeBatch(const BufferRef& bytes, size_t begin) {
  CHECK(begin <= bytes->size());
  if (bytes->size() > std::numeric_limits<uint32_t>::max()) return Corrupt("it is too large");
  return Decoder(bytes, begin).Run();
}

}  // namespace glim::batch
