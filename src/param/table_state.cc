// SPDX-License-Identifier: Apache-2.0
#include "param/table_state.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/try.h"

namespace glim::param {
namespace {

static_assert(std::endian::native == std::endian::little, "requests are copied as they lie in memory");

constexpr size_t kHeaderBytes = 16;
constexpr size_t kRowsAtOnce = 4096;

bool IsPush(TableCall call) { return call == TableCall::kPush || call == TableCall::kVariablePush; }

template <class T>
void Put(std::span<const T> items, std::string* to) {
  to->append(reinterpret_cast<const char*>(items.data()), items.size_bytes());
}

// Takes `count` items from the beginning of `from`; false when there are fewer.
template <class T>
bool Take(std::span<const std::byte>* from, uint64_t count, std::vector<T>* items) {
  if (count > from->size() / sizeof(T)) return false;
  items->resize(count);
  if (count > 0) std::memcpy(items->data(), from->data(), count * sizeof(T));
  *from = from->subspan(count * sizeof(T));
  return true;
}

}  // namespace

SharedBytes EncodeTableRequest(const TableRequest& request) {
  std::string text(kHeaderBytes, '\0');
  const uint64_t count = request.keys.size();
  std::memcpy(text.data(), &request.call, 4);
  std::memcpy(text.data() + 8, &count, 8);
  text.reserve(kHeaderBytes + count * 12 + request.values.size());
  Put(std::span(request.keys), &text);
  Put(std::span(request.lengths), &text);
  Put(request.values, &text);
  return SharedBytes::Of(std::move(text));
}

Result<TableRequest> DecodeTableRequest(const SharedBytes& bytes) {
  if (bytes.bytes.size() < kHeaderBytes) return Status::Corrupt("a request to a table is shorter than its header");
  uint32_t head[2];
  uint64_t count;
  std::memcpy(head, bytes.bytes.data(), 8);
  std::memcpy(&count, bytes.bytes.data() + 8, 8);
  if (head[0] < 1 || head[0] > 4 || head[1] != 0) {
    return Status::Corrupt(fmt::format("a request to a table is of the unknown kind {}", head[0]));
  }
  TableRequest request;
  request.call = static_cast<TableCall>(head[0]);
  std::span<const std::byte> left = bytes.bytes.subspan(kHeaderBytes);
  bool whole = Take(&left, count, &request.keys);
  if (whole && request.call == TableCall::kVariablePush) whole = Take(&left, count, &request.lengths);
  if (!whole) return Status::Corrupt(fmt::format("a request to a table ends within its {} keys", count));
  if (!IsPush(request.call) && !left.empty()) {
    return Status::Corrupt(fmt::format("a pull carries {} bytes behind its keys", left.size()));
  }
  request.values = left;
  return request;
}

TableState::TableState(std::shared_ptr<const TableLayout> layout, uint32_t shard, uint64_t memory_max)
    : layout_(std::move(layout)), shard_(shard), memory_max_(memory_max), rows_(layout_->MakeShard(shard)) {}

// A key of another shard would be stored where nobody looks for it.
Status TableState::CheckOwn(std::span<const Key> keys) const {
  RETURN_IF_ERROR(layout_->CheckKeys(keys));
  for (const Key key : keys) {
    const uint32_t owner = layout_->partition().ShardOf(key);
    if (owner == shard_) continue;
    return Status::Invalid(fmt::format("table \"{}\": key {} belongs to shard {}, and was sent to shard {}",
                                       layout_->spec().name, key, owner, shard_));
  }
  return Status::Ok();
}

Status TableState::CheckRequest(const TableRequest& request, std::vector<uint64_t>* begins) const {
  const bool variable = request.call == TableCall::kVariablePush || request.call == TableCall::kVariablePull;
  if (!variable) RETURN_IF_ERROR(layout_->CheckFixed(IsPush(request.call) ? "Push" : "Pull"));
  if (variable && !layout_->spec().is_variable()) {
    return Status::Invalid(fmt::format("table \"{}\" has rows of fixed width", layout_->spec().name));
  }
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
  ASSIGN_OR_RETURN(const TableRequest request, DecodeTableRequest(op));
  if (!IsPush(request.call)) return Status::Invalid("a pull was sent as a push");
  std::vector<uint64_t> begins;
  return CheckRequest(request, &begins);
}

bool TableState::Fits(const SharedBytes& op, uint64_t reserved_bytes) const {
  // Each key may be a new row, with its state. That is more than the bytes of the push only for wide rows of fixed
  // width.
  const uint64_t keys = (op.bytes.size() - kHeaderBytes) / sizeof(Key);
  return rows_->memory_bytes() + (op.bytes.size() + reserved_bytes) * 4 <= memory_max_ && rows_->room() >= keys;
}

void TableState::Apply(const Record& record) {
  const auto request = DecodeTableRequest(record.op);
  CHECK(request.ok());  // The primary has checked it.
  const table::KeyList list{request->keys, {}};
  if (request->call == TableCall::kPush) return rows_->Push(list, request->values.data());
  std::vector<uint64_t> begins;
  CHECK(layout_->CheckLengths(request->values.size(), request->lengths, &begins).ok());
  rows_->VPush(list, request->values.data(), begins.data(), request->lengths.data());
}

Result<SharedBytes> TableState::Read(const SharedBytes& bytes) const {
  ASSIGN_OR_RETURN(const TableRequest request, DecodeTableRequest(bytes));
  if (IsPush(request.call)) return Status::Invalid("a push was sent as a pull");
  RETURN_IF_ERROR(CheckRequest(request, nullptr));
  const table::KeyList list{request.keys, {}};
  const size_t count = request.keys.size();
  if (request.call == TableCall::kPull) {
    std::string rows(count * layout_->row_bytes(), '\0');
    rows_->Pull(list, reinterpret_cast<std::byte*>(rows.data()));
    return SharedBytes::Of(std::move(rows));
  }
  std::vector<uint32_t> lengths(count);
  rows_->VPullLengths(list, lengths.data());
  std::vector<uint64_t> begins(count + 1);
  for (size_t i = 0; i < count; ++i) begins[i + 1] = begins[i] + lengths[i];
  std::string answer;
  Put(std::span<const uint32_t>(lengths), &answer);
  const size_t head = answer.size();
  answer.resize(head + begins.back() * ValueBytes(layout_->spec().value_type));
  // Values of eight bytes may lie at an odd multiple of four; the shard copies bytes.
  rows_->VPull(list, begins.data(), lengths.data(), reinterpret_cast<std::byte*>(answer.data() + head));
  return SharedBytes::Of(std::move(answer));
}

// Chunks: u64 keys | keys | variable: u32 lengths | values with state. A chunk without keys ends it.
std::string TableState::Save() const {
  std::string bytes;
  uint64_t position = 0;
  RowChunk chunk;
  for (bool done = false; !done;) {
    chunk = {};
    done = rows_->Scan(&position, kRowsAtOnce, true, &chunk);
    const uint64_t count = chunk.keys.size();
    if (count == 0) continue;
    const uint64_t sizes[2] = {count, chunk.values.size()};
    Put(std::span<const uint64_t>(sizes), &bytes);
    Put(std::span<const Key>(chunk.keys), &bytes);
    Put(std::span<const uint32_t>(chunk.lengths), &bytes);
    Put(std::span<const std::byte>(chunk.values), &bytes);
  }
  return bytes;
}

namespace {

// Of a snapshot, as far as it makes sense.
uint64_t CountRows(std::span<const std::byte> bytes, bool is_variable) {
  uint64_t rows = 0;
  std::vector<uint64_t> sizes;
  while (Take(&bytes, 2, &sizes)) {
    const uint64_t key_bytes = sizeof(Key) + (is_variable ? sizeof(uint32_t) : 0);
    if (sizes[0] > bytes.size() / key_bytes || sizes[1] > bytes.size() - sizes[0] * key_bytes) break;
    rows += sizes[0];
    bytes = bytes.subspan(sizes[0] * key_bytes + sizes[1]);
  }
  return rows;
}

}  // namespace

Status TableState::Restore(std::span<const std::byte> bytes) {
  const auto broken = [&](std::string_view what) {
    return Status::Corrupt(fmt::format("a snapshot of table \"{}\", shard {}: {}", layout_->spec().name, shard_, what));
  };
  const table::RowKernel& kernel = layout_->kernel();
  std::unique_ptr<table::Shard> rows = layout_->MakeShard(shard_);
  rows->Reserve(CountRows(bytes, layout_->spec().is_variable()));
  RowChunk chunk;
  while (!bytes.empty()) {
    std::vector<uint64_t> sizes;
    if (!Take(&bytes, 2, &sizes) || !Take(&bytes, sizes[0], &chunk.keys)) return broken("it ends within its keys");
    chunk.lengths.clear();
    uint64_t values = sizes[0] * kernel.CellBytes(layout_->spec().width);
    if (layout_->spec().is_variable()) {
      if (!Take(&bytes, sizes[0], &chunk.lengths)) return broken("it ends within its lengths");
      values = 0;
      for (const uint32_t length : chunk.lengths) values += kernel.CellBytes(length);
    }
    if (values != sizes[1] || !Take(&bytes, values, &chunk.values)) return broken("it ends within its rows");
    if (Status status = CheckOwn(chunk.keys); !status.ok()) return broken(status.message());
    rows->Restore(chunk, true);
  }
  rows_ = std::move(rows);
  return Status::Ok();
}

}  // namespace glim::param
