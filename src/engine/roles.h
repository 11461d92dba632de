// SPDX-License-Identifier: Apache-2.0
//
// A process that is a master, a server, an agent or an executor and nothing else: what `glim master`, `glim server` and
// `glim agent` do, and the children of an agent and of a program that runs on local:N.
//
// Each says where it listens on the first line of stdout, `listening HOST:PORT`, and works until it is told to stop.
//
// A child is the program itself, started again: ServeIfChild finds in the environment what it is to be, and
// does not return. It ends when its stdin does, that is, when its parent has gone, however it went. An executor that
// has to have the functions of a program in C++ is that program, whose main goes on: StartIfProgram.
//
// Thread: one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cluster/job/executor.h"
#include "env/env.h"
#include "glim/status.h"
#include "glim/table.h"
#include "udf/lua_capture.h"

namespace glim::engine {

struct MasterRole {
  std::string address;  // host:port; ":port" is any address of this machine with a key, and 127.0.0.1 without.
  std::string folder;
  std::string key_file;       // Empty: this machine only.
  bool open_metrics = false;  // Other machines may read /metrics and /healthz, too.
};

struct ServerRole {
  std::string master;   // host:port
  std::string address;  // As a master's; empty: any port.
  std::string folder;   // Empty: none.
  std::string key_file;
  uint64_t memory_max = 0;      // For rows; 0: 60 % of the machine's memory.
  uint32_t node = 0;            // 0: the folder's, or a new one.
  uint32_t drain_seconds = 30;  // When it is interrupted, so long for others to take its shards; 0: it ends at once.
  uint32_t threads = 0;         // That work on shards; 0: as many as there are cores.
  bool open_metrics = false;    // As a master's.
};

struct ExecutorRole {
  std::string address;
  std::string key_file;
  std::string tmp_folder;
  uint32_t threads = 1;
  bool sends_errors = false;  // To its driver: what it prints to stderr.
  bool program = false;       // It follows the main of the driver's program: StartIfProgram.
};

struct AgentRole {
  std::string master;   // host:port
  std::string address;  // As a master's.
  std::string folder;
  std::string key_file;
  std::string name;  // Empty: that of the machine.
  std::vector<std::string> labels;
  uint32_t cores = 0;              // 0: those of the machine.
  uint64_t memory_max = 0;         // Of all its executors; 0: 60 % of the machine's memory.
  bool with_server = false;        // It keeps a server of tables running, too,
  uint64_t server_memory_max = 0;  // with so much for rows; 0: a third of memory_max, which is the less for it.
  bool open_metrics = false;       // As a master's.
};

// An agent of a cluster that ends with this program, on a machine that somebody else gave: a step of Slurm. The key of
// the cluster comes through its stdin: how many bytes it has, a line end, and the bytes.
struct StepAgentRole {
  std::string master;
  std::string name;
  std::string folder;  // Below the machine's temporary folder; removed in the end.
  bool with_server = false;
};

// Makes a table what Lua functions can capture: script::MakeTableObject, which stands above this folder.
using TableObjectMaker = std::function<std::shared_ptr<const udf::SharedObject>(TableHandle table)>;

enum class Ends {
  kInterrupt,  // With Ctrl-C, SIGTERM or SIGHUP.
  kStdin,      // With its standard input,
  kEither,     // or with whichever is first.
};

// Ok when it was told to stop. When it has to stop by itself the process ends with a message.
Status RunMaster(env::Env& env, const MasterRole& role, Ends ends);
Status RunServer(env::Env& env, const ServerRole& role, Ends ends);
Status RunAgent(env::Env& env, const AgentRole& role, Ends ends);
Status RunExecutor(env::Env& env, const ExecutorRole& role, TableObjectMaker table_object, Ends ends);

// The variable of the environment by which a child knows what it is; the value is for ServeIfChild.
inline constexpr const char* kChildVariable = "GLIM_CHILD";
std::string ChildOf(const MasterRole& role);
std::string ChildOf(const ServerRole& role);
std::string ChildOf(const ExecutorRole& role);
std::string ChildOf(const StepAgentRole& role);
// Ends the process when it was started as such a child.
void ServeIfChild(env::Env& env, TableObjectMaker table_object = nullptr);

// The executor, at work in threads of its own, when this process was started as one with `program`; else null. It ends
// the process when its driver has gone. Its own_flow and on_outcomes are `main`'s.
std::unique_ptr<cluster::ExecutorProcess> StartIfProgram(env::Env& env, const cluster::ExecutorOptions& main);

}  // namespace glim::engine
