// SPDX-License-Identifier: Apache-2.0
#include "net/ring.h"

#include <algorithm>
#include <cstring>

#include "base/try.h"

namespace glim::net {
namespace {

// A long write is shown in pieces, so that the reader copies out while we copy in; a piece fits into the cache of a
// core. A reader that sleeps is woken when there is more to do for it, or all is written: each time the system runs it
// in place of the writer, on its core, as likely as beside it.
constexpr size_t kShownBytes = 64 * 1024;
constexpr size_t kWakeBytesMax = 1024 * 1024;

Status Impossible() { return Status::Corrupt("the other side of the shared memory says what cannot be"); }

}  // namespace

// Sequentially consistent, as is all that has to do with sleep: a side that goes to sleep says so and then looks once
// more; the other side moves and then looks whether it sleeps. One of the two sees the other.
Result<size_t> RingWriter::Room() const {
  const uint64_t unread = written_ - control_->read.load(std::memory_order_seq_cst);
  if (unread > bytes_.size()) return Impossible();
  return bytes_.size() - static_cast<size_t>(unread);
}

void RingWriter::Show() { control_->written.store(written_, std::memory_order_seq_cst); }

bool RingWriter::MustWake() {
  return control_->reader_sleeps.load(std::memory_order_seq_cst) != 0 && control_->reader_sleeps.exchange(0) != 0;
}

Result<size_t> RingWriter::Write(std::span<const std::string_view> pieces, bool* wake) {
  ASSIGN_OR_RETURN(const size_t taken, Copy(pieces, wake));
  if (taken > 0) return taken;
  control_->writer_sleeps.store(1, std::memory_order_seq_cst);
  ASSIGN_OR_RETURN(const size_t room, Room());
  // It has read meanwhile, perhaps without having seen that we sleep.
  if (room > 0 && control_->writer_sleeps.exchange(0) != 0) return Copy(pieces, wake);
  return size_t{0};
}

Result<size_t> RingWriter::Copy(std::span<const std::string_view> pieces, bool* wake) {
  *wake = false;
  auto room = Room();
  if (room.ok() && *room == bytes_.size() && shift_ != -written_) {
    shift_ = -written_;
    control_->shift.store(shift_, std::memory_order_relaxed);  // Seen with what is shown next.
  }
  size_t taken = 0, unshown = 0, silent = 0;  // `silent`: shown or not, since the reader's sleep was looked at.
  for (std::string_view piece : pieces) {
    while (!piece.empty() && room.ok()) {
      if (*room == 0 && taken > 0) room = Room();
      if (!room.ok() || *room == 0) break;
      const size_t at = static_cast<size_t>(written_ + shift_) & (bytes_.size() - 1);
      const size_t some = std::min({piece.size(), *room, bytes_.size() - at, kShownBytes});
      std::memcpy(bytes_.data() + at, piece.data(), some);
      written_ += some;
      *room -= some;
      taken += some;
      unshown += some;
      silent += some;
      piece.remove_prefix(some);
      if (unshown < kShownBytes) continue;
      unshown = 0;
      Show();
      if (silent < std::min(bytes_.size() / 2, kWakeBytesMax)) continue;
      silent = 0;
      if ((*wake = MustWake())) return taken;
    }
    if (!piece.empty()) break;
  }
  if (!room.ok()) return room.status();
  if (unshown > 0) Show();
  if (silent > 0) *wake = MustWake();
  return taken;
}

Result<std::string_view> RingReader::Peek() {
  const uint64_t unread = control_->written.load(std::memory_order_seq_cst) - read_;
  if (unread > bytes_.size()) return Impossible();
  // That of all that waits: the writer moves it only when nothing does.
  const uint64_t shift = control_->shift.load(std::memory_order_relaxed);
  const size_t at = static_cast<size_t>(read_ + shift) & (bytes_.size() - 1);
  return std::string_view(bytes_.data() + at, std::min(static_cast<size_t>(unread), bytes_.size() - at));
}

bool RingReader::Advance(size_t bytes) {
  read_ += bytes;
  control_->read.store(read_, std::memory_order_seq_cst);
  if (control_->writer_sleeps.load(std::memory_order_seq_cst) == 0) return false;
  // Not for each piece: when half of the ring is free, it is worth to get up.
  const uint64_t unread = control_->written.load(std::memory_order_relaxed) - read_;
  return unread <= bytes_.size() / 2 && control_->writer_sleeps.exchange(0) != 0;
}

bool RingReader::Sleep() {
  control_->reader_sleeps.store(1, std::memory_order_seq_cst);
  if (control_->written.load(std::memory_order_seq_cst) == read_) return true;
  Awake();
  return false;
}

}  // namespace glim::net
