// SPDX-License-Identifier: Apache-2.0
//
// Where rows leave a flow. The engine hands a sink its batches one at a time and in order (order of partitions, then of
// rows), whatever number of tasks made them; then Finish, or Abort when the run failed. Only Finish makes a file
// visible under its final name.
//
// The costly part, turning rows into bytes, is done in parallel before: a task calls Encode on its own batches, and the
// engine hands the results to Write in order.
//
// Thread: Encode from any task at once; Open, Write, Finish, Abort one at a time.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "env/env.h"
#include "glim/batch.h"

namespace glim::io {

// The part of one task, of a sink that is written in parts.
// Thread: its task's.
class SinkPart {
 public:
  virtual ~SinkPart() = default;
  virtual Status Write(const Batch& batch) = 0;
  // Without it, the part is dropped.
  virtual Status Finish() = 0;
};

class Sink {
 public:
  virtual ~Sink() = default;
  // As Explain shows it: `Printf("%s,%d\n")`.
  virtual std::string Describe() const = 0;
  virtual Status Open(env::Env& env) = 0;
  // Appends the bytes of `batch` to `out`. Sinks that take rows as they are (Collect, Output) return false from
  // wants_bytes and get the batch itself.
  virtual bool wants_bytes() const = 0;
  virtual Status Encode(const Batch& batch, std::string* out) const { return Status::Ok(); }
  // What Encode would append, when the batch has it somewhere as it is.
  virtual std::optional<std::string_view> InPlace(const Batch& batch) const { return std::nullopt; }
  virtual Status WriteBytes(std::string_view bytes) { return Status::Ok(); }
  virtual Status WriteBatch(const Batch& batch) { return Status::Ok(); }
  // True when the sink wants no more rows (SaveFirstRowTo has its row): the engine then stops early.
  virtual bool full() const { return false; }
  // True when each task writes a part of its own, side by side and in no order: then the engine opens one for each
  // task, finishes all of them, and then the sink; Encode and the Writes here are not called.
  virtual bool in_parts() const { return false; }
  // From any task.
  virtual Result<std::unique_ptr<SinkPart>> OpenPart(int number) { return Status::Internal("a sink without parts"); }
  virtual Status Finish() = 0;
  virtual void Abort() = 0;
};

}  // namespace glim::io
