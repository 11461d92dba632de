// SPDX-License-Identifier: Apache-2.0
#include "param/table_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <cstring>

namespace glim::param {
namespace {

using testing::HasSubstr;

std::shared_ptr<const TableLayout> Layout(TableSpec spec) {
  spec.name = "t";
  spec.shards = 3;
  auto checked = CheckTableSpec(std::move(spec));
  EXPECT_TRUE(checked.ok()) << checked.status().message();
  return std::make_shared<const TableLayout>(*std::move(checked));
}

TableSpec Spec(KeySpace keys, uint32_t width, UpdateRule rule) {
  TableSpec spec;
  spec.keys = keys;
  spec.width = width;
  spec.rule = rule;
  return spec;
}

// The first `count` keys that shard 1 has.
std::vector<Key> OwnKeys(const TableLayout& layout, size_t count) {
  std::vector<Key> keys;
  for (Key key = 0; keys.size() < count; ++key) {
    if (layout.partition().ShardOf(key) == 1) keys.push_back(key);
  }
  return keys;
}

SharedBytes PushOf(const std::vector<Key>& keys, const std::vector<float>& values) {
  return EncodeTableRequest({.call = TableCall::kPush, .keys = keys, .values = std::as_bytes(std::span(values))});
}

std::vector<float> Floats(const SharedBytes& bytes) {
  std::vector<float> floats(bytes.bytes.size() / 4);
  std::memcpy(floats.data(), bytes.bytes.data(), floats.size() * 4);
  return floats;
}

std::vector<float> PullAll(const TableState& state, const std::vector<Key>& keys) {
  auto rows = state.Read(EncodeTableRequest({.call = TableCall::kPull, .keys = keys}));
  EXPECT_TRUE(rows.ok()) << rows.status().message();
  return Floats(*rows);
}

void Apply(TableState* state, const SharedBytes& op) {
  Record record;
  record.op = op;
  state->Apply(record);
}

std::shared_ptr<base::MemoryBudget> Memory(int64_t bytes = 1 << 30) {
  return std::make_shared<base::MemoryBudget>(bytes);
}

// A second shard that is restored from the first goes on exactly as the first does, whatever the rule.
RC_GTEST_PROP(TableState, GoesOnAsTheOneItWasRestoredFrom, ()) {
  const auto layout =
      Layout(Spec(SparseKeys(), 2, *rc::gen::element<UpdateRule>(Add{}, Adam{}, Ftrl{.l1 = 0.1f}, AdaGrad{})));
  const std::vector<Key> keys = OwnKeys(*layout, 20);
  TableState first(layout, 1, Memory()), second(layout, 1, Memory());
  const auto push = [&](TableState* state, const std::vector<size_t>& which, int salt) {
    std::vector<Key> pushed;
    std::vector<float> values;
    for (const size_t i : which) {
      pushed.push_back(keys[i]);
      values.push_back(static_cast<float>(i) * 0.25f + static_cast<float>(salt));
      values.push_back(-1.5f);
    }
    const SharedBytes op = PushOf(pushed, values);
    RC_ASSERT(state->Check(op).ok());
    Apply(state, op);
  };
  const auto some = [&] { return *rc::gen::container<std::vector<size_t>>(rc::gen::inRange<size_t>(0, 20)); };
  for (int i = 0; i < 3; ++i) push(&first, some(), i);
  const std::string saved = first.Save();
  RC_ASSERT(second.Restore(std::as_bytes(std::span(saved))).ok());
  const auto more = some();
  push(&first, more, 7);
  push(&second, more, 7);
  RC_ASSERT(PullAll(first, keys) == PullAll(second, keys));
  RC_ASSERT(first.rows().keys_stored() == second.rows().keys_stored());
}

// Where the bytes are not: keys of eight bytes, lengths of four, values of eight.
TEST(TableState, ValuesOfAnOddNumberOfRowsAreReadAligned) {
  TableSpec spec = Spec(SparseKeys(), kVariableWidth, Add{});
  spec.value_type = ValueType::kI64;
  const auto layout = Layout(spec);
  TableState state(layout, 1, std::make_shared<base::MemoryBudget>(1 << 30));
  const std::vector<Key> keys = OwnKeys(*layout, 3);
  const std::vector<uint32_t> lengths = {2, 0, 1};
  const std::vector<int64_t> values = {1, -2, 3};
  const SharedBytes op = EncodeTableRequest(
      {.call = TableCall::kVariablePush, .keys = keys, .lengths = lengths, .values = std::as_bytes(std::span(values))});
  const auto request = DecodeTableRequest(op.bytes);
  ASSERT_TRUE(request.ok());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(request->values.data()) % sizeof(int64_t), 0u);
  EXPECT_EQ(std::memcmp(request->values.data(), values.data(), sizeof(int64_t) * 3), 0);
  ASSERT_TRUE(state.Check(op).ok());
  Apply(&state, op);
  const auto rows = state.Read(EncodeTableRequest({.call = TableCall::kVariablePull, .keys = keys}));
  ASSERT_TRUE(rows.ok()) << rows.status().message();
  EXPECT_EQ(std::memcmp(rows->bytes.data() + sizeof(uint32_t) * 3, values.data(), sizeof(int64_t) * 3), 0);
}

TEST(TableState, VariableRowsAreKeptAndGivenWithTheirLengths) {
  const auto layout = Layout(Spec(SparseKeys(), kVariableWidth, Assign{}));
  const std::vector<Key> keys = OwnKeys(*layout, 3);
  TableState state(layout, 1, Memory());
  const std::vector<float> values{1, 2, 3};
  const std::vector<Key> pushed{keys[0], keys[2]};
  const std::vector<uint32_t> pushed_lengths{2, 1};
  const SharedBytes op = EncodeTableRequest({.call = TableCall::kVariablePush,
                                             .keys = pushed,
                                             .lengths = pushed_lengths,
                                             .values = std::as_bytes(std::span(values))});
  ASSERT_TRUE(state.Check(op).ok());
  Apply(&state, op);
  TableState second(layout, 1, Memory());
  const std::string saved = state.Save();
  ASSERT_TRUE(second.Restore(std::as_bytes(std::span(saved))).ok());
  const auto answer = second.Read(EncodeTableRequest({.call = TableCall::kVariablePull, .keys = keys}));
  ASSERT_TRUE(answer.ok());
  uint32_t lengths[3];
  std::memcpy(lengths, answer->bytes.data(), sizeof(lengths));
  EXPECT_THAT(lengths, testing::ElementsAre(2, 0, 1));
  EXPECT_THAT(Floats({nullptr, answer->bytes.subspan(12)}), testing::ElementsAre(1, 2, 3));
}

TEST(TableState, WhatMakesNoSenseIsRefusedAndTouchesNothing) {
  const auto layout = Layout(Spec(DenseKeys(30), 2, Add{}));
  const std::vector<Key> keys = OwnKeys(*layout, 2);
  TableState state(layout, 1, Memory());
  const auto why = [&](const SharedBytes& op) { return state.Check(op).message(); };
  EXPECT_THAT(why(PushOf({keys[0]}, {1, 2, 3})), HasSubstr("values for 3 numbers, but 1 keys of width 2 make 2"));
  EXPECT_THAT(why(PushOf({keys[0], 30}, {1, 2, 3, 4})), HasSubstr("key 30 is out of range"));
  EXPECT_THAT(why(PushOf({0}, {1, 2})), HasSubstr("key 0 belongs to shard 0, and was sent to shard 1"));
  EXPECT_THAT(why(PushOf({keys[1]}, {1, NAN})), HasSubstr("is nan"));
  EXPECT_THAT(why(EncodeTableRequest({.call = TableCall::kPull, .keys = keys})),
              HasSubstr("a pull was sent as a push"));
  EXPECT_THAT(why(EncodeTableRequest({.call = TableCall::kVariablePush})), HasSubstr("rows of fixed width"));
  EXPECT_EQ(state.rows().keys_stored(), 0U);
  EXPECT_FALSE(state.Read(PushOf({keys[0]}, {1, 2})).ok());
  EXPECT_FALSE(TableState(layout, 1, Memory(10)).Fits(PushOf({keys[0]}, {1, 2}), 0));
  EXPECT_TRUE(state.Fits(PushOf({keys[0]}, {1, 2}), 0));
}

// One value of each of many slabs is far more memory than its bytes.
TEST(TableState, ScatteredKeysOfADenseTableFitWhenTheirSlabsDo) {
  const auto layout = Layout(Spec(DenseKeys(30'000'000), 1, Add{}));
  const auto memory = Memory(4 << 20);
  TableState state(layout, 1, memory);
  std::vector<Key> scattered, neighbours;
  for (Key key = 0; key < 500; ++key) {
    scattered.push_back(10'000'000 + key * 20'000);
    neighbours.push_back(10'000'000 + key);
  }
  const std::vector<float> values(500, 1);
  EXPECT_FALSE(state.Fits(PushOf(scattered, values), 0));
  ASSERT_TRUE(state.Fits(PushOf(neighbours, values), 0));
  // Until it says that there is no room, what is pushed fits.
  size_t pushed = 0;
  for (const Key key : scattered) {
    const SharedBytes push = PushOf({key}, {1});
    if (!state.Fits(push, 0)) break;
    Apply(&state, push);
    ++pushed;
  }
  EXPECT_GT(pushed, 20U);
  EXPECT_LT(pushed, 100U);
  EXPECT_LE(memory->used_bytes(), memory->limit_bytes());
}

TEST(TableState, ASnapshotFitsWhenThereIsRoomForItBesideTheRest) {
  const auto memory = Memory(4 << 20);
  const TableState state(Layout(Spec(SparseKeys(), 1, Add{})), 1, memory);
  EXPECT_TRUE(state.FitsSnapshot(3 << 20));
  memory->Force(2 << 20);
  EXPECT_FALSE(state.FitsSnapshot(3 << 20));
  memory->Release(2 << 20);
}

// Whatever a request or a snapshot is cut or changed to, it is an error or another good one, never a crash.
RC_GTEST_PROP(TableState, AnyBytesAreAnErrorOrARequest, ()) {
  const auto layout = Layout(Spec(SparseKeys(), 1, Add{}));
  const std::vector<Key> keys = OwnKeys(*layout, 3);
  TableState state(layout, 1, Memory());
  Apply(&state, PushOf(keys, {1, 2, 3}));
  const auto damage = [](std::string bytes) {
    for (int i = *rc::gen::inRange(0, 4); i > 0 && !bytes.empty(); --i) {
      bytes[*rc::gen::inRange<size_t>(0, bytes.size())] = *rc::gen::arbitrary<char>();
    }
    bytes.resize(*rc::gen::inRange<size_t>(0, bytes.size() + 9));
    return bytes;
  };
  const SharedBytes op = PushOf(keys, {1, 2, 3});
  const std::string text(reinterpret_cast<const char*>(op.bytes.data()), op.bytes.size());
  const SharedBytes bad = SharedBytes::Of(damage(text));
  if (state.Check(bad).ok()) Apply(&state, bad);
  (void)state.Read(bad);
  const std::string saved = damage(state.Save());
  const auto before = PullAll(state, keys);
  if (!state.Restore(std::as_bytes(std::span(saved))).ok()) RC_ASSERT(PullAll(state, keys) == before);
}

// ------------------------------------------------------------------------------------------------------------------
// saves

constexpr uint64_t kSave = 7;

SharedBytes SaveCall(TableCall call, uint64_t save = kSave, uint16_t form = kFormState) {
  const uint64_t numbers[] = {save};
  return EncodeTableRequest({.call = call, .form = form, .keys = numbers});
}

TEST(TableState, WhoeverHoldsItIsAloneUntilItGoesOn) {
  const auto layout = Layout(Spec(SparseKeys(), 1, Add{}));
  TableState state(layout, 1, Memory());
  const SharedBytes push = PushOf(OwnKeys(*layout, 1), {1.0f});
  ASSERT_TRUE(state.Fits(push, 0));
  Apply(&state, SaveCall(TableCall::kHold));
  EXPECT_FALSE(state.Fits(push, 0));
  EXPECT_FALSE(state.Fits(SaveCall(TableCall::kHold, 8), 0));
  EXPECT_TRUE(state.Fits(SaveCall(TableCall::kMark), 0));
  Apply(&state, SaveCall(TableCall::kGoOn, 8));  // Another's.
  EXPECT_FALSE(state.Fits(push, 0));
  Apply(&state, SaveCall(TableCall::kGoOn));
  EXPECT_TRUE(state.Fits(push, 0));
}

std::vector<float> MarkedFloats(const TableState& state) {
  const uint64_t numbers[] = {kSave, 0};
  const auto answer =
      state.Read(EncodeTableRequest({.call = TableCall::kScanMarked, .form = kFormState, .keys = numbers}));
  EXPECT_TRUE(answer.ok()) << answer.status().message();
  std::span<const std::byte> left = answer->bytes.subspan(16);
  const auto chunk = DecodeChunk(Spec(SparseKeys(), 1, Add{}), [](uint32_t) { return sizeof(float); }, &left);
  EXPECT_TRUE(chunk.ok());
  return Floats({nullptr, chunk->values});
}

TEST(TableState, MarkHasTheRowsOfItsMoment) {
  const auto layout = Layout(Spec(SparseKeys(), 1, Add{}));
  TableState state(layout, 1, Memory());
  const std::vector<Key> keys = OwnKeys(*layout, 2);
  Apply(&state, PushOf({keys[0]}, {1.0f}));
  for (const TableCall call : {TableCall::kHold, TableCall::kMark, TableCall::kGoOn}) Apply(&state, SaveCall(call));
  Apply(&state, PushOf(keys, {1.0f, 1.0f}));
  EXPECT_EQ(MarkedFloats(state), std::vector<float>{1});
  Apply(&state, EncodeTableRequest({.call = TableCall::kTakeLoaded}));
  Apply(&state, PushOf(keys, {1.0f, 1.0f}));
  EXPECT_EQ(MarkedFloats(state), std::vector<float>{1});
}

bool HasMark(const TableState& state, uint64_t save = kSave) {
  const uint64_t numbers[] = {save, 0};
  return state.Read(EncodeTableRequest({.call = TableCall::kScanMarked, .form = kFormState, .keys = numbers})).ok();
}

TEST(TableState, MarkWithoutAHoldIsNone) {
  TableState state(Layout(Spec(SparseKeys(), 1, Add{})), 1, Memory());
  Apply(&state, SaveCall(TableCall::kMark));
  EXPECT_FALSE(HasMark(state));
}

TEST(TableState, SaveThatIsSilentIsEndedByARecord) {
  constexpr int64_t kSecond = 1'000'000'000;
  TableState state(Layout(Spec(SparseKeys(), 1, Add{})), 1, Memory());
  state.Watch(kSecond);
  Apply(&state, SaveCall(TableCall::kHold));
  Apply(&state, SaveCall(TableCall::kMark));
  EXPECT_FALSE(state.Overdue(10 * kSecond));
  EXPECT_FALSE(state.Overdue(10 * kSecond + TableState::kHoldNanos));
  const auto late = state.Overdue(11 * kSecond + TableState::kHoldNanos);
  ASSERT_TRUE(late);
  // Other shards were marked while this one went on, so its mark is worth nothing.
  Apply(&state, *late);
  EXPECT_FALSE(state.is_held());
  EXPECT_FALSE(HasMark(state));

  for (const TableCall call : {TableCall::kHold, TableCall::kMark, TableCall::kGoOn}) Apply(&state, SaveCall(call));
  int64_t now = 20 * kSecond;
  EXPECT_FALSE(state.Overdue(now));
  for (int i = 0; i < 4; ++i) {
    now += TableState::kMarkNanos / 2 + kSecond;
    state.Heard(SaveCall(TableCall::kGoOn), now);
    EXPECT_FALSE(state.Overdue(now));
  }
  const auto unread = state.Overdue(now + TableState::kMarkNanos + 1);
  ASSERT_TRUE(unread);
  Apply(&state, *unread);
  EXPECT_FALSE(HasMark(state));
}

TEST(TableState, WhatASaveKeepsIsCountedAndFreed) {
  const auto layout = Layout(Spec(SparseKeys(), 1000, Add{}));
  const auto memory = Memory();
  TableState state(layout, 1, memory);
  const std::vector<Key> keys = OwnKeys(*layout, 100);
  const SharedBytes push = PushOf(keys, std::vector<float>(100'000, 1.0f));
  Apply(&state, push);
  const int64_t before = memory->used_bytes();
  for (const TableCall call : {TableCall::kHold, TableCall::kMark, TableCall::kGoOn}) Apply(&state, SaveCall(call));
  Apply(&state, push);
  EXPECT_GE(memory->used_bytes(), before + 400'000);
  Record other;
  other.producer = {1, 2};
  state.Forget(other.producer);
  EXPECT_TRUE(HasMark(state));
  state.Forget({});
  EXPECT_EQ(memory->used_bytes(), before);
}

}  // namespace
}  // namespace glim::param
