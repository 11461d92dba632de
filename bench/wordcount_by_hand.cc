// SPDX-License-Identifier: Apache-2.0
//
// Word count as one would write it for this task alone: the mark that `./dev bench flow` holds Glim's against.
//
//   wordcount_by_hand THREADS FILE      prints `word,count` lines
//
// Threads take pieces of the mapped file from a common counter; words are found by bit masks, 64 bytes at a time, and
// never copied. A word of up to 12 bytes lies in its 16-byte key itself. Each thread counts in 64 tables by hash, so
// that merging is parallel, too. No errors are handled beyond a message, and the file must be mappable.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace {

constexpr size_t kPiece = 4 << 20;
constexpr int kPartitionBits = 6;
constexpr size_t kPartitions = size_t{1} << kPartitionBits;

bool IsWord(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

// Bit i: at[i] belongs to a word.
uint64_t WordMask(const char* at) {
  uint64_t mask = 0;
#ifdef __SSE2__
  const auto within = [](__m128i bytes, char first, char count) {  // Unsigned bytes - first < count.
    const __m128i from = _mm_sub_epi8(bytes, _mm_set1_epi8(first));
    return _mm_cmpeq_epi8(_mm_min_epu8(from, _mm_set1_epi8(static_cast<char>(count - 1))), from);
  };
  for (int i = 0; i < 4; ++i) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at) + i);
    const __m128i letters = within(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), 'a', 26);
    const __m128i digits = within(bytes, '0', 10);
    mask |= static_cast<uint64_t>(_mm_movemask_epi8(_mm_or_si128(letters, digits))) << (16 * i);
  }
#else
  for (int i = 0; i < 64; ++i) mask |= static_cast<uint64_t>(IsWord(at[i])) << i;
#endif
  return mask;
}

// The size, then the bytes when there are up to 12, or else the first four and the address.
struct Key {
  uint64_t low, high;

  bool is_long() const { return (low & UINT32_MAX) > 12; }
  std::string_view bytes() const {
    const size_t size = low & UINT32_MAX;
    if (is_long()) return {reinterpret_cast<const char*>(high), size};
    return {reinterpret_cast<const char*>(this) + 4, size};
  }
  bool operator==(const Key& other) const {
    if (low != other.low) return false;
    return high == other.high || (is_long() && bytes() == other.bytes());
  }
};

uint64_t Mix(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a ^ 0x9E3779B97F4A7C15) * (b ^ 0xD1B54A32D192ED03);
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t Load(const char* at) {
  uint64_t bytes;
  std::memcpy(&bytes, at, sizeof(bytes));
  return bytes;
}

// May read 16 bytes behind the word.
Key MakeKey(const char* word, size_t size, uint64_t* hash) {
  if (size > 12) {
    *hash = size;
    for (size_t i = 0; i + 8 <= size; i += 8) *hash = Mix(*hash, Load(word + i));
    *hash = Mix(*hash, Load(word + size - 8));
    return {size | Load(word) << 32, reinterpret_cast<uint64_t>(word)};
  }
  uint64_t first = Load(word), last = Load(word + 4);
  if (size < 4) first &= (uint64_t{1} << (8 * size)) - 1;
  if (size < 12) last &= size <= 4 ? 0 : (uint64_t{1} << (8 * (size - 4))) - 1;
  const Key key{size | first << 32, last};
  *hash = Mix(key.low, key.high);
  return key;
}

class Table {
 public:
  struct Entry {
    Key key;
    uint64_t hash;
    uint64_t count;  // 0: empty.
  };

