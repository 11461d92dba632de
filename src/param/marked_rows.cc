// SPDX-License-Identifier: Apache-2.0
#include "param/marked_rows.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

namespace glim::param {
namespace {

constexpr size_t kBlockBytes = 256 << 10;

}  // namespace

void MarkedRows::BeforePush(const table::Shard& rows, std::span<const Key> keys) {
  if (replaced_ != nullptr) return;
  std::vector<Key> fresh;
  for (const Key key : keys) {
    const auto [place, is_new] = kept_.FindOrInsert(key, kept_.OrderOf(key));
    if (!is_new) continue;
    const Place none;
    std::memcpy(place, &none, sizeof(none));
    fresh.push_back(key);
  }
  RowChunk chunk;
  rows.ScanKeys(fresh, state_, &chunk);
  const bool is_variable = !chunk.lengths.empty();
  const size_t fixed = chunk.keys.empty() || is_variable ? 0 : chunk.values.size() / chunk.keys.size();
  std::span<const std::byte> left = chunk.values;
  for (size_t i = 0; i < chunk.keys.size(); ++i) {
    const uint32_t length = is_variable ? chunk.lengths[i] : 0;
    const size_t bytes = !is_variable ? fixed : length == 0 ? 0 : cell_bytes_(length);
    Place place;
    Keep(&place, length, left.first(bytes));
    left = left.subspan(bytes);
    std::memcpy(kept_.Find(chunk.keys[i], kept_.OrderOf(chunk.keys[i])), &place, sizeof(place));
  }
}

void MarkedRows::Keep(Place* place, uint32_t length, std::span<const std::byte> cells) {
  const size_t bytes = sizeof(length) + cells.size();
  if (blocks_.empty() || blocks_.back().capacity() - blocks_.back().size() < bytes) {
    blocks_.emplace_back().reserve(std::max(bytes, kBlockBytes));
    block_bytes_ += blocks_.back().capacity();
  }
  std::string& block = blocks_.back();
  *place = {static_cast<uint32_t>(blocks_.size()), static_cast<uint32_t>(block.size())};
  block.append(reinterpret_cast<const char*>(&length), sizeof(length));
  block.append(reinterpret_cast<const char*>(cells.data()), cells.size());
}

bool MarkedRows::Scan(const table::Shard& rows, uint64_t* position, size_t rows_max, RowChunk* chunk) const {
  RowChunk now;
  const bool done = (replaced_ == nullptr ? rows : *replaced_).Scan(position, rows_max, state_, &now);
  if (kept_.size() == 0) {
    *chunk = std::move(now);
    return done;
  }
  *chunk = {};
  chunk->keys.reserve(now.keys.size());
  chunk->values.reserve(now.values.size());
  const bool is_variable = !now.lengths.empty();
  const size_t fixed = now.keys.empty() || is_variable ? 0 : now.values.size() / now.keys.size();
  const std::byte* from = now.values.data();
  for (size_t i = 0; i < now.keys.size(); ++i) {
    const Key key = now.keys[i];
    uint32_t length = is_variable ? now.lengths[i] : 0;
    size_t bytes = !is_variable ? fixed : length == 0 ? 0 : cell_bytes_(length);
    const std::byte* cells = std::exchange(from, from + bytes);
    if (const std::byte* kept = kept_.Find(key, kept_.OrderOf(key)); kept != nullptr) {
      Place place;
      std::memcpy(&place, kept, sizeof(place));
      if (place.block == 0) continue;
      const char* then = blocks_[place.block - 1].data() + place.offset;
      std::memcpy(&length, then, sizeof(length));
      if (is_variable) bytes = length == 0 ? 0 : cell_bytes_(length);
      cells = reinterpret_cast<const std::byte*>(then + sizeof(length));
    }
    chunk->keys.push_back(key);
    if (is_variable) chunk->lengths.push_back(length);
    chunk->values.insert(chunk->values.end(), cells, cells + bytes);
  }
  return done;
}

}  // namespace glim::param
