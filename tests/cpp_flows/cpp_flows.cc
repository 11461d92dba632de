// SPDX-License-Identifier: Apache-2.0
//
// Flows with functions in C++, for tests/cpp_executors_test.py: each prints the same wherever it runs.
//
//   cpp_flows CASE [--on local:2] [--partitions 5] ...
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "glim/glim.h"

namespace {

using glim::Emitter;
using glim::Flow;
using glim::Row;
using glim::Session;
using glim::Status;
using glim::TaskContext;

int64_t Work(int64_t n, int64_t times) {
  int64_t sum = 0;
  for (int64_t i = 1; i <= times; ++i) sum = (sum + n * i) % 1'000'003;
  return sum;
}

// Every kind of step that takes a function.
Status Steps(Session& session) {
  Flow flow("steps");
  const auto numbers = flow.Range(0, 20000);
  numbers.Map([](int64_t n) { return std::tuple(n % 17, 1.0 / static_cast<double>(n + 1)); })
      .ReduceBy([](double a, double b) { return a + b; })
      .Sort()
      .Print();
  numbers.Filter([](int64_t n) { return n % 1000 == 7; })
      .FlatMap([](int64_t n, Emitter& out) {
        for (int64_t i = 0; i < n % 3; ++i) out(n, "row " + std::to_string(i));
      })
      .Sort()
      .Print();
  numbers.Map([](int64_t n) { return n * 7919 % 20011; }).Reduce([](int64_t a, int64_t b) { return a ^ b; }).Print();
  // With Lua, and with known folds, in one flow.
  const auto squares = numbers.Map("function(n) return n % 10, n * n end");
  const auto names = flow.Range(0, 7).Map([](int64_t n) { return std::tuple(n, "name " + std::to_string(n)); });
  squares.ReduceBy({glim::Sum()}).Join(names).Sort().Print();
  squares.GroupBy().Map([](int64_t key, const glim::Cell&) { return key; }).Sort().Print();
  const glim::SideTable table = names.AsTable();
  squares.Limit(15).Map([table](int64_t key) { return std::tuple(key, table.Get(key)); }, {table}).Print();
  struct Sum {
    int64_t rows = 0;
    void Setup() { rows = 0; }
    void operator()(const glim::Batch& batch) { rows += batch.row_count(); }
    void Teardown(Emitter& out) const { out(rows); }
  };
  numbers.ForEachBatch(Sum()).Reduce([](int64_t a, int64_t b) { return a + b; }).Print();
  const auto kept = numbers.Map([](int64_t n) { return std::tuple(n % 13, n); }).Partition(3).Cache();
  if (Status status = flow.Run(session); !status.ok()) return status;
  for (const int64_t times : {2, 3}) {
    kept.Map([times](int64_t key, int64_t n) { return std::tuple(key, n * times); })
        .ReduceBy([](int64_t x, int64_t y) { return x + y; })
        .Sort()
        .Print();
    if (Status status = flow.Run(session); !status.ok()) return status;
  }
  // The same flow once more, with its table.
  return flow.Run(session);
}

// What one flow keeps on disk others read.
Status Kept(Session& session) {
  for (int turn = 0; turn < 2; ++turn) {
    Flow flow("keeps");
    const auto squares = flow.Range(0, 3000).Map([](int64_t n) { return std::tuple(n % 13, n * n); }).Partition(3);
    squares.OnDisk("squares").Map([](int64_t key, int64_t n) { return std::tuple(key, n + 1); }).Sort().Print();
    if (Status status = flow.Run(session); !status.ok()) return status;
    Flow reads("reads");
    reads.FromDisk("squares").Map([](int64_t key, int64_t n) { return n - key; }).Sort().Print();
    if (Status status = reads.Run(session); !status.ok()) return status;
  }
  return Status::Ok();
}

// What the first runs gave decides what the last one is.
Status Two(Session& session) {
  std::puts("main begins");
  std::vector<Row> counts;
  Flow first("first");
  first.Range(0, 1000)
      .Map([](int64_t n, TaskContext& task) {
        if (n % 3 == 0) task.Count("threes", 1);
        return std::tuple(n % 7, 1);
      })
      .ReduceBy([](int64_t a, int64_t b) { return a + b; })
      .Sort()
      .Collect(&counts);
  if (Status status = first.Run(session); !status.ok()) return status;
  std::printf("%zu counts, %ld threes\n", counts.size(), static_cast<long>(session.counter("threes")));
  std::string name;
  Flow second("second");
  second.Range(0, 100)
      .Map([](int64_t n) { return "n" + std::to_string(n); })
      .Top(1, {glim::OrderBy(1, glim::Descending)})
      .SaveFirstRowTo(&name);
  if (Status status = second.Run(session); !status.ok()) return status;
  // One that fails, which main takes as it comes.
  Flow bad("bad");
  bad.Range(0, 10).Map([](int64_t n) -> int64_t { return n < 9 ? n : throw std::runtime_error("no nine"); }).Print();
  const Status failed = bad.Run(session);
  std::printf("%s\n", failed.message().c_str());
  Flow third("third");
  auto rows = third.Range(0, 500).Map([counts, name, failed](int64_t n) {
    return std::tuple(counts[n % counts.size()][1].as_int64() * n, name, failed.ok());
  });
  for (size_t i = 0; i < counts.size(); ++i)
    rows = rows.Filter([i](int64_t n) { return n % 100 != static_cast<int64_t>(i); });
  rows.Sort().Print();
  return third.Run(session);
}

Status Loop(Session& session) {
  int64_t value = 1;
  for (int i = 0; i < 60; ++i) {
    Flow flow("round " + std::to_string(i));
    flow.Range(0, 50)
        .Map([value](int64_t n) { return n * value % 1009; })
        .Reduce([](int64_t a, int64_t b) { return a + b; })
        .SaveFirstRowTo(&value);
    if (Status status = flow.Run(session); !status.ok()) return status;
  }
  std::printf("%ld\n", static_cast<long>(value));
  return Status::Ok();
}

// Some seconds in two runs, to be killed in.
Status Long(Session& session) {
  std::vector<Row> sums;
  Flow first("first");
  first.Range(0, 6000)
      .Map([](int64_t n) { return std::tuple(Work(n, 30'000) % 100, n); })
      .ReduceBy([](int64_t a, int64_t b) { return a + b; })
      .Sort()
      .Collect(&sums);
  if (Status status = first.Run(session); !status.ok()) return status;
  Flow second("second");
  second.Range(0, 6000)
      .Map([sums](int64_t n) { return std::tuple(n % 50, Work(n, 30'000) + sums[n % sums.size()][1].as_int64()); })
      .ReduceBy([](int64_t a, int64_t b) { return a + b; })
      .Sort()
      .Print();
  return second.Run(session);
}

Status Prints(Session& session) {
  std::puts("before");
  std::fputs("before, to stderr\n", stderr);
  for (int round = 0; round < 2; ++round) {
    Flow flow("prints");
    flow.Range(0, 100).ForEach([round](int64_t n) { std::printf("row %d %ld\n", round, static_cast<long>(n)); });
    if (Status status = flow.Run(session); !status.ok()) return status;
    std::cout << "between\n";
  }
  return Status::Ok();
}

// What main knows elsewhere is not what it knows here.
Status Other(Session& session) {
  Flow flow("other");
  auto rows = flow.Range(0, 10).Map([](int64_t n) { return n; });
  if (session.on_executor()) rows = rows.Filter([](int64_t n) { return n > 0; });
  rows.Print();
  return flow.Run(session);
}
Status Ends(Session& session) {
  if (session.on_executor()) return Status::Ok();
  Flow flow("ends");
  flow.Range(0, 10).Map([](int64_t n) { return n; }).Print();
  return flow.Run(session);
}

// Where functions run: the process is told by what it prints on executors only.
int64_t Here() { return static_cast<int64_t>(::getpid()); }
Status Where(Session& session) {
  std::vector<Row> rows;
  Flow flow("where");
  flow.Range(0, 10).Map([](int64_t) { return Here(); }).Collect(&rows);
  if (Status status = flow.Run(session); !status.ok()) return status;
  size_t here = 0;
  for (const Row& row : rows) here += row[0].as_int64() == Here() ? 1 : 0;
  std::printf("%s\n", here == rows.size() ? "here" : here == 0 ? "on executors" : "somewhere");
  return Status::Ok();
}
Status WithTable(Session& session) {
  auto table = session.CreateTable<int64_t>("counts", glim::DenseKeys(4));
  if (!table.ok()) return table.status();
  return Where(session);
}
Status AfterOwn(Session& session) {
  Flow flow("own");
  flow.Range(0, 3).Print();
  if (Status status = flow.Run(); !status.ok()) return status;
  return Where(session);
}
Status Dies(Session& session) {
  Flow flow("dies");
  flow.Range(0, 10).Map([](int64_t n) { return n < 100 ? (std::exit(7), n) : n; }).Print();
  return flow.Run(session);
}

uint32_t ByCustomer(glim::Key key, uint32_t shards) { return static_cast<uint32_t>(key / 1000 * 7 % shards); }

// A table whose rows lie where a function of this program says; its name is the argument behind the case.
Status Places(Session& session, const std::string& partition_by) {
  const glim::Table<int64_t> table(session.CreateTable(glim::MakeTableSpec<int64_t>(
      "places", glim::SparseKeys(), glim::Add{}, {.partition_by = partition_by, .shards = 5})));
  if (!table.ok()) return table.status();
  Flow fill("fill");
  fill.Range(0, 20000).Map("function(n) return n % 50 * 1000 + n % 7, 1 end").PushTo(table.client());
  if (Status status = fill.Run(session); !status.ok()) return status;
  int64_t rows = 0, misplaced = 0, sum = 0;
  for (uint32_t shard = 0; shard < 5; ++shard) {
    glim::RowChunk chunk;
    for (glim::ScanCursor cursor{.shard = shard}; !cursor.done;) {
      if (Status status = table.client()->Scan(&cursor, 1000, &chunk); !status.ok()) return status;
      for (const glim::Key key : chunk.keys) misplaced += ByCustomer(key, 5) == shard ? 0 : 1;
      rows += static_cast<int64_t>(chunk.keys.size());
    }
  }
  Flow look("look");
  look.Range(0, 50)
      .Map("function(n) return n * 1000 + n % 7 end")
      .Lookup(table.client())
      .Map("function(key, count) return count end")
      .Reduce({glim::Sum()})
      .SaveFirstRowTo(&sum);
  if (Status status = look.Run(session); !status.ok()) return status;
  std::printf("%ld rows, %ld misplaced, sum %ld\n", static_cast<long>(rows), static_cast<long>(misplaced),
              static_cast<long>(sum));
  return Status::Ok();
}
Status Placed(Session& session) { return Places(session, "customer"); }
// Children of local:N are this program up to its first session.
Status PlacedLate(Session& session) {
  if (Status status = glim::RegisterPartitioner("late", ByCustomer); !status.ok()) return status;
  return Places(session, "late");
}
Status PlacedNowhere(Session& session) { return Places(session, "nobody"); }

// A file that travels, of which a function says the first line; main asks for it, too, also where it is an executor's.
Status Files(Session& session) {
  const auto path = glim::FilePath("words.txt");
  if (!path.ok()) return path.status();
  Flow flow("files");
  flow.Range(0, 4)
      .Map([path = *path](int64_t n) {
        std::ifstream of_main(path), of_function(glim::FilePath("words.txt").value());
        std::string line, same;
        if (!std::getline(of_main, line) || !std::getline(of_function, same) || line != same)
          throw std::runtime_error("the file is not there");
        return std::tuple(n, line);
      })
      .Sort()
      .Printf("%d %s\n");
  if (Status status = flow.Run(session); !status.ok()) return status;
  std::puts(glim::FilePath("other").ok() ? "a file that is not there" : "none of them");
  return Status::Ok();
}

const std::map<std::string, Status (*)(Session&)> kCases = {
    {"steps", Steps},   {"kept", Kept},   {"two", Two},       {"loop", Loop},       {"long", Long},
    {"prints", Prints}, {"other", Other}, {"ends", Ends},     {"where", Where},     {"table", WithTable},
    {"own", AfterOwn},  {"dies", Dies},   {"placed", Placed}, {"late", PlacedLate}, {"nowhere", PlacedNowhere},
    {"files", Files}};

}  // namespace

int main(int argc, char** argv) {
  // Before the session, on purpose; but children that are to be executors of flows without functions in C++ have no
  // arguments, and may print nothing.
  if (argc > 1) std::printf("hello\n");
  if (!glim::RegisterPartitioner("customer", ByCustomer).ok()) return 2;
  Session session(argc, argv);
  const auto found = session.arguments().empty() ? kCases.end() : kCases.find(session.arguments()[0]);
  if (found == kCases.end()) {
    std::fputs("usage: cpp_flows CASE\n", stderr);
    return 2;
  }
  return glim::ExitCode(found->second(session));
}
