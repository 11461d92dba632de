// SPDX-License-Identifier: Apache-2.0
//
// What a client of a table asks of one shard, and what the shard answers, as bytes: the payload of pushes and pulls
// (replication/messages.h). Little-endian, without gaps:
//
//   request   u16 call | u16 form | u32 0 | u64 count | `count` numbers of 8 bytes | of variable pushes: `count`
//   lengths
//             of 4 bytes | the rest
//
//   call               numbers             rest            form          answer
//   push               keys                rows                          none
//   variable push      keys                rows                          none
//   push and pull      keys                rows                          the rows after the push
//   pull               keys                                              rows
//   variable pull      keys                                              `count` lengths of 4 bytes, rows
//   piece              number, left        bytes                         that of the whole request, to its last piece
//   drop pieces        number                                            none
//   load               (none)              chunks          state         none
//   take loaded        (none)                                            none
//   drop loaded        (none)                                            none
//   scan               position, rows      (none)          state         u64 next position | u64 1 at the end | chunk
//   count              producer's two                       non-zero      TableCounts
//   hold               number                                            none
//   mark               number                              state         none
//   go on              number                                            none
//   release            number                                            none
//   scan marked        number, position    (none)          state         as scan
//
// The last five are a Save (docs/design/servers.md): `number` is that of the save. From `hold` on, the shard takes no
// pushes of others, `mark` keeps its rows as they are then, `go on` ends the hold, `release` whatever there is.
//
// Keys that are first, first + step, ... travel as those two numbers when the form says `run`; `count` is then how many
// they stand for.
//
// A request of more bytes than go into one message comes in pieces, each a push of its own: `left` counts the bytes
// that are still to come, `number` tells the requests of one producer apart. It is carried out when its last piece is.
//
// A chunk is u64 rows | u64 bytes of their values | keys | variable: lengths | values, each followed by its rule's
// state where the form says so.
//
// Thread: functions and values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "glim/table_spec.h"
#include "param/replication/messages.h"

namespace glim::param {

enum class TableCall : uint16_t {
  kPush = 1,
  kVariablePush = 2,
  kPull = 3,
  kVariablePull = 4,
  kPushPull = 5,
  kPiece = 6,
  kDropPieces = 7,
  kLoad = 8,
  kTakeLoaded = 9,
  kDropLoaded = 10,
  kScan = 11,
  kCount = 12,
  kHold = 32,
  kMark = 33,
  kGoOn = 34,
  kRelease = 35,
  kScanMarked = 36,
};

// Whether it goes through the shard's log.
bool IsPush(TableCall call);

enum TableForm : uint16_t {
  kFormRun = 1,      // Keys are a run.
  kFormState = 2,    // With the rule's state.
  kFormNonZero = 4,  // Look at each row.
};

// A few microseconds of work, whatever the table holds: some rows. kShortBytes of rows to push, kShortKeys to pull.
inline constexpr uint64_t kShortBytes = 16 << 10;
inline constexpr uint64_t kShortKeys = 64;
bool IsShort(std::span<const std::byte> request);

// Keys that a request may stand for without naming each.
inline constexpr uint64_t kRunKeysMax = 65536;

// One request to one shard. Spans refer to the caller's memory, or to the bytes that were decoded, or to `run`.
struct TableRequest {
  TableCall call = TableCall::kPull;
  uint16_t form = 0;
  std::span<const uint64_t> keys = {};  // Or what else the numbers are.
  std::span<const uint32_t> lengths = {};
  std::span<const std::byte> values = {};
  // What does not lie where it could be looked at in place.
  std::vector<uint64_t> key_memory = {};
  std::vector<uint32_t> length_memory = {};
  std::vector<std::byte> value_memory = {};
};

SharedBytes EncodeTableRequest(const TableRequest& request);
// Only what stands before the rest: `values` follow. With keys that are a run, as one.
std::string EncodeTableRequestHead(const TableRequest& request);
// kCorrupt for what no encoder wrote. Whether it makes sense for a table is another question (TableState::Check).
// The bytes must live as long as the request.
Result<TableRequest> DecodeTableRequest(std::span<const std::byte> bytes);

struct TableCounts {
  uint64_t keys_stored = 0;
  uint64_t memory_bytes = 0;
  uint64_t keys_loaded = 0;  // By this producer, not taken yet.
  uint64_t non_zero = 0;     // If asked for.
};
SharedBytes EncodeTableCounts(const TableCounts& counts);
Result<TableCounts> DecodeTableCounts(std::span<const std::byte> bytes);

void EncodeChunk(const RowChunk& chunk, std::string* to);
// Takes a chunk from the beginning. `cell_bytes(length)`: of a row of so many values.
Result<RowChunk> DecodeChunk(const TableSpec& spec, const std::function<size_t(uint32_t)>& cell_bytes,
                             std::span<const std::byte>* from);

}  // namespace glim::param
