// SPDX-License-Identifier: Apache-2.0
//
// A source of rows: what to read (Source), cut into pieces that tasks read side by side (Split), read batch by batch
// (Reader).
//
// The plan calls MakeSplits once, when the run starts; that is where globs are expanded and missing files show. Splits
// are in the order of the data: reading them one after the other gives the rows in the order of the files. A task then
// opens its splits and pulls batches.
//
// Thread: a Source is immutable; a Reader belongs to one task.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "env/env.h"
#include "glim/batch.h"

namespace glim::io {

// A contiguous piece of a source. What the fields mean is the source's business, except the estimate.
struct Split {
  std::string path;
  uint64_t begin = 0;  // Byte or row range [begin, end).
  uint64_t end = 0;
  int64_t estimated_bytes = 0;  // For balancing tasks.
  int threads = 1;              // That may help to decompress it.
  std::string host = {};        // The agent on whose machine alone it is; empty: it is everywhere.
  std::string near = {};  // The address of the machine that has it, where others can read it, too; empty: all alike.
};

struct SplitOptions {
  // Splits should not be larger than this where the source can be cut; smaller ones are fine (one per file, say).
  int64_t split_bytes_max = 4 << 20;
  int threads = 1;  // That the run may use in all.
};

// What is known of a source before it is read. For people.
struct Estimate {
  std::optional<int64_t> rows;
  std::optional<int64_t> bytes;  // About.
  bool rows_exact = true;
};

class Reader {
 public:
  virtual ~Reader() = default;
  // The next rows; nullopt at the end. An empty batch says that there is nothing yet (a channel, a socket): the caller
  // looks whether it still wants rows, and asks again. After an error the reader is not used again.
  virtual Result<std::optional<Batch>> Next() = 0;
};

class Source {
 public:
  virtual ~Source() = default;
  // As Explain shows it: `TextFile("*.log")`.
  virtual std::string Describe() const = 0;
  // What the columns are called; empty when they have no names. May read the head of a file.
  virtual Result<std::vector<std::string>> ColumnNames(env::Env& env) const { return std::vector<std::string>(); }
  // Has no effects, and reads no rows. A database may be asked what it knows.
  virtual Estimate MakeEstimate(env::Env& env) const { return {}; }
  virtual Result<std::vector<Split>> MakeSplits(env::Env& env, const SplitOptions& options) const = 0;
  // Instead of MakeSplits, in a process that opens some of the splits that were made in another one: all of them, and
  // in their order.
  virtual Status TakeSplits(const std::vector<Split>& splits) const { return Status::Ok(); }
  virtual Result<std::unique_ptr<Reader>> Open(env::Env& env, const Split& split) const = 0;
};

}  // namespace glim::io
