// SPDX-License-Identifier: Apache-2.0
//
// Requests for keys that nobody has to name: ranges, and the rows and columns of a matrix. Each is made as requests for
// so many keys (kKeysAtOnce), which are written out here; runs among them travel as two numbers (table_request.h).
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <utility>

#include "glim/table.h"
#include "table/row_kernel.h"

namespace glim {
namespace {

constexpr uint64_t kKeysAtOnce = 1 << 20;

// One future for several requests.
class Together {
 public:
  void Add(const Future<void>& part) {
    left_->fetch_add(1, std::memory_order_relaxed);
    Dependency(part).Then([all = all_, left = left_, outcome = Dependency(part)] {
      all->Take(outcome.status());
      if (left->fetch_sub(1, std::memory_order_acq_rel) == 1) all->promise.Set(all->failure);
    });
  }
  Future<void> Done() && {
    Future<void> future = all_->promise.GetFuture();
    if (left_->fetch_sub(1, std::memory_order_acq_rel) == 1) all_->promise.Set(all_->failure);
    return future;
  }

 private:
  struct All {
    void Take(const Status& status) {
      const std::lock_guard lock(mutex);
      if (failure.ok()) failure = status;
    }
    Promise<void> promise;
    std::mutex mutex;
    Status failure;
  };
  const std::shared_ptr<All> all_ = std::make_shared<All>();
  const std::shared_ptr<std::atomic<size_t>> left_ = std::make_shared<std::atomic<size_t>>(1);
};

// Calls request(keys, first) for keys first, first + 1, ... of `count`, in parts; key_at(i) is the i-th. The first
// failure of one that was answered at once ends it.
template <class KeyAt, class Request>
Future<void> InParts(uint64_t count, KeyAt key_at, Request request) {
  std::vector<Key> keys;
  Together parts;
  for (uint64_t first = 0; first == 0 || first < count; first += kKeysAtOnce) {
    keys.resize(std::min(kKeysAtOnce, count - first));
    for (uint64_t i = 0; i < keys.size(); ++i) keys[i] = key_at(first + i);
    Future<void> part = request(keys, first);
    if (count <= kKeysAtOnce) return part;
    parts.Add(part);
    if (part.ready() && !part.Wait().ok()) break;
  }
  return std::move(parts).Done();
}

// A request in parts is refused whole, too: what the table says to a part is looked at before the first is made.
Status CheckRange(const TableSpec& spec, KeyRange keys) {
  if (keys.count == 0) return Status::Ok();
  const uint64_t most = spec.keys.key_count == 0 ? ~Key{0} : spec.keys.key_count - 1;
  if (keys.first <= most && (keys.step == 0 || keys.count - 1 <= (most - keys.first) / keys.step)) return Status::Ok();
  return Status::Invalid(
      fmt::format("table \"{}\": {} keys from {} on, each {} after the one before, end beyond key {}", spec.name,
                  keys.count, keys.first, keys.step, most));
}

Status CheckSize(const TableSpec& spec, std::string_view what, uint64_t count, size_t bytes) {
  const uint64_t row = spec.is_variable() ? 0 : RowBytes(spec);
  if (spec.is_variable()) {
    return Status::Invalid(
        fmt::format("table \"{}\" has rows of variable length; use VPull and VPush, key by key", spec.name));
  }
  if (count <= ~uint64_t{0} / row && bytes == count * row) return Status::Ok();
  return Status::Invalid(fmt::format("table \"{}\": {} for {} numbers, but {} keys of width {} need {} bytes each",
                                     spec.name, what, bytes / ValueBytes(spec.value_type), count, spec.width, row));
}

// A push in parts. When a value makes no sense, only the part that has it is made, and refused.
template <class KeyAt>
Future<void> PushParts(TableClient& table, uint64_t count, KeyAt key_at, std::span<const std::byte> values,
                       const PushOptions& options) {
  const TableSpec& spec = table.spec();
  if (Status status = CheckSize(spec, "values", count, values.size()); !status.ok()) return status;
  const size_t row = RowBytes(spec), bad = table::FindBadValue(spec, values) * ValueBytes(spec.value_type) / row;
  uint64_t begin = 0;
  if (bad < count) {
    begin = bad;
    count = 1;
  }
  return InParts(
      count, [&](uint64_t i) { return key_at(begin + i); },
      [&](std::span<const Key> keys, uint64_t first) {
        return table.Push(keys, values.subspan((begin + first) * row, keys.size() * row), options);
      });
}

template <class KeyAt>
Future<void> PullParts(TableClient& table, uint64_t count, KeyAt key_at, std::span<std::byte> out,
                       const PullOptions& options) {
  if (Status status = CheckSize(table.spec(), "room", count, out.size()); !status.ok()) return status;
  const size_t row = RowBytes(table.spec());
  return InParts(count, key_at, [&](std::span<const Key> keys, uint64_t first) {
    return table.Pull(keys, out.subspan(first * row, keys.size() * row), options);
  });
}

bool IsByRow(const TableSpec& spec) { return spec.keys.kind == KeySpace::Kind::kMatrix; }
bool IsByColumn(const TableSpec& spec) { return spec.keys.kind == KeySpace::Kind::kColumns; }
uint64_t RowCount(const TableSpec& spec) { return spec.keys.key_count / spec.keys.cols; }

Status CheckNumbers(const TableSpec& spec, std::string_view what, std::span<const uint64_t> numbers, uint64_t count) {
  for (const uint64_t number : numbers) {
    if (number < count) continue;
    return Status::Invalid(fmt::format("table \"{}\": {} {} is out of range; there are {}s 0 to {}", spec.name, what,
                                       number, what, count - 1));
  }
  return Status::Ok();
}

Status CheckColumns(const TableClient& table, std::span<const uint64_t> columns) {
  const TableSpec& spec = table.spec();
  if (Status failed = table.status(); !failed.ok()) return failed;
  if (!IsByColumn(spec)) {
    return Status::Invalid(
        fmt::format("table \"{}\" ({}) has no columns to ask for; only a matrix by column (ColumnMatrixKeys) does",
                    spec.name, ToString(spec.keys)));
  }
  return CheckNumbers(spec, "column", columns, spec.keys.cols);
}

Status CheckRows(const TableClient& table, std::span<const uint64_t> rows) {
  const TableSpec& spec = table.spec();
  if (Status failed = table.status(); !failed.ok()) return failed;
  if (IsByRow(spec)) return Status::Ok();  // Its rows are its keys.
  if (!IsByColumn(spec)) {
    return Status::Invalid(fmt::format("table \"{}\" ({}) is no matrix; use Pull and Push, or PullRange and PushRange",
                                       spec.name, ToString(spec.keys)));
  }
  return CheckNumbers(spec, "row", rows, RowCount(spec));
}

// Which keys are those of rows, or columns, one after the other.
auto KeysOfRows(const TableSpec& spec, std::span<const uint64_t> rows) {
  return [rows, cols = uint64_t{spec.keys.cols}, count = RowCount(spec)](uint64_t i) {
    return i % cols * count + rows[i / cols];
  };
}
auto KeysOfColumns(const TableSpec& spec, std::span<const uint64_t> columns) {
  return [columns, count = RowCount(spec)](uint64_t i) { return columns[i / count] * count + i % count; };
}

}  // namespace

Future<void> TableClient::PullRange(KeyRange keys, std::span<std::byte> out, const PullOptions& options) {
  if (Status failed = status(); !failed.ok()) return failed;
  if (Status wrong = CheckRange(spec(), keys); !wrong.ok()) return wrong;
  return PullParts(*this, keys.count, [keys](uint64_t i) { return keys.first + i * keys.step; }, out, options);
}

Future<void> TableClient::PushRange(KeyRange keys, std::span<const std::byte> values, const PushOptions& options) {
  if (Status failed = status(); !failed.ok()) return failed;
  if (Status wrong = CheckRange(spec(), keys); !wrong.ok()) return wrong;
  return PushParts(*this, keys.count, [keys](uint64_t i) { return keys.first + i * keys.step; }, values, options);
}

Future<void> TableClient::PullRows(std::span<const uint64_t> rows, std::span<std::byte> out,
                                   const PullOptions& options) {
  if (Status wrong = CheckRows(*this, rows); !wrong.ok()) return wrong;
  if (IsByRow(spec())) return Pull(rows, out, options);
  return PullParts(*this, rows.size() * spec().keys.cols, KeysOfRows(spec(), rows), out, options);
}

Future<void> TableClient::PushRows(std::span<const uint64_t> rows, std::span<const std::byte> values,
                                   const PushOptions& options) {
  if (Status wrong = CheckRows(*this, rows); !wrong.ok()) return wrong;
  if (IsByRow(spec())) return Push(rows, values, options);
  return PushParts(*this, rows.size() * spec().keys.cols, KeysOfRows(spec(), rows), values, options);
}

Future<void> TableClient::PullColumns(std::span<const uint64_t> columns, std::span<std::byte> out,
                                      const PullOptions& options) {
  if (Status wrong = CheckColumns(*this, columns); !wrong.ok()) return wrong;
  return PullParts(*this, columns.size() * RowCount(spec()), KeysOfColumns(spec(), columns), out, options);
}

Future<void> TableClient::PushColumns(std::span<const uint64_t> columns, std::span<const std::byte> values,
                                      const PushOptions& options) {
  if (Status wrong = CheckColumns(*this, columns); !wrong.ok()) return wrong;
  return PushParts(*this, columns.size() * RowCount(spec()), KeysOfColumns(spec(), columns), values, options);
}

}  // namespace glim
