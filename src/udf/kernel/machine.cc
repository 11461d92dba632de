// SPDX-License-Identifier: Apache-2.0
#include "udf/kernel/machine.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "udf/kernel/arithmetic.h"

namespace glim::udf {
namespace {

constexpr int64_t kExactMax = int64_t{1} << 53;

// The number of its argument.
void PutCell(int argument, uint32_t row, Tag* tags, double* numbers) {
  tags[row] = Tag::kCell;
  numbers[row] = argument;
}

void LoadIntegers(const Column& column, int argument, Values* out) {
  const std::span<const int64_t> integers = column.Int64s();
  double* const numbers = out->MakeNumbers();
  bool exact = true;
  for (size_t row = 0; row < integers.size(); ++row) {
    numbers[row] = static_cast<double>(integers[row]);
    exact &= integers[row] >= -kExactMax && integers[row] <= kExactMax;
  }
  if (exact) return out->Start(Tag::kNumber);
  Tag* const tags = out->StartTags();
  for (uint32_t row = 0; row < integers.size(); ++row) {
    tags[row] = Tag::kNumber;
    if (integers[row] < -kExactMax || integers[row] > kExactMax) PutCell(argument, row, tags, numbers);
  }
}

Text TextOf(const Column& column, const BytesView& view, uint32_t first_block) {
  return {column.Resolve(view).data(), view.size, view.is_inline() ? 0 : first_block + view.ref.block};
}

void LoadAny(const Column& column, int argument, uint32_t first_block, Values* out) {
  Tag* const tags = out->StartTags();
  double* const numbers = out->MakeNumbers();
  Text* const texts = out->MakeTexts();
  for (uint32_t row = 0; row < column.length(); ++row) {
    const Cell cell = column.At(row);
    switch (cell.type()) {
      case Type::kBool: tags[row] = cell.as_bool() ? Tag::kTrue : Tag::kFalse; break;
      case Type::kInt64:
        tags[row] = Tag::kNumber;
        numbers[row] = static_cast<double>(cell.as_int64());
        if (cell.as_int64() < -kExactMax || cell.as_int64() > kExactMax) PutCell(argument, row, tags, numbers);
        break;
      case Type::kDouble:
        tags[row] = Tag::kNumber;
        numbers[row] = cell.as_double();
        break;
      case Type::kBytes:
        tags[row] = Tag::kText;
        texts[row] = TextOf(column, column.type() == Type::kAny ? column.AnyCells()[row].bytes : column.Views()[row],
                            first_block);
        break;
      case Type::kList: PutCell(argument, row, tags, numbers); break;
      case Type::kNull:
      case Type::kAny: tags[row] = Tag::kNil; break;
    }
  }
}

void LoadColumn(const Column& column, int argument, uint32_t first_block, Values* out) {
  out->Clear();
  if (column.type() == Type::kNull) return out->Start(Tag::kNil);
  if (column.may_have_nulls() || column.type() == Type::kBool || column.type() == Type::kList) {
    return LoadAny(column, argument, first_block, out);
  }
  if (column.type() == Type::kInt64) return LoadIntegers(column, argument, out);
  if (column.type() == Type::kDouble) return out->PointTo(column.Doubles().data());
  out->Start(Tag::kText);
  Text* texts = out->MakeTexts();
  for (const BytesView& view : column.Views()) *texts++ = TextOf(column, view, first_block);
}

}  // namespace

Machine::Machine(Program program)
    : program_(std::move(program)), values_(program_.values.size()), is_computed_with_(program_.values.size()) {
  for (const Block& block : program_.blocks) {
    for (const Instruction& instruction : block.code) {
      for (const int value : instruction.in) is_computed_with_[value] = true;
    }
    for (const int value : {block.a, block.b}) {
      if (value >= 0) is_computed_with_[value] = true;
    }
    for (const Edge& edge : block.edges) {
      for (const auto& [from, to] : edge.copies) is_computed_with_[from] = true;
    }
  }
  size_t bytes = 0;
  for (const Constant& constant : program_.constants) bytes += constant.text.size();
  const auto texts = Buffer::Allocate(bytes);
  constant_texts_ = texts;
  char* free = texts->mutable_data();
  for (size_t v = 0; v < values_.size(); ++v) {
    if (program_.values[v].constant < 0) continue;
    const Constant& constant = program_.constants[program_.values[v].constant];
    values_[v].Start(constant.tag);
    if (constant.tag == Tag::kNumber) std::fill_n(values_[v].MakeNumbers(), kSliceRows, constant.number);
    if (constant.tag != Tag::kText) continue;
    std::copy(constant.text.begin(), constant.text.end(), free);
    const Text text{free, static_cast<uint32_t>(constant.text.size()), 0};
    std::fill_n(values_[v].MakeTexts(), kSliceRows, text);
    free += constant.text.size();
  }
}

void Machine::Run(const Batch& slice) {
  const auto count = static_cast<uint32_t>(slice.row_count());
  CHECK_LE(count, kSliceRows);
  Load(slice);
  failures_.Clear(count);
  returned_.clear();
  arrived_.assign(program_.blocks.size(), Selection());
  arrived_[0] = Selection(count);
  for (size_t b = 0; b < program_.blocks.size(); ++b) {
    const Block& block = program_.blocks[b];
    Selection rows = std::move(arrived_[b]);
    for (const Instruction& instruction : block.code) {
      if (rows.empty()) break;
      Compute(instruction, &rows);
    }
    if (rows.empty()) continue;
    switch (block.ending) {
      case Ending::kJump: Send(block.edges[0], rows); break;
      case Ending::kBranch: {
        const Selection others = Choose(block, &rows);
        Send(block.edges[0], rows);
        Send(block.edges[1], others);
        break;
      }
      case Ending::kReturn:
      case Ending::kMatches:
      case Ending::kPieces: returned_.push_back({&block, std::move(rows)}); break;
    }
  }
}

void Machine::Load(const Batch& slice) {
  texts_.Start(constant_texts_);
  for (size_t v = 0; v < values_.size(); ++v) {
    const ValueSource& source = program_.values[v];
    if (source.constant >= 0) continue;
    values_[v].Clear();
    if (source.argument < 0 || !is_computed_with_[v]) continue;
    if (source.argument >= slice.column_count()) {
      values_[v].Start(Tag::kNil);
      continue;
    }
    const Column& column = slice.column(source.argument);
    const Blocks& blocks = column.parts().blocks;
    LoadColumn(column, source.argument, blocks == nullptr ? 0 : texts_.AddBlocks(blocks), &values_[v]);
  }
}

void Machine::Compute(const Instruction& instruction, Selection* rows) {
  const uint32_t failed = failures_.count();
  const auto in = [&](int i) -> const Values& { return values_[instruction.in[i]]; };
  Values* const out = instruction.out.empty() ? nullptr : &values_[instruction.out[0]];
  switch (instruction.op) {
    case Operation::kAdd: Add(in(0), in(1), *rows, out, &failures_); break;
    case Operation::kSubtract: Subtract(in(0), in(1), *rows, out, &failures_); break;
    case Operation::kMultiply: Multiply(in(0), in(1), *rows, out, &failures_); break;
    case Operation::kDivide: Divide(in(0), in(1), *rows, out, &failures_); break;
    case Operation::kModulo: Modulo(in(0), in(1), *rows, out, &failures_); break;
    case Operation::kNegate: Negate(in(0), *rows, out, &failures_); break;
    case Operation::kFloor: Floor(in(0), *rows, out, &failures_); break;
    case Operation::kCeil: Ceil(in(0), *rows, out, &failures_); break;
    case Operation::kAbs: Abs(in(0), *rows, out, &failures_); break;
    case Operation::kSqrt: Sqrt(in(0), *rows, out, &failures_); break;
    case Operation::kMax: Max(in(0), in(1), *rows, out, &failures_); break;
    case Operation::kMin: Min(in(0), in(1), *rows, out, &failures_); break;
    case Operation::kNot: Not(in(0), *rows, out); break;
    default: ComputeText(instruction, *rows);
  }
  if (failures_.count() > failed) {
    *rows = rows->Where([&](uint32_t row) { return !failures_.Has(row); });
  }
}

void Machine::ComputeText(const Instruction& instruction, const Selection& rows) {
  in_.clear();
  out_.clear();
  for (const int value : instruction.in) in_.push_back(&values_[value]);
  for (const int value : instruction.out) out_.push_back(&values_[value]);
  const TextRun run{in_, out_, &rows, &texts_, &failures_};
  switch (instruction.op) {
    case Operation::kRequireText: return RequireText(run);
    case Operation::kLength: return Length(run);
    case Operation::kConcatenate: return Concatenate(run);
    case Operation::kToNumber: return ToNumber(run);
    case Operation::kToText: return ToText(run);
    case Operation::kTypeName: return TypeName(run);
    case Operation::kSub: return Sub(run);
    case Operation::kByte: return Byte(run);
    case Operation::kLower: return Lower(run);
    case Operation::kUpper: return Upper(run);
    case Operation::kReverse: return Reverse(run);
    case Operation::kRepeat: return Repeat(run);
    case Operation::kFindPlain: return FindPlain(run);
    case Operation::kFind: return Find(run, program_.patterns[instruction.pattern]);
    case Operation::kMatch: return Match(run, program_.patterns[instruction.pattern]);
    case Operation::kReplace:
      return Replace(run, program_.patterns[instruction.pattern], program_.replacements[instruction.pieces]);
    case Operation::kFormat: return Format(run, program_.formats[instruction.pieces]);
    default: CHECK(false);
  }
}

// Leaves in `rows` those for which the test holds, and returns the others.
Selection Machine::Choose(const Block& block, Selection* rows) {
  const Values& a = values_[block.a];
  std::vector<uint8_t>& holds = holds_;
  holds.resize(kSliceRows);
  const uint32_t failed = failures_.count();
  switch (block.test) {
    case Test::kIsTrue: rows->Each([&](uint32_t row) { holds[row] = a.IsTrue(row); }); break;
    case Test::kIsNil: rows->Each([&](uint32_t row) { holds[row] = a.tag(row) == Tag::kNil; }); break;
    case Test::kLess: Less(a, values_[block.b], *rows, holds.data(), &failures_); break;
    case Test::kLessOrEqual: LessOrEqual(a, values_[block.b], *rows, holds.data(), &failures_); break;
    case Test::kEqual: Equal(a, values_[block.b], *rows, holds.data(), &failures_); break;
  }
  if (failures_.count() > failed) {
    *rows = rows->Where([&](uint32_t row) { return !failures_.Has(row); });
  }
  Selection others = rows->Where([&](uint32_t row) { return holds[row] == 0; });
  *rows = rows->Where([&](uint32_t row) { return holds[row] != 0; });
  return others;
}

void Machine::Send(const Edge& edge, const Selection& rows) {
  if (rows.empty()) return;
  for (const auto& [from, to] : edge.copies) values_[to].Copy(values_[from], rows);
  arrived_[edge.to].Add(rows);
}

}  // namespace glim::udf
