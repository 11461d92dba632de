// SPDX-License-Identifier: Apache-2.0
//
// What a replicated shard replicates: a state that is a pure function of the operations applied to it. In a server
// these are the rows and rule state of a table; the simulation has one that counts.
//
// Thread: that of the replica.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "glim/status.h"
#include "param/replication/messages.h"

namespace glim::param {

class ShardState {
 public:
  virtual ~ShardState() = default;

  // Whether an operation makes sense. Depends on nothing but the operation and the table's description, so that clients
  // can look for themselves, and a refused push is refused whenever it is sent again.
  virtual Status Check(const SharedBytes& op) const = 0;
  // Whether pushes are not to be taken for the moment; then Fits knows which are.
  virtual bool is_held() const { return false; }
  // Whether there is room for it now, beside `reserved_bytes` of operations that are to be applied later.
  virtual bool Fits(const SharedBytes& op, uint64_t reserved_bytes) const = 0;
  // The same for a whole state that takes `bytes` as a snapshot.
  virtual bool FitsSnapshot(uint64_t bytes) const { return true; }
  // Expects: Check(record.op).ok(). The same records in the same order give the same bits on every machine. What the
  // pusher wants to know of it, without an owner when that is nothing.
  virtual SharedBytes Apply(const Record& record) = 0;
  // The producer is done, and will push no more.
  virtual void Forget(const Producer& producer) {}

  // kExhausted: not at the moment.
  virtual Result<SharedBytes> Read(const SharedBytes& request) const = 0;

  // The whole state as bytes, and back. Restore leaves the old state when it fails.
  virtual std::string Save() const = 0;
  virtual Status Restore(std::span<const std::byte> bytes) = 0;
  // Whether it is to be kept on disk.
  virtual bool on_disk() const { return false; }
  // Back to the state before the first operation.
  virtual void Clear() = 0;

  // What only the primary does, and what is no part of the state: to know who waits for whom, and who is gone.
  // It is the primary from now on.
  virtual void Watch(int64_t now) {}
  // Somebody sent this operation or request.
  virtual void Heard(const SharedBytes& request, int64_t now) {}
  // An operation that time has made necessary. Asked now and then until there is none.
  virtual std::optional<SharedBytes> Overdue(int64_t now) { return std::nullopt; }
  // Nothing: the request may be answered. Else what must happen before, in words for its sender.
  virtual std::optional<std::string> WaitsFor(const SharedBytes& request, int64_t now) const { return std::nullopt; }
};

}  // namespace glim::param
