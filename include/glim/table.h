// SPDX-License-Identifier: Apache-2.0
//
// A table as programs see it: push changes to rows, pull rows, save, look, drop.
//
//   glim::Table<float> model = session.CreateTable<float>("ctr", glim::SparseKeys(), glim::Ftrl{.l1 = 1});
//   RETURN_IF_ERROR(model.Push(keys, gradients).Wait());
//   std::vector<float> weights = model.Pull(keys).Get().value();
//
// Table<V> is a thin typed handle, cheap to copy, over TableClient, the untyped interface that has one implementation
// per place where tables live (embedded in this process; servers over the network later). Flow steps, language bindings
// and tools use TableClient.
//
// Promises, for every implementation:
//   - A request is checked whole before anything is touched: a key out of range, a wrong number of values, a NaN (or,
//   for rules that
//     compute with the value, an infinity) refuses all of it with kInvalid.
//   - A pull gives rows in the order of its keys, which may repeat. A key that nobody pushed gives the initial row and
//   is not stored.
//   - A push updates a key that stands in it twice, twice, in order.
//   - Requests of one thread to one shard are applied in the order in which they were made. One that waits for others
//   (`after`) counts as made
//     when those are done.
//   - One shard sees a request of up to 65,536 keys whole or not at all; larger ones are applied in slices of that
//   size. PushPull is a push and
//     a pull with nothing between them on a shard.
//   - Keys and values of a push may be reused when the call returns. Buffers that a pull fills belong to it until its
//   future is complete.
//   - After Drop every call on every handle answers kNotFound.
//
// Thread: any, also many at once; handles are values.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "glim/future.h"
#include "glim/status.h"
#include "glim/table_spec.h"

namespace glim {

struct RequestOptions {
  // From the call on; what is not done by then answers kTimeout, and for a push it is not known whether it was applied.
  std::chrono::nanoseconds deadline = std::chrono::seconds(30);
  // The request is made when all of these are done. When one of them failed it is not made, and answers kCancelled.
  std::vector<Dependency> after = {};
  // Of a push: what its values belong to, when nobody changes them any more. Long ones are then sent from where they
  // lie, again if need be, and this is held as long as that may be; without it they are copied in the call. See
  // Table::PushShared.
  std::shared_ptr<const void> owner = {};
};
using PushOptions = RequestOptions;
using PullOptions = RequestOptions;

// Rows of different lengths, back to back.
template <class V>
struct VariableRows {
  std::vector<V> values;
  std::vector<uint32_t> lengths;  // One for each key asked.
};
using VariableBytes = VariableRows<std::byte>;  // Lengths still count values.

struct SaveOptions {
  // The state of the update rule too, so that training can go on. Without it the model is smaller, and good for looking
  // things up.
  bool rule_state = true;
};

struct LoadOptions {
  // Take the saved state of the rule, which must be the table's rule with the same parameters. Without it the rows are
  // taken and the state starts anew, whatever the rule was.
  bool rule_state = true;
};

struct TableInfo {
  TableSpec spec;             // With `shards` and `partitioner` as they are.
  uint64_t keys_stored = 0;   // Rows that somebody pushed to.
  uint64_t memory_bytes = 0;  // Allocated for rows, rule state and index.
};

// Where a scan is. A value; valid for the life of the table, whatever is pushed meanwhile.
struct ScanCursor {
  uint32_t shard = 0;
  uint64_t position = 0;  // The shard's own business.
  bool done = false;      // No more rows in this shard.
};

// Which of how many logical workers; who runs them, and how many at a time, does not matter.
struct JoinOptions {
  uint32_t worker = 0;  // From 0 on.
  uint32_t workers = 1;
  std::chrono::nanoseconds deadline = std::chrono::seconds(30);
};

class WorkerClient;

class TableClient {
 public:
  virtual ~TableClient() = default;

  virtual const TableSpec& spec() const = 0;

  // `values`: keys.size() rows back to back, in the table's value type.
  virtual Future<void> Push(std::span<const Key> keys, std::span<const std::byte> values,
                            const PushOptions& options = {}) = 0;
  virtual Future<void> Pull(std::span<const Key> keys, std::span<std::byte> out, const PullOptions& options = {}) = 0;
  virtual Future<void> PushPull(std::span<const Key> keys, std::span<const std::byte> values, std::span<std::byte> out,
                                const PushOptions& options = {}) = 0;
  // Rows of `lengths[i]` values. On a table of fixed width every length is that width. On a table of variable width a
  // longer row makes the stored one longer (what was not there starts at the initial value), a shorter one updates its
  // beginning; `assign` replaces it.
  virtual Future<void> VPush(std::span<const Key> keys, std::span<const std::byte> values,
                             std::span<const uint32_t> lengths, const PushOptions& options = {}) = 0;
  virtual Future<VariableBytes> VPull(std::span<const Key> keys, const PullOptions& options = {}) = 0;

