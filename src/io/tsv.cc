// SPDX-License-Identifier: Apache-2.0
#include "io/tsv.h"

#include <fmt/core.h>

#include <cstring>
#include <span>
#include <utility>

#include "base/try.h"
#include "io/byte_scan.h"
#include "io/row_format.h"

namespace glim::io {
namespace {

constexpr size_t kRowsMax = 4096;
constexpr size_t kBytesMax = UINT32_MAX;  // What the offset of a view can say.

// Numbers of the two blocks of a batch.
constexpr uint32_t kChunk = 0;
constexpr uint32_t kCarried = 1;

}  // namespace

Status AppendTsv(const Batch& batch, std::string_view nil, std::string* out) {
  bool may_have_nulls = false;
  std::string text;
  for (int i = 0; i < batch.column_count(); ++i) {
    text += i == 0 ? "%v" : "\t%v";
    may_have_nulls = may_have_nulls || batch.column(i).may_have_nulls();
  }
  if (!may_have_nulls) {
    ASSIGN_OR_RETURN(const RowFormat rows, RowFormat::Parse(text + "\n"));
    return rows.AppendBatch(batch, out);
  }
  for (int64_t row = 0; row < batch.row_count(); ++row) {
    for (int i = 0; i < batch.column_count(); ++i) {
      if (i > 0) *out += '\t';
      const Cell cell = batch.At(row, i);
      if (cell.is_null()) {
        *out += nil;
      } else {
        RETURN_IF_ERROR(AppendCell({}, cell, out));
      }
    }
    *out += '\n';
  }
  return Status::Ok();
}

std::optional<std::string_view> TsvInPlace(const Batch& batch) {
  if (batch.column_count() != 1 || batch.row_count() == 0) return std::nullopt;
  const Column& column = batch.column(0);
  if (column.type() != Type::kBytes || column.may_have_nulls()) return std::nullopt;
  const std::span<const BytesView> views = column.Views();
  // Short ones are copies in their views; the first long one tells where all must lie.
  size_t before = 0, first = 0;
  for (; first < views.size() && views[first].is_inline(); ++first) before += views[first].size + 1;
  if (first == views.size() || views[first].ref.offset < before) return std::nullopt;
  const uint32_t number = views[first].ref.block;
  const Buffer& block = *(*column.parts().blocks)[number];
  const size_t begin = views[first].ref.offset - before;
  size_t at = begin;
  for (const BytesView& view : views) {
    if (view.size >= block.size() - at) return std::nullopt;
    const bool is_here = view.is_inline() ? std::memcmp(block.data() + at, view.inlined, view.size) == 0
                                          : view.ref.block == number && view.ref.offset == at;
    at += view.size;
    if (!is_here || block.data()[at++] != '\n') return std::nullopt;
  }
  return std::string_view(block.data() + begin, at - begin);
}

Status TsvReader::Feed(BufferRef chunk, size_t size) {
  if (size > kBytesMax) return Status::Invalid("a chunk of more than 4 GB");
  const char* data = chunk->data();
  const void* newline = size > 0 ? std::memchr(data, '\n', size) : nullptr;
  if (newline == nullptr) return Carry({data, size});
  size_t line = 0;
  BufferRef carried;
  if (!partial_.empty()) {
    line = static_cast<size_t>(static_cast<const char*>(newline) - data) + 1;
    RETURN_IF_ERROR(Carry({data, line - 1}));
    carried = TakePartial();
  }
  const Blocks blocks = std::make_shared<const std::vector<BufferRef>>(carried ? std::vector<BufferRef>{chunk, carried}
                                                                               : std::vector<BufferRef>{chunk});
  if (carried != nullptr) CutLine(carried->data(), carried->size(), blocks);

  size_t field = line;
  ForEachMatch(data, line, size, {delimiter_, '\n'}, [&](size_t hit) {
    line_views_.push_back(
        MakeView(data + field, size - field, static_cast<uint32_t>(hit - field), kChunk, static_cast<uint32_t>(field)));
    field = hit + 1;
    if (data[hit] == '\n') {
      EndLine(blocks);
      line = field;
    }
    return true;
  });
  line_views_.clear();  // Of the line that does not end here.
  CutBatch(blocks);
  return Carry({data + line, size - line});
}

Status TsvReader::Feed(std::string_view bytes) {
  auto chunk = Buffer::Allocate(bytes.size());
  if (!bytes.empty()) std::memcpy(chunk->mutable_data(), bytes.data(), bytes.size());
  return Feed(std::move(chunk), bytes.size());
}

Status TsvReader::Finish() {
  if (partial_.empty()) return Status::Ok();
  BufferRef carried = TakePartial();
  const Blocks blocks = std::make_shared<const std::vector<BufferRef>>(std::vector<BufferRef>{carried, carried});
  CutLine(carried->data(), carried->size(), blocks);
  CutBatch(blocks);
  return Status::Ok();
}

std::optional<Batch> TsvReader::Next() {
  if (ready_.empty()) return std::nullopt;
  Batch batch = std::move(ready_.front());
  ready_.pop_front();
  return batch;
}

Status TsvReader::Carry(std::string_view bytes) {
  if (partial_.size() + bytes.size() > kBytesMax) return Status::Invalid("a line of more than 4 GB");
  partial_ += bytes;
  return Status::Ok();
}

BufferRef TsvReader::TakePartial() {
  auto block = Buffer::Allocate(partial_.size());
  std::memcpy(block->mutable_data(), partial_.data(), partial_.size());
  partial_.clear();
  return block;
}

void TsvReader::CutLine(const char* data, size_t size, const Blocks& blocks) {
  size_t field = 0;
  const auto add = [&](size_t end) {
    line_views_.push_back(
        BytesView::Make(data + field, static_cast<uint32_t>(end - field), kCarried, static_cast<uint32_t>(field)));
    field = end + 1;
    return true;
  };
  ForEachMatch(data, 0, size, {delimiter_}, add);
  add(size);
  EndLine(blocks);
}

void TsvReader::EndLine(const Blocks& blocks) {
  if (line_views_.size() != width_ || views_.size() >= kRowsMax * width_) {
    CutBatch(blocks);
    width_ = line_views_.size();
  }
  views_.insert(views_.end(), line_views_.begin(), line_views_.end());
  line_views_.clear();
}

void TsvReader::CutBatch(const Blocks& blocks) {
  if (views_.empty()) return;
  const size_t rows = views_.size() / width_;
  std::vector<Column> columns;
  std::vector<BytesView> column(rows);
  for (size_t i = 0; i < width_; ++i) {
    for (size_t row = 0; row < rows; ++row) column[row] = views_[row * width_ + i];
    columns.push_back(ColumnOfViews(column.data(), static_cast<int64_t>(rows), blocks));
  }
  views_.clear();
  ready_.emplace_back(std::move(columns), static_cast<int64_t>(rows));
}

}  // namespace glim::io
