// SPDX-License-Identifier: Apache-2.0
#include "param/remote_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>

#include "base/check.h"
#include "base/try.h"
#include "param/after.h"
#include "param/clocks/worker_session.h"
#include "param/model_folder.h"
#include "param/remote_worker.h"
#include "param/table_address.h"

namespace glim::param {
namespace {

constexpr size_t kSliceKeys = 65536;
constexpr size_t kPieceBytes = 2 << 20;
constexpr size_t kLargeBytes = net::LargeBlocks::kLargeBytes;
constexpr size_t kBatchBytes = 1 << 20;
constexpr size_t kLoadBytes = 1 << 20;
constexpr std::chrono::seconds kCallTime{30};
constexpr std::chrono::seconds kBulkTime{600};

// What a call keeps of a request beside its bytes.
constexpr uint64_t kRequestBytes = 256;

std::string_view TextOf(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

// One request of the program, over all its parts. It is complete when all are, and the one who makes them says Done,
// too. No deadline: the parts have one.
struct RemoteTable::Call {
  explicit Call(std::shared_ptr<ClusterNetwork> network) : promise(kNoDeadline, std::move(network)) {}
  void Add() { left.fetch_add(1, std::memory_order_relaxed); }
  void Done(Status status) {
    if (!status.ok()) {
      const std::lock_guard lock(mutex);
      if (failure.ok()) failure = std::move(status);
      failed.store(true, std::memory_order_relaxed);
    }
    if (left.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    promise.Fill([&]() -> Status {
      if (failure.ok() && fill) fill();
      return failure;
    });
  }

  Promise<void> promise;
  std::atomic<size_t> left{1};
  std::atomic<bool> failed{false};
  std::mutex mutex;
  Status failure;
  std::function<void()> fill;  // The last part of the work.
};

// Of a push, and who has them when nobody changes them any more.
struct RemoteTable::Values {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner = {};
};

// The keys of one shard in one slice, and the caller's rows that they have.
struct RemoteTable::Rows {
  uint32_t shard = 0;
  std::span<const Key> keys;
  const uint32_t* positions = nullptr;  // Null: they follow each other.
  size_t first = 0;

  size_t row(size_t i) const { return first + (positions == nullptr ? i : positions[i]); }
};

// What goes to the links, in its order. Handed to the network thread in lots, each when there is room for it; or kept
// until others are done.
class RemoteTable::Batch {
 public:
  // `worker`: whose requests these are, or null.
  Batch(RemoteTable& table, std::shared_ptr<Call> call, Deadline deadline, bool keep, WorkerSession* worker = nullptr)
      : table_(table), call_(std::move(call)), deadline_(deadline), keep_(keep), worker_(worker) {}

  const std::shared_ptr<Call>& call() const { return call_; }
  WorkerSession* worker() const { return worker_; }
  int64_t deadline() const { return deadline_.time_since_epoch().count(); }

  // Of `bytes` under way.
  Status Add(uint32_t shard, ShardLink::Pull pull, uint64_t bytes) {
    AddPart();
    pull.deadline = deadline();
    if (worker_ != nullptr) pull.op = worker_->PullOp(pull.op.bytes);
    return Add(shard, bytes + pull.op.bytes.size(), [pull = std::move(pull)](ShardLink& link, const auto& room) {
      ShardLink::Pull with_room = pull;
      with_room.room = room;
      link.Start(std::move(with_room));
    });
  }
  Status Add(uint32_t shard, const SharedBytes& op, std::optional<ShardLink::Answer> answer, uint64_t answer_bytes) {
    AddPart();
    if (answer) AddPart();
    ShardLink::Push push;
    push.deadline = deadline();
    push.done = [call = call_](Status status) { call->Done(std::move(status)); };
    push.answer = std::move(answer);
    push.op = worker_ == nullptr ? op : worker_->PushOp(shard, op.bytes);
    const uint64_t bytes = push.op.size() + answer_bytes;
    return Add(shard, bytes, [push = std::move(push)](ShardLink& link, const auto& room) {
      ShardLink::Push with_room = push;
      // As long as anybody holds the bytes, they are under way.
      with_room.op.owner =
          std::make_shared<std::pair<std::shared_ptr<const void>, ClusterNetwork::Room>>(push.op.owner, room);
      link.Start(std::move(with_room));
    });
  }

  // Hands over what is left. kTimeout: there was no room before the deadline; then that is its parts' outcome, too.
  Status Flush() {
    if (works_.empty() || keep_) return Status::Ok();
    Status status;
    if (const ClusterNetwork::Room room = table_.network_->WaitForRoom(bytes_, deadline_); room == nullptr) {
      status =
          Status::Timeout(fmt::format("table \"{}\": the requests made before took too long; {}", table_.spec().name,
                                      handed_over_ ? "of this one a part may be done" : "this one was not made"));
    } else {
      status = table_.network_->Run([table = table_.shared_from_this(), works = std::exchange(works_, {}), room] {
        for (const Work& work : works) work.begin(*table->links_[work.shard], room);
      });
    }
    for (size_t i = 0; i < parts_ && !status.ok(); ++i) call_->Done(status);
    works_.clear();
    bytes_ = parts_ = 0;
    handed_over_ = true;
    return status;
  }
  // Of a batch that is kept: what to run in the network thread.
  std::function<void()> Take() {
    const ClusterNetwork::Room room = table_.network_->TakeRoom(bytes_);
    return [table = table_.shared_from_this(), works = std::exchange(works_, {}), room] {
      for (const Work& work : works) work.begin(*table->links_[work.shard], room);
    };
  }

 private:
  struct Work {
    uint32_t shard;
    std::function<void(ShardLink&, const ClusterNetwork::Room&)> begin;
  };

  void AddPart() {
    call_->Add();
    ++parts_;
  }
  Status Add(uint32_t shard, uint64_t bytes, std::function<void(ShardLink&, const ClusterNetwork::Room&)> begin) {
    works_.push_back({shard, std::move(begin)});
    bytes_ += bytes + kRequestBytes;
    return bytes_ >= kBatchBytes && !keep_ ? Flush() : Status::Ok();
  }

  RemoteTable& table_;
  const std::shared_ptr<Call> call_;
  const Deadline deadline_;
  const bool keep_;
  WorkerSession* const worker_;
  std::vector<Work> works_;
  uint64_t bytes_ = 0;  // Not handed over yet, as are these parts of the call.
  size_t parts_ = 0;
  bool handed_over_ = false;
};

// A request that waits for others.
struct RemoteTable::AfterOthers {
  std::shared_ptr<Call> call;  // Null when it is begun, or too late.
  std::function<void()> begin;
  std::vector<Dependency> after;
  int64_t deadline = 0;
  std::atomic<size_t> left{0};
};

RemoteTable::RemoteTable(std::shared_ptr<ClusterNetwork> network, uint64_t id, uint64_t made, TableSpec spec,
                         std::optional<TaskProducer> task)
    : network_(std::move(network)),
      id_(id),
      made_(made),
      layout_(std::move(spec)),
      of_task_(task && task->is_task),
      producer_(task ? task->producer : network_->producer()) {
  for (uint32_t s = 0; s < layout_.spec().shards; ++s) {
    links_.push_back(std::make_shared<ShardLink>(network_, ShardId{id_, s}, layout_.spec().name, task));
  }
}

Result<std::shared_ptr<RemoteTable>> RemoteTable::ForTask(const Producer& producer, uint64_t attempt) {
  return WithLinks({producer, attempt});
}

Result<std::shared_ptr<RemoteTable>> RemoteTable::ForItself() {
  env::Env& env = network_->env();
  return WithLinks({.producer = {env.RandomSeed(), env.RandomSeed()}, .attempt = 1, .is_task = false});
}

Result<std::shared_ptr<RemoteTable>> RemoteTable::WithLinks(const TaskProducer& links) {
  if (network_->InNetworkThread()) return Status::Invalid("a callback cannot wait for a table");
  auto made = std::make_shared<Promise<std::shared_ptr<RemoteTable>>>();
  auto future = made->GetFuture();
  RETURN_IF_ERROR(network_->Post([self = shared_from_this(), links, made] {
    constexpr uint64_t kPulls = uint64_t{1} << 40;  // More than a task makes.
    TaskProducer own = links;
    own.first_pull = ++self->tasks_made_ * kPulls;
    auto table = std::make_shared<RemoteTable>(self->network_, self->id_, self->made_, self->spec(), own);
    for (size_t s = 0; s < self->links_.size(); ++s) table->links_[s]->TakeRoute(*self->links_[s]);
    self->tasks_.push_back(table);
    made->Set(std::move(table));
  }));
  made.reset();  // When it was dropped with the loop, the future says so.
  return std::move(future).Get();
}

template <class Work>
void RemoteTable::ForEachTask(Work work) {
  for (auto it = tasks_.begin(); it != tasks_.end();) {
    const std::shared_ptr<RemoteTable> task = it->lock();
    it = task != nullptr ? std::next(it) : tasks_.erase(it);
    if (task != nullptr) work(*task);
  }
}

template <class Build>
Future<void> RemoteTable::Request(const RequestOptions& options, std::shared_ptr<Call> call, Build build,
                                  WorkerSession* worker) {
  Future<void> future = call->promise.GetFuture();
  const Deadline deadline = DeadlineOf(options, network_->env().clock());
  if (AllReady(options.after)) {
    if (Status failure = FailureOf(options.after); !failure.ok()) return failure;
    Batch batch(*this, call, deadline, false, worker);
    Status status = build(&batch);
    if (status.ok()) status = batch.Flush();
    if (!status.ok()) has_hole_.store(true, std::memory_order_relaxed);
    call->Done(std::move(status));
    return future;
  }
  Batch batch(*this, call, deadline, true, worker);
  RETURN_IF_ERROR(build(&batch));
  auto waiting = std::make_shared<AfterOthers>();
  waiting->call = std::move(call);
  waiting->begin = batch.Take();
  waiting->after = options.after;
  waiting->deadline = batch.deadline();
  waiting->left = options.after.size();
  RETURN_IF_ERROR(network_->Post([self = shared_from_this(), waiting] { self->waiting_.push_back(waiting); }));
  for (const Dependency& dependency : waiting->after) {
    dependency.Then([self = shared_from_this(), waiting] {
      if (waiting->left.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
      // When the client is gone, it is dropped and so answered.
      (void)self->network_->Post([self, waiting] { self->BeginAfter(waiting); });
    });
  }
  return future;
}

void RemoteTable::BeginAfter(const std::shared_ptr<AfterOthers>& waiting) {
  waiting_.remove(waiting);
  const auto call = std::exchange(waiting->call, nullptr);
  const auto begin = std::exchange(waiting->begin, nullptr);
  if (call == nullptr) return;
  if (Status failure = FailureOf(waiting->after); !failure.ok()) {
    call->promise.Set(std::move(failure));
    return;
  }
  begin();
  call->Done(Status::Ok());
}

template <class Work>
Status RemoteTable::ForEachShard(std::span<const Key> keys, Work work) const {
  partition::SplitKeys split;
  for (size_t first = 0; first < keys.size(); first += kSliceKeys) {
    layout_.partition().Split(keys.subspan(first, std::min(kSliceKeys, keys.size() - first)), &split);
    for (uint32_t s = 0; s < spec().shards; ++s) {
      const uint32_t begin = split.begin(s), end = split.end(s);
      if (begin == end) continue;
      Rows rows{s, split.keys.subspan(begin, end - begin), nullptr, first + begin};
      if (split.positions != nullptr) {
        rows.positions = split.positions + begin;
        rows.first = first;
      }
      RETURN_IF_ERROR(work(rows));
    }
  }
  return Status::Ok();
}

// ------------------------------------------------------------------------------------------------------------------
// pushes

namespace {

// Cuts a request into pieces as it is written. A short one is no piece, but the request itself.
class PieceWriter {
 public:
  using Emit = std::function<Status(const SharedBytes& op, bool last)>;
  PieceWriter(net::LargeBlocks& memory, uint64_t size, uint64_t number, Emit emit)
      : memory_(memory), left_(size), number_(number), emit_(std::move(emit)) {
    Begin();
  }

  Status Put(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const auto taken = bytes.first(std::min<uint64_t>(bytes.size(), room_));
      Append(taken);
      bytes = bytes.subspan(taken.size());
      room_ -= taken.size();
      if (room_ > 0) continue;
      const std::span<const char> written(block_.get(), block_bytes_);
      RETURN_IF_ERROR(emit_({std::exchange(block_, nullptr), std::as_bytes(written)}, left_ == 0));
      in_pieces_ = true;
      if (left_ > 0) Begin();
    }
    return Status::Ok();
  }

 private:
  void Begin() {
    room_ = std::min<uint64_t>(left_, kPieceBytes);
    left_ -= room_;
    std::string head;
    if (left_ > 0 || in_pieces_) {
      const uint64_t numbers[2] = {number_, left_};
      head = EncodeTableRequestHead({.call = TableCall::kPiece, .keys = numbers});
    }
    block_ = memory_.Take(head.size() + room_);
    block_bytes_ = 0;
    Append(std::as_bytes(std::span(head)));
  }
  void Append(std::span<const std::byte> bytes) {
    std::copy(bytes.begin(), bytes.end(), reinterpret_cast<std::byte*>(block_.get() + block_bytes_));
    block_bytes_ += bytes.size();
  }

  net::LargeBlocks& memory_;
  uint64_t left_;
  const uint64_t number_;
  const Emit emit_;
  std::shared_ptr<char[]> block_;
  size_t block_bytes_ = 0;  // Written.
  uint64_t room_ = 0;       // Left, for the request.
  bool in_pieces_ = false;
};

// The same pieces, of values that stay where they lie.
Status EmitShared(std::string head, std::span<const std::byte> values, const std::shared_ptr<const void>& owner,
                  uint64_t number, const PieceWriter::Emit& emit) {
  struct Kept {
    std::string front;
    std::shared_ptr<const void> owner;
  };
  uint64_t left = head.size() + values.size();
  const bool in_pieces = left > kPieceBytes;
  while (left > 0) {
    const uint64_t bytes = std::min<uint64_t>(left, kPieceBytes);
    left -= bytes;
    auto kept = std::make_shared<Kept>();
    kept->owner = owner;
    if (in_pieces) {
      const uint64_t numbers[2] = {number, left};
      kept->front = EncodeTableRequestHead({.call = TableCall::kPiece, .keys = numbers});
    }
    kept->front += head;
    const auto taken = values.first(bytes - head.size());
    head.clear();
    values = values.subspan(taken.size());
    const auto front = std::as_bytes(std::span(std::as_const(kept->front)));
    RETURN_IF_ERROR(emit({std::move(kept), front, {}, taken}, left == 0));
  }
  return Status::Ok();
}

}  // namespace

// The rows of one shard as a push, in as many pieces as it takes. When there is no room for all of them in time, the
// shard forgets those that it has.
Status RemoteTable::PushRows(Batch* batch, TableCall call, const Rows& rows, const Values& values,
                             std::span<std::byte> out) {
  const size_t row = layout_.row_bytes(), bytes = rows.keys.size() * row;
  const std::string head = EncodeTableRequestHead({.call = call, .keys = rows.keys});
  const uint64_t number = next_request_++;
  const PieceWriter::Emit emit = [&](const SharedBytes& op, bool last) {
    if (!last || call != TableCall::kPushPull) return batch->Add(rows.shard, op, std::nullopt, 0);
    return batch->Add(rows.shard, op, AnswerInto(batch->call(), rows, out), bytes);
  };
  const auto own = [&] { return values.bytes.subspan(rows.first * row, bytes); };
  Status status;
  // A worker's requests have something in front of them.
  if (values.owner != nullptr && rows.positions == nullptr && bytes >= kLargeBytes && batch->worker() == nullptr) {
    status = EmitShared(head, own(), values.owner, number, emit);
  } else {
    PieceWriter writer(network_->memory(), head.size() + bytes, number, emit);
    status = writer.Put(std::as_bytes(std::span(head)));
    if (status.ok() && rows.positions == nullptr) status = writer.Put(own());
    for (size_t i = 0; rows.positions != nullptr && i < rows.keys.size() && status.ok(); ++i)
      status = writer.Put(values.bytes.subspan(rows.row(i) * row, row));
  }
  // The next attempt of a task puts the pieces together.
  if (status.ok() || head.size() + bytes <= kPieceBytes || of_task_) return status;
  const uint64_t numbers[] = {number};
  SharedBytes op = EncodeTableRequest({.call = TableCall::kDropPieces, .keys = numbers});
  if (batch->worker() != nullptr) op = batch->worker()->PushOp(rows.shard, op.bytes);
  (void)network_->Post([self = shared_from_this(), shard = rows.shard, op] {
    ShardLink::Push drop;
    drop.op = op;
    drop.deadline = kNoDeadline.time_since_epoch().count();
    drop.done = [](Status) {};
    self->links_[shard]->Start(std::move(drop));
  });
  return status;
}

Future<void> RemoteTable::Push(std::span<const Key> keys, std::span<const std::byte> values,
                               const PushOptions& options) {
  RETURN_IF_ERROR(layout_.CheckWithoutWorker("Push"));
  return PushAs(nullptr, keys, values, options);
}

Future<void> RemoteTable::PushAs(WorkerSession* worker, std::span<const Key> keys, std::span<const std::byte> values,
                                 const PushOptions& options) {
  RETURN_IF_ERROR(network_->CheckMayPush());
  RETURN_IF_ERROR(layout_.CheckFixed("Push"));
  RETURN_IF_ERROR(layout_.CheckKeys(keys));
  RETURN_IF_ERROR(layout_.CheckRows("values", keys.size(), values.size()));
  RETURN_IF_ERROR(layout_.CheckValues(keys, values, nullptr));
  const Values all{values, options.owner};
  const auto build = [&](Batch* batch) {
    return ForEachShard(keys, [&](const Rows& rows) { return PushRows(batch, TableCall::kPush, rows, all, {}); });
  };
  return Request(options, std::make_shared<Call>(network_), build, worker);
}

Future<void> RemoteTable::PushPull(std::span<const Key> keys, std::span<const std::byte> values,
                                   std::span<std::byte> out, const PushOptions& options) {
  RETURN_IF_ERROR(layout_.CheckWithoutWorker("PushPull"));
  RETURN_IF_ERROR(network_->CheckMayPush());
  RETURN_IF_ERROR(layout_.CheckFixed("PushPull"));
  RETURN_IF_ERROR(layout_.CheckKeys(keys));
  RETURN_IF_ERROR(layout_.CheckRows("values", keys.size(), values.size()));
  RETURN_IF_ERROR(layout_.CheckRows("room", keys.size(), out.size()));
  RETURN_IF_ERROR(layout_.CheckValues(keys, values, nullptr));
  const Values all{values, options.owner};
  return Request(options, std::make_shared<Call>(network_), [&](Batch* batch) {
    return ForEachShard(keys, [&](const Rows& rows) { return PushRows(batch, TableCall::kPushPull, rows, all, out); });
  });
}

Status RemoteTable::VPushRows(Batch* batch, const Rows& rows, std::span<const std::byte> values,
                              std::span<const uint32_t> lengths, std::span<const uint64_t> begins) {
  const size_t value_bytes = ValueBytes(spec().value_type);
  std::vector<uint32_t> own(rows.keys.size());
  uint64_t bytes = 0;
  for (size_t i = 0; i < own.size(); ++i) {
    own[i] = lengths[rows.row(i)];
    bytes += own[i] * value_bytes;
  }
  const std::string head =
      EncodeTableRequestHead({.call = TableCall::kVariablePush, .keys = rows.keys, .lengths = own});
  PieceWriter writer(network_->memory(), head.size() + bytes, next_request_++,
                     [&](const SharedBytes& op, bool) { return batch->Add(rows.shard, op, std::nullopt, 0); });
  RETURN_IF_ERROR(writer.Put(std::as_bytes(std::span(head))));
  for (size_t i = 0; i < own.size(); ++i) {
    RETURN_IF_ERROR(writer.Put(values.subspan(begins[rows.row(i)] * value_bytes, own[i] * value_bytes)));
  }
  return Status::Ok();
}

Future<void> RemoteTable::VPush(std::span<const Key> keys, std::span<const std::byte> values,
                                std::span<const uint32_t> lengths, const PushOptions& options) {
  RETURN_IF_ERROR(layout_.CheckWithoutWorker("VPush"));
  return VPushAs(nullptr, keys, values, lengths, options);
}

Future<void> RemoteTable::VPushAs(WorkerSession* worker, std::span<const Key> keys, std::span<const std::byte> values,
                                  std::span<const uint32_t> lengths, const PushOptions& options) {
  RETURN_IF_ERROR(network_->CheckMayPush());
  RETURN_IF_ERROR(layout_.CheckWidths(keys.size(), lengths));
  if (!spec().is_variable()) return PushAs(worker, keys, values, options);
  std::vector<uint64_t> begins;
  RETURN_IF_ERROR(layout_.CheckLengths(values.size(), lengths, &begins));
  RETURN_IF_ERROR(layout_.CheckKeys(keys));
  RETURN_IF_ERROR(layout_.CheckValues(keys, values, begins.data()));
  const auto build = [&](Batch* batch) {
    return ForEachShard(keys, [&](const Rows& rows) { return VPushRows(batch, rows, values, lengths, begins); });
  };
  return Request(options, std::make_shared<Call>(network_), build, worker);
}

// ------------------------------------------------------------------------------------------------------------------
// pulls

// Rows that arrive are written where the caller wants them.
ShardLink::Answer RemoteTable::AnswerInto(const std::shared_ptr<Call>& call, const Rows& rows,
                                          std::span<std::byte> out) const {
  ShardLink::Answer answer;
  const size_t row = layout_.row_bytes();
  answer.bytes = rows.keys.size() * row;
  answer.done = [call](Status status) { call->Done(std::move(status)); };
  if (rows.positions == nullptr) {
    answer.take = [to = out.subspan(rows.first * row, answer.bytes)](std::span<const std::byte> piece,
                                                                     uint64_t offset) {
      std::memcpy(to.data() + offset, piece.data(), piece.size());
    };
    return answer;
  }
  std::vector<uint32_t> positions(rows.positions, rows.positions + rows.keys.size());
  answer.take = [to = out.subspan(rows.first * row), positions = std::move(positions), row](
                    std::span<const std::byte> piece, uint64_t offset) {
    while (!piece.empty()) {
      const size_t at = offset % row, bytes = std::min(row - at, piece.size());
      std::memcpy(to.data() + positions[offset / row] * row + at, piece.data(), bytes);
      piece = piece.subspan(bytes);
      offset += bytes;
    }
  };
  return answer;
}

Future<void> RemoteTable::Pull(std::span<const Key> keys, std::span<std::byte> out, const PullOptions& options) {
  return PullAs(nullptr, keys, out, options);
}

Future<void> RemoteTable::PullAs(WorkerSession* worker, std::span<const Key> keys, std::span<std::byte> out,
                                 const PullOptions& options) {
  RETURN_IF_ERROR(layout_.CheckFixed("Pull"));
  RETURN_IF_ERROR(layout_.CheckKeys(keys));
  RETURN_IF_ERROR(layout_.CheckRows("room", keys.size(), out.size()));
  const auto build = [&](Batch* batch) {
    return ForEachShard(keys, [&](const Rows& rows) {
      ShardLink::Pull pull;
      pull.op = EncodeTableRequest({.call = TableCall::kPull, .keys = rows.keys});
      pull.answer = AnswerInto(batch->call(), rows, out);
      return batch->Add(rows.shard, std::move(pull), rows.keys.size() * (layout_.row_bytes() + sizeof(uint32_t)));
    });
  };
  return Request(options, std::make_shared<Call>(network_), build, worker);
}

Future<VariableBytes> RemoteTable::VPull(std::span<const Key> keys, const PullOptions& options) {
  return VPullAs(nullptr, keys, options);
}

Future<VariableBytes> RemoteTable::VPullAs(WorkerSession* worker, std::span<const Key> keys,
                                           const PullOptions& options) {
  auto rows = std::make_shared<VariableBytes>();
  const auto taken = [&](Future<void> pulled) {
    return std::move(pulled).With(rows).Map([](std::shared_ptr<VariableBytes> rows) { return std::move(*rows); });
  };
  if (!spec().is_variable()) {
    rows->values.resize(keys.size() * layout_.row_bytes());
    rows->lengths.assign(keys.size(), spec().width);
    return taken(PullAs(worker, keys, rows->values, options));
  }
  RETURN_IF_ERROR(layout_.CheckKeys(keys));
  // Where each row is depends on the lengths of those before it, so they are put together when all are here.
  struct Part {
    std::vector<uint64_t> rows;
    std::string answer;
  };
  auto parts = std::make_shared<std::vector<std::shared_ptr<Part>>>();
  auto call = std::make_shared<Call>(network_);
  rows->lengths.resize(keys.size());
  call->fill = [rows, parts, value_bytes = ValueBytes(spec().value_type)] {
    std::vector<std::string_view> cells(rows->lengths.size());
    size_t all = 0;
    for (const auto& part : *parts) {
      size_t at = part->rows.size() * sizeof(uint32_t);
      for (size_t i = 0; i < part->rows.size(); ++i) {
        uint32_t length;
        std::memcpy(&length, part->answer.data() + i * sizeof(length), sizeof(length));
        rows->lengths[part->rows[i]] = length;
        cells[part->rows[i]] = std::string_view(part->answer).substr(at, size_t{length} * value_bytes);
        at += size_t{length} * value_bytes;
      }
      all += part->answer.size() - part->rows.size() * sizeof(uint32_t);
    }
    rows->values.reserve(all);
    for (const std::string_view cell : cells) {
      const auto bytes = std::as_bytes(std::span(cell));
      rows->values.insert(rows->values.end(), bytes.begin(), bytes.end());
    }
  };
  const auto build = [&](Batch* batch) {
    return ForEachShard(keys, [&](const Rows& some) {
      auto part = std::make_shared<Part>();
      for (size_t i = 0; i < some.keys.size(); ++i) part->rows.push_back(some.row(i));
      parts->push_back(part);
      ShardLink::Pull pull;
      pull.op = EncodeTableRequest({.call = TableCall::kVariablePull, .keys = some.keys});
      pull.answer.take = [part](std::span<const std::byte> piece, uint64_t offset) {
        if (offset == 0) part->answer.clear();
        part->answer.append(TextOf(piece));
      };
      pull.answer.done = [part, call = batch->call(), value_bytes = ValueBytes(spec().value_type)](Status status) {
        if (status.ok()) {
          uint64_t bytes = part->rows.size() * sizeof(uint32_t);
          for (size_t i = 0; i < part->rows.size() && bytes <= part->answer.size(); ++i) {
            uint32_t length;
            std::memcpy(&length, part->answer.data() + i * sizeof(length), sizeof(length));
            bytes += uint64_t{length} * value_bytes;
          }
          if (bytes != part->answer.size()) status = Status::Corrupt("a server answered with other rows");
        }
        call->Done(std::move(status));
      };
      return batch->Add(some.shard, std::move(pull), some.keys.size() * 32);
    });
  };
  return taken(Request(options, call, build, worker));
}

// ------------------------------------------------------------------------------------------------------------------
// the whole table

Result<std::string> RemoteTable::AskShard(uint32_t shard, const TableRequest& request,
                                          std::chrono::nanoseconds deadline) {
  if (network_->InNetworkThread()) return Status::Invalid("a callback cannot wait for an answer");
  auto answer = std::make_shared<std::string>();
  const Future<void> asked = Request({.deadline = deadline}, std::make_shared<Call>(network_), [&](Batch* batch) {
    ShardLink::Pull pull;
    pull.op = EncodeTableRequest(request);
    pull.answer.take = [answer](std::span<const std::byte> piece, uint64_t offset) {
      if (offset == 0) answer->clear();
      answer->append(TextOf(piece));
    };
    pull.answer.done = [call = batch->call()](Status status) { call->Done(std::move(status)); };
    return batch->Add(shard, std::move(pull), 0);
  });
  RETURN_IF_ERROR(asked.Wait());
  return std::move(*answer);
}

Result<std::vector<std::string>> RemoteTable::AskShards(const SharedBytes& request) {
  if (network_->InNetworkThread()) return Status::Invalid("a callback cannot wait for an answer");
  auto answers = std::make_shared<std::vector<std::string>>(spec().shards);
  const Future<void> asked = Request({.deadline = kCallTime}, std::make_shared<Call>(network_), [&](Batch* batch) {
    for (uint32_t s = 0; s < spec().shards; ++s) {
      ShardLink::Pull pull;
      pull.op = request;
      pull.answer.take = [answers, s](std::span<const std::byte> piece, uint64_t offset) {
        if (offset == 0) (*answers)[s].clear();
        (*answers)[s].append(TextOf(piece));
      };
      pull.answer.done = [call = batch->call()](Status status) { call->Done(std::move(status)); };
      RETURN_IF_ERROR(batch->Add(s, std::move(pull), 0));
    }
    return Status::Ok();
  });
  RETURN_IF_ERROR(asked.Wait());
  return std::move(*answers);
}

Result<std::vector<TableCounts>> RemoteTable::AskCounts(uint16_t form) {
  const uint64_t who[2] = {producer_.high, producer_.low};
  ASSIGN_OR_RETURN(const auto answers,
                   AskShards(EncodeTableRequest({.call = TableCall::kCount, .form = form, .keys = who})));
  std::vector<TableCounts> counts;
  for (const std::string& answer : answers) {
    ASSIGN_OR_RETURN(counts.emplace_back(), DecodeTableCounts(std::as_bytes(std::span(answer))));
  }
  return counts;
}

Status RemoteTable::TellShards(const SharedBytes& op, std::chrono::nanoseconds deadline, uint32_t first, uint32_t end) {
  return Request({.deadline = deadline}, std::make_shared<Call>(network_),
                 [&](Batch* batch) {
                   for (uint32_t s = first; s < std::min(end, spec().shards); ++s) {
                     RETURN_IF_ERROR(batch->Add(s, op, std::nullopt, 0));
                   }
                   return Status::Ok();
                 })
      .Wait();
}

Status RemoteTable::Scan(ScanCursor* cursor, size_t rows_max, RowChunk* chunk) {
  if (cursor->shard >= spec().shards) {
    return Status::Invalid(
        fmt::format("table \"{}\" has no shard {}; it has {}", spec().name, cursor->shard, spec().shards));
  }
  *chunk = {};
  if (cursor->done) return Status::Ok();
  const uint64_t numbers[2] = {cursor->position, rows_max};
  ASSIGN_OR_RETURN(const std::string answer,
                   AskShard(cursor->shard, {.call = TableCall::kScan, .keys = numbers}, kCallTime));
  return TakeScanned(answer, false, cursor, chunk);
}

Status RemoteTable::TakeScanned(const std::string& answer, bool state, ScanCursor* cursor, RowChunk* chunk) const {
  std::span<const std::byte> left = std::as_bytes(std::span(answer));
  uint64_t moved[2];
  if (left.size() < sizeof(moved)) return Status::Corrupt("a server answered to a scan with nothing");
  std::memcpy(moved, left.data(), sizeof(moved));
  left = left.subspan(sizeof(moved));
  ASSIGN_OR_RETURN(*chunk, DecodeChunk(spec(), [&](uint32_t length) { return CellBytes(length, state); }, &left));
  cursor->position = moved[0];
  cursor->done = moved[1] != 0;
  return Status::Ok();
}

Result<uint64_t> RemoteTable::CountNonZero() {
  ASSIGN_OR_RETURN(const auto shards, AskCounts(kFormNonZero));
  uint64_t count = 0;
  for (const TableCounts& counts : shards) count += counts.non_zero;
  return count;
}

Result<TableInfo> RemoteTable::Describe() {
  ASSIGN_OR_RETURN(const auto shards, AskCounts(0));
  TableInfo info{.spec = spec()};
  for (const TableCounts& counts : shards) {
    info.keys_stored += counts.keys_stored;
    info.memory_bytes += counts.memory_bytes;
  }
  return info;
}

std::vector<std::string> RemoteTable::PrimaryAddresses() {
  constexpr std::chrono::seconds kWait(1);
  const auto promise = std::make_shared<Promise<std::vector<std::string>>>();
  const auto addresses = promise->GetFuture();
  const Status posted = network_->Post([self = shared_from_this(), promise] {
    std::vector<std::string> found;
    found.reserve(self->links_.size());
    for (const auto& link : self->links_) found.push_back(link->address());
    promise->Set(std::move(found));
  });
  return posted.ok() && addresses.Wait(kWait).ok() ? addresses.Get().value() : std::vector<std::string>(spec().shards);
}

Result<std::string> RemoteTable::Handle() const {
  return ToString(TableAddress{network_->options().master, spec().name, spec().value_type, made_});
}

size_t RemoteTable::CellBytes(uint32_t length, bool state) const {
  return state ? layout_.kernel().CellBytes(length) : size_t{length} * ValueBytes(spec().value_type);
}

// To the shards' side: rows that nobody sees yet.
Status RemoteTable::LoadRows(const std::string& folder, bool state) {
  auto call = std::make_shared<Call>(network_);
  const Deadline deadline = DeadlineOf({.deadline = kBulkTime}, network_->env().clock());
  Batch batch(*this, call, deadline, false);
  bool with_state = false;
  std::vector<std::string> rows(spec().shards);
  const auto send = [&](uint32_t shard) {
    const std::string head =
        EncodeTableRequestHead({.call = TableCall::kLoad, .form = static_cast<uint16_t>(with_state ? kFormState : 0)});
    PieceWriter writer(network_->memory(), head.size() + rows[shard].size(), next_request_++,
                       [&](const SharedBytes& op, bool) { return batch.Add(shard, op, std::nullopt, 0); });
    RETURN_IF_ERROR(writer.Put(std::as_bytes(std::span(head))));
    RETURN_IF_ERROR(writer.Put(std::as_bytes(std::span(rows[shard]))));
    rows[shard].clear();
    return Status::Ok();
  };
  auto manifest =
      ReadRows(network_->env(), folder, layout_, state, [&](uint32_t shard, const RowChunk& chunk, bool state_too) {
        with_state = state_too;
        EncodeChunk(chunk, &rows[shard]);
        if (call->failed) return Status::Cancelled("a shard did not take the rows");
        return rows[shard].size() < kLoadBytes ? Status::Ok() : send(shard);
      });
  Status status = manifest.status();
  for (uint32_t s = 0; s < spec().shards && status.ok(); ++s) {
    if (!rows[s].empty()) status = send(s);
  }
  if (status.ok()) status = batch.Flush();
  const Future<void> taken = call->promise.GetFuture();
  call->Done(status);
  RETURN_IF_ERROR(taken.Wait());
  ASSIGN_OR_RETURN(const auto shards, AskCounts(0));
  uint64_t loaded = 0;
  for (const TableCounts& counts : shards) loaded += counts.keys_loaded;
  return CheckStored(*manifest, loaded);
}

Status RemoteTable::Drop() {
  RETURN_IF_ERROR(network_->DropTable(spec().name));
  return network_->Post([self = shared_from_this()] { self->OnDropped(); });
}

Result<WorkerHandle> RemoteTable::Join(const JoinOptions& options) {
  RETURN_IF_ERROR(network_->CheckMayPush());
  RETURN_IF_ERROR(layout_.CheckJoin(options));
  auto core = std::make_shared<RemoteWorkerCore>(shared_from_this(), options,
                                                 static_cast<uint32_t>(network_->env().RandomSeed()));
  RETURN_IF_ERROR(network_->Post([self = shared_from_this(), core] { self->workers_.push_back(core); }));
  auto worker = std::make_shared<RemoteWorker>(shared_from_this(), core, options);
  if (Status status = core->Do(&WorkerSession::Join, options.deadline); !status.ok()) {
    return std::move(status).With(fmt::format("table \"{}\"", spec().name));
  }
  return WorkerHandle(std::move(worker));
}

Status RemoteTable::RemoveWorker(uint32_t worker) {
  RETURN_IF_ERROR(network_->CheckMayPush());
  const auto build = [&](Batch* batch) {
    for (uint32_t s = 0; s < spec().shards; ++s) {
      const SharedBytes op = EncodeClockRequest(ClockCall::kLeave, {worker, 0}, 0, 0);
      RETURN_IF_ERROR(batch->Add(s, op, std::nullopt, 0));
    }
    return Status::Ok();
  };
  return Request({.deadline = kCallTime}, std::make_shared<Call>(network_), build).Wait();
}

// ------------------------------------------------------------------------------------------------------------------
// what the network says

void RemoteTable::OnReply(const PushReply& reply) {
  if (reply.shard.shard < links_.size()) links_[reply.shard.shard]->OnReply(reply);
  ForEachTask([&](RemoteTable& task) { task.OnReply(reply); });
}

void RemoteTable::OnReply(const PullReply& reply) {
  if (reply.shard.shard < links_.size()) links_[reply.shard.shard]->OnReply(reply);
  ForEachTask([&](RemoteTable& task) { task.OnReply(reply); });
}

void RemoteTable::OnRoute(const ShardRoute& route) {
  if (route.shard.shard < links_.size()) links_[route.shard.shard]->OnRoute(route);
  ForEachTask([&](RemoteTable& task) { task.OnRoute(route); });
}

void RemoteTable::Tick() {
  ForEachTask([](RemoteTable& task) { task.Tick(); });
  for (const auto& link : links_) link->Tick();
  workers_.remove_if([](const auto& worker) { return worker->over(); });
  for (const auto& worker : workers_) worker->Tick();
  const int64_t now = network_->now();
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    if (now < (*it)->deadline) {
      ++it;
      continue;
    }
    const std::shared_ptr<AfterOthers> late = *it;
    it = waiting_.erase(it);
    late->begin = nullptr;
    std::exchange(late->call, nullptr)
        ->promise.Set(Status::Timeout(
            "the requests that this one was to follow took longer than its deadline allowed; it was not made"));
  }
}

void RemoteTable::OnDropped() {
  ForEachTask([](RemoteTable& task) { task.OnDropped(); });
  const Status dropped = Status::NotFound(fmt::format("table \"{}\" was dropped", spec().name));
  for (const auto& link : links_) link->End(dropped);
  network_->Forget(id_);
}

size_t RemoteTable::Close(const std::function<void()>& sent) {
  size_t closing = 0;
  for (const auto& link : links_) closing += link->Close(sent) ? 1 : 0;
  return closing;
}

void RemoteTable::Cancel() {
  ForEachTask([](RemoteTable& task) { task.Cancel(); });
  for (const auto& link : links_) link->Cancel();
  workers_.clear();
  for (const auto& waiting : std::exchange(waiting_, {})) {
    waiting->call.reset();
    waiting->begin = nullptr;
  }
}

}  // namespace glim::param