  // Pull and Push of the keys of a range, without naming each. Long ones are made in parts of a million keys, so they
  // need little memory beside `out` and `values`.
  Future<void> PullRange(KeyRange keys, std::span<std::byte> out, const PullOptions& options = {});
  Future<void> PushRange(KeyRange keys, std::span<const std::byte> values, const PushOptions& options = {});
  // Of a matrix, by row or by column: rows of `cols` values. By column, a row is of all shards, and one push of it may
  // be seen in part.
  Future<void> PullRows(std::span<const uint64_t> rows, std::span<std::byte> out, const PullOptions& options = {});
  Future<void> PushRows(std::span<const uint64_t> rows, std::span<const std::byte> values,
                        const PushOptions& options = {});
  // Of a matrix by column: columns of as many values as there are rows.
  Future<void> PullColumns(std::span<const uint64_t> columns, std::span<std::byte> out,
                           const PullOptions& options = {});
  Future<void> PushColumns(std::span<const uint64_t> columns, std::span<const std::byte> values,
                           const PushOptions& options = {});

  // For callers who know numbers only as doubles. A value that the table's type cannot hold exactly enough (a fraction
  // or an overflow in an integer table, an overflow in f32) is kInvalid.
  Future<void> PushDoubles(std::span<const Key> keys, std::span<const double> values, const PushOptions& options = {});
  Future<std::vector<double>> PullDoubles(std::span<const Key> keys, const PullOptions& options = {});
  Future<std::vector<double>> PushPullDoubles(std::span<const Key> keys, std::span<const double> values,
                                              const PushOptions& options = {});

  // Appends nothing: replaces `chunk` by about `rows_max` stored rows (at least one unless done) of the shard that the
  // cursor is in, and moves the cursor. A row that was stored when the shard's scan began is given exactly once; one
  // stored later, at most once. Its values are those at the time of its chunk. Start with ScanCursor{.shard = s} for
  // each s below spec().shards.
  virtual Status Scan(ScanCursor* cursor, size_t rows_max, RowChunk* chunk) = 0;
  // Stored rows with a value that is not 0.
  virtual Result<uint64_t> CountNonZero() = 0;
  virtual Result<TableInfo> Describe() = 0;
  // The table as text, without a secret: another process gives it to Session::OpenTable, with its own key. It stands
  // for this table, not for one that is made under its name later. For a table in this process, only its session can.
  virtual Result<std::string> Handle() const;

  // Writes the table as it is at one moment of the call, in all its shards (docs/design/servers.md), into a folder
  // (docs/format/table.md). A model that is there already stays whole until the new one is.
  virtual Status Save(const std::string& folder, const SaveOptions& options = {}) = 0;
  // Replaces what the table holds. On failure it is as before, unless the error says that only a part was replaced.
  virtual Status Load(const std::string& folder, const LoadOptions& options = {}) = 0;
  virtual Status Drop() = 0;

  // Becomes a worker of the table's clock (see WorkerClient). Whoever was this worker before is not any more.
  virtual Result<std::shared_ptr<WorkerClient>> Join(const JoinOptions& options);
  // Takes a worker out that holds the others up; it is told so at its next call. What it pushed in a clock that it has
  // not ended is dropped, on a bulk-synchronous table.
  virtual Status RemoveWorker(uint32_t worker);

