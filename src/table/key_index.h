// SPDX-License-Identifier: Apache-2.0
//
// A hash map from 64-bit keys to payloads of a few bytes, made for batches: a key costs one cache line, and the caller
// prefetches the lines of the next keys while it works on these.
//
// Buckets. A bucket is one cache line (two for payloads of 16 bytes and more): some keys, then their payloads. A key
// lives in its home bucket or, when that was full, in the nearest later one with room. Nothing is ever erased, so a
// search ends at the first bucket with a free slot, and no marks are needed. 0 marks a free slot; the key 0 has a place
// of its own.
//
// Segments. The map is cut by the leading bits of the hash into segments of at most 1 MiB (or a 64th of the map), which
// grow one at a time: by a quarter, and when they are full size, by cutting in two (extendible hashing, Fagin and
// others 1979). So growth needs little beside the map, never its double, and stops the caller for about a millisecond.
// Segments are between 59 and 74 percent full: 17 to 22 bytes for a key with a payload of 4 bytes. Fuller ones save
// less memory than they cost time: at 85 percent (15 bytes) a look-up reads 1.45 buckets, each one more a cache
// line and a mispredicted branch, and in 10 M keys takes 33 ns instead of 22. An insertion moves each key
// about five times in all, in cache, for some 30 ns.
//
// Order. Home buckets are in order of the hash, so a scan is a walk through hash values: what was cut or has grown
// meanwhile is found at the same place in that order, and a position is one number that stays good.
//
//   cost of a look-up: hash 2 ns, directory entry (cached), 1.06 to 1.18 cache lines of the map
//
// Keys made to collide cannot make it fail or eat memory, only slow: a segment whose overflow runs off its end gets a
// longer tail, and one that cutting does not relieve grows beyond 1 MiB.
//
// Thread: as its owner says; nothing here locks.
// Always true: every key is in exactly one slot, at or after its home bucket with only full buckets between; a
// segment's last bucket is empty.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/hash.h"
#include "env/page_memory.h"
#include "glim/table_spec.h"
#include "table/key_match.h"

namespace glim::table {

template <uint32_t kPayloadBytes>
class KeyIndex {
 public:
  // Maps with different salts have different orders. Keys that come in the order of the map itself, as those of a copy
  // do, would all be put into its beginning, find it full, and run on for thousands of buckets: so two maps between
  // which rows may go have two salts, and who brings back what a map of the same salt gave says first how much it is
  // (Reserve).
  explicit KeyIndex(uint64_t salt = 0) : salt_(salt) { Reset(); }
  KeyIndex(const KeyIndex&) = delete;

  // Where a key stands in the order of the map. The shard of a key is chosen by the high half of its hash, so here the
  // low half leads.
  uint64_t OrderOf(Key key) const { return std::rotl(base::HashInt(key ^ salt_), 32); }

  // Room for so many keys, in any order. Does nothing when there are some already.
  void Reserve(uint64_t keys);

  uint64_t size() const { return size_; }
  uint64_t memory_bytes() const { return memory_bytes_; }
  // For tests: what memory_bytes() should be.
  uint64_t SumOfSegments() const {
    uint64_t bytes = 0;
    for (const Segment& segment : segments_) bytes += segment.bytes();
    return bytes;
  }
  // Changes when payloads have moved: pointers from before are void.
  uint64_t moves() const { return moves_; }

  // A look-up in two steps, for batches. A home is a bucket, void when moves() changes.
  struct Home {
    void* bucket = nullptr;
  };
  Home PrefetchHome(uint64_t order) const {
    Bucket* bucket = HomeOf(order);
    __builtin_prefetch(bucket, 1);
    if constexpr (sizeof(Bucket) > 64) __builtin_prefetch(reinterpret_cast<const char*>(bucket) + 64, 1);
    return {bucket};
  }
  // Null when it is not in its home bucket; then ask Find or FindOrInsert, a little later as the next bucket is
  // prefetched too.
  static std::byte* FindAtHome(Key key, Home home) {
    Bucket* bucket = static_cast<Bucket*>(home.bucket);
    const uint32_t hits = bucket->Matches(key);
    if (hits != 0 && key != 0) [[likely]]
      return bucket->payload(std::countr_zero(hits));
    if (bucket->full()) __builtin_prefetch(bucket + 1, 1);
    return nullptr;
  }

