// SPDX-License-Identifier: Apache-2.0
#include "io/csv_quotes.h"

#include <algorithm>

#include "base/check.h"
#include "base/try.h"
#include "io/byte_scan.h"

namespace glim::io {
namespace {

constexpr size_t kReadBytes = 256 << 10;
constexpr size_t kNowhere = SIZE_MAX;

}  // namespace

CsvQuotes::CsvQuotes(std::string path, char delimiter, char quote, std::vector<uint64_t> begins)
    : path_(std::move(path)),
      delimiter_(delimiter),
      quote_(quote),
      begins_(std::move(begins)),
      pieces_(new Piece[begins_.size()]),
      states_{QuoteState::kOutside} {}

size_t CsvQuotes::IndexOf(uint64_t begin) const {
  return static_cast<size_t>(std::lower_bound(begins_.begin(), begins_.end(), begin) - begins_.begin());
}

Result<CsvQuotes::Start> CsvQuotes::StartAt(env::Env& env, uint64_t begin) {
  const size_t index = IndexOf(begin);
  CHECK(index > 0 && index < begins_.size() && begins_[index] == begin);
  if (const uint64_t row = pieces_[index].row.load(); row != 0) return Start{QuoteState::kOutside, row};
  size_t first = 0;
  {
    std::lock_guard lock(mutex_);
    first = states_.size() - 1;
  }
  // What others are at is left to them, and waited for in the second round.
  for (size_t i = first; i < index; ++i) {
    std::unique_lock lock(pieces_[i].mutex, std::try_to_lock);
    if (lock.owns_lock() && !pieces_[i].known) RETURN_IF_ERROR(Scan(env, i));
  }
  std::lock_guard lock(mutex_);
  while (states_.size() <= index) {
    const size_t i = states_.size() - 1;
    std::lock_guard piece_lock(pieces_[i].mutex);
    if (!pieces_[i].known) RETURN_IF_ERROR(Scan(env, i));
    states_.push_back(pieces_[i].transition[static_cast<size_t>(states_[i])]);
  }
  return Start{states_[index], 0};
}

void CsvQuotes::Tell(uint64_t end, uint64_t row) {
  const size_t index = IndexOf(end);
  if (index < begins_.size() && begins_[index] == end) pieces_[index].row.store(row);
}

// Expects: the piece's lock is held.
Status CsvQuotes::Scan(env::Env& env, size_t piece) {
  ASSIGN_OR_RETURN(const auto file, env.files().OpenRandom(path_));
  // States are told one byte before the cuts.
  uint64_t at = piece == 0 ? 0 : begins_[piece] - 1;
  const uint64_t end = begins_[piece + 1] - 1;
  std::string buffer(std::min<uint64_t>(kReadBytes, end - at) + 1, '\0');
  buffer[0] = '\n';
  if (at > 0) RETURN_IF_ERROR(file->ReadAt(at - 1, {buffer.data(), 1}).status());
  Transition total = {QuoteState::kOutside, QuoteState::kInside, QuoteState::kQuote};
  while (at < end) {
    const size_t wanted = std::min<uint64_t>(kReadBytes, end - at);
    ASSIGN_OR_RETURN(const size_t got, file->ReadAt(at, {buffer.data() + 1, wanted}));
    std::string_view bytes(buffer.data() + 1, got);
    if (at == 0 && bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);
    const Transition next = ScanBytes(bytes, buffer[0]);
    for (QuoteState& state : total) state = next[static_cast<size_t>(state)];
    if (got < wanted) break;  // The file was cut meanwhile; its reader will say so.
    at += got;
    buffer[0] = buffer[got];
  }
  pieces_[piece].transition = total;
  pieces_[piece].known = true;
  return Status::Ok();
}

// Looks at the quotes only. A state kQuote holds where its quote was last seen; if the next quote is not right behind
// it, the quotes were closed in between.
CsvQuotes::Transition CsvQuotes::ScanBytes(std::string_view bytes, char before) const {
  Transition states = {QuoteState::kOutside, QuoteState::kInside, QuoteState::kQuote};
  if (bytes.empty()) return states;
  size_t last = kNowhere;  // The quote before; at first the one that kQuote means, at -1.
  ForEachMatch(bytes.data(), 0, bytes.size(), {quote_}, [&](size_t at) {
    const char left = at == 0 ? before : bytes[at - 1];
    for (QuoteState& state : states) {
      if (state == QuoteState::kQuote && last + 1 != at) state = QuoteState::kOutside;
      state = NextQuoteState(state, left, quote_, delimiter_, quote_);
    }
    last = at;
    return true;
  });
  for (QuoteState& state : states) {
    if (state == QuoteState::kQuote && last + 1 != bytes.size()) state = QuoteState::kOutside;
  }
  return states;
}

}  // namespace glim::io
