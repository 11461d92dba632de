// SPDX-License-Identifier: Apache-2.0
#include "ops/group_index.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>

#include "glim/batch_builder.h"

namespace glim::ops {
namespace {

Value AnyKey() {
  switch (*rc::gen::inRange(0, 6)) {
    case 0: return Value();
    case 1: return Value(static_cast<double>(*rc::gen::inRange(0, 6)) / 2);
    case 2: return Value(std::string(*rc::gen::inRange<size_t>(0, 20), 'x'));
    default: return Value(*rc::gen::inRange<int64_t>(-2, 4));
  }
}

// Batches of one type and of many, so that the form of the keys changes at any time.
std::vector<Value> Keys() {
  std::vector<Value> keys(*rc::gen::inRange<size_t>(0, 8));
  const int kind = *rc::gen::inRange(0, 3);
  for (Value& key : keys) {
    key = kind == 0   ? Value(*rc::gen::inRange<int64_t>(-2, 4))
          : kind == 1 ? Value(std::string(*rc::gen::inRange<size_t>(0, 20), 'x'))
                      : AnyKey();
  }
  return keys;
}

Batch BatchOf(const std::vector<Value>& keys) {
  BatchBuilder builder(1);
  for (const Value& key : keys) builder.AppendRow({key});
  return builder.Finish();
}

RC_GTEST_PROP(GroupIndex, NumbersKeysInTheOrderInWhichTheyCame, ()) {
  constexpr int kKey[] = {0};
  GroupIndex index(1);
  std::map<Value, uint32_t> expected;
  std::vector<Value> order;
  std::vector<uint32_t> groups;
  const int batches = *rc::gen::inRange(0, 5);
  for (int b = 0; b < batches; ++b) {
    const std::vector<Value> keys = Keys();
    index.Insert(BatchOf(keys), kKey, &groups);
    for (size_t i = 0; i < keys.size(); ++i) {
      const auto [at, is_new] = expected.try_emplace(keys[i], static_cast<uint32_t>(order.size()));
      if (is_new) order.push_back(keys[i]);
      RC_ASSERT(groups[i] == at->second);
    }
    GroupIndex::Rows scratch;
    const std::vector<Value> asked = Keys();
    index.Find(BatchOf(asked), kKey, &scratch, &groups);
    for (size_t i = 0; i < asked.size(); ++i) {
      const auto found = expected.find(asked[i]);
      RC_ASSERT(groups[i] == (found == expected.end() ? GroupIndex::kNone : found->second));
    }
  }
  const std::vector<Column> kept = index.Keys();
  RC_ASSERT(index.group_count() == order.size());
  for (size_t g = 0; g < order.size(); ++g) RC_ASSERT(Value(kept[0].At(static_cast<int64_t>(g))) == order[g]);
}

}  // namespace
}  // namespace glim::ops
