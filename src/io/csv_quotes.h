// SPDX-License-Identifier: Apache-2.0
//
// Whether a byte in the middle of a CSV file lies within quotes, so that many tasks can read one file although a
// newline may belong to a field.
//
// Nothing near the byte tells: it takes all bytes before it. But what a piece of the file does to the answer (from each
// state at its begin to one at its end) can be found without knowing what comes before, so pieces are looked at side by
// side, by whichever task needs the answer first. That is a walk over the quotes only, some GB/s; the whole costs one
// more pass over the file. A task that read the piece before gives the row's start directly, and then nothing is
// scanned: with one thread there is no second pass.
//
// It is exact, not a guess: a quote opens only at the start of a field, as in the reader. (Counting quotes alone would
// fail for `5" pipe`.)
//
// Thread: any.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "env/env.h"

namespace glim::io {

enum class QuoteState : uint8_t {
  kOutside,
  kInside,
  kQuote,  // The byte before is a quote within quotes: it closes them, unless another one follows.
};

// The state after one more byte; `before` is the byte before it ('\n' at the begin of the file).
inline QuoteState NextQuoteState(QuoteState state, char before, char c, char delimiter, char quote) {
  if (state == QuoteState::kInside) return c == quote ? QuoteState::kQuote : QuoteState::kInside;
  if (c != quote || quote == 0) return QuoteState::kOutside;
  if (state == QuoteState::kQuote) return QuoteState::kInside;
  return before == delimiter || before == '\n' ? QuoteState::kInside : QuoteState::kOutside;
}

class CsvQuotes {
 public:
  // `begins` are where the file is cut, ascending, the first one 0; all others are at least kContext.
  CsvQuotes(std::string path, char delimiter, char quote, std::vector<uint64_t> begins);

  // Bytes before a cut at which the state is told; the byte before that decides about a quote there.
  static constexpr uint64_t kContext = 2;

  struct Start {
    QuoteState state = QuoteState::kOutside;  // Before the byte at begin - 1.
    uint64_t row = 0;  // Or the start of the first row from `begin` on, when it is known; else 0.
  };
  // Expects: `begin` is one of the cuts, but not the first.
  Result<Start> StartAt(env::Env& env, uint64_t begin);
  // The first row that does not start before `end` starts at `row`. Ignored when `end` is no cut.
  void Tell(uint64_t end, uint64_t row);

 private:
  using Transition = std::array<QuoteState, 3>;  // By the state at the piece's begin.
  struct Piece {
    std::mutex mutex;
    bool known = false;
    Transition transition;
    std::atomic<uint64_t> row{0};
  };

  size_t IndexOf(uint64_t begin) const;
  Status Scan(env::Env& env, size_t piece);
  Transition ScanBytes(std::string_view bytes, char before) const;

  const std::string path_;
  const char delimiter_;
  const char quote_;
  const std::vector<uint64_t> begins_;
  const std::unique_ptr<Piece[]> pieces_;
  std::mutex mutex_;
  std::vector<QuoteState> states_;  // At the first pieces' begins; guarded by mutex_.
};

}  // namespace glim::io
