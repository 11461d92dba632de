// SPDX-License-Identifier: Apache-2.0
//
// Numbers the distinct keys of rows: the hash table under ReduceBy, GroupBy and Join.
//
// A key is a byte string: the value itself when there is one key column and it has only bytes, or only int64, else the
// encoded columns (batch/row_codec.h). Groups are numbered from 0 in the order in which their keys came. Open
// addressing over slots of 24 bytes: up to 12 bytes of the key, or its beginning and where it lies in an arena, its
// hash and its group. So a look-up of a short key touches one cache line, or two neighbours, and those of the next rows
// are fetched while one is compared. The keys lie in the order of their groups besides, for Keys().
//
// Memory: 24 / load (0.31 .. 0.62) + 16 bytes per group, plus long keys: about 70 bytes.
//
// Thread: Insert by one; Find by many at once, each with its own Rows, once nobody inserts.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "env/page_memory.h"
#include "glim/batch.h"

namespace glim::ops {

// Sorts row numbers by group, keeping their order within each (a counting sort): the rows of group g are
// order[begins[g]] .. order[begins[g + 1]].
void OrderByGroup(std::span<const uint32_t> group_of_row, uint32_t group_count, std::vector<uint32_t>* begins,
                  std::vector<uint32_t>* order);
// A column of lists: list i has the elements begins[i] .. begins[i + 1] of `elements`, which begin at begins[0].
Column ListsOf(Column elements, std::span<const uint32_t> begins);
// Groups [begin, the result) make a batch: few groups, and few rows unless it is one group.
uint32_t EndOfPiece(std::span<const uint32_t> begins, uint32_t begin);
// For each of the groups [begin, end) the list of its rows, as OrderByGroup brought them together.
Column ListsOf(const Column& rows, std::span<const uint32_t> begins, std::span<const uint32_t> order, uint32_t begin,
               uint32_t end);

class GroupIndex {
 public:
  class Rows;

  explicit GroupIndex(size_t key_count);
  ~GroupIndex();

  // The group of every row; new keys get new groups. Expects: the batch has the key columns.
  void Insert(const Batch& batch, std::span<const int> key_columns, std::vector<uint32_t>* groups);
  // The same without new groups: kNone for a key that is not there.
  static constexpr uint32_t kNone = UINT32_MAX;
  void Find(const Batch& batch, std::span<const int> key_columns, Rows* scratch, std::vector<uint32_t>* groups) const;

  // Makes room for so many groups in all, as Insert would by and by.
  void Reserve(size_t groups);

  uint32_t group_count() const { return static_cast<uint32_t>(keys_.size()); }
  int64_t memory_bytes() const;
  // What it would be with so many groups of short keys.
  int64_t MemoryBytesFor(size_t groups) const;
  // The keys, one row per group, as many columns as key columns.
  std::vector<Column> Keys() const;
  // Those of `groups`, a row for each.
  std::vector<Column> KeysOf(std::span<const uint32_t> groups) const;
  // Those of `count` groups from `begin` on.
  std::vector<Column> KeysFrom(uint32_t begin, uint32_t count) const;
  // After the last Insert and Find: gives back what only looking for a key needs, the larger part.
  void EndLooking();

 private:
  // Like BytesView, but with the address of a long key.
  struct Key {
    uint32_t size;
    char head[4];
    char tail[8];  // The rest of a short key, or the address.
    const char* address() const;
    std::string_view bytes() const;
    int64_t int64() const;  // Of Form::kInts.
  };
  static_assert(sizeof(Key) == 16);
  struct Slot {
    Key key;
    uint32_t hash;
    uint32_t group_plus_one;  // 0: empty.
  };
  static_assert(sizeof(Slot) == 24);

  enum class Form : uint8_t { kUnknown, kBytes, kInts, kEncoded };  // Of the keys; kUnknown: there are none.
  static Form FormOf(const Column& column);
  // Keys that are values become encoded ones.
  void Encode();
  void InsertRows(std::span<uint32_t> groups);
  // Of bytes that stay where they are.
  static Key MakeKey(std::string_view bytes);
  static Key MakeKey(int64_t value);
  static bool Matches(const Key& a, const Key& b);
  static uint32_t HashOf(const Key& key);
  // For `rows` new groups.
  void MakeRoom(size_t rows);
  // Into the slots, which have no such key. Expects: its bytes stay where they are.
  void Place(const Key& key, uint32_t hash, uint32_t group);
  const char* Keep(std::string_view bytes);

  const size_t key_count_;
  Form form_ = Form::kUnknown;
  env::HugeArray<Slot> slots_;  // None after EndLooking.
  std::vector<Key> keys_;

  std::vector<std::unique_ptr<char[]>> arena_;
  size_t arena_left_ = 0;
  char* arena_next_ = nullptr;
  int64_t arena_bytes_ = 0;

  std::unique_ptr<Rows> rows_;  // Of Insert.
};

// Keys and hashes of the rows at hand, kept from batch to batch for their memory.
class GroupIndex::Rows {
 private:
  friend class GroupIndex;
  // Of the rows from `begin` on, at most kAtOnce.
  static constexpr int64_t kAtOnce = 128;
  void Prepare(const Batch& batch, std::span<const int> columns, Form form, int64_t begin);
  void PrepareBytes(const Column& column, int64_t begin);
  void PrepareInts(const Column& column, int64_t begin);
  void PrepareOthers(const Column& column, Form form, int64_t begin);
  void PrepareEncoded(const Batch& batch, std::span<const int> columns, int64_t begin);

  int64_t count_ = 0;
  std::array<Key, kAtOnce> keys_;
  std::array<uint32_t, kAtOnce> hashes_;
  std::string encoded_;
  std::vector<size_t> encoded_ends_;
};

}  // namespace glim::ops