  // Null when it is not there. Expects of all: order == OrderOf(key).
  const std::byte* Find(Key key, uint64_t order) const {
    if (key == 0) [[unlikely]]
      return has_zero_ ? zero_ : nullptr;
    for (const Bucket* bucket = HomeOf(order);; ++bucket) {
      if (uint32_t hits = bucket->Matches(key)) return bucket->payload(std::countr_zero(hits));
      if (!bucket->full()) return nullptr;
    }
  }
  std::byte* Find(Key key, uint64_t order) { return const_cast<std::byte*>(std::as_const(*this).Find(key, order)); }

  // The payload, and whether it is new (then its bytes are for the caller to fill).
  std::pair<std::byte*, bool> FindOrInsert(Key key, uint64_t order) {
    if (key == 0) [[unlikely]] {
      size_ += !has_zero_;
      return {zero_, !std::exchange(has_zero_, true)};
    }
    for (Bucket* bucket = HomeOf(order);; ++bucket) {
      if (uint32_t hits = bucket->Matches(key)) return {bucket->payload(std::countr_zero(hits)), false};
      if (!bucket->full()) return {Insert(key, order, bucket), true};
    }
  }

  // Calls visit(key, payload) for all keys from `position` on in the order of the map, up to about `count_max` of them,
  // at least one unless there are none. Moves the position; true when the end was reached. Begin with 0.
  template <class Visit>
  bool Scan(uint64_t* position, size_t count_max, Visit visit) const;

 private:
  struct alignas(64) Bucket {
    static constexpr uint32_t kSlots = kPayloadBytes == 4    ? 5
                                       : kPayloadBytes == 8  ? 4
                                       : kPayloadBytes == 12 ? 3
                                       : kPayloadBytes == 16 ? 5
                                                             : 4;
    Key keys[kSlots];
    std::byte payloads[kSlots * kPayloadBytes];

    // A bit for each slot with this key.
    uint32_t Matches(Key key) const { return table::Matches<kSlots>(keys, key); }
    bool full() const { return keys[kSlots - 1] != 0; }
    std::byte* payload(uint32_t slot) { return payloads + slot * kPayloadBytes; }
    const std::byte* payload(uint32_t slot) const { return payloads + slot * kPayloadBytes; }
    uint32_t FreeSlot() const { return static_cast<uint32_t>(std::countr_zero(Matches(0))); }
  };
  static_assert(sizeof(Bucket) == 64 || sizeof(Bucket) == 128);

  static constexpr size_t kSegmentBytes = 1 << 20;
  static constexpr double kFullest = 0.74;
  static constexpr double kAfterCut = 0.60;
  static constexpr uint32_t kDoubleBelow = 4096;  // Small segments double: their memory is nothing.

  struct FreeBuckets {
    size_t bytes = 0;
    void operator()(Bucket* buckets) const { env::FreePages(buckets, bytes); }
  };
  struct Segment {
    std::unique_ptr<Bucket[], FreeBuckets> buckets;
    uint32_t homes = 0;  // Buckets that are somebody's home. After them comes
    uint32_t tail = 0;   // room for what ran over; the last one stays empty.
    uint32_t depth = 0;  // Leading bits of the order that all its keys share.
    uint32_t used = 0;
    uint32_t limit = 0;
    uint64_t prefix = 0;  // The lowest order in it.

    uint64_t bytes() const { return (uint64_t{homes} + tail) * sizeof(Bucket); }
    uint32_t HomeOf(uint64_t order) const { return High(order << depth, homes); }
  };
  // What a look-up needs of a segment, one for each prefix of depth_ bits.
  struct Entry {
    Bucket* buckets;
    uint32_t homes;
    uint32_t depth;
  };