  void Add(const Key& key, uint64_t hash, uint64_t count) {
    const uint64_t mask = entries_.size() - 1;
    for (uint64_t at = hash & mask;; at = (at + 1) & mask) {
      Entry& entry = entries_[at];
      if (entry.count == 0) {
        entry = {key, hash, count};
        if (++used_ * 2 > entries_.size()) Grow();
        return;
      }
      if (entry.hash == hash && entry.key == key) {
        entry.count += count;
        return;
      }
    }
  }
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  void Grow() {
    std::vector<Entry> old(entries_.size() * 2);
    old.swap(entries_);
    used_ = 0;
    for (const Entry& entry : old) {
      if (entry.count > 0) Add(entry.key, entry.hash, entry.count);
    }
  }
  std::vector<Entry> entries_ = std::vector<Entry>(256);
  size_t used_ = 0;
};
using Tables = std::vector<Table>;

// Words that begin in [begin, end); `begin` is not within a word.
void Count(const char* begin, const char* end, Tables* tables) {
  const char* word = nullptr;
  uint64_t before = 0;  // Was the byte before these 64 in a word?
  for (const char* at = begin; at < end || word != nullptr; at += 64) {
    const uint64_t mask = WordMask(at);
    uint64_t turns = mask ^ (mask << 1 | before);
    before = mask >> 63;
    for (; turns != 0; turns &= turns - 1) {
      const char* here = at + std::countr_zero(turns);
      if (word == nullptr) {
        if (here >= end) return;
        word = here;
        continue;
      }
      uint64_t hash;
      const Key key = MakeKey(word, static_cast<size_t>(here - word), &hash);
      (*tables)[hash >> (64 - kPartitionBits)].Add(key, hash, 1);
      word = nullptr;
    }
  }
}

std::string Lines(const Table& table) {
  std::string lines;
  for (const Table::Entry& entry : table.entries()) {
    if (entry.count == 0) continue;
    char number[24];
    lines += entry.key.bytes();
    lines += ',';
    lines.append(number, std::to_chars(number, std::end(number), entry.count).ptr);
    lines += '\n';
  }
  return lines;
}

template <class F>
void InThreads(size_t count, F work) {
  std::vector<std::thread> threads;
  for (size_t i = 1; i < count; ++i) threads.emplace_back(work, i);
  work(size_t{0});
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fputs("usage: wordcount_by_hand THREADS FILE\n", stderr), 2;
  const size_t threads = std::max(std::atoi(argv[1]), 1);
  const int file = open(argv[2], O_RDONLY);
  struct stat info;
  if (file < 0 || fstat(file, &info) != 0) return std::perror(argv[2]), 1;
  const auto size = static_cast<size_t>(info.st_size);
  // Zeros behind the file, so that it ends between words and may be read over its end.
  void* space = mmap(nullptr, size + 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (space == MAP_FAILED) return std::perror("mmap"), 1;
  if (size > 0 && mmap(space, size, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 0) == MAP_FAILED)
    return std::perror("mmap"), 1;
  const char* const text = static_cast<const char*>(space);

  std::atomic<size_t> next = 0;
  std::vector<Tables> counts(threads, Tables(kPartitions));
  InThreads(threads, [&](size_t thread) {
    const auto cut = [&](size_t at) {  // The first place from `at` on that is not within a word.
      while (at > 0 && at < size && IsWord(text[at - 1])) ++at;
      return std::min(at, size);
    };
    for (size_t begin; (begin = next.fetch_add(kPiece)) < size;)
      Count(text + cut(begin), text + cut(begin + kPiece), &counts[thread]);
  });
  std::vector<std::string> lines(kPartitions);
  std::atomic<size_t> partition = 0;
  InThreads(threads, [&](size_t) {
    for (size_t p; (p = partition.fetch_add(1)) < kPartitions;) {
      Table& all = counts[0][p];
      for (size_t t = 1; t < threads; ++t) {
        for (const Table::Entry& entry : counts[t][p].entries()) {
          if (entry.count > 0) all.Add(entry.key, entry.hash, entry.count);
        }
      }
      lines[p] = Lines(all);
    }
  });
  for (const std::string& part : lines) {
    if (std::fwrite(part.data(), 1, part.size(), stdout) != part.size()) return std::perror("stdout"), 1;
  }
  std::fflush(nullptr);
  _exit(0);  // Freeing the tables would take its time.
}
