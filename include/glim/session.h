// SPDX-License-Identifier: Apache-2.0
//
// A Session says where flows run and holds the tables of a program. Without options everything happens in the calling
// process: threads, memory budget, tables; no daemon, no port.
//
//   int main(int argc, char** argv) {
//     glim::Session session(argc, argv);     // --threads 4 --memory 2G --partitions 8 --progress
//     auto model = session.CreateTable<float>("ctr", glim::SparseKeys(), glim::Ftrl{.alpha = 0.1});
//     ...
//     return glim::ExitCode(flow.Run(session));
//   }
//
// With --on, work is done by other processes:
//
//   --on local:3   flows run on 3 executors, children of this process that end with it, and tables are on 3 servers of
//                  the same kind; both are started when they are needed
//   --on standalone://HOST:PORT --key client.key
//                  flows run on the agents, and tables are on the servers, of a cluster that was started with
//                  `glim master`, `glim agent` and `glim server`
//   --on slurm     the same on nodes that Slurm gives
//
// The children of local:N are the program itself, started again: there the constructor of the first Session does not
// return. So make it first, before the program prints or writes anything.
//
// For flows with functions in C++ main goes on in the executors of local:N: it builds the same flows, and each Run
// before the one at hand gives what it gave here, without doing anything. What main prints there is dropped, and its
// standard input is empty. What else it does there it does again: see on_executor(). A function has the variables of
// its executor's main, not of this one. Once main has used a table, has run a flow in its own process, or several side
// by side, or has rows through a function of its own (Output, PipeOut, Read), flows with functions in C++ run in this
// process. On other engines they always do.
//
// Thread: one run at a time; tables may be made and used from any thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "glim/flow.h"
#include "glim/status.h"
#include "glim/table.h"

namespace glim {

struct SessionOptions {
  std::string on = "embedded";  // Who does the work: "embedded", "local:3", "standalone://host:port" or "slurm".
  std::string key_file{};       // What lets us into a cluster: the client.key of `glim init`.
  int threads = 0;              // Of all executors together; 0: all cores that this process may use.
  int64_t memory_bytes = 0;  // What runs may hold, in all processes; 0: 60 % of the machine's or the cgroup's memory.
  std::string tmp_folder{};  // Where what does not fit into it lies meanwhile; empty: $TMPDIR, or /var/tmp.
  std::string dataset_folder{};   // Where OnDisk keeps datasets; empty: $GLIM_DATASET_DIR, or glim/datasets below
                                  // $XDG_DATA_HOME or ~/.local/share.
  int64_t dataset_bytes_max = 0;  // Of all of them there; beyond it those go that nobody has read for longest; 0: all.
  int64_t lua_memory_bytes = 0;   // What the Lua functions of one thread may hold; 0: half of the above by the number
                                  // of threads, at least 64 MiB.
  int partitions = 0;             // Tasks and partitions where the engine chooses; 0: by the size of the data.
  bool progress = false;          // A progress line on stderr.
  bool watch_interrupts = false;  // Ctrl-C or SIGTERM cancels a run, in order; a second one ends the process.
  bool explain = false;           // Run prints the stages to stdout instead of running them.
  bool stats = false;             // After each run: rows, bytes and time of every step, on stderr.
  std::string stats_file{};       // The same of all runs as JSON, a list with one object per run.
  std::string trace_file{};       // When each task ran, for ui.perfetto.dev (Trace Event Format, JSON).
  std::vector<std::string> files{};  // That travel with the program to wherever its functions run (glim/files.h).
  // This program as it was built for other architectures, by what `uname -m` says there ("aarch64"), for agents on
  // such machines. Its path for this machine's own, if named, is not looked at: that is what runs.
  std::map<std::string, std::string> binaries{};
  bool lua_kernels = true;       // False: every Lua function runs as plain Lua.
  bool cpp_on_executors = true;  // False: flows with functions in C++ run in this process, whatever `on` says.
};

class Session {
 public:
  Session();
  explicit Session(SessionOptions options);
  // Takes --on, --key, --threads, --memory, --tmp-dir, --dataset-dir, --dataset-disk, --lua-memory, --lua, --cpp
  // (executors, here), --binary (aarch64=PATH,...), --partitions, --files (a,b: glim/files.h), --progress,
  // --no-progress, --explain, --stats,
  // --stats-file, --trace (as `--name value` or `--name=value`) and leaves the rest in arguments(). A wrong one is the
  // first Run's error. A progress line is shown when stderr is a terminal.
  Session(int argc, char** argv);
  Session(const Session&) = delete;
  ~Session();

  // Arguments that were not the session's, without the program's name.
  const std::vector<std::string>& arguments() const;
  // Ok, or what is wrong with the options.
  const Status& status() const;
  // This process is an executor that follows the main of another one, to have its functions. For what must be done
  // once, such as writing a file before a flow runs.
  bool on_executor() const;

  // Reaches the cluster of --on; children (local:N) are started by what needs them. The first call that needs the
  // cluster does the same; calling it is for who wants to know at once. kUnreachable when it cannot be reached.
  Status Connect();

  // Fails when there is one of this name. The handle of a failed call answers every request with the reason.
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
  // By its name, or by its handle (Table::Handle): then it is opened where it is, whatever --on says. kNotFound when
  // there is none, also when the handle's was dropped and there is another one of its name.
  template <TableValue V>
  Table<V> OpenTable(const std::string& name_or_handle) {
    return Table<V>(OpenTable(name_or_handle));
  }
  Result<TableHandle> CreateTable(TableSpec spec);
  Result<TableHandle> OpenTable(const std::string& name_or_handle);
  // Makes a table from a saved model, under `name` or its own.
  Result<TableHandle> LoadTable(const std::string& folder, const std::string& name = "");
  Result<std::vector<TableInfo>> ListTables();
  Status DropTable(const std::string& name);

  // What Flow::Run calls.
  Status Run(const Flow& flow);
  // For these ends of the graph (flow/graph.h).
  Status Run(const std::shared_ptr<flow::Graph>& graph, std::vector<int> ends);

  // What functions counted under that name (TaskContext::Count, glim.count) in all runs so far that succeeded.
  int64_t counter(std::string_view name) const;

  struct Parts;  // For the parts of Glim that stand on a session.
  Parts& parts() { return *parts_; }

 private:
  Status RunEnds(const std::shared_ptr<flow::Graph>& graph, std::vector<int> ends);

  std::unique_ptr<Parts> parts_;
};

}  // namespace glim