  // Ok, or why there is no such table: a handle may stand for a failure, so that programs need not ask at each step.
  virtual Status status() const { return Status::Ok(); }
};
using TableHandle = std::shared_ptr<TableClient>;

// A table as one of its workers sees it. What a push and a pull do depends on the table's consistency, and on the
// worker's clock: how many clocks it has ended.
//
//            a push at clock c               a pull at clock c
//   async    is applied at once              is answered at once
//   s        is applied at once              waits until all workers have ended clock c - s - 1
//   bsp      is held until all have ended c  waits until all have ended clock c - 1; sees all pushes of clocks below c,
//                                            and no other
//
// Bulk-synchronous pushes are combined worker by worker, each in its order, so rows do not depend on who runs the
// workers and where the table lies. All workers count until they leave, also those who have not joined yet. One that is
// not heard of for 10 seconds (on servers: its process is gone) has left. A wait ends at the deadline of its call with
// kTimeout and the name of the worker that is behind.
//
// A worker that is run again joins again: it begins with the clock that was not ended, and is taken to do the same
// again, so that each clock counts once. The calls for the whole table (Save, Describe and so on) are the table's.
// PushPull is refused.
//
// Thread: one at a time. Destroying it leaves.
class WorkerClient : public TableClient {
 public:
  virtual uint32_t worker() const = 0;
  virtual uint32_t workers() const = 0;
  // Where this worker is: as many clocks as it has ended.
  virtual uint64_t clock() const = 0;
  // Ends the worker's clock, when its requests so far are done. When it fails the worker is of no use any more.
  virtual Status Clock(std::chrono::nanoseconds deadline = std::chrono::seconds(30)) = 0;
  // Ends the clock, and waits until all others have ended it too.
  virtual Status Barrier(std::chrono::nanoseconds deadline = std::chrono::seconds(30)) = 0;
  // The others go on without this one. What it pushed in the clock that it is in is dropped, on a bulk-synchronous
  // table. When all have left, clocks begin anew.
  virtual Status Leave() = 0;
};
using WorkerHandle = std::shared_ptr<WorkerClient>;

// A handle that answers every call with `status`. Expects: !status.ok().
TableHandle MakeFailedTable(TableSpec spec, Status status);

// As many bytes as a row of a table has. Expects: fixed width.
size_t RowBytes(const TableSpec& spec);

template <TableValue V>
class Worker;

template <TableValue V>
class Table {
 public:
  // A handle to no table: all calls fail.
  Table() : Table(TableHandle()) {}
  // When `client` has another value type, every call answers kInvalid.
  explicit Table(TableHandle client) : client_(std::move(client)) {
    if (!client_) client_ = MakeFailedTable({}, Status::Invalid("this table was never opened"));
    if (client_->status().ok() && client_->spec().value_type != ValueTypeOf<V>()) {
      client_ =
          MakeFailedTable(client_->spec(), Status::Invalid("table \"" + client_->spec().name + "\" holds " +
                                                           std::string(ValueTypeName(client_->spec().value_type)) +
                                                           ", not " + std::string(ValueTypeName(ValueTypeOf<V>()))));
    }
  }
  explicit Table(Result<TableHandle> client)
      : Table(client.ok() ? *std::move(client) : MakeFailedTable({}, std::move(client).status())) {}

  // Ok, or why this table could not be opened.
  Status status() const { return client_->status(); }
  bool ok() const { return status().ok(); }
  const TableSpec& spec() const { return client_->spec(); }
  const std::string& name() const { return spec().name; }
  const TableHandle& client() const { return client_; }

  // keys.size() * width values.
  Future<void> Push(std::span<const Key> keys, std::span<const V> values, const PushOptions& options = {}) const {
    return client_->Push(keys, std::as_bytes(values), options);
  }
  // The same for values that nobody changes any more: a table on servers sends long ones (from 128 KB on, in the order
  // of their keys in one shard, as a row of a matrix is) from where they lie.
  Future<void> PushShared(std::span<const Key> keys, std::shared_ptr<const std::vector<V>> values,
                          PushOptions options = {}) const {
    const std::span<const V> all(*values);
    options.owner = std::move(values);
    return client_->Push(keys, std::as_bytes(all), options);
  }
  Future<std::vector<V>> Pull(std::span<const Key> keys, const PullOptions& options = {}) const {
    std::vector<V> values(keys.size() * PulledWidth());
    std::span<V> out(values);
    return client_->Pull(keys, std::as_writable_bytes(out), options).With(std::move(values));
  }
  Future<void> Pull(std::span<const Key> keys, std::span<V> out, const PullOptions& options = {}) const {
    return client_->Pull(keys, std::as_writable_bytes(out), options);
  }
  // Pushes, and gives the rows as they are then.
  Future<std::vector<V>> PushPull(std::span<const Key> keys, std::span<const V> values,
                                  const PushOptions& options = {}) const {
    std::vector<V> pulled(keys.size() * PulledWidth());
    std::span<V> out(pulled);
    return client_->PushPull(keys, std::as_bytes(values), std::as_writable_bytes(out), options).With(std::move(pulled));
  }
  Future<void> PushPull(std::span<const Key> keys, std::span<const V> values, std::span<V> out,
                        const PushOptions& options = {}) const {
    return client_->PushPull(keys, std::as_bytes(values), std::as_writable_bytes(out), options);
  }
  Future<void> VPush(std::span<const Key> keys, std::span<const V> values, std::span<const uint32_t> lengths,
                     const PushOptions& options = {}) const {
    return client_->VPush(keys, std::as_bytes(values), lengths, options);
  }
  Future<VariableRows<V>> VPull(std::span<const Key> keys, const PullOptions& options = {}) const {
    return client_->VPull(keys, options).Map([](VariableBytes bytes) {
      VariableRows<V> rows{std::vector<V>(bytes.values.size() / sizeof(V)), std::move(bytes.lengths)};
      if (!bytes.values.empty()) std::memcpy(rows.values.data(), bytes.values.data(), bytes.values.size());
      return rows;
    });
  }

