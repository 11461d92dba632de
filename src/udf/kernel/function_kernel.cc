// SPDX-License-Identifier: Apache-2.0
#include "udf/kernel/function_kernel.h"

#include <algorithm>

#include "base/try.h"
#include "udf/lua_gmatch.h"
#include "udf/lua_values.h"

namespace glim::udf {
namespace {

Column NumberColumn(const double* numbers, uint32_t count) {
  if (std::all_of(numbers, numbers + count, IsLuaInteger)) {
    std::vector<int64_t> integers(count);
    std::transform(numbers, numbers + count, integers.begin(),
                   [](double number) { return static_cast<int64_t>(number); });
    return Column::FromInt64s(integers);
  }
  return Column::FromDoubles({numbers, count});
}

Column TextColumn(const Text* texts, uint32_t count, Machine* machine) {
  Column::Parts parts;
  parts.type = Type::kBytes;
  parts.length = count;
  const auto views = Buffer::Allocate(count * sizeof(BytesView));
  auto* view = views->MutableAs<BytesView>();
  // Short texts need no blocks, and should not keep those of the file.
  const bool all_inline =
      std::all_of(texts, texts + count, [](const Text& text) { return text.size <= BytesView::kInlineMax; });
  parts.blocks = all_inline ? std::make_shared<const std::vector<BufferRef>>() : machine->ShareBlocks();
  for (uint32_t row = 0; row < count; ++row) {
    const Text& text = texts[row];
    const bool is_inline = text.size <= BytesView::kInlineMax;
    const auto offset = is_inline ? 0 : static_cast<uint32_t>(text.data - (*parts.blocks)[text.block]->data());
    *view++ = BytesView::Make(text.data, text.size, text.block, offset);
  }
  parts.values = views;
  return Column(std::move(parts));
}

// As the helper split does it.
void GivePieces(std::string_view text, std::string_view separator, RowEmitter& emitter) {
  for (size_t begin = 0; !emitter.stopped();) {
    const size_t end = separator.empty() ? text.npos : text.find(separator, begin);
    emitter.StartRow(1);
    emitter.column(0).AppendBytes(text.substr(begin, end - begin));
    emitter.EndRow();
    if (end == text.npos) return;
    begin = end + separator.size();
  }
}

}  // namespace

Status FunctionKernel::Run(const Batch& in, BatchOutput& out, const RowInLua& in_lua) {
  RowEmitter emitter(&out);
  std::vector<uint32_t> kept;
  for (int64_t begin = 0; begin < in.row_count() && !emitter.full(); begin += kSliceRows) {
    const Batch slice = in.Slice(begin, std::min<int64_t>(kSliceRows, in.row_count() - begin));
    machine_.Run(slice);
    rows_ += slice.row_count();
    rows_in_lua_ += machine_.failures().count();
    if (role_ == FunctionRole::kFilter) {
      RETURN_IF_ERROR(FilterSlice(in_lua, begin, static_cast<uint32_t>(slice.row_count()), emitter, &kept));
    } else {
      RETURN_IF_ERROR(MapSlice(slice, in_lua, begin, emitter));
    }
  }
  if (role_ == FunctionRole::kFilter) return out.Push(in.Gather(kept));
  return emitter.Flush();
}

void FunctionKernel::SortByRow(uint32_t count) {
  by_row_.assign(count, nullptr);
  for (const auto& [block, rows] : machine_.returned()) {
    rows.Each([&, block = block](uint32_t row) { by_row_[row] = block; });
  }
}

Status FunctionKernel::FilterSlice(const RowInLua& in_lua, int64_t begin, uint32_t count, RowEmitter& emitter,
                                   std::vector<uint32_t>* kept) {
  SortByRow(count);
  for (uint32_t row = 0; row < count; ++row) {
    if (by_row_[row] == nullptr) {
      if (emitter.full()) break;
      RETURN_IF_ERROR(in_lua(begin + row, emitter, kept));
      continue;
    }
    const int value = by_row_[row]->a;
    if (value >= 0 && machine_.values(value).IsTrue(row)) kept->push_back(static_cast<uint32_t>(begin) + row);
  }
  return Status::Ok();
}

Status FunctionKernel::MapSlice(const Batch& slice, const RowInLua& in_lua, int64_t begin, RowEmitter& emitter) {
  const auto count = static_cast<uint32_t>(slice.row_count());
  const auto& returned = machine_.returned();
  if (role_ == FunctionRole::kMap && returned.size() == 1 && returned[0].rows.size() == count && !emitter.has_rows()) {
    std::vector<Column> columns;
    for (const int value : returned[0].block->results) columns.push_back(ResultColumn(slice, value));
    if (!columns.empty()) emitter.PushBatch(Batch(std::move(columns), count));
    return Status::Ok();
  }
  SortByRow(count);
  for (uint32_t row = 0; row < count && !emitter.full(); ++row) {
    if (by_row_[row] == nullptr) {
      RETURN_IF_ERROR(in_lua(begin + row, emitter, nullptr));
      continue;
    }
    if (role_ == FunctionRole::kFlatMap) {
      RETURN_IF_ERROR(IterateRow(*by_row_[row], row, in_lua, begin, emitter));
      continue;
    }
    const std::vector<int>& results = by_row_[row]->results;
    if (results.empty()) continue;
    emitter.StartRow(static_cast<int>(results.size()));
    for (size_t c = 0; c < results.size(); ++c) {
      AppendResult(slice, results[c], row, &emitter.column(static_cast<int>(c)));
    }
    emitter.EndRow();
  }
  return Status::Ok();
}

Status FunctionKernel::IterateRow(const Block& block, uint32_t row, const RowInLua& in_lua, int64_t begin,
                                  RowEmitter& emitter) {
  if (block.ending == Ending::kReturn) {
    // Nothing, or else Lua says what is wrong with it.
    if (block.a < 0 || machine_.values(block.a).tag(row) == Tag::kNil) return Status::Ok();
    return in_lua(begin + row, emitter, nullptr);
  }
  const std::string_view text = machine_.values(block.a).texts()[row].view();
  if (block.ending == Ending::kMatches) {
    GiveMatches(machine_.program().patterns[block.pattern].pattern, text, 0, &emitter);
  } else {
    GivePieces(text, machine_.values(block.b).texts()[row].view(), emitter);
  }
  return Status::Ok();
}

Column FunctionKernel::ResultColumn(const Batch& slice, int value) {
  const auto count = static_cast<uint32_t>(slice.row_count());
  const ValueSource& source = machine_.program().values[value];
  if (source.argument >= 0) {
    return source.argument < slice.column_count() ? ThroughLua(slice.column(source.argument)) : Column::Nulls(count);
  }
  if (source.constant >= 0) return Constants(value, count);
  const Values& values = machine_.values(value);
  if (values.AreAll(Tag::kNumber)) return NumberColumn(values.numbers(), count);
  if (values.AreAll(Tag::kText)) return TextColumn(values.texts(), count, &machine_);
  ColumnBuilder builder;
  for (uint32_t row = 0; row < count; ++row) AppendResult(slice, value, row, &builder);
  return builder.Finish();
}

Column FunctionKernel::Constants(int value, int64_t rows) {
  for (auto& [known, column] : constants_) {
    if (known == value) return column.Slice(0, rows);
  }
  ColumnBuilder builder;
  for (uint32_t row = 0; row < kSliceRows; ++row) AppendResult({}, value, row, &builder);
  constants_.emplace_back(value, builder.Finish());
  return constants_.back().second.Slice(0, rows);
}

void FunctionKernel::AppendResult(const Batch& slice, int value, uint32_t row, ColumnBuilder* column) {
  const int argument = machine_.program().values[value].argument;
  if (argument >= 0) {
    if (argument >= slice.column_count()) return column->AppendNull();
    return AppendThroughLua(slice.At(row, argument), column);
  }
  const Values& values = machine_.values(value);
  switch (values.tag(row)) {
    case Tag::kNil: return column->AppendNull();
    case Tag::kFalse: return column->AppendBool(false);
    case Tag::kTrue: return column->AppendBool(true);
    case Tag::kNumber: return AppendLuaNumber(values.numbers()[row], column);
    case Tag::kText: return column->AppendBytes(values.texts()[row].view());
    case Tag::kCell: return AppendThroughLua(slice.At(row, static_cast<int>(values.numbers()[row])), column);
  }
}

}  // namespace glim::udf
