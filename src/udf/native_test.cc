// SPDX-License-Identifier: Apache-2.0
#include "glim/native.h"

#include <cstring>
#include <random>

#include "udf/lua_test_support.h"

namespace glim {
namespace {

using udf::Collector;

// Text in two blocks, cut into rows of any size.
Batch TextBatch(std::mt19937_64& random) {
  std::vector<BufferRef> blocks;
  std::vector<BytesView> views;
  for (uint32_t number = 0; number < 2; ++number) {
    const auto block = Buffer::Allocate(random() % 300);
    for (size_t i = 0; i < block->size(); ++i) block->mutable_data()[i] = static_cast<char>('a' + random() % 26);
    for (size_t begin = 0; begin < block->size();) {
      const size_t size = std::min<size_t>(random() % 40, block->size() - begin);
      views.push_back(
          BytesView::Make(block->data() + begin, static_cast<uint32_t>(size), number, static_cast<uint32_t>(begin)));
      begin += size + 1;
    }
    blocks.push_back(block);
  }
  const auto values = Buffer::Allocate(views.size() * sizeof(BytesView));
  if (!views.empty()) std::memcpy(values->mutable_data(), views.data(), values->size());
  Column::Parts parts;
  parts.type = Type::kBytes;
  parts.length = static_cast<int64_t>(views.size());
  parts.values = values;
  parts.blocks = std::make_shared<const std::vector<BufferRef>>(std::move(blocks));
  return Batch({Column(std::move(parts))}, static_cast<int64_t>(views.size()));
}

// What a ColumnBuilder for each batch makes of the same rows.
struct Expected {
  void Add(const Row& row) {
    if (builder.row_count() > 0 && (builder.column_count() != static_cast<int>(row.size()) || rows == 4096)) Finish();
    builder.AppendRow(row);
    ++rows;
  }
  void Finish() {
    if (builder.row_count() > 0) (void)out.Push(builder.Finish());
    rows = 0;
  }
  Collector out;
  BatchBuilder builder;
  int64_t rows = 0;
};

TEST(Emitter, GivesTheRowsThatABuilderGives) {
  std::mt19937_64 random(3);
  for (int run = 0; run < 400; ++run) {
    const Batch in = TextBatch(random);
    Collector out;
    Expected expected;
    Emitter emit(&out, random() % 4 == 0 ? nullptr : &in, static_cast<int64_t>(random() % 3 * 700));
    // Columns keep their types for a while, and then one of them has another for a row.
    const uint64_t odd_row = random() % 3 == 0 ? 1 : random() % 2 == 0 ? 50 : 100000;
    const auto text = [&]() -> std::string_view {
      static const std::string kElsewhere(50, 'x');
      if (in.row_count() == 0 || random() % 4 == 0) return std::string_view(kElsewhere).substr(0, random() % 50);
      const int64_t row = static_cast<int64_t>(random() % static_cast<uint64_t>(in.row_count()));
      const std::string_view line = in.column(0).BytesAt(row);
      return line.substr(random() % (line.size() + 1), random() % 20);
    };
    for (uint64_t rows = random() % (run % 20 == 0 ? 20000 : 500); rows-- > 0;) {
      const auto number = static_cast<int64_t>(random() % 1000);
      const double real = static_cast<double>(number) / 4;
      if (random() % odd_row != 0) {
        const std::string_view word = text();
        emit(word, number, real);
        expected.Add({Value(word), Value(number), Value(real)});
        continue;
      }
      switch (random() % 8) {
        case 0:
          emit(number, real, "text");
          expected.Add({Value(number), Value(real), Value("text")});
          break;
        case 1:
          emit(std::optional<int64_t>(), std::optional<double>(real), std::nullopt);
          expected.Add({Value(), Value(real), Value()});
          break;
        case 2:
          emit(true, std::string("a string that is no view"), number);
          expected.Add({Value(true), Value("a string that is no view"), Value(number)});
          break;
        case 3:
          emit(Value("v"), Cell::Int64(number), 1.5F);
          expected.Add({Value("v"), Value(number), Value(1.5)});
          break;
        case 4:
          emit(number);
          expected.Add({Value(number)});
          break;
        case 5:
          emit();
          expected.Add({});
          break;
        default: {
          const std::string_view word = text();
          emit(word, static_cast<int32_t>(number), number);
          expected.Add({Value(word), Value(number), Value(number)});
        }
      }
    }
    EXPECT_TRUE(emit.Flush().ok());
    expected.Finish();
    ASSERT_EQ(out.rows, expected.out.rows) << run;
    ASSERT_EQ(out.batches, expected.out.batches) << run;
  }
}

TEST(Emitter, BytesOfTheInputAreSharedAndOthersCopied) {
  std::mt19937_64 random(4);
  Batch in;
  do in = TextBatch(random);
  while (in.row_count() == 0 || in.column(0).BytesAt(0).size() <= BytesView::kInlineMax);
  const std::string_view line = in.column(0).BytesAt(0);
  const std::string other(100, 'y');
  struct Keeper : BatchOutput {
    Batch batch;
    Status Push(Batch pushed) override {
      batch = std::move(pushed);
      return Status::Ok();
    }
    bool full() const override { return false; }
  } out;
  Emitter emit(&out, &in);
  emit(line, 1);
  emit(other, 2);
  EXPECT_TRUE(emit.Flush().ok());
  EXPECT_EQ(out.batch.column(0).BytesAt(0).data(), line.data());
  EXPECT_NE(out.batch.column(0).BytesAt(1).data(), other.data());
  EXPECT_EQ(out.batch.column(0).BytesAt(1), other);
}

// The bytes that a fold says it holds, once one text has grown to 100,000 bytes in steps, and after it has become a
// short one.
template <class F>
void CountsTexts(const F& function) {
  native::TypedReducer<F> reducer(function);
  const std::string step(1000, 'x');
  std::vector<Row> rows(100, Row{step});
  const std::vector<uint32_t> groups(rows.size(), 0);
  ASSERT_TRUE(reducer.Update(udf::MakeBatch(rows), groups, 1).ok());
  const int64_t most = reducer.memory_bytes();
  EXPECT_GE(most, 100'000);
  EXPECT_LE(most, 250'000);
  const std::vector<Row> last = {{""}};
  ASSERT_TRUE(reducer.Update(udf::MakeBatch(last), std::vector<uint32_t>{0}, 1).ok());
  EXPECT_LE(reducer.memory_bytes(), most);  // A std::string keeps what it has.
}

TEST(TypedReducer, CountsWhatTextsHold) {
  CountsTexts([](std::string_view a, std::string_view b) {
    return b.empty() ? std::string() : std::string(a) + std::string(b);
  });
  CountsTexts([](std::string a, std::string b) { return b.empty() ? b : a + b; });
  CountsTexts([](const Value& a, const Value& b) {
    return b.as_bytes().empty() ? b : Value(std::string(a.as_bytes()) + std::string(b.as_bytes()));
  });
}

}  // namespace
}  // namespace glim