  // Full size: a megabyte, or in a large map a part of it, so that the kernel has not too many pieces to keep.
  uint64_t SegmentBytesMax() const { return std::max<uint64_t>(kSegmentBytes, memory_bytes_ / 64); }
  static uint32_t High(uint64_t x, uint32_t n) {
    return static_cast<uint32_t>((static_cast<unsigned __int128>(x) * n) >> 64);
  }
  // Two shifts, as one by 64 would be none.
  size_t DirectoryIndex(uint64_t order) const { return (order >> 1) >> (63 - depth_); }
  Bucket* HomeOf(uint64_t order) const {
    const Entry& entry = directory_[DirectoryIndex(order)];
    return entry.buckets + High(order << entry.depth, entry.homes);
  }

  void Reset();
  std::byte* Insert(Key key, uint64_t order, Bucket* bucket);
  // Makes room in the segment of `order`.
  void Grow(uint64_t order);
  void Cut(size_t index);
  // An empty segment with room for `keys`.
  static Segment MakeSegment(uint32_t homes, uint32_t tail, uint32_t depth, uint64_t prefix);
  static uint32_t HomesFor(uint64_t keys, double load) {
    return static_cast<uint32_t>(static_cast<double>(keys) / (load * Bucket::kSlots)) + 1;
  }
  static uint32_t TailFor(uint32_t homes) { return 2 + std::min<uint32_t>(homes, 16); }
  // False when the tail is too short.
  [[nodiscard]] static bool Put(Segment& segment, Key key, uint64_t order, const std::byte* payload);
  template <class Visit>
  static void ForEach(const Segment& segment, Visit visit);
  // The new home of a segment, which may be wider than one entry of the directory.
  void Publish(uint32_t segment);

