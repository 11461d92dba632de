// SPDX-License-Identifier: Apache-2.0
#include "udf/kernel/values.h"

#include <algorithm>
#include <optional>

namespace glim::udf {

void Selection::Add(const Selection& more) {
  if (more.empty()) return;
  if (empty()) {
    *this = more;
    return;
  }
  std::vector<uint32_t> both(size() + more.size());
  uint32_t count = 0;
  const auto collect = [&](uint32_t row) { both[count++] = row; };
  Each(collect);
  more.Each(collect);
  std::inplace_merge(both.begin(), both.begin() + size(), both.end());
  if (both.back() + 1 == both.size()) {
    *this = Selection(static_cast<uint32_t>(both.size()));
  } else {
    is_list_ = true;
    list_ = std::move(both);
  }
}

void Values::Start(Tag tag) {
  is_written_ = true;
  tag_ = tag;
}

Tag* Values::StartTags() {
  is_written_ = is_mixed_ = true;
  if (tags_ == nullptr) tags_ = std::make_unique_for_overwrite<Tag[]>(kSliceRows);
  return tags_.get();
}

void Values::JoinTags(const Selection& rows) {
  if (!is_mixed_ || rows.empty()) return;
  bool same = true;
  std::optional<Tag> first;
  rows.Each([&](uint32_t row) {
    if (!first.has_value()) first = tags_[row];
    same &= tags_[row] == *first;
  });
  if (!same) return;
  is_mixed_ = false;
  tag_ = *first;
}

double* Values::MakeNumbers() {
  if (numbers_ == nullptr) numbers_ = std::make_unique_for_overwrite<double[]>(kSliceRows);
  numbers_read_ = numbers_.get();
  return numbers_.get();
}

Text* Values::MakeTexts() {
  if (texts_ == nullptr) texts_ = std::make_unique_for_overwrite<Text[]>(kSliceRows);
  return texts_.get();
}

void Values::PointTo(const double* numbers) {
  Start(Tag::kNumber);
  numbers_read_ = numbers;
}

void Values::Copy(const Values& from, const Selection& rows) {
  if (!is_written_ && !from.is_mixed_) {
    Start(from.tag_);
  } else if (is_mixed_ || from.is_mixed_ || tag_ != from.tag_) {
    if (!is_mixed_) {
      const Tag before = tag_;
      std::fill_n(StartTags(), kSliceRows, before);
    }
    rows.Each([&](uint32_t row) { tags_[row] = from.tag(row); });
  }
  if (from.is_mixed_ || from.tag_ == Tag::kNumber || from.tag_ == Tag::kCell) {
    double* const numbers = MakeNumbers();
    const double* const source = from.numbers();
    if (source != nullptr) rows.Each([&](uint32_t row) { numbers[row] = source[row]; });
  }
  if (from.is_mixed_ || from.tag_ == Tag::kText) {
    Text* const texts = MakeTexts();
    const Text* const source = from.texts();
    if (source != nullptr) rows.Each([&](uint32_t row) { texts[row] = source[row]; });
  }
}

void Failures::Clear(uint32_t rows) {
  failed_.assign(rows, 0);
  count_ = 0;
}

}  // namespace glim::udf
