// SPDX-License-Identifier: Apache-2.0
#include "exchange/parallel_merge.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "exchange/merge_reader.h"
#include "glim/batch_builder.h"

namespace glim::exchange {
namespace {

// A sequence that is there, and fails behind its last batch when it should.
class Sequence : public PartitionReader {
 public:
  Sequence(std::vector<Batch> batches, bool fails) : batches_(std::move(batches)), fails_(fails) {}
  Result<std::optional<Batch>> Next() override {
    if (next_ < batches_.size()) return std::optional<Batch>(batches_[next_++]);
    if (fails_) return Status::Corrupt("damaged");
    return std::optional<Batch>();
  }

 private:
  const std::vector<Batch> batches_;
  const bool fails_;
  size_t next_ = 0;
};

using Sequences = std::vector<std::vector<Batch>>;

std::vector<std::unique_ptr<PartitionReader>> Readers(const Sequences& sequences, bool last_fails = false) {
  std::vector<std::unique_ptr<PartitionReader>> readers;
  for (size_t i = 0; i < sequences.size(); ++i)
    readers.push_back(std::make_unique<Sequence>(sequences[i], last_fails && i + 1 == sequences.size()));
  return readers;
}

std::vector<Row> Rows(PartitionReader* reader) {
  std::vector<Row> rows;
  while (true) {
    const auto batch = reader->Next();
    EXPECT_TRUE(batch.ok()) << batch.status().ToString();
    if (!batch.ok() || !batch->has_value()) return rows;
    for (int64_t i = 0; i < (*batch)->row_count(); ++i) rows.push_back((*batch)->RowAt(i));
  }
}

// Rows of a key and of their place, sorted by the key, in batches of any size.
std::vector<Batch> SortedBatches(int sequence, size_t rows_max, int keys, bool descending) {
  std::vector<Row> rows(*rc::gen::inRange<size_t>(0, rows_max + 1));
  for (Row& row : rows) {
    const int key = *rc::gen::inRange(0, keys);
    row = {key % 3 == 0 ? Value(std::string(20, static_cast<char>('a' + key % 26))) : Value(key), Value()};
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [&](const Row& a, const Row& b) { return descending ? b[0] < a[0] : a[0] < b[0]; });
  for (size_t i = 0; i < rows.size(); ++i) rows[i][1] = Value(int64_t{sequence} * 1'000'000 + static_cast<int64_t>(i));
  std::vector<Batch> batches;
  for (size_t begin = 0; begin < rows.size();) {
    const size_t count = std::min(*rc::gen::inRange<size_t>(1, 40), rows.size() - begin);
    BatchBuilder builder(2);
    for (size_t i = begin; i < begin + count; ++i) {
      builder.column(0).Append(rows[i][0].cell());
      builder.column(1).Append(rows[i][1].cell());
      builder.EndRow();
    }
    batches.push_back(builder.Finish());
    begin += count;
  }
  return batches;
}

RC_GTEST_PROP(ParallelMerge, GivesWhatAMergeOnOneThreadGives, ()) {
  const bool descending = *rc::gen::arbitrary<bool>();
  const int keys = *rc::gen::element(1, 5, 1000);
  Sequences sequences(*rc::gen::inRange<size_t>(0, 9));
  for (size_t i = 0; i < sequences.size(); ++i)
    sequences[i] = SortedBatches(static_cast<int>(i), *rc::gen::element<size_t>(0, 10, 300), keys, descending);
  const std::vector<batch::SortKey> by = {{.column = 0, .descending = descending}};
  const ParallelMergeOptions options{.threads = *rc::gen::inRange(1, 5),
                                     .unit_bytes = *rc::gen::element<int64_t>(1, 500, 5000, 1 << 20)};
  RC_ASSERT(Rows(MakeParallelMerge(Readers(sequences), by, options).get()) ==
            Rows(MakeMergeReader(Readers(sequences), by).get()));
}

Sequences Numbers(size_t sequences, int64_t rows) {
  Sequences all(sequences);
  for (std::vector<Batch>& batches : all) {
    for (int64_t begin = 0; begin < rows; begin += 1000) {
      std::vector<int64_t> numbers(1000);
      for (int64_t i = 0; i < 1000; ++i) numbers[static_cast<size_t>(i)] = begin + i;
      batches.emplace_back(std::vector<Column>{Column::FromInt64s(numbers)}, 1000);
    }
  }
  return all;
}

TEST(ParallelMerge, AFailureOfASequenceIsTheMerges) {
  const auto merge = MakeParallelMerge(Readers(Numbers(3, 10'000), true), {{}}, {.threads = 3, .unit_bytes = 1000});
  Result<std::optional<Batch>> batch = std::optional<Batch>();
  do {
    batch = merge->Next();
  } while (batch.ok() && batch->has_value());
  EXPECT_EQ(batch.status().code(), Code::kCorrupt);
}

TEST(ParallelMerge, MayBeLeftInTheMiddle) {
  for (int reads = 0; reads < 20; ++reads) {
    const auto merge = MakeParallelMerge(Readers(Numbers(4, 5'000)), {{}}, {.threads = 3, .unit_bytes = 3000});
    for (int i = 0; i < reads; ++i) EXPECT_TRUE(merge->Next().ok());
  }
}

}  // namespace
}  // namespace glim::exchange