  const uint64_t salt_;
  uint32_t depth_ = 0;
  std::vector<Entry> directory_;
  std::vector<uint32_t> segment_of_;  // By directory index.
  std::vector<Segment> segments_;
  uint64_t size_ = 0;
  uint64_t memory_bytes_ = 0;
  uint64_t moves_ = 0;
  bool has_zero_ = false;
  alignas(16) std::byte zero_[kPayloadBytes];
};

template <uint32_t kPayloadBytes>
void KeyIndex<kPayloadBytes>::Reset() {
  segments_.push_back(MakeSegment(1, TailFor(1), 0, 0));
  memory_bytes_ = segments_[0].bytes();
  directory_.resize(1);
  segment_of_.assign(1, 0);
  Publish(0);
}

template <uint32_t kPayloadBytes>
void KeyIndex<kPayloadBytes>::Reserve(uint64_t keys) {
  if (size_ > 0 || keys <= segments_[0].limit) return;
  constexpr double kLoad = 0.66;  // The parts of a hash are not quite of one size, and none shall have to grow.
  const uint64_t bytes = keys / Bucket::kSlots * sizeof(Bucket);
  uint32_t depth = 0;
  while ((bytes >> depth) > std::max<uint64_t>(kSegmentBytes, bytes / 64)) ++depth;
  const uint32_t homes = HomesFor((keys >> depth) + 1, kLoad);
  depth_ = depth;
  segments_.clear();
  memory_bytes_ = 0;
  directory_.resize(size_t{1} << depth);
  segment_of_.resize(directory_.size());
  for (uint32_t i = 0; i < directory_.size(); ++i) {
    segments_.push_back(MakeSegment(homes, TailFor(homes), depth, depth == 0 ? 0 : uint64_t{i} << (64 - depth)));
    memory_bytes_ += segments_.back().bytes();
    Publish(i);
  }
  ++moves_;
}

template <uint32_t kPayloadBytes>
auto KeyIndex<kPayloadBytes>::MakeSegment(uint32_t homes, uint32_t tail, uint32_t depth, uint64_t prefix) -> Segment {
  Segment segment;
  segment.homes = homes;
  segment.tail = tail;
  segment.depth = depth;
  segment.prefix = prefix;
  segment.limit = std::max<uint32_t>(1, static_cast<uint32_t>(kFullest * Bucket::kSlots * homes));
  segment.buckets = {static_cast<Bucket*>(env::AllocatePages(segment.bytes())), FreeBuckets{segment.bytes()}};
  return segment;
}

template <uint32_t kPayloadBytes>
std::byte* KeyIndex<kPayloadBytes>::Insert(Key key, uint64_t order, Bucket* bucket) {
  Segment* segment = &segments_[segment_of_[DirectoryIndex(order)]];
  while (segment->used >= segment->limit || bucket == &segment->buckets[segment->homes + segment->tail - 1]) {
    Grow(order);
    segment = &segments_[segment_of_[DirectoryIndex(order)]];
    bucket = HomeOf(order);
    while (bucket->full()) ++bucket;
  }
  uint32_t slot = bucket->FreeSlot();
  bucket->keys[slot] = key;
  ++segment->used;
  ++size_;
  return bucket->payload(slot);
}

template <uint32_t kPayloadBytes>
void KeyIndex<kPayloadBytes>::Grow(uint64_t order) {
  const size_t index = DirectoryIndex(order);
  Segment& segment = segments_[segment_of_[index]];
  ++moves_;
  const bool crowded = segment.used * 2 >= segment.limit;
  // The directory may have a prefix for each 1,024 keys: keys that share their leading bits on purpose do not blow it
  // up.
  const bool may_cut = segment.depth < 32 && (uint64_t{2} << segment.depth) <= 16 + size_ / 1024;
  if (crowded && segment.bytes() >= SegmentBytesMax() && may_cut) {
    Cut(index);
    return;
  }
  uint32_t homes = segment.homes, tail = segment.tail;
  if (crowded) {
    homes += segment.used < kDoubleBelow ? homes : homes / 4;
    tail = std::max(tail, TailFor(homes));
  } else {
    tail *= 2;
  }
  while (true) {
    Segment larger = MakeSegment(homes, tail, segment.depth, segment.prefix);
    bool fits = true;
    ForEach(segment,
            [&](Key key, const std::byte* payload) { fits = fits && Put(larger, key, OrderOf(key), payload); });
    if (fits) {
      memory_bytes_ += larger.bytes() - segment.bytes();
      segment = std::move(larger);
      break;
    }
    tail *= 2;
  }
  Publish(segment_of_[index]);
}

template <uint32_t kPayloadBytes>
void KeyIndex<kPayloadBytes>::Cut(size_t index) {
  const uint32_t left = segment_of_[index], right = static_cast<uint32_t>(segments_.size());
  Segment old = std::move(segments_[left]);
  const uint64_t middle = old.prefix | (uint64_t{1} << (63 - old.depth));
  uint64_t left_count = 0;
  ForEach(old, [&](Key key, const std::byte*) { left_count += OrderOf(key) < middle; });
  memory_bytes_ -= old.bytes();

  if (old.depth == depth_) {
    ++depth_;
    std::vector<uint32_t> doubled(segment_of_.size() * 2);
    for (size_t i = 0; i < doubled.size(); ++i) doubled[i] = segment_of_[i / 2];
    segment_of_ = std::move(doubled);
    directory_.resize(segment_of_.size());
    for (uint32_t i = 0; i < segments_.size(); ++i) {
      if (i != left) Publish(i);
    }
  }
  segments_.emplace_back();
  for (auto [number, prefix, count] :
       {std::tuple(left, old.prefix, left_count), std::tuple(right, middle, old.used - left_count)}) {
    for (uint32_t tail = 0;; tail = tail * 2 + TailFor(1)) {
      uint32_t homes = HomesFor(count, kAfterCut);
      Segment half = MakeSegment(homes, std::max(tail, TailFor(homes)), old.depth + 1, prefix);
      bool fits = true;
      ForEach(old, [&](Key key, const std::byte* payload) {
        uint64_t order = OrderOf(key);
        if ((order < middle) == (number == left)) fits = fits && Put(half, key, order, payload);
      });
      if (!fits) continue;
      memory_bytes_ += half.bytes();
      segments_[number] = std::move(half);
      break;
    }
    Publish(number);
  }
}

template <uint32_t kPayloadBytes>
bool KeyIndex<kPayloadBytes>::Put(Segment& segment, Key key, uint64_t order, const std::byte* payload) {
  Bucket* bucket = &segment.buckets[segment.HomeOf(order)];
  while (bucket->full()) ++bucket;
  if (bucket == &segment.buckets[segment.homes + segment.tail - 1]) return false;
  uint32_t slot = bucket->FreeSlot();
  bucket->keys[slot] = key;
  std::memcpy(bucket->payload(slot), payload, kPayloadBytes);
  ++segment.used;
  return true;
}

template <uint32_t kPayloadBytes>
template <class Visit>
void KeyIndex<kPayloadBytes>::ForEach(const Segment& segment, Visit visit) {
  for (uint32_t b = 0; b < segment.homes + segment.tail; ++b) {
    const Bucket& bucket = segment.buckets[b];
    for (uint32_t i = 0; i < Bucket::kSlots && bucket.keys[i] != 0; ++i) visit(bucket.keys[i], bucket.payload(i));
  }
}

template <uint32_t kPayloadBytes>
void KeyIndex<kPayloadBytes>::Publish(uint32_t number) {
  const Segment& segment = segments_[number];
  const size_t first = DirectoryIndex(segment.prefix), count = size_t{1} << (depth_ - segment.depth);
  for (size_t i = first; i < first + count; ++i) {
    directory_[i] = {segment.buckets.get(), segment.homes, segment.depth};
    segment_of_[i] = number;
  }
}

template <uint32_t kPayloadBytes>
template <class Visit>
bool KeyIndex<kPayloadBytes>::Scan(uint64_t* position, size_t count_max, Visit visit) const {
  size_t visited = 0;
  if (*position == 0 && has_zero_) {
    visit(Key{0}, zero_);
    ++visited;
  }
  const uint32_t step =
      static_cast<uint32_t>(std::clamp<size_t>(count_max / 4, 1, 1 << 20));  // Buckets at a time; about 4 keys in each.
  while (true) {
    const Segment& segment = segments_[segment_of_[DirectoryIndex(*position)]];
    const uint32_t from = segment.HomeOf(*position);
    const uint32_t to = std::min(segment.homes, from + step);
    // The lowest order whose home is `to`: the quotient is rounded up, then up to what a key of this segment can have.
    uint64_t next = 0;
    bool last_of_segment = to == segment.homes;
    if (!last_of_segment) {
      uint64_t shifted =
          static_cast<uint64_t>(((static_cast<unsigned __int128>(to) << 64) + segment.homes - 1) / segment.homes);
      uint64_t below = (uint64_t{1} << segment.depth) - 1;
      next = segment.prefix | ((shifted >> segment.depth) + ((shifted & below) != 0));
    }
    // Homes below `to` may have run over into full buckets from there on.
    for (uint32_t b = from; b < to || segment.buckets[b - 1].full(); ++b) {
      const Bucket& bucket = segment.buckets[b];
      for (uint32_t i = 0; i < Bucket::kSlots && bucket.keys[i] != 0; ++i) {
        uint64_t order = OrderOf(bucket.keys[i]);
        if (order < *position || (!last_of_segment && order >= next)) continue;
        visit(bucket.keys[i], bucket.payload(i));
        ++visited;
      }
    }
    if (last_of_segment) {
      uint64_t width = segment.depth == 0 ? 0 : uint64_t{1} << (64 - segment.depth);
      next = segment.prefix + width;  // 0 after the last segment.
    }
    *position = next;
    if (next == 0) return true;
    if (visited >= count_max || (visited > 0 && step == 1)) return false;
  }
}

}  // namespace glim::table
