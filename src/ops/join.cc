// SPDX-License-Identifier: Apache-2.0
#include "ops/join.h"

#include <fmt/core.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/try.h"

namespace glim::ops {

using batch::JoinKind;
using batch::KeepsLeft;
using batch::KeepsRight;

namespace {

// Only whether a left row has a partner matters.
bool AsksOnly(JoinKind kind) { return kind == JoinKind::kSemi || kind == JoinKind::kAnti; }

std::vector<int> KeysFirst(const std::vector<int>& keys, int width) {
  std::vector<int> order = keys;
  for (const int c : OtherColumns(width, keys)) order.push_back(c);
  return order;
}

// Of the keys of one side, as bits.
enum : uint8_t { kBool = 1, kNumber = 2, kBytes = 4, kList = 8, kAnyKind = 15 };

uint8_t KindOf(Type type) {
  switch (type) {
    case Type::kNull: return 0;  // Meets those of the other side, if it has any.
    case Type::kBool: return kBool;
    case Type::kInt64:
    case Type::kDouble: return kNumber;
    case Type::kBytes: return kBytes;
    case Type::kList: return kList;
    case Type::kAny: return kAnyKind;
  }
  return kAnyKind;
}

}  // namespace

std::string KeyKinds::Seen() const {
  std::string seen(1, static_cast<char>(matched()));
  for (const Kinds* side : {&left_, &right_}) {
    for (const auto& kinds : *side) seen += static_cast<char>(kinds.load(std::memory_order_relaxed));
  }
  return seen;
}

void KeyKinds::AddSeen(std::string_view seen) {
  if (seen.size() != 1 + left_.size() + right_.size()) return;
  if (seen[0] != 0) SetMatched();
  size_t at = 1;
  for (Kinds* side : {&left_, &right_}) {
    for (auto& kinds : *side) kinds.fetch_or(static_cast<uint8_t>(seen[at++]), std::memory_order_relaxed);
  }
}

std::string KeyKinds::WhyNothingMatched() const {
  constexpr std::pair<uint8_t, const char*> kNames[] = {
      {kBool, "true or false"}, {kNumber, "a number"}, {kBytes, "bytes"}, {kList, "a list"}};
  const auto text = [&](uint8_t kinds) {
    std::string names;
    for (const auto& [kind, name] : kNames) {
      if ((kinds & kind) != 0) names += (names.empty() ? "" : " or ") + std::string(name);
    }
    return names;
  };
  for (size_t i = 0; i < left_.size() && !matched(); ++i) {
    const uint8_t left = left_[i], right = right_[i];
    if (left == 0 || right == 0 || (left & right) != 0) continue;
    return fmt::format("key {} is {} on the left, {} on the right", i + 1, text(left), text(right));
  }
  return "";
}

void KeyKinds::Add(const Batch& batch, const std::vector<int>& keys, Kinds* kinds) {
  for (size_t i = 0; i < keys.size(); ++i) {
    (*kinds)[i].fetch_or(KindOf(batch.column(keys[i]).type()), std::memory_order_relaxed);
  }
}

JoinTable::JoinTable(JoinKind kind, std::vector<int> keys, int width, base::Reservation memory)
    : kind_(kind),
      keys_(std::move(keys)),
      width_(width),
      others_(AsksOnly(kind) ? std::vector<int>() : OtherColumns(width, keys_)),
      index_(keys_.size()),
      builder_(static_cast<int>(others_.size())),
      memory_(std::move(memory)) {}

Status JoinTable::Add(const Batch& right) {
  if (right.row_count() == 0) return Status::Ok();
  RETURN_IF_ERROR(CheckColumns(right, keys_));
  if (right.column_count() != width_) {
    return Status::Invalid(fmt::format("the right side has rows of {} and of {} fields: {}", width_,
                                       right.column_count(), right.RowToDebugString(0)));
  }
  index_.Insert(right, keys_, &groups_);
  if (AsksOnly(kind_)) return Status::Ok();
  group_of_row_.insert(group_of_row_.end(), groups_.begin(), groups_.end());
  for (size_t c = 0; c < others_.size(); ++c) {
    builder_.column(static_cast<int>(c)).AppendColumn(right.column(others_[c]));
  }
  builder_.EndRows(right.row_count());
  return Status::Ok();
}

int64_t JoinTable::BytesToReserve(int64_t rows) const {
  const auto seen = static_cast<int64_t>(AsksOnly(kind_) ? groups_.size() : group_of_row_.size());
  if (index_.group_count() < seen / 10 * 9) return 0;
  return std::max(index_.MemoryBytesFor(static_cast<size_t>(rows)) - index_.memory_bytes(), int64_t{0});
}

int64_t JoinTable::memory_bytes() const {
  return index_.memory_bytes() + builder_.memory_bytes() +
         2 * static_cast<int64_t>(group_of_row_.capacity() * sizeof(uint32_t));
}

std::vector<int> JoinTable::KeptColumns() const {
  std::vector<int> columns = keys_;
  columns.insert(columns.end(), others_.begin(), others_.end());
  return columns;
}

Status JoinTable::GiveRows(exchange::PartitionWriter* to) {
  index_.EndLooking();
  const Batch others = builder_.Finish();
  const int64_t rows = AsksOnly(kind_) ? index_.group_count() : others.row_count();
  for (int64_t begin = 0; begin < rows; begin += kRowsPerBatch) {
    const int64_t count = std::min(kRowsPerBatch, rows - begin);
    std::vector<Column> columns =
        AsksOnly(kind_)
            ? index_.KeysFrom(static_cast<uint32_t>(begin), static_cast<uint32_t>(count))
            : index_.KeysOf(std::span(group_of_row_).subspan(static_cast<size_t>(begin), static_cast<size_t>(count)));
    for (const Column& column : others.columns()) columns.push_back(column.Slice(begin, count));
    RETURN_IF_ERROR(to->Push(Batch(std::move(columns), count)));
  }
  return Status::Ok();
}

void JoinTable::Finish() {
  if (KeepsLeft(kind_)) {
    for (size_t c = 0; c < others_.size(); ++c) builder_.column(static_cast<int>(c)).AppendNull();
    builder_.EndRow();
  }
  rows_ = builder_.Finish();
  OrderByGroup(group_of_row_, index_.group_count(), &begins_, &order_);
}

JoinOperator::JoinOperator(OperatorContext context, JoinKind kind, std::vector<int> left_keys, RightSide right,
                           int left_width, KeyKinds* kinds, int level)
    : Operator(std::move(context)),
      kind_(kind),
      keys_(std::move(left_keys)),
      right_(std::move(right)),
      left_width_(left_width),
      kinds_(kinds),
      level_(level),
      table_(right_.table) {}

Status JoinOperator::DoOpen() {
  if (table_ != nullptr) return Status::Ok();
  ASSIGN_OR_RETURN(const bool whole, BuildTable());
  if (whole || right_parts_ != nullptr) return Status::Ok();
  // One key: all left rows are kept, to be read again for each piece.
  batch::ExchangeSpec spec;
  spec.kind = batch::ExchangeKind::kGather;
  left_parts_ =
      std::make_unique<exchange::Exchange>(std::move(spec), 1, 1, context().budget, context().space, "its left rows");
  left_writer_ = left_parts_->MakeWriter(0);
  return Status::Ok();
}

Result<bool> JoinOperator::BuildTable() {
  table_.reset();
  auto table = std::make_shared<JoinTable>(kind_, right_.keys, right_.width, Reserve());
  bool sized = false;
  while (true) {
    if (context().cancelled->load(std::memory_order_relaxed)) return Status::Cancelled("cancelled");
    ASSIGN_OR_RETURN(const std::optional<Batch> batch, right_.reader->Next());
    if (!batch.has_value()) break;
    RETURN_IF_ERROR(table->Add(*batch));
    if (kinds_ != nullptr) kinds_->AddRight(*batch, right_.keys);
    int64_t bytes = table->memory_bytes();
    if (!std::exchange(sized, true)) {
      // Unless it takes so much that the rows would hardly fit beside it.
      const int64_t more = table->BytesToReserve(right_.rows);
      if (more > 0 && bytes + more <= context().memory_share / 2) {
        table->Reserve(right_.rows);
        bytes = table->memory_bytes();
      }
    }
    ASSIGN_OR_RETURN(const bool fits, Fits(table->memory(), bytes));
    if (fits) continue;
    if (left_parts_ == nullptr && level_ < kLevelMax && table->index().group_count() > 1) {
      RETURN_IF_ERROR(DealOut(table.get()));
      return false;
    }
    table->memory()->ForceResize(bytes);
    table->Finish();
    table_ = std::move(table);
    matched_.assign(KeepsRight(kind_) ? table_->index().group_count() : 0, false);
    return false;
  }
  table->Finish();
  table_ = std::move(table);
  matched_.assign(KeepsRight(kind_) ? table_->index().group_count() : 0, false);
  return true;
}

Status JoinOperator::DealOut(JoinTable* table) {
  const std::vector<int> kept = table->KeptColumns();
  std::vector<int> keys(right_.keys.size());
  std::iota(keys.begin(), keys.end(), 0);
  right_parts_ = MakeParts(std::move(keys), level_ + 1);
  const auto writer = right_parts_->MakeWriter(0);
  RETURN_IF_ERROR(table->GiveRows(writer.get()));
  table->memory()->Clear();
  while (true) {
    if (context().cancelled->load(std::memory_order_relaxed)) return Status::Cancelled("cancelled");
    ASSIGN_OR_RETURN(const std::optional<Batch> batch, right_.reader->Next());
    if (!batch.has_value()) break;
    RETURN_IF_ERROR(CheckColumns(*batch, kept));
    RETURN_IF_ERROR(writer->Push(batch->Select(kept)));
  }
  RETURN_IF_ERROR(writer->Finish());
  left_parts_ = MakeParts(keys_, level_ + 1);
  left_writer_ = left_parts_->MakeWriter(0);
  return Status::Ok();
}

Status JoinOperator::DoPush(Batch left) {
  RETURN_IF_ERROR(CheckColumns(left, keys_));
  if (kinds_ != nullptr) kinds_->AddLeft(left, keys_);
  if (left_writer_ != nullptr) return left_writer_->Push(std::move(left));
  table_->index().Find(left, keys_, &scratch_, &groups_);
  return Match(left);
}

Status JoinOperator::Match(const Batch& left) {
  if (kinds_ != nullptr && !kinds_->matched() &&
      std::any_of(groups_.begin(), groups_.end(), [](uint32_t group) { return group != GroupIndex::kNone; })) {
    kinds_->SetMatched();
  }
  if (!AsksOnly(kind_)) return PushPairs(left, KeepsLeft(kind_));
  for (uint32_t row = 0; row < groups_.size(); ++row) {
    if ((groups_[row] == GroupIndex::kNone) == (kind_ == JoinKind::kAnti)) left_rows_.push_back(row);
  }
  const Batch kept = left.Gather(left_rows_);
  left_rows_.clear();
  return kept.row_count() > 0 ? Emit(kept) : Status::Ok();
}

Status JoinOperator::PushPairs(const Batch& rows, bool keep_left) {
  const Batch left = rows.Select(KeysFirst(keys_, rows.column_count()));
  const std::vector<uint32_t>& begins = table_->begins();
  for (uint32_t row = 0; row < groups_.size() && !full(); ++row) {
    const uint32_t group = groups_[row];
    if (group == GroupIndex::kNone) {
      if (!keep_left) continue;
      left_rows_.push_back(row);
      right_rows_.push_back(table_->nil_row());
      if (left_rows_.size() == kRowsPerBatch) RETURN_IF_ERROR(Flush(left));
      continue;
    }
    if (!matched_.empty()) matched_[group] = true;
    for (uint32_t i = begins[group]; i < begins[group + 1]; ++i) {
      left_rows_.push_back(row);
      right_rows_.push_back(table_->order()[i]);
      if (left_rows_.size() == kRowsPerBatch) RETURN_IF_ERROR(Flush(left));
    }
  }
  return left_rows_.empty() ? Status::Ok() : Flush(left);
}

Status JoinOperator::Flush(const Batch& left) {
  std::vector<Column> columns = left.Gather(left_rows_).columns();
  for (const Column& column : table_->rows().columns()) columns.push_back(column.Gather(right_rows_));
  const auto count = static_cast<int64_t>(left_rows_.size());
  left_rows_.clear();
  right_rows_.clear();
  return Emit(Batch(std::move(columns), count));
}

Status JoinOperator::PushRightAlone() {
  if (matched_.empty() || full()) return Status::Ok();
  // By group, so that their keys can be gathered from the index.
  std::vector<uint32_t> groups;
  for (uint32_t group = 0; group < matched_.size(); ++group) {
    if (matched_[group]) continue;
    for (uint32_t i = table_->begins()[group]; i < table_->begins()[group + 1]; ++i) {
      groups.push_back(group);
      right_rows_.push_back(table_->order()[i]);
    }
  }
  if (groups.empty()) return Status::Ok();
  const auto count = static_cast<int64_t>(groups.size());
  std::vector<Column> columns;
  for (const Column& key : table_->index().Keys()) columns.push_back(key.Gather(groups));
  const int left_others = std::max(0, left_width_ - static_cast<int>(keys_.size()));
  for (int c = 0; c < left_others; ++c) columns.push_back(Column::Nulls(count));
  for (const Column& column : table_->rows().columns()) columns.push_back(column.Gather(right_rows_));
  right_rows_.clear();
  return EmitInPieces(Batch(std::move(columns), count));
}

Status JoinOperator::DoFinish() {
  if (left_writer_ == nullptr) return PushRightAlone();
  RETURN_IF_ERROR(left_writer_->Finish());
  return right_parts_ != nullptr ? JoinParts() : JoinPieces();
}

Status JoinOperator::JoinParts() {
  const int64_t rows = right_parts_->RowCount(0, kParts);
  for (int part = 0; part < kParts && !full(); ++part) {
    RightSide right;
    right.keys.resize(keys_.size());
    std::iota(right.keys.begin(), right.keys.end(), 0);
    right.width = AsksOnly(kind_) ? static_cast<int>(keys_.size()) : right_.width;
    right.reader = right_parts_->MakeReader(part, part + 1, true);
    right.rows = right_parts_->RowCount(part, part + 1);
    // Nearly all in one part: that is one key, which no other hash divides.
    const bool one_key = right_parts_->RowCount(part, part + 1) > rows / 10 * 9;
    JoinOperator nested(context(), kind_, keys_, std::move(right), left_width_, kinds_,
                        one_key ? kLevelMax : level_ + 1);
    RETURN_IF_ERROR(RunNested(&nested, left_parts_->MakeReader(part, part + 1, true).get()));
  }
  return Status::Ok();
}

Status JoinOperator::JoinPieces() {
  if (KeepsLeft(kind_) || AsksOnly(kind_))
    left_matched_.assign(static_cast<size_t>(left_parts_->RowCount(0, 1)), false);
  for (bool last = false; !full();) {
    RETURN_IF_ERROR(JoinPiece());
    if (last) break;
    ASSIGN_OR_RETURN(last, BuildTable());
  }
  return left_matched_.empty() ? Status::Ok() : PushLeftAlone();
}

Status JoinOperator::JoinPiece() {
  const auto reader = left_parts_->MakeReader(0, 1, false);
  size_t begin = 0;  // Number of the batch's first row.
  while (!full()) {
    if (context().cancelled->load(std::memory_order_relaxed)) return Status::Cancelled("cancelled");
    ASSIGN_OR_RETURN(const std::optional<Batch> left, reader->Next());
    if (!left.has_value()) break;
    table_->index().Find(*left, keys_, &scratch_, &groups_);
    if (kinds_ != nullptr) kinds_->SetMatched();  // One key only, that of many rows: not worth a look.
    for (size_t row = 0; row < groups_.size() && !left_matched_.empty(); ++row) {
      if (groups_[row] != GroupIndex::kNone) left_matched_[begin + row] = true;
    }
    begin += groups_.size();
    if (!AsksOnly(kind_)) RETURN_IF_ERROR(PushPairs(*left, false));
  }
  return PushRightAlone();
}

Status JoinOperator::PushLeftAlone() {
  auto nothing = std::make_shared<JoinTable>(kind_, right_.keys, right_.width, Reserve());
  nothing->Finish();
  table_ = std::move(nothing);
  const bool wanted = kind_ == JoinKind::kSemi;
  const auto reader = left_parts_->MakeReader(0, 1, true);
  size_t begin = 0;
  while (!full()) {
    ASSIGN_OR_RETURN(const std::optional<Batch> left, reader->Next());
    if (!left.has_value()) break;
    std::vector<uint32_t> rows;
    for (uint32_t row = 0; row < left->row_count(); ++row) {
      if (left_matched_[begin + row] == wanted) rows.push_back(row);
    }
    begin += static_cast<size_t>(left->row_count());
    if (rows.empty()) continue;
    const Batch alone = left->Gather(rows);
    if (AsksOnly(kind_)) {
      RETURN_IF_ERROR(Emit(alone));
    } else {
      groups_.assign(rows.size(), GroupIndex::kNone);
      RETURN_IF_ERROR(PushPairs(alone, true));
    }
  }
  return Status::Ok();
}

CoGroupOperator::CoGroupOperator(OperatorContext context, std::vector<int> left_keys, RightSide right, int level)
    : Operator(std::move(context)),
      keys_(std::move(left_keys)),
      right_(std::move(right)),
      level_(level),
      index_(std::make_unique<GroupIndex>(keys_.size())),
      memory_(Reserve()) {}

Status CoGroupOperator::DoOpen() {
  while (true) {
    if (context().cancelled->load(std::memory_order_relaxed)) return Status::Cancelled("cancelled");
    ASSIGN_OR_RETURN(const std::optional<Batch> batch, right_.reader->Next());
    if (!batch.has_value()) return Status::Ok();
    RETURN_IF_ERROR(Add(*batch, right_.keys, &right_side_));
  }
}

Batch CoGroupOperator::Packed(const Batch& batch, const std::vector<int>& keys) const {
  if (level_ > 0) return batch;
  std::vector<Column> columns;
  for (const int key : keys) columns.push_back(batch.column(key));
  const std::vector<int> others = OtherColumns(batch.column_count(), keys);
  ColumnBuilder rows;
  for (int64_t row = 0; row < batch.row_count(); ++row) {
    for (const int c : others) rows.elements().Append(batch.At(row, c));
    rows.AppendList();
  }
  columns.push_back(rows.Finish());
  return Batch(std::move(columns), batch.row_count());
}

Status CoGroupOperator::Add(const Batch& batch, const std::vector<int>& keys, Side* side) {
  RETURN_IF_ERROR(CheckColumns(batch, keys));
  const Batch packed = Packed(batch, keys);
  if (side->writer != nullptr) return side->writer->Push(packed);
  index_->Insert(batch, keys, &groups_);
  side->group_of_row.insert(side->group_of_row.end(), groups_.begin(), groups_.end());
  side->rows.AppendColumn(packed.column(packed.column_count() - 1));
  const size_t rows = left_side_.group_of_row.capacity() + right_side_.group_of_row.capacity();
  const int64_t bytes = index_->memory_bytes() + left_side_.rows.memory_bytes() + right_side_.rows.memory_bytes() +
                        2 * static_cast<int64_t>(rows * sizeof(uint32_t));
  ASSIGN_OR_RETURN(const bool fits, Fits(&memory_, bytes));
  if (fits) return Status::Ok();
  // One key cannot be dealt out.
  if (index_->group_count() < 2 || level_ == kLevelMax) return memory_.Resize(bytes);
  return Spill();
}

Status CoGroupOperator::Spill() {
  index_->EndLooking();
  RETURN_IF_ERROR(Spill(&left_side_));
  RETURN_IF_ERROR(Spill(&right_side_));
  index_.reset();
  memory_.Clear();
  return Status::Ok();
}

Status CoGroupOperator::Spill(Side* side) {
  std::vector<int> columns(keys_.size());
  std::iota(columns.begin(), columns.end(), 0);
  side->parts = MakeParts(std::move(columns), level_ + 1);
  side->writer = side->parts->MakeWriter(0);
  const Column rows = side->rows.Finish();
  const std::span<const uint32_t> groups = side->group_of_row;
  for (size_t begin = 0; begin < groups.size(); begin += kRowsPerBatch) {
    const size_t count = std::min(static_cast<size_t>(kRowsPerBatch), groups.size() - begin);
    std::vector<Column> piece = index_->KeysOf(groups.subspan(begin, count));
    piece.push_back(rows.Slice(static_cast<int64_t>(begin), static_cast<int64_t>(count)));
    RETURN_IF_ERROR(side->writer->Push(Batch(std::move(piece), static_cast<int64_t>(count))));
  }
  side->group_of_row = {};
  return Status::Ok();
}

Status CoGroupOperator::GiveGroups() {
  const uint32_t group_count = index_->group_count();
  index_->EndLooking();
  struct {
    Column rows;
    std::vector<uint32_t> begins, order;
  } left, right;
  for (auto& [side, lists] : {std::pair(&left_side_, &left), std::pair(&right_side_, &right)}) {
    OrderByGroup(side->group_of_row, group_count, &lists->begins, &lists->order);
    side->group_of_row = {};
    lists->rows = side->rows.Finish();
  }
  for (uint32_t begin = 0, end = 0; begin < group_count && !full(); begin = end) {
    end = std::min(EndOfPiece(left.begins, begin), EndOfPiece(right.begins, begin));
    std::vector<Column> columns = index_->KeysFrom(begin, end - begin);
    for (const auto* lists : {&left, &right})
      columns.push_back(ListsOf(lists->rows, lists->begins, lists->order, begin, end));
    RETURN_IF_ERROR(Emit(Batch(std::move(columns), end - begin)));
  }
  return Status::Ok();
}

Status CoGroupOperator::DoFinish() {
  if (left_side_.writer == nullptr) return GiveGroups();
  RETURN_IF_ERROR(left_side_.writer->Finish());
  RETURN_IF_ERROR(right_side_.writer->Finish());
  std::vector<int> keys(keys_.size());
  std::iota(keys.begin(), keys.end(), 0);
  for (int part = 0; part < kParts && !full(); ++part) {
    RightSide right;
    right.keys = keys;
    right.reader = right_side_.parts->MakeReader(part, part + 1, true);
    CoGroupOperator nested(context(), keys, std::move(right), level_ + 1);
    RETURN_IF_ERROR(RunNested(&nested, left_side_.parts->MakeReader(part, part + 1, true).get()));
  }
  return Status::Ok();
}

}  // namespace glim::ops
