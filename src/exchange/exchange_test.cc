// SPDX-License-Identifier: Apache-2.0
#include "exchange/exchange.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>

#include "glim/batch_builder.h"

namespace glim::exchange {
namespace {

constexpr int kProducers = 3, kConsumers = 4;
constexpr int64_t kRowsOfOne = 20000;

std::string TextOf(int64_t number) { return number % 7 == 0 ? "" : "the text of row " + std::to_string(number); }

void WriteAll(Exchange* exchange, int producer) {
  const auto writer = exchange->MakeWriter(producer);
  for (int64_t begin = 0; begin < kRowsOfOne; begin += 500) {
    BatchBuilder rows;
    for (int64_t i = begin; i < begin + 500; ++i) {
      const int64_t number = producer * kRowsOfOne + i;
      rows.AppendRow({Value(number), number % 11 == 0 ? Value() : Value(TextOf(number))});
    }
    ASSERT_TRUE(writer->Push(rows.Finish()).ok());
  }
  ASSERT_TRUE(writer->Finish().ok());
}

// The numbers of a consumer's rows, in their order.
std::vector<int64_t> ReadAll(Exchange* exchange, int consumer, bool take) {
  std::vector<int64_t> numbers;
  const auto reader = exchange->MakeReader(consumer, consumer + 1, take);
  while (true) {
    const auto batch = reader->Next();
    EXPECT_TRUE(batch.ok()) << batch.status().message();
    if (!batch.ok() || !batch->has_value()) return numbers;
    for (int64_t row = 0; row < (*batch)->row_count(); ++row) {
      numbers.push_back((*batch)->At(row, 0).as_int64());
      const Cell text = (*batch)->At(row, 1);
      EXPECT_TRUE(numbers.back() % 11 == 0 ? text.is_null() : text.as_bytes() == TextOf(numbers.back()));
    }
  }
}

// Producers and consumers of one exchange side by side, and a third who wants its memory all the time.
void RowsArrive(int64_t limit_bytes) {
  const auto env = env::MakePosixEnv();
  const std::string folder = env->files().MakeTemporaryFolder("glim-exchange-test-").value();
  {
    base::MemoryBudget budget(limit_bytes);
    spill::Space space(&env->files(), folder);
    batch::ExchangeSpec spec;
    spec.kind = batch::ExchangeKind::kHash;
    spec.columns = {0};
    Exchange exchange(spec, kProducers, kConsumers, &budget, &space, "the rows");
    const auto want_all = [&] {
      const Result<bool> got = budget.Reserve(limit_bytes);
      EXPECT_TRUE(got.ok());
      if (got.ok() && *got) budget.Release(limit_bytes);
    };
    const auto side_by_side = [&](int count, const auto& work) {
      std::atomic<int> at_work = count;
      std::vector<std::thread> threads;
      for (int i = 0; i < count; ++i) {
        threads.emplace_back([&, i] {
          work(i);
          --at_work;
        });
      }
      while (at_work > 0) {
        want_all();
        std::this_thread::yield();
      }
      for (std::thread& thread : threads) thread.join();
    };
    side_by_side(kProducers, [&](int producer) { WriteAll(&exchange, producer); });
    want_all();
    EXPECT_GT(space.bytes_written(), 0);
    for (const bool take : {false, true}) {
      std::vector<std::vector<int64_t>> read(kConsumers);
      side_by_side(kConsumers, [&](int consumer) { read[consumer] = ReadAll(&exchange, consumer, take); });
      std::vector<int64_t> all;
      for (const std::vector<int64_t>& numbers : read) {
        EXPECT_TRUE(std::is_sorted(numbers.begin(), numbers.end()));  // Producer by producer, as they were written.
        all.insert(all.end(), numbers.begin(), numbers.end());
      }
      std::sort(all.begin(), all.end());
      ASSERT_EQ(all.size(), static_cast<size_t>(kProducers * kRowsOfOne));
      for (size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], static_cast<int64_t>(i));
    }
    EXPECT_EQ(budget.used_bytes(), 0);
  }
  EXPECT_TRUE(env->files().RemoveAll(folder).ok());
}

TEST(Exchange, RowsArriveInTheirOrderWhilePackedBatchesGoToDisk) { RowsArrive(1 << 20); }

TEST(Exchange, RowsArriveInTheirOrderWhileBatchesGoToDisk) { RowsArrive(256 << 20); }

}  // namespace
}  // namespace glim::exchange
