// SPDX-License-Identifier: Apache-2.0
//
// A client that keeps a ledger of its pushes, and the one who compares the ledgers with the table afterwards.
//
//   ledger_client push MASTER KEY_FILE NUMBER LEDGER SECONDS
//   ledger_client check MASTER KEY_FILE LEDGER...
//
// Push n of client c adds 1 to key c * 2^32 + n, so the table says how often each was applied. A ledger has a line for
// each push whose outcome is known, `n A` (acknowledged), `n U` (unknown) or `n R` (refused), and at its end `stall
// MS`, the longest time without an acknowledgement. A client that was killed has no end, and what is missing is
// unknown.
//
// Thread: one, and that of the connection.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "glim/glim.h"

namespace {

constexpr size_t kUnderWay = 256;
constexpr double kPushesPerSecond = 3000;
constexpr uint64_t kBeyondTheLedger = 100'000;  // Pushes that a killed client may have made and not written down.

glim::SessionOptions OptionsFor(const std::string& master, const std::string& key) {
  glim::SessionOptions options;
  options.on = "standalone://" + master;
  options.key_file = key;
  return options;
}

using Clock = std::chrono::steady_clock;

struct Waiting {
  uint64_t number;
  glim::Future<void> pushed;
};

char LetterOf(const glim::Status& status) {
  if (status.ok()) return 'A';
  return status.code() == glim::Code::kTimeout || status.code() == glim::Code::kCancelled ? 'U' : 'R';
}

int Push(const std::string& master, const std::string& key, uint64_t client, const std::string& path, double seconds) {
  glim::Session session(OptionsFor(master, key));
  const auto table = session.OpenTable<int64_t>("ledger");
  if (!table.ok()) return glim::ExitCode(table.status());
  std::FILE* ledger = std::fopen(path.c_str(), "w");
  if (ledger == nullptr) return EXIT_FAILURE;
  const auto begin = Clock::now();
  auto last_acknowledged = begin;
  auto longest = Clock::duration::zero();
  std::deque<Waiting> waiting;
  std::string last_refusal;
  const auto finish_first = [&] {
    const glim::Status status = waiting.front().pushed.Wait();
    const auto now = Clock::now();
    const char letter = LetterOf(status);
    if (letter == 'A') {
      longest = std::max(longest, now - last_acknowledged);
      last_acknowledged = now;
    } else if (letter == 'R' && status.message() != last_refusal) {
      last_refusal = status.message();
      std::fprintf(stderr, "client %llu: refused: %s\n", static_cast<unsigned long long>(client), last_refusal.c_str());
    }
    std::fprintf(ledger, "%llu %c\n", static_cast<unsigned long long>(waiting.front().number), letter);
    waiting.pop_front();
  };
  for (uint64_t n = 1; std::chrono::duration<double>(Clock::now() - begin).count() < seconds; ++n) {
    const std::vector<glim::Key> keys{(client << 32) + n};
    const std::vector<int64_t> one{1};
    // Some give up before a lost server is replaced, so that there are unknown ones.
    glim::PushOptions options;
    options.deadline = n % 8 == 0 ? std::chrono::seconds(2) : std::chrono::seconds(30);
    waiting.push_back({n, table.Push(keys, one, options)});
    while (waiting.size() >= kUnderWay || (!waiting.empty() && waiting.front().pushed.ready())) finish_first();
    // Not faster than a table of this size grows for half an hour.
    const auto next = begin + std::chrono::duration_cast<Clock::duration>(
                                  std::chrono::duration<double>(static_cast<double>(n) / kPushesPerSecond));
    if (Clock::now() + std::chrono::milliseconds(50) < next) std::this_thread::sleep_until(next);
  }
  while (!waiting.empty()) finish_first();
  std::fprintf(ledger, "stall %lld\n",
               static_cast<long long>(std::chrono::duration_cast<std::chrono::milliseconds>(longest).count()));
  return std::fclose(ledger) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

struct Tally {
  uint64_t acknowledged = 0, lost = 0, twice = 0;
  uint64_t unknown = 0, unknown_applied = 0, unknown_twice = 0;
  uint64_t refused = 0, refused_applied = 0;
  long long stall_ms = 0;
};

void Count(char letter, int64_t applied, Tally* tally) {
  switch (letter) {
    case 'A':
      ++tally->acknowledged;
      tally->lost += applied == 0;
      tally->twice += applied > 1;
      return;
    case 'R':
      ++tally->refused;
      tally->refused_applied += applied != 0;
      return;
    default:
      ++tally->unknown;
      tally->unknown_applied += applied == 1;
      tally->unknown_twice += applied > 1;
  }
}

glim::Status CheckLedger(const glim::Table<int64_t>& table, uint64_t client, const std::string& path, Tally* tally) {
  std::ifstream ledger(path);
  std::map<uint64_t, char> outcomes;
  std::string word, value;
  while (ledger >> word >> value) {
    if (word == "stall") {
      tally->stall_ms = std::max(tally->stall_ms, std::atoll(value.c_str()));
    } else {
      outcomes[std::strtoull(word.c_str(), nullptr, 10)] = value[0];
    }
  }
  const uint64_t last = (outcomes.empty() ? 0 : outcomes.rbegin()->first) + kBeyondTheLedger;
  constexpr uint64_t kChunk = 50'000;
  for (uint64_t first = 1; first <= last; first += kChunk) {
    std::vector<glim::Key> keys;
    for (uint64_t n = first; n < first + kChunk && n <= last; ++n) keys.push_back((client << 32) + n);
    glim::Result<std::vector<int64_t>> applied = table.Pull(keys).Get();
    if (!applied.ok()) return applied.status();
    for (size_t i = 0; i < keys.size(); ++i) {
      const auto known = outcomes.find(first + i);
      if (known == outcomes.end() && (*applied)[i] == 0) continue;  // Never made, most likely.
      Count(known == outcomes.end() ? 'U' : known->second, (*applied)[i], tally);
    }
  }
  return glim::Status::Ok();
}

// Ledgers are called NUMBER.ledger.
int Check(const std::string& master, const std::string& key, const std::vector<std::string>& ledgers) {
  glim::Session session(OptionsFor(master, key));
  const auto table = session.OpenTable<int64_t>("ledger");
  if (!table.ok()) return glim::ExitCode(table.status());
  Tally tally;
  for (const std::string& path : ledgers) {
    const uint64_t client = std::strtoull(path.substr(path.rfind('/') + 1).c_str(), nullptr, 10);
    if (const glim::Status status = CheckLedger(table, client, path, &tally); !status.ok()) {
      return glim::ExitCode(status);
    }
  }
  std::printf(
      "{\"acknowledged\": %llu, \"lost\": %llu, \"twice\": %llu, \"unknown\": %llu, \"unknown_applied\": %llu, "
      "\"unknown_twice\": %llu, \"refused\": %llu, \"refused_applied\": %llu, \"stall_ms\": %lld}\n",
      static_cast<unsigned long long>(tally.acknowledged), static_cast<unsigned long long>(tally.lost),
      static_cast<unsigned long long>(tally.twice), static_cast<unsigned long long>(tally.unknown),
      static_cast<unsigned long long>(tally.unknown_applied), static_cast<unsigned long long>(tally.unknown_twice),
      static_cast<unsigned long long>(tally.refused), static_cast<unsigned long long>(tally.refused_applied),
      tally.stall_ms);
  return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 6 && words[0] == "push") {
    return Push(words[1], words[2], std::strtoull(words[3].c_str(), nullptr, 10), words[4],
                std::atof(words[5].c_str()));
  }
  if (words.size() >= 4 && words[0] == "check") {
    return Check(words[1], words[2], {words.begin() + 3, words.end()});
  }
  std::fprintf(stderr, "usage: ledger_client push MASTER KEY NUMBER LEDGER SECONDS | check MASTER KEY LEDGER...\n");
  return 2;
}
