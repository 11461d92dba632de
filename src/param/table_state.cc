// SPDX-License-Identifier: Apache-2.0
#include "param/table_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/log.h"
#include "base/try.h"

namespace glim::param {
namespace {

constexpr size_t kRowsAtOnce = 4096;
constexpr size_t kChunkBytes = 1 << 20;
constexpr uint64_t kScanRowsMax = 65536;
constexpr size_t kMarksMax = 8;

void PutNumber(uint64_t number, std::string* to) { to->append(reinterpret_cast<const char*>(&number), sizeof(number)); }

bool TakeNumber(std::span<const std::byte>* from, uint64_t* number) {
  if (from->size() < sizeof(*number)) return false;
  std::memcpy(number, from->data(), sizeof(*number));
  *from = from->subspan(sizeof(*number));
  return true;
}

// As many bytes as a number before them says.
bool TakeBytes(std::span<const std::byte>* from, std::span<const std::byte>* bytes) {
  uint64_t size;
  if (!TakeNumber(from, &size) || size > from->size()) return false;
  *bytes = from->first(size);
  *from = from->subspan(size);
  return true;
}

std::span<const std::byte> BytesOf(const std::string& text) { return std::as_bytes(std::span(text)); }

// Of a shard's rows, about kChunkBytes.
size_t RowsOfChunk(const table::Shard& shard, size_t rows_max) {
  const uint64_t row_bytes = shard.memory_bytes() / std::max<uint64_t>(shard.keys_stored(), 1) + 1;
  return std::clamp<size_t>(kChunkBytes / row_bytes, 1, rows_max);
}

bool IsVariable(TableCall call) { return call == TableCall::kVariablePush || call == TableCall::kVariablePull; }

// Of a snapshot, as far as it makes sense.
uint64_t CountRows(std::span<const std::byte> bytes, bool is_variable) {
  uint64_t rows = 0;
  uint64_t sizes[2];
  while (TakeNumber(&bytes, &sizes[0]) && TakeNumber(&bytes, &sizes[1])) {
    const uint64_t key_bytes = sizeof(Key) + (is_variable ? sizeof(uint32_t) : 0);
    if (sizes[0] > bytes.size() / key_bytes || sizes[1] > bytes.size() - sizes[0] * key_bytes) break;
    rows += sizes[0];
    bytes = bytes.subspan(sizes[0] * key_bytes + sizes[1]);
  }
  return rows;
}

}  // namespace

TableState::TableState(std::shared_ptr<const TableLayout> layout, uint32_t shard,
                       std::shared_ptr<base::MemoryBudget> memory)
    : layout_(std::move(layout)), shard_(shard), memory_(std::move(memory)), rows_(layout_->MakeShard(shard)) {
  CountMemory();
}

TableState::~TableState() { memory_->Release(counted_bytes_); }

void TableState::CountMemory() {
  uint64_t bytes = rows_->memory_bytes() + piece_bytes_;
  for (const auto& [producer, rows] : loading_) bytes += rows->memory_bytes();
  for (const auto& [save, mark] : marks_) bytes += mark.rows->memory_bytes();
  const int64_t more = static_cast<int64_t>(bytes) - counted_bytes_;
  if (more > 0) memory_->Force(more);
  if (more < 0) memory_->Release(-more);
  counted_bytes_ += more;
}

// A key of another shard would be stored where nobody looks for it. Where a function of the programs says which keys
// are whose, servers have only the programs' word, which is looked at when they open the table (table/partitioner.h).
Status TableState::CheckOwn(std::span<const Key> keys) const {
  if (layout_->has_function()) return Status::Ok();
  RETURN_IF_ERROR(layout_->CheckKeys(keys));
  for (const Key key : keys) {
    const uint32_t owner = layout_->partition().ShardOf(key);
    if (owner == shard_) continue;
    return Status::Invalid(fmt::format("table \"{}\": key {} belongs to shard {}, and was sent to shard {}",
                                       layout_->spec().name, key, owner, shard_));
  }
  return Status::Ok();
}

size_t TableState::CellBytes(uint32_t length, bool state) const {
  return state ? layout_->kernel().CellBytes(length) : size_t{length} * ValueBytes(layout_->spec().value_type);
}

Status TableState::CheckRequest(const TableRequest& request, std::vector<uint64_t>* begins) const {
  const auto invalid = [&](std::string_view what) {
    return Status::Invalid(fmt::format("table \"{}\": {}", layout_->spec().name, what));
  };
  switch (request.call) {
    case TableCall::kPiece:
      return request.keys.size() == 2 ? Status::Ok() : invalid("a piece of a request without its two numbers");
    case TableCall::kDropPieces: return request.keys.size() == 1 ? Status::Ok() : invalid("pieces of which request?");
    case TableCall::kLoad: return DecodeRows(request.values, (request.form & kFormState) != 0, nullptr);
    case TableCall::kScan: return request.keys.size() == 2 ? Status::Ok() : invalid("a scan without its two numbers");
    case TableCall::kHold:
    case TableCall::kMark:
    case TableCall::kGoOn:
    case TableCall::kRelease:
      return request.keys.size() == 1 && request.keys[0] != 0 ? Status::Ok() : invalid("which save?");
    case TableCall::kScanMarked: return request.keys.size() == 2 ? Status::Ok() : invalid("which save?");
    case TableCall::kTakeLoaded:
    case TableCall::kDropLoaded:
    case TableCall::kCount: return Status::Ok();
    case TableCall::kPush:
    case TableCall::kPull:
    case TableCall::kPushPull:
    case TableCall::kVariablePush:
    case TableCall::kVariablePull: break;
  }
  const bool variable = IsVariable(request.call);
  if (!variable) RETURN_IF_ERROR(layout_->CheckFixed(IsPush(request.call) ? "Push" : "Pull"));
  if (variable && !layout_->spec().is_variable()) return invalid("it has rows of fixed width");
  RETURN_IF_ERROR(CheckOwn(request.keys));
  if (!IsPush(request.call)) return Status::Ok();
  if (variable) {
    RETURN_IF_ERROR(layout_->CheckLengths(request.values.size(), request.lengths, begins));
  } else {
    RETURN_IF_ERROR(layout_->CheckRows("values", request.keys.size(), request.values.size()));
  }
  return layout_->CheckValues(request.keys, request.values, variable ? begins->data() : nullptr);
}

Status TableState::Check(const SharedBytes& op) const {
  ASSIGN_OR_RETURN(const TableRequest request, DecodeTableRequest(op.bytes));
  if (!IsPush(request.call)) return Status::Invalid("a pull was sent as a push");
  std::vector<uint64_t> begins;
  return CheckRequest(request, &begins);
}

bool TableState::Fits(const SharedBytes& op, uint64_t reserved_bytes) const {
  uint16_t call = 0;
  std::memcpy(&call, op.bytes.data(), std::min(op.bytes.size(), sizeof(call)));
  switch (static_cast<TableCall>(call)) {
    // They end a hold, free memory or need next to none.
    case TableCall::kMark:
    case TableCall::kGoOn:
    case TableCall::kRelease:
    case TableCall::kTakeLoaded:
    case TableCall::kDropLoaded:
    case TableCall::kDropPieces: return true;
    case TableCall::kHold: return !is_held();
    default: break;
  }
  if (is_held()) return false;
  // Each key may be a new row, with its state. That is more than the bytes of the push only for wide rows of fixed
  // width.
  const uint64_t keys = op.bytes.size() / sizeof(Key);
  const auto bytes = static_cast<int64_t>((op.bytes.size() + reserved_bytes) * 4);
  if (memory_->used_bytes() + bytes > memory_->limit_bytes() || rows_->room() < keys) return false;
  // Looking at each key is for when there is little room.
  const int64_t room = memory_->limit_bytes() - memory_->used_bytes() - bytes;
  if (static_cast<uint64_t>(room) >= rows_->growth_bytes_max()) return true;
  const auto request = DecodeTableRequest(op.bytes);
  if (!request.ok() || (request->call != TableCall::kPush && request->call != TableCall::kPushPull)) return true;
  return static_cast<uint64_t>(room) >= rows_->GrowthBytes(request->keys);
}

bool TableState::FitsSnapshot(uint64_t bytes) const {
  return memory_->used_bytes() + static_cast<int64_t>(bytes) <= memory_->limit_bytes();
}

SharedBytes TableState::Apply(const Record& record) {
  const auto request = DecodeTableRequest(record.op.bytes);
  CHECK(request.ok());  // The primary has checked it.
  SharedBytes answer =
      request->call == TableCall::kPiece ? AddPiece(record.producer, *request) : Carry(record.producer, *request);
  CountMemory();
  return answer;
}

SharedBytes TableState::AddPiece(const Producer& producer, const TableRequest& request) {
  const auto id = std::pair(producer, request.keys[0]);
  std::string& bytes = pieces_[id];
  bytes.append(reinterpret_cast<const char*>(request.values.data()), request.values.size());
  piece_bytes_ += request.values.size();
  if (request.keys[1] > 0) return {};
  const std::string all = std::move(bytes);
  pieces_.erase(id);
  piece_bytes_ -= all.size();
  const auto whole = DecodeTableRequest(BytesOf(all));
  std::vector<uint64_t> begins;
  Status status = whole.status();
  if (status.ok() && (!IsPush(whole->call) || whole->call == TableCall::kPiece)) {
    status = Status::Invalid("nothing that comes in pieces");
  }
  if (status.ok()) status = CheckRequest(*whole, &begins);
  if (!status.ok()) {
    base::LogWarning("a request in pieces is passed over: {}", status.message());
    return {};
  }
  return Carry(producer, *whole);
}

SharedBytes TableState::Carry(const Producer& producer, const TableRequest& request) {
  const table::KeyList list{request.keys, {}};
  switch (request.call) {
    case TableCall::kPush:
      BeforePush(request.keys);
      rows_->Push(list, request.values.data());
      break;
    case TableCall::kPushPull: {
      BeforePush(request.keys);
      rows_->Push(list, request.values.data());
      std::string rows(request.keys.size() * layout_->row_bytes(), '\0');
      rows_->Pull(list, reinterpret_cast<std::byte*>(rows.data()));
      return SharedBytes::Of(std::move(rows));
    }
    case TableCall::kVariablePush: {
      std::vector<uint64_t> begins;
      CHECK(layout_->CheckLengths(request.values.size(), request.lengths, &begins).ok());
      BeforePush(request.keys);
      rows_->VPush(list, request.values.data(), begins.data(), request.lengths.data());
      break;
    }
    case TableCall::kDropPieces:
      if (const auto it = pieces_.find({producer, request.keys[0]}); it != pieces_.end()) {
        piece_bytes_ -= it->second.size();
        pieces_.erase(it);
      }
      break;
    case TableCall::kLoad: {
      auto& rows = loading_[producer];
      if (rows == nullptr) rows = layout_->MakeShard(shard_);
      CHECK(DecodeRows(request.values, (request.form & kFormState) != 0, rows.get()).ok());
      break;
    }
    case TableCall::kTakeLoaded: TakeLoaded(producer); break;
    case TableCall::kDropLoaded: loading_.erase(producer); break;
    case TableCall::kHold:
    case TableCall::kMark: HoldOrMark(producer, request); break;
    case TableCall::kGoOn:
      if (holder_ == request.keys[0]) holder_ = 0;
      break;
    case TableCall::kRelease: Release(request.keys[0]); break;
    case TableCall::kPiece:
    case TableCall::kPull:
    case TableCall::kVariablePull:
    case TableCall::kScan:
    case TableCall::kCount:
    case TableCall::kScanMarked: CHECK(false);
  }
  return {};
}

void TableState::BeforePush(std::span<const Key> keys) {
  for (auto& [save, mark] : marks_) mark.rows->BeforePush(*rows_, keys);
}

void TableState::TakeLoaded(const Producer& producer) {
  auto loaded = loading_.extract(producer);
  const auto old = std::exchange(rows_, loaded.empty() ? layout_->MakeShard(shard_) : std::move(loaded.mapped()));
  for (auto& [save, mark] : marks_) mark.rows->Replaced(old);
}

// A mark is worth something only within the hold of its save: without, the shard has gone on. Rows of a
// bulk-synchronous table change only when a clock is over, and it is marked at a clock.
void TableState::HoldOrMark(const Producer& producer, const TableRequest& request) {
  const uint64_t save = request.keys[0];
  if (request.call == TableCall::kHold) {
    // Two holds that were taken before the first of them was applied: the second one's save finds that it has none.
    if (holder_ != 0) return;
    holder_ = save;
    holder_producer_ = producer;
    held_at_ = 0;
    return;
  }
  const bool at_a_clock = layout_->spec().consistency.kind == Consistency::Kind::kBsp;
  if ((holder_ != save && !at_a_clock) || marks_.contains(save) || marks_.size() >= kMarksMax) return;
  const bool state = (request.form & kFormState) != 0;
  auto rows = std::make_unique<MarkedRows>(state, [this, state](uint32_t length) { return CellBytes(length, state); });
  marks_.emplace(save, Mark{producer, std::move(rows), state});
}

void TableState::Release(uint64_t save) {
  if (holder_ == save) holder_ = 0;
  marks_.erase(save);
}

void TableState::Forget(const Producer& producer) {
  loading_.erase(producer);
  if (holder_ != 0 && holder_producer_ == producer) holder_ = 0;
  std::erase_if(marks_, [&](const auto& entry) { return entry.second.producer == producer; });
  for (auto it = pieces_.lower_bound({producer, 0}); it != pieces_.end() && it->first.first == producer;) {
    piece_bytes_ -= it->second.size();
    it = pieces_.erase(it);
  }
  CountMemory();
}

// ------------------------------------------------------------------------------------------------------------------
// reading

Result<SharedBytes> TableState::Answer(uint64_t bytes_max, const std::function<void(std::string*)>& write) const {
  if (memory_->used_bytes() + static_cast<int64_t>(bytes_max) > memory_->limit_bytes()) {
    return Status::Exhausted(fmt::format("table \"{}\": no memory for an answer of {} bytes at the moment",
                                         layout_->spec().name, bytes_max));
  }
  struct Held {
    explicit Held(std::shared_ptr<base::MemoryBudget> memory) : memory(std::move(memory)) {}
    ~Held() { memory->Release(bytes); }
    const std::shared_ptr<base::MemoryBudget> memory;
    int64_t bytes = 0;
    std::string text;
  };
  auto held = std::make_shared<Held>(memory_);
  write(&held->text);
  held->bytes = static_cast<int64_t>(held->text.capacity());
  memory_->Force(held->bytes);
  const std::span<const std::byte> bytes = BytesOf(held->text);
  return SharedBytes{std::move(held), bytes};
}

Result<SharedBytes> TableState::Read(const SharedBytes& bytes) const {
  ASSIGN_OR_RETURN(const TableRequest request, DecodeTableRequest(bytes.bytes));
  if (IsPush(request.call)) return Status::Invalid("a push was sent as a pull");
  RETURN_IF_ERROR(CheckRequest(request, nullptr));
  switch (request.call) {
    case TableCall::kPull: return ReadRows(request);
    case TableCall::kVariablePull: return ReadVariableRows(request);
    case TableCall::kScan: return ScanRows(request);
    case TableCall::kScanMarked: return ScanMarked(request);
    case TableCall::kCount: {
      TableCounts counts{rows_->keys_stored(), static_cast<uint64_t>(counted_bytes_), 0, 0};
      if (request.keys.size() == 2) {
        const auto loading = loading_.find({request.keys[0], request.keys[1]});
        if (loading != loading_.end()) counts.keys_loaded = loading->second->keys_stored();
      }
      if ((request.form & kFormNonZero) != 0) counts.non_zero = rows_->CountNonZero();
      return EncodeTableCounts(counts);
    }
    default: return Status::Internal("a request of an unknown kind");
  }
}

Result<SharedBytes> TableState::ReadRows(const TableRequest& request) const {
  const size_t size = request.keys.size() * layout_->row_bytes();
  return Answer(size, [&](std::string* to) {
    to->resize(size);
    rows_->Pull({request.keys, {}}, reinterpret_cast<std::byte*>(to->data()));
  });
}

Result<SharedBytes> TableState::ReadVariableRows(const TableRequest& request) const {
  const table::KeyList list{request.keys, {}};
  const size_t count = request.keys.size();
  std::vector<uint32_t> lengths(count);
  rows_->VPullLengths(list, lengths.data());
  std::vector<uint64_t> begins(count + 1);
  for (size_t i = 0; i < count; ++i) begins[i + 1] = begins[i] + lengths[i];
  const size_t head = count * sizeof(uint32_t);
  const size_t size = head + begins.back() * ValueBytes(layout_->spec().value_type);
  return Answer(size, [&](std::string* to) {
    to->resize(size);
    std::memcpy(to->data(), lengths.data(), head);
    // Values of eight bytes may lie at an odd multiple of four; the shard copies bytes.
    rows_->VPull(list, begins.data(), lengths.data(), reinterpret_cast<std::byte*>(to->data() + head));
  });
}

Result<SharedBytes> TableState::ScanRows(const TableRequest& request) const {
  uint64_t position = request.keys[0];
  const auto rows_max = static_cast<size_t>(std::clamp<uint64_t>(request.keys[1], 1, kScanRowsMax));
  RowChunk chunk;
  const bool done = rows_->Scan(&position, rows_max, (request.form & kFormState) != 0, &chunk);
  std::string answer;
  PutNumber(position, &answer);
  PutNumber(done ? 1 : 0, &answer);
  EncodeChunk(chunk, &answer);
  return SharedBytes::Of(std::move(answer));
}

Result<SharedBytes> TableState::ScanMarked(const TableRequest& request) const {
  const auto mark = marks_.find(request.keys[0]);
  if (mark == marks_.end() || mark->second.state != ((request.form & kFormState) != 0)) {
    return Status::Stale(fmt::format("table \"{}\": shard {} does not have its rows as of this save any more",
                                     layout_->spec().name, shard_));
  }
  uint64_t position = request.keys[1];
  RowChunk chunk;
  const bool done = mark->second.rows->Scan(*rows_, &position, RowsOfChunk(*rows_, kScanRowsMax), &chunk);
  return Answer(32 + chunk.keys.size() * sizeof(Key) + chunk.lengths.size() * 4 + chunk.values.size(),
                [&](std::string* to) {
                  PutNumber(position, to);
                  PutNumber(done ? 1 : 0, to);
                  EncodeChunk(chunk, to);
                });
}

// ------------------------------------------------------------------------------------------------------------------
// saves that nobody ends

void TableState::Watch(int64_t now) {
  held_at_ = holder_ == 0 ? 0 : now;
  read_at_.clear();
}

void TableState::Heard(const SharedBytes& bytes, int64_t now) {
  if (read_at_.empty()) return;
  const auto request = DecodeTableRequest(bytes.bytes);
  if (!request.ok() || request->keys.empty()) return;
  if (request->call != TableCall::kScanMarked && request->call != TableCall::kGoOn) return;
  if (const auto it = read_at_.find(request->keys[0]); it != read_at_.end()) it->second = now;
}

std::optional<SharedBytes> TableState::Overdue(int64_t now) {
  const auto release = [](uint64_t save) {
    const uint64_t numbers[] = {save};
    return EncodeTableRequest({.call = TableCall::kRelease, .keys = numbers});
  };
  if (holder_ != 0 && held_at_ == 0) held_at_ = now;
  if (holder_ != 0 && now - held_at_ > kHoldNanos) {
    held_at_ = now;  // The record is on its way.
    return release(holder_);
  }
  std::erase_if(read_at_, [&](const auto& entry) { return !marks_.contains(entry.first); });
  for (const auto& [save, mark] : marks_) {
    int64_t& read_at = read_at_.try_emplace(save, now).first->second;
    if (now - read_at <= kMarkNanos) continue;
    read_at = now;
    return release(save);
  }
  return std::nullopt;
}

// ------------------------------------------------------------------------------------------------------------------
// the whole state

void TableState::EncodeRows(const table::Shard& shard, bool state, std::string* to) const {
  const size_t rows_max = RowsOfChunk(shard, kRowsAtOnce);
  uint64_t position = 0;
  RowChunk chunk;
  for (bool done = false; !done;) {
    done = shard.Scan(&position, rows_max, state, &chunk);
    if (!chunk.keys.empty()) EncodeChunk(chunk, to);
  }
}

Status TableState::DecodeRows(std::span<const std::byte> chunks, bool state, table::Shard* into) const {
  while (!chunks.empty()) {
    ASSIGN_OR_RETURN(const RowChunk chunk,
                     DecodeChunk(layout_->spec(), [&](uint32_t length) { return CellBytes(length, state); }, &chunks));
    RETURN_IF_ERROR(CheckOwn(chunk.keys));
    if (into != nullptr) into->Restore(chunk, state);
  }
  return Status::Ok();
}

// u64 requests in pieces | of each: producer, number, their bytes | u64 producers that load | of each: producer, their
// rows as bytes | rows. Bytes have their size before them.
std::string TableState::Save() const {
  std::string bytes;
  PutNumber(pieces_.size(), &bytes);
  for (const auto& [id, text] : pieces_) {
    for (const uint64_t number : {id.first.high, id.first.low, id.second, uint64_t{text.size()}}) {
      PutNumber(number, &bytes);
    }
    bytes += text;
  }
  PutNumber(loading_.size(), &bytes);
  for (const auto& [producer, rows] : loading_) {
    std::string text;
    EncodeRows(*rows, true, &text);
    for (const uint64_t number : {producer.high, producer.low, uint64_t{text.size()}}) PutNumber(number, &bytes);
    bytes += text;
  }
  EncodeRows(*rows_, true, &bytes);
  return bytes;
}

Status TableState::Restore(std::span<const std::byte> bytes) {
  const auto broken = [&](std::string_view what) {
    return Status::Corrupt(fmt::format("a snapshot of table \"{}\", shard {}: {}", layout_->spec().name, shard_, what));
  };
  Pieces pieces;
  Loading loading;
  uint64_t piece_bytes = 0;
  uint64_t count;
  Producer producer;
  std::span<const std::byte> text;
  if (!TakeNumber(&bytes, &count)) return broken("it is empty");
  for (; count > 0; --count) {
    uint64_t number;
    if (!TakeNumber(&bytes, &producer.high) || !TakeNumber(&bytes, &producer.low) || !TakeNumber(&bytes, &number) ||
        !TakeBytes(&bytes, &text)) {
      return broken("it ends within the pieces of requests");
    }
    pieces[{producer, number}].assign(reinterpret_cast<const char*>(text.data()), text.size());
    piece_bytes += text.size();
  }
  if (!TakeNumber(&bytes, &count)) return broken("it ends before its rows");
  for (; count > 0; --count) {
    if (!TakeNumber(&bytes, &producer.high) || !TakeNumber(&bytes, &producer.low) || !TakeBytes(&bytes, &text)) {
      return broken("it ends within rows that are being loaded");
    }
    loading[producer] = layout_->MakeShard(shard_);
    if (Status status = DecodeRows(text, true, loading[producer].get()); !status.ok()) return broken(status.message());
  }
  std::unique_ptr<table::Shard> rows = layout_->MakeShard(shard_);
  rows->Reserve(CountRows(bytes, layout_->spec().is_variable()));
  if (Status status = DecodeRows(bytes, true, rows.get()); !status.ok()) return broken(status.message());
  rows_ = std::move(rows);
  loading_ = std::move(loading);
  pieces_ = std::move(pieces);
  piece_bytes_ = piece_bytes;
  marks_.clear();
  holder_ = 0;
  CountMemory();
  return Status::Ok();
}

void TableState::Clear() {
  rows_ = layout_->MakeShard(shard_);
  loading_.clear();
  pieces_.clear();
  piece_bytes_ = 0;
  marks_.clear();
  holder_ = 0;
  CountMemory();
}

}  // namespace glim::param
