// SPDX-License-Identifier: Apache-2.0
//
// A ring of bytes in memory that two processes share: one writes, the other reads, neither asks the system, and each
// says when it goes to sleep, so that the other knows whether to wake it.
//
// The other process may do anything to that memory at any time. So each side keeps its own position to itself and only
// tells it; what the other one tells is looked at once, and checked; and bytes are copied out before anybody believes
// them. Whatever stands there, reads and writes stay within the ring.
//
// Cost of a message of some hundred bytes: a copy, two cache lines that change hands (position, the reader's sleep),
// and a wake-up when the reader sleeps. Of a large one: a copy in and a copy out, side by side on two cores.
//
// Thread: one that writes and one that reads.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "glim/status.h"

namespace glim::net {

// In front of the bytes. Positions count all bytes that ever went through.
struct RingControl {
  alignas(64) std::atomic<uint64_t> written;
  // Byte p is at p + shift, modulo the size. Only moved while nothing waits to be read: then the writer begins at the
  // front again. So short messages go through the same few pages, which stay in the caches, however large the ring is;
  // the rest of it is memory only of connections that had that much under way.
  std::atomic<uint64_t> shift;
  std::atomic<uint32_t> writer_sleeps;  // Until there is room.
  alignas(64) std::atomic<uint64_t> read;
  std::atomic<uint32_t> reader_sleeps;  // Until there are bytes.
};
static_assert(sizeof(RingControl) == 128);
static_assert(std::atomic<uint64_t>::is_always_lock_free && std::atomic<uint32_t>::is_always_lock_free);

class RingWriter {
 public:
  RingWriter() = default;
  // Expects: bytes.size() is a power of two.
  RingWriter(RingControl* control, std::span<char> bytes) : control_(control), bytes_(bytes) {}

  // Copies the beginning of `pieces` and shows it to the reader: as much as there is room for, or up to where the
  // reader has to be woken (`wake`), for which this returns when a good part of the ring waits for it, so that it
  // copies out while we copy on. 0 bytes: it is full, and the reader will wake us. kCorrupt: the reader says what
  // cannot be.
  Result<size_t> Write(std::span<const std::string_view> pieces, bool* wake);

 private:
  Result<size_t> Copy(std::span<const std::string_view> pieces, bool* wake);
  Result<size_t> Room() const;
  void Show();
  // True when the reader sleeps. Asked after Show, before anybody stops writing.
  bool MustWake();

  RingControl* control_ = nullptr;
  std::span<char> bytes_;
  uint64_t written_ = 0, shift_ = 0;
};

class RingReader {
 public:
  RingReader() = default;
  RingReader(RingControl* control, std::span<char> bytes) : control_(control), bytes_(bytes) {}

  // The next bytes, as many as lie together; none when there are no more for now. kCorrupt: the writer says what cannot
  // be.
  Result<std::string_view> Peek();
  // So many of them are done with. True when the writer has to be woken.
  bool Advance(size_t bytes);
  // From now on the writer wakes us. False when it has written meanwhile: then we do not sleep.
  bool Sleep();
  void Awake() { control_->reader_sleeps.store(0, std::memory_order_relaxed); }

 private:
  RingControl* control_ = nullptr;
  std::span<char> bytes_;
  uint64_t read_ = 0;
};

}  // namespace glim::net
