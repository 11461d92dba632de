// SPDX-License-Identifier: Apache-2.0
#include "engine/roles.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/try.h"
#include "cluster/agent_process.h"
#include "cluster/job/executor.h"
#include "cluster/master_process.h"
#include "cluster/server_process.h"
#include "engine/child.h"
#include "env/path.h"
#include "glim/files.h"
#include "net/address.h"
#include "net/key.h"

namespace glim::engine {
namespace {

Result<std::shared_ptr<const net::Key>> ReadClusterKey(env::Env& env, const std::string& path) {
  if (path.empty()) return std::shared_ptr<const net::Key>();
  ASSIGN_OR_RETURN(net::Key key, net::ReadKey(env.files(), path));
  if (!key.of_cluster()) {
    return Status::Invalid(
        fmt::format("\"{}\" is the key of a client; masters and servers need the cluster's (cluster.key)", path));
  }
  return std::make_shared<const net::Key>(std::move(key));
}

std::string FullAddress(const std::string& address, bool with_key) {
  if (!address.starts_with(':')) return address;
  return (with_key ? "0.0.0.0" : "127.0.0.1") + address;
}

// Another thread noticed that this process cannot go on. What it had promised is on disk, or held by others.
void EndNow(env::Env& env, const Status& why) {
  (void)env.standard_error().Append(fmt::format("glim: {}\n", why.message()));
  env::ExitNow(1);
}

Status AwaitEnd(env::Env& env, Ends ends) {
  if (ends == Ends::kInterrupt) {
    env.AwaitInterrupt();
    return Status::Ok();
  }
  char bytes[64];
  while (true) {
    const auto read = env.standard_input().Read(bytes);
    if (!read.ok() || *read == 0) return Status::Ok();
  }
}

template <class Process>
Status Serve(env::Env& env, Process& process, Ends ends) {
  // Before anybody can know of us, so that who reads where we listen may stop us at once.
  if (ends != Ends::kStdin) env.WatchInterrupts();
  RETURN_IF_ERROR(process.Start());
  RETURN_IF_ERROR(env.standard_output().Append(fmt::format("listening {}\n", process.address())));
  // Nobody reads the pipe of a child any more, and functions of executors may print.
  if constexpr (std::is_same_v<Process, cluster::ExecutorProcess>) RETURN_IF_ERROR(process.CaptureOutput());
  env::ForgetStart();
  return AwaitEnd(env, ends);
}

constexpr int64_t kProgramNanosMax = 600'000'000'000;  // For a driver's program to make its Session.

Result<cluster::AgentChild> StartAgentChild(env::Env& env, const std::string& what, const std::string& role,
                                            std::vector<std::string> environment = {}) {
  constexpr int64_t kStartNanos = 10'000'000'000;
  ASSIGN_OR_RETURN(Child child,
                   StartChild(env, what, role, env.clock().MonotonicNanos() + kStartNanos, std::move(environment)));
  return cluster::AgentChild{std::move(child.process), std::move(child.address)};
}

Result<cluster::AgentChild> StartAgentProgram(env::Env& env, const cluster::StartProgram& start,
                                              const std::string& path, const std::string& role,
                                              const std::string& files_variable) {
  Program program{.binary = path, .arguments = start.arguments, .environment = {}, .folder = start.folder};
  // No others: what finds libraries and programs is this machine's own.
  for (const std::string& variable : start.environment) {
    if (variable.starts_with("GLIM_") && !variable.starts_with(std::string(kFilesVariable) + "="))
      program.environment.push_back(variable);
  }
  program.environment.push_back(files_variable);
  const int64_t patience = std::clamp<int64_t>(start.patience_nanos, 0, kProgramNanosMax);
  ASSIGN_OR_RETURN(Child child, StartProgram(env, program, role, env.clock().MonotonicNanos() + patience));
  return cluster::AgentChild{std::move(child.process), std::move(child.address)};
}

// Each executor of an agent has a folder of its own for files that travel; those of local:N have that of the driver.
std::string FilesVariable(env::Env& env, const std::string& tmp_folder) {
  return fmt::format("{}={}", kFilesVariable,
                     env::JoinPath(tmp_folder, fmt::format("files-{:016x}", env.RandomSeed())));
}

// The program goes to the driver's folder before it reads its key.
std::string AbsolutePath(const std::string& path) {
  return path.empty() || path.starts_with('/') ? path : env::JoinPath(env::CurrentFolder(), path);
}

constexpr char kSeparator = '\n';
constexpr std::string_view kExecutor = "executor", kProgram = "executor-program";

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == kSeparator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

uint64_t NumberOf(const std::string& text) {
  uint64_t number = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

Status RunMaster(env::Env& env, const MasterRole& role, Ends ends) {
  cluster::MasterProcessOptions options;
  ASSIGN_OR_RETURN(options.key, ReadClusterKey(env, role.key_file));
  options.address = FullAddress(role.address, options.key != nullptr);
  options.folder = role.folder;
  options.open_metrics = role.open_metrics;
  cluster::MasterProcess master(env, std::move(options), [&env](const Status& why) { EndNow(env, why); });
  return Serve(env, master, ends);
}

Status RunServer(env::Env& env, const ServerRole& role, Ends ends) {
  cluster::ServerProcessOptions options;
  ASSIGN_OR_RETURN(options.key, ReadClusterKey(env, role.key_file));
  options.master = role.master;
  options.address = FullAddress(role.address.empty() ? ":0" : role.address, options.key != nullptr);
  options.node = role.node;
  options.folder = role.folder;
  options.owners = role.threads;
  options.open_metrics = role.open_metrics;
  options.memory_max =
      role.memory_max > 0 ? role.memory_max : static_cast<uint64_t>(env.machine().memory_bytes) / 10 * 6;
  // Of all our addresses, others are told the one by which we reach the master.
  if (options.address.starts_with("0.0.0.0:")) {
    ASSIGN_OR_RETURN(options.advertised_host, net::LocalAddressToward(role.master));
  }
  cluster::ServerProcess server(env, std::move(options), [&env](const Status& why) { EndNow(env, why); });
  RETURN_IF_ERROR(Serve(env, server, ends));
  if (ends != Ends::kInterrupt) return Status::Ok();
  const Status status = server.HandOver(int64_t{role.drain_seconds} * 1'000'000'000);
  if (!status.ok()) (void)env.standard_error().Append(fmt::format("glim: {}\n", status.message()));
  return Status::Ok();
}

Status RunAgent(env::Env& env, const AgentRole& role, Ends ends) {
  cluster::AgentProcessOptions options;
  ASSIGN_OR_RETURN(options.key, ReadClusterKey(env, role.key_file));
  const bool with_key = options.key != nullptr;
  const env::Machine machine = env.machine();
  options.master = role.master;
  options.address = FullAddress(role.address, with_key);
  if (options.address.starts_with("0.0.0.0:")) {
    ASSIGN_OR_RETURN(options.advertised_host, net::LocalAddressToward(role.master));
  }
  options.folder = role.folder;
  options.name = role.name.empty() ? machine.name : role.name;
  options.labels = role.labels;
  options.open_metrics = role.open_metrics;
  options.threads = static_cast<int32_t>(role.cores > 0 ? role.cores : static_cast<uint32_t>(machine.cores));
  uint64_t memory = role.memory_max > 0 ? role.memory_max : static_cast<uint64_t>(machine.memory_bytes) / 10 * 6;
  // Children listen where others reach us.
  const std::string any_port = options.address.substr(0, options.address.rfind(':')) + ":0";
  options.start_executor = [&env, &role, any_port](int32_t threads, const std::string& tmp_folder) {
    const ExecutorRole executor{.address = any_port,
                                .key_file = role.key_file,
                                .tmp_folder = tmp_folder,
                                .threads = static_cast<uint32_t>(threads),
                                .sends_errors = true};
    return StartAgentChild(env, "an executor", ChildOf(executor), {FilesVariable(env, tmp_folder)});
  };
  options.start_program = [&env, &role, any_port](const cluster::StartProgram& start, const std::string& path,
                                                  int32_t threads, const std::string& tmp_folder) {
    const ExecutorRole executor{.address = any_port,
                                .key_file = AbsolutePath(role.key_file),
                                .tmp_folder = tmp_folder,
                                .threads = static_cast<uint32_t>(threads),
                                .sends_errors = true,
                                .program = true};
    return StartAgentProgram(env, start, path, ChildOf(executor), FilesVariable(env, tmp_folder));
  };
  if (role.with_server) {
    const uint64_t rows = role.server_memory_max > 0 ? role.server_memory_max : memory / 3;
    if (role.server_memory_max == 0) memory -= rows;
    const ServerRole server{.master = role.master,
                            .address = any_port,
                            .folder = env::JoinPath(role.folder, "server"),
                            .key_file = role.key_file,
                            .memory_max = rows};
    options.start_server = [&env, server] { return StartAgentChild(env, "the server", ChildOf(server)); };
  }
  options.memory_bytes = static_cast<int64_t>(memory);
  cluster::AgentProcess agent(env, std::move(options), [&env](const Status& why) { EndNow(env, why); });
  return Serve(env, agent, ends);
}

namespace {

Result<cluster::ExecutorOptions> OptionsOf(env::Env& env, const ExecutorRole& role) {
  cluster::ExecutorOptions options;
  ASSIGN_OR_RETURN(options.key, ReadClusterKey(env, role.key_file));
  options.address = FullAddress(role.address, options.key != nullptr);
  options.threads = static_cast<int>(std::max<uint32_t>(role.threads, 1));
  options.tmp_folder = role.tmp_folder;
  options.files_folder = env.Variable(kFilesVariable).value_or("");
  options.sends_errors = role.sends_errors;
  // What functions print comes out with what other executors print: a line is not torn.
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
  return options;
}

// Its driver has gone, so nobody reads what it could say.
void EndWithDriver(const Status&) { env::ExitNow(0); }

}  // namespace

Status RunExecutor(env::Env& env, const ExecutorRole& role, TableObjectMaker table_object, Ends ends) {
  ASSIGN_OR_RETURN(cluster::ExecutorOptions options, OptionsOf(env, role));
  options.table_object = std::move(table_object);
  cluster::ExecutorProcess executor(env, std::move(options), EndWithDriver);
  return Serve(env, executor, ends);
}

std::string ChildOf(const MasterRole& role) {
  return fmt::format("master{0}{1}{0}{2}{0}{3}", kSeparator, role.address, role.folder, role.key_file);
}

std::string ChildOf(const ServerRole& role) {
  return fmt::format("server{0}{1}{0}{2}{0}{3}{0}{4}{0}{5}{0}{6}", kSeparator, role.master, role.address, role.folder,
                     role.key_file, role.memory_max, role.node);
}

std::string ChildOf(const ExecutorRole& role) {
  return fmt::format("{6}{0}{1}{0}{2}{0}{3}{0}{4}{0}{5}", kSeparator, role.address, role.key_file, role.tmp_folder,
                     role.threads, role.sends_errors ? 1 : 0, role.program ? kProgram : kExecutor);
}

std::string ChildOf(const StepAgentRole& role) {
  return fmt::format("agent{0}{1}{0}{2}{0}{3}{0}{4}", kSeparator, role.master, role.name, role.folder,
                     role.with_server ? 1 : 0);
}

namespace {

Result<net::Key> KeyOfStdin(env::Env& env) {
  constexpr size_t kBytesMax = 64 << 10;
  std::string text;
  const auto complete = [&] {
    const size_t line = text.find('\n');
    return line != std::string::npos && text.size() - line - 1 >= NumberOf(text);
  };
  while (!complete()) {
    char bytes[4096];
    ASSIGN_OR_RETURN(const size_t read, env.standard_input().Read(bytes));
    if (read == 0 || text.size() > kBytesMax) return Status::Unavailable("no key came");
    text.append(bytes, read);
  }
  return net::ParseKey(std::string_view(text).substr(text.find('\n') + 1, NumberOf(text)));
}

Status RunStepAgent(env::Env& env, const StepAgentRole& step) {
  ASSIGN_OR_RETURN(const net::Key key, KeyOfStdin(env));
  const std::string folder = env::JoinPath(env.Variable("TMPDIR").value_or("/tmp"), step.folder);
  AgentRole role;
  role.master = step.master;
  role.address = ":0";
  role.folder = folder;
  role.key_file = env::JoinPath(folder, "cluster.key");
  role.name = step.name;
  role.with_server = step.with_server;
  // What Slurm gave, which need not be the whole machine.
  constexpr uint64_t kMebi = 1 << 20;
  role.cores = static_cast<uint32_t>(NumberOf(env.Variable("SLURM_CPUS_ON_NODE").value_or("0")));
  role.memory_max = NumberOf(env.Variable("SLURM_MEM_PER_NODE").value_or("0")) * kMebi / 10 * 8;
  // Slurm ends it by signal when it takes back the node, which may be at once: the folder is not to stay.
  env.WatchInterrupts();
  RETURN_IF_ERROR(env.files().MakeFolders(folder));
  // Of an agent before this one.
  if (env.files().Stat(role.key_file).ok()) RETURN_IF_ERROR(env.files().RemoveFile(role.key_file));
  RETURN_IF_ERROR(net::WriteKey(env.files(), role.key_file, key));
  const Status status = RunAgent(env, role, Ends::kEither);
  (void)env.files().RemoveAll(folder);
  return status;
}

ExecutorRole ExecutorOf(const std::vector<std::string>& parts) {
  return {.address = parts[1],
          .key_file = parts[2],
          .tmp_folder = parts[3],
          .threads = static_cast<uint32_t>(NumberOf(parts[4])),
          .sends_errors = NumberOf(parts[5]) != 0};
}

// What main prints goes nowhere any more when this returns.
Status StartProgramExecutor(env::Env& env, const std::string& role, cluster::ExecutorProcess& executor) {
  RETURN_IF_ERROR(executor.Start());
  std::fflush(stdout);
  std::cout.flush();
  RETURN_IF_ERROR(env.standard_output().Append(ListeningLine(role, executor.address())));
  return executor.CaptureOutput();
}

}  // namespace

std::unique_ptr<cluster::ExecutorProcess> StartIfProgram(env::Env& env, const cluster::ExecutorOptions& main) {
  const auto text = env.Variable(kChildVariable);
  if (!text) return nullptr;
  const std::vector<std::string> parts = Split(*text);
  if (parts[0] != kProgram || parts.size() != 6) return nullptr;
  auto options = OptionsOf(env, ExecutorOf(parts));
  if (!options.ok()) EndNow(env, options.status());
  options->own_flow = main.own_flow;
  options->on_outcomes = main.on_outcomes;
  auto executor = std::make_unique<cluster::ExecutorProcess>(env, *std::move(options), EndWithDriver);
  if (const Status status = StartProgramExecutor(env, *text, *executor); !status.ok()) EndNow(env, status);
  return executor;
}

void ServeIfChild(env::Env& env, TableObjectMaker table_object) {
  const auto text = env.Variable(kChildVariable);
  if (!text) return;
  const std::vector<std::string> parts = Split(*text);
  if (parts[0] == kProgram) return;
  Status status = Status(Code::kUsage, fmt::format("{} makes no sense; it is for Glim's own use", kChildVariable));
  if (parts[0] == "master" && parts.size() == 4) {
    status = RunMaster(env, {parts[1], parts[2], parts[3]}, Ends::kStdin);
  } else if (parts[0] == "server" && parts.size() == 7) {
    status = RunServer(
        env, {parts[1], parts[2], parts[3], parts[4], NumberOf(parts[5]), static_cast<uint32_t>(NumberOf(parts[6])), 0},
        Ends::kStdin);
  } else if (parts[0] == kExecutor && parts.size() == 6) {
    status = RunExecutor(env, ExecutorOf(parts), std::move(table_object), Ends::kStdin);
  }
  if (parts[0] == "agent" && parts.size() == 5)
    status = RunStepAgent(env, {parts[1], parts[2], parts[3], NumberOf(parts[4]) != 0});
  if (!status.ok()) EndNow(env, status);
  env::ExitNow(0);
}

}  // namespace glim::engine
