// SPDX-License-Identifier: Apache-2.0
//
// A training of several passes that survives its program: it makes the tables, runs a flow that pushes to them as often
// as asked, and now and then takes a snapshot of the tables together with what has gone into them. A program that was
// killed and is started again goes on from the last snapshot, and each row of the data counts once in each pass, as if
// nothing had happened:
//
//   glim::Training training(session, {.folder = "ctr.training", .passes = 5});
//   auto model = training.CreateTable<float>("ctr", glim::SparseKeys(), glim::Ftrl{.alpha = 0.1});
//   glim::Flow flow("train");
//   flow.TextFile("clicks/*.svm").ForEachBatch([&](const glim::Batch& rows) { ... model.Pull ... model.Push ... });
//   return glim::ExitCode(training.Run(flow));
//
// What it rests on:
//   - The flow's steps that push are the last of their rows (ForEach, ForEachBatch, PushTo), and push to tables of the
//     training only. What they push to others, write or print is done again for the parts that a snapshot does not
//     have.
//   - A snapshot is taken between parts of the data, which the tasks of those steps are. Parts are megabytes of files,
//     or partitions (RoundRobin(64)): the smaller they are, the sooner it can be taken.
//   - The program that goes on builds the same flow on the same data, with the same --partitions. It is an error when
//     files have other sizes, are cut otherwise, or when there are other steps. Functions may have changed.
//   - Where a second program may see other rows (programs of Pipe in front of a shuffle, a Cache, standard input) and
//     where workers keep in step (`consistency`), snapshots are taken between passes only.
//
// The folder belongs to one training, and is locked by the program that works on it. When it is done it stays, and a
// program that is started again finds the tables as they were at the end; remove the folder to begin anew.
//
// Thread: one at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "glim/flow.h"
#include "glim/session.h"
#include "glim/status.h"
#include "glim/table.h"

namespace glim {

struct TrainingOptions {
  std::string folder;                                        // Of its snapshots; made when it is not there.
  int64_t passes = 1;                                        // Over the data, in all, those before a restart included.
  std::chrono::nanoseconds every = std::chrono::minutes(1);  // From the end of a snapshot to the next one.
};

class Training {
 public:
  // The session outlives this. What is wrong with the options or the folder is told by the first call.
  Training(Session& session, TrainingOptions options);
  Training(const Training&) = delete;
  ~Training();

  // As Session::CreateTable; when there is a snapshot the table begins as it was then. A table of this name that an
  // earlier program of this training has left on servers makes way, so nothing that is still under way to it counts;
  // any other one of this name is an error. Before the first Run.
  template <TableValue V>
  Table<V> CreateTable(std::string name, KeySpace keys, UpdateRule rule = Add(), Initial initial = Constant(0)) {
    TableSpec spec;
    spec.name = std::move(name);
    spec.keys = keys;
    spec.value_type = ValueTypeOf<V>();
    spec.initial = initial;
    spec.rule = rule;
    return Table<V>(CreateTable(std::move(spec)));
  }
  Result<TableHandle> CreateTable(TableSpec spec);

  // Makes the passes that are left, and takes a last snapshot. Goes back to one when servers took tables with them;
  // after any other failure the tables hold a part of a pass: a new Training goes on from the last snapshot.
  Status Run(const Flow& flow);
  Status Run(const Dataset& dataset);
  // The flow of each pass, from 0: for another order of the data in each, say. Asked each time that a pass is made.
  Status Run(const std::function<Flow(int64_t pass)>& flow_of);

  // How many passes are done.
  int64_t passes_done() const;

  // For the engine: the graph of each pass.
  using GraphOf = std::function<Result<std::shared_ptr<flow::Graph>>(int64_t pass)>;
  Status RunGraphs(const GraphOf& graph_of);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace glim
