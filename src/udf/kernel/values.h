// SPDX-License-Identifier: Apache-2.0
//
// What a kernel computes with: the values that one expression of a Lua function has in the rows of a slice, and a
// selection of those rows.
//
// Lua has no types before it runs, so every row has its own tag; where all rows have the same, which is the rule, it is
// kept once and the loops need not look. Numbers and texts lie in arrays of their own: a number costs 8 bytes a row, a
// text 16, and a text is never copied but for its change.
//
// Thread: its task's.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "glim/batch.h"

namespace glim::udf {

// A kernel works on so many rows at a time: as many as a batch of results has, so that both begin at the same rows.
constexpr uint32_t kSliceRows = 4096;

// kCell: what only goes from an argument to a result: a list, an integer beyond 2^53. Its number is the argument's.
enum class Tag : uint8_t { kNil, kFalse, kTrue, kNumber, kText, kCell };

// Bytes in the block of that number of the slice (Texts); short ones may lie elsewhere.
struct Text {
  const char* data;
  uint32_t size;
  uint32_t block;
  std::string_view view() const { return {data, size}; }
};

// Selection of a slice, in order: the first `count`, or those of a list.
class Selection {
 public:
  explicit Selection(uint32_t count = 0) : count_(count) {}
  bool empty() const { return size() == 0; }
  uint32_t size() const { return is_list_ ? static_cast<uint32_t>(list_.size()) : count_; }

  template <class Body>
  void Each(const Body& body) const {
    if (is_list_) {
      for (const uint32_t row : list_) body(row);
    } else {
      for (uint32_t row = 0; row < count_; ++row) body(row);
    }
  }
  // Those for which `keep` says so.
  template <class Keep>
  Selection Where(const Keep& keep) const {
    Selection out;
    out.is_list_ = true;
    out.list_.resize(size());
    uint32_t kept = 0;
    Each([&](uint32_t row) {
      out.list_[kept] = row;
      kept += keep(row) ? 1 : 0;
    });
    if (kept == size()) return *this;
    out.list_.resize(kept);
    return out;
  }
  // Adds rows that are not among these.
  void Add(const Selection& more);

 private:
  uint32_t count_;
  bool is_list_ = false;
  std::vector<uint32_t> list_;
};

// Thread: its task's. Always true: after Clear, each row is written once at most.
class Values {
 public:
  void Clear() { is_written_ = is_mixed_ = false; }

  Tag tag(uint32_t row) const { return is_mixed_ ? tags_[row] : tag_; }
  // In all rows that were written?
  bool AreAll(Tag tag) const { return !is_mixed_ && tag_ == tag; }
  bool IsTrue(uint32_t row) const { return tag(row) != Tag::kNil && tag(row) != Tag::kFalse; }
  // Of rows with that tag.
  const double* numbers() const { return numbers_read_; }
  const Text* texts() const { return texts_.get(); }

  // The rows that are written now all have this tag; numbers and texts go to the pointers below.
  void Start(Tag tag);
  // Each has the tag that is put there.
  Tag* StartTags();
  // After StartTags: if all of these rows have one tag, keeps it once.
  void JoinTags(const Selection& rows);
  double* MakeNumbers();
  Text* MakeTexts();
  // All rows are the numbers there, which stay there.
  void PointTo(const double* numbers);
  void Copy(const Values& from, const Selection& rows);

 private:
  bool is_written_ = false;
  bool is_mixed_ = false;
  Tag tag_ = Tag::kNil;
  std::unique_ptr<Tag[]> tags_;
  std::unique_ptr<double[]> numbers_;
  const double* numbers_read_ = nullptr;
  std::unique_ptr<Text[]> texts_;
};

// The rows that a kernel leaves to Lua.
class Failures {
 public:
  void Clear(uint32_t rows);
  void Add(uint32_t row) {
    failed_[row] = true;
    ++count_;
  }
  bool Has(uint32_t row) const { return failed_[row]; }
  uint32_t count() const { return count_; }

 private:
  std::vector<uint8_t> failed_;
  uint32_t count_ = 0;
};

}  // namespace glim::udf
