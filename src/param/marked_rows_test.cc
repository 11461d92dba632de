// SPDX-License-Identifier: Apache-2.0
#include "param/marked_rows.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "param/table_layout.h"

namespace glim::param {
namespace {

// Rows with their state, as bytes.
using Cells = std::map<Key, std::pair<uint32_t, std::string>>;

void AddCells(const TableLayout& layout, const RowChunk& chunk, Cells* cells) {
  size_t at = 0;
  for (size_t i = 0; i < chunk.keys.size(); ++i) {
    const uint32_t length = layout.spec().is_variable() ? chunk.lengths[i] : layout.spec().width;
    const size_t bytes = length == 0 ? 0 : layout.kernel().CellBytes(length);
    const std::string text(reinterpret_cast<const char*>(chunk.values.data()) + at, bytes);
    RC_ASSERT(cells->emplace(chunk.keys[i], std::pair(length, text)).second);
    at += bytes;
  }
  RC_ASSERT(at == chunk.values.size());
}

Cells AllCells(const TableLayout& layout, const table::Shard& shard) {
  Cells cells;
  RowChunk chunk;
  uint64_t position = 0;
  for (bool done = false; !done;) {
    done = shard.Scan(&position, 1000, true, &chunk);
    AddCells(layout, chunk, &cells);
  }
  return cells;
}

void PushSome(table::Shard* shard, bool variable, MarkedRows* marked) {
  for (int left = *rc::gen::inRange(0, 4); left > 0; --left) {
    const auto keys = *rc::gen::container<std::vector<Key>>(rc::gen::inRange<Key>(0, 300));
    std::vector<float> values;
    std::vector<uint32_t> lengths;
    std::vector<uint64_t> begins;
    for (const Key key : keys) {
      begins.push_back(values.size());
      lengths.push_back(variable ? *rc::gen::inRange<uint32_t>(0, 4) : 2);
      for (uint32_t v = 0; v < lengths.back(); ++v) values.push_back(static_cast<float>(key) + 0.5f);
    }
    if (marked != nullptr) marked->BeforePush(*shard, keys);
    const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
    if (variable) {
      shard->VPush({keys, {}}, bytes, begins.data(), lengths.data());
    } else {
      shard->Push({keys, {}}, bytes);
    }
  }
}

// Whatever is pushed after that moment and between the chunks of a scan, and when all rows are replaced: a scan gives
// the rows of the moment, each once.
RC_GTEST_PROP(MarkedRows, ScanGivesTheRowsOfTheMoment, ()) {
  TableSpec spec;
  spec.name = "t";
  spec.shards = 1;
  const bool variable = *rc::gen::arbitrary<bool>();
  spec.width = variable ? kVariableWidth : 2;
  spec.keys = !variable && *rc::gen::arbitrary<bool>() ? DenseKeys(300) : SparseKeys();
  spec.rule = *rc::gen::element<UpdateRule>(Add{}, Adam{}, Assign{});
  const TableLayout layout(CheckTableSpec(spec).value());
  std::shared_ptr<table::Shard> shard = layout.MakeShard(0);
  PushSome(shard.get(), variable, nullptr);
  const Cells then = AllCells(layout, *shard);
  MarkedRows marked(true, [&](uint32_t length) { return layout.kernel().CellBytes(length); });
  Cells scanned;
  RowChunk chunk;
  uint64_t position = 0;
  for (bool done = false; !done;) {
    PushSome(shard.get(), variable, &marked);
    if (*rc::gen::inRange(0, 10) == 0) {
      std::shared_ptr<table::Shard> other = layout.MakeShard(0);
      marked.Replaced(std::exchange(shard, std::move(other)));
    }
    done = marked.Scan(*shard, &position, *rc::gen::inRange<size_t>(1, 30), &chunk);
    AddCells(layout, chunk, &scanned);
  }
  RC_ASSERT(scanned == then);
}

}  // namespace
}  // namespace glim::param