  // As of TableClient.
  Future<std::vector<V>> PullRange(KeyRange keys, const PullOptions& options = {}) const {
    return Filled(keys.count * PulledWidth(), [&](auto out) { return client_->PullRange(keys, out, options); });
  }
  Future<void> PushRange(KeyRange keys, std::span<const V> values, const PushOptions& options = {}) const {
    return client_->PushRange(keys, std::as_bytes(values), options);
  }
  Future<std::vector<V>> PullRows(std::span<const uint64_t> rows, const PullOptions& options = {}) const {
    return Filled(rows.size() * spec().keys.cols, [&](auto out) { return client_->PullRows(rows, out, options); });
  }
  Future<void> PushRows(std::span<const uint64_t> rows, std::span<const V> values,
                        const PushOptions& options = {}) const {
    return client_->PushRows(rows, std::as_bytes(values), options);
  }
  Future<std::vector<V>> PullColumns(std::span<const uint64_t> columns, const PullOptions& options = {}) const {
    const uint64_t rows = spec().keys.cols == 0 ? 0 : spec().keys.key_count / spec().keys.cols;
    return Filled(columns.size() * rows, [&](auto out) { return client_->PullColumns(columns, out, options); });
  }
  Future<void> PushColumns(std::span<const uint64_t> columns, std::span<const V> values,
                           const PushOptions& options = {}) const {
    return client_->PushColumns(columns, std::as_bytes(values), options);
  }

  Result<TableInfo> Describe() const { return client_->Describe(); }
  Result<std::string> Handle() const { return client_->Handle(); }
  Status Save(const std::string& folder, const SaveOptions& options = {}) const {
    return client_->Save(folder, options);
  }
  Status Load(const std::string& folder, const LoadOptions& options = {}) const {
    return client_->Load(folder, options);
  }
  Status Drop() const { return client_->Drop(); }

  Worker<V> Join(const JoinOptions& options) const;
  Status RemoveWorker(uint32_t worker) const { return client_->RemoveWorker(worker); }

 private:
  template <class Request>
  static Future<std::vector<V>> Filled(size_t count, Request request) {
    std::vector<V> values(count);
    std::span<V> out(values);
    return request(std::as_writable_bytes(out)).With(std::move(values));
  }
  // 0 where the client will refuse the call anyway.
  size_t PulledWidth() const { return spec().is_variable() ? 0 : spec().width; }

  TableHandle client_;
};

// A worker of a table; as a Table<V> its pushes and pulls are those of the worker.
template <TableValue V>
class Worker : public Table<V> {
 public:
  Worker() = default;
  explicit Worker(WorkerHandle worker) : Table<V>(TableHandle(worker)), worker_(std::move(worker)) {}
  Worker(TableSpec spec, Status status) : Table<V>(MakeFailedTable(std::move(spec), std::move(status))) {}

  // 0 for a worker that could not join.
  uint64_t clock() const { return worker_ ? worker_->clock() : 0; }
  Status Clock(std::chrono::nanoseconds deadline = std::chrono::seconds(30)) const {
    return worker_ ? worker_->Clock(deadline) : this->status();
  }
  Status Barrier(std::chrono::nanoseconds deadline = std::chrono::seconds(30)) const {
    return worker_ ? worker_->Barrier(deadline) : this->status();
  }
  Status Leave() const { return worker_ ? worker_->Leave() : this->status(); }

 private:
  WorkerHandle worker_;
};

template <TableValue V>
Worker<V> Table<V>::Join(const JoinOptions& options) const {
  if (Status failed = status(); !failed.ok()) return Worker<V>(spec(), std::move(failed));
  Result<WorkerHandle> worker = client_->Join(options);
  if (!worker.ok()) return Worker<V>(spec(), std::move(worker).status());
  return Worker<V>(*std::move(worker));
}

}  // namespace glim
