// SPDX-License-Identifier: Apache-2.0
#include "param/table_request.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <utility>

namespace glim::param {
namespace {

static_assert(std::endian::native == std::endian::little, "requests are copied as they lie in memory");

constexpr size_t kHeaderBytes = 16;

template <class T>
void Put(std::span<const T> items, std::string* to) {
  to->append(reinterpret_cast<const char*>(items.data()), items.size_bytes());
}

// Takes `count` items from the beginning of `from`; false when there are fewer. They are copied to `memory` only when
// they lie where no T may lie.
template <class T>
bool Take(std::span<const std::byte>* from, uint64_t count, std::vector<T>* memory, std::span<const T>* items) {
  if (count > from->size() / sizeof(T)) return false;
  if (reinterpret_cast<uintptr_t>(from->data()) % alignof(T) == 0) {
    *items = {reinterpret_cast<const T*>(from->data()), count};
  } else {
    memory->resize(count);
    if (count > 0) std::memcpy(memory->data(), from->data(), count * sizeof(T));
    *items = *memory;
  }
  *from = from->subspan(count * sizeof(T));
  return true;
}

template <class T>
bool Copy(std::span<const std::byte>* from, uint64_t count, std::vector<T>* items) {
  if (count > from->size() / sizeof(T)) return false;
  items->resize(count);
  if (count > 0) std::memcpy(items->data(), from->data(), count * sizeof(T));
  *from = from->subspan(count * sizeof(T));
  return true;
}

bool HasKeys(TableCall call) { return call <= TableCall::kPushPull; }

// Between these are the calls of workers (clocks/clocked_state.h).
bool IsCall(uint16_t number) {
  return (number >= static_cast<uint16_t>(TableCall::kPush) && number <= static_cast<uint16_t>(TableCall::kCount)) ||
         (number >= static_cast<uint16_t>(TableCall::kHold) && number <= static_cast<uint16_t>(TableCall::kScanMarked));
}

bool IsRun(std::span<const uint64_t> keys) {
  if (keys.size() < 3 || keys.size() > kRunKeysMax) return false;
  const uint64_t step = keys[1] - keys[0];
  for (size_t i = 2; i < keys.size(); ++i) {
    if (keys[i] - keys[i - 1] != step) return false;
  }
  return true;
}

}  // namespace

bool IsPush(TableCall call) {
  switch (call) {
    case TableCall::kPush:
    case TableCall::kVariablePush:
    case TableCall::kPushPull:
    case TableCall::kPiece:
    case TableCall::kDropPieces:
    case TableCall::kLoad:
    case TableCall::kTakeLoaded:
    case TableCall::kDropLoaded:
    case TableCall::kHold:
    case TableCall::kMark:
    case TableCall::kGoOn:
    case TableCall::kRelease: return true;
    case TableCall::kPull:
    case TableCall::kVariablePull:
    case TableCall::kScan:
    case TableCall::kCount:
    case TableCall::kScanMarked: return false;
  }
  return false;
}

bool IsShort(std::span<const std::byte> request) {
  if (request.size() < kHeaderBytes || request.size() > kShortBytes) return false;
  uint16_t call;
  uint64_t count;
  std::memcpy(&call, request.data(), sizeof(call));
  std::memcpy(&count, request.data() + 8, sizeof(count));
  // A worker's requests have other numbers there: one may apply all that was pushed in its clock.
  return call >= static_cast<uint16_t>(TableCall::kPush) && HasKeys(static_cast<TableCall>(call)) &&
         count <= kShortKeys;
}

std::string EncodeTableRequestHead(const TableRequest& request) {
  const bool run = HasKeys(request.call) && IsRun(request.keys);
  std::string text(kHeaderBytes, '\0');
  const uint64_t count = request.keys.size();
  const uint16_t form = request.form | (run ? kFormRun : 0);
  std::memcpy(text.data(), &request.call, 2);
  std::memcpy(text.data() + 2, &form, 2);
  std::memcpy(text.data() + 8, &count, 8);
  text.reserve(kHeaderBytes + (run ? 16 : count * 8) + request.lengths.size_bytes() + request.values.size());
  if (run) {
    const uint64_t numbers[2] = {request.keys[0], request.keys[1] - request.keys[0]};
    Put(std::span<const uint64_t>(numbers), &text);
  } else {
    Put(request.keys, &text);
  }
  Put(request.lengths, &text);
  return text;
}

SharedBytes EncodeTableRequest(const TableRequest& request) {
  std::string text = EncodeTableRequestHead(request);
  Put(request.values, &text);
  return SharedBytes::Of(std::move(text));
}

Result<TableRequest> DecodeTableRequest(std::span<const std::byte> bytes) {
  if (bytes.size() < kHeaderBytes) return Status::Corrupt("a request to a table is shorter than its header");
  uint16_t head[2];
  uint32_t reserved;
  uint64_t count;
  std::memcpy(head, bytes.data(), 4);
  std::memcpy(&reserved, bytes.data() + 4, 4);
  std::memcpy(&count, bytes.data() + 8, 8);
  if (!IsCall(head[0]) || head[1] > 7 || reserved != 0) {
    return Status::Corrupt(fmt::format("a request to a table is of the unknown kind {}.{}", head[0], head[1]));
  }
  TableRequest request;
  request.call = static_cast<TableCall>(head[0]);
  request.form = head[1];
  std::span<const std::byte> left = bytes.subspan(kHeaderBytes);
  bool whole;
  if (HasKeys(request.call) && (request.form & kFormRun) != 0) {
    std::vector<uint64_t> numbers;
    whole = count <= kRunKeysMax && Copy(&left, 2, &numbers);
    if (whole) {
      request.key_memory.resize(count);
      for (uint64_t i = 0; i < count; ++i) request.key_memory[i] = numbers[0] + i * numbers[1];
      request.keys = request.key_memory;
    }
  } else {
    whole = Take(&left, count, &request.key_memory, &request.keys);
  }
  if (whole && request.call == TableCall::kVariablePush) {
    whole = Take(&left, count, &request.length_memory, &request.lengths);
  }
  if (!whole) return Status::Corrupt(fmt::format("a request to a table ends within its {} keys", count));
  if (!IsPush(request.call) && !left.empty()) {
    return Status::Corrupt(fmt::format("a pull carries {} bytes behind its keys", left.size()));
  }
  request.values = left;
  // Behind an odd number of lengths values of eight bytes lie across two words.
  if (!request.lengths.empty() && reinterpret_cast<uintptr_t>(left.data()) % sizeof(uint64_t) != 0) {
    request.value_memory.assign(left.begin(), left.end());
    request.values = request.value_memory;
  }
  return request;
}

SharedBytes EncodeTableCounts(const TableCounts& counts) {
  const uint64_t numbers[] = {counts.keys_stored, counts.memory_bytes, counts.keys_loaded, counts.non_zero};
  std::string text;
  Put(std::span<const uint64_t>(numbers), &text);
  return SharedBytes::Of(std::move(text));
}

Result<TableCounts> DecodeTableCounts(std::span<const std::byte> bytes) {
  std::vector<uint64_t> numbers;
  if (!Copy(&bytes, 4, &numbers) || !bytes.empty()) return Status::Corrupt("a shard answered with other counts");
  return TableCounts{numbers[0], numbers[1], numbers[2], numbers[3]};
}

void EncodeChunk(const RowChunk& chunk, std::string* to) {
  const uint64_t sizes[2] = {chunk.keys.size(), chunk.values.size()};
  Put(std::span<const uint64_t>(sizes), to);
  Put(std::span<const Key>(chunk.keys), to);
  Put(std::span<const uint32_t>(chunk.lengths), to);
  Put(std::span<const std::byte>(chunk.values), to);
}

Result<RowChunk> DecodeChunk(const TableSpec& spec, const std::function<size_t(uint32_t)>& cell_bytes,
                             std::span<const std::byte>* from) {
  RowChunk chunk;
  std::vector<uint64_t> sizes;
  if (!Copy(from, 2, &sizes) || !Copy(from, sizes[0], &chunk.keys)) {
    return Status::Corrupt("rows end within their keys");
  }
  uint64_t values = 0;
  if (spec.is_variable()) {
    if (!Copy(from, sizes[0], &chunk.lengths)) return Status::Corrupt("rows end within their lengths");
    // A row that is stored and has no values has no state.
    for (const uint32_t length : chunk.lengths) values += length == 0 ? 0 : cell_bytes(length);
  } else {
    values = sizes[0] * cell_bytes(spec.width);
  }
  if (values != sizes[1] || !Copy(from, values, &chunk.values)) return Status::Corrupt("rows end within their values");
  return chunk;
}

}  // namespace glim::param
