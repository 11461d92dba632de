// SPDX-License-Identifier: Apache-2.0
#include "engine/slurm/slurm_cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <utility>

#include "base/log.h"
#include "base/try.h"
#include "engine/roles.h"
#include "env/path.h"
#include "net/address.h"

namespace glim::engine {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kStartNanos = 10 * kSecond;    // Of the master.
constexpr int64_t kCommandNanos = 20 * kSecond;  // Of scontrol.
constexpr int64_t kAgentsNanos = 60 * kSecond;   // Until the first agent is there,
constexpr int64_t kOthersNanos = 5 * kSecond;    // and then for the others.
constexpr int64_t kAgentNanos = 15 * kSecond;    // An agent that is not there so long after its step has begun is lost.
constexpr int64_t kEndNanos = 10 * kSecond;
constexpr int64_t kLookNanos = 20'000'000;
constexpr int kTriesOnANode = 3;
constexpr size_t kAllocationsMax = 16;
constexpr uint32_t kNodesMax = 4096;

// In a session of its own, so that a program that is killed does not take it along: it has to give back what it has.
// Its stdin is ours.
std::vector<std::string> Apart(std::vector<std::string> command) {
  command.insert(command.begin(), {"setsid", "--wait"});
  return command;
}

// The same, for a command that may not come to read its stdin, because it waits for something else: after the end of it
// it is told to end. Nothing is ever written there, so two may wait for the end.
std::vector<std::string> ApartUntilStdinEnds(std::vector<std::string> command) {
  constexpr const char* kScript =
      "exec 3<&0; \"$@\" <&3 3<&- & p=$!; (cat <&3; sleep 1; kill $p) >/dev/null 2>&1 & exec 3<&-; wait $p";
  command.insert(command.begin(), {"sh", "-c", kScript, "glim-slurm"});
  return Apart(std::move(command));
}

std::vector<std::string> Lines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (!line.empty()) lines.emplace_back(line);
  }
  return lines;
}

}  // namespace

Result<SlurmOptions> ParseSlurmOptions(std::string_view text) {
  constexpr std::string_view kRequests[] = {"partition",   "time",          "account",   "qos",      "constraint",
                                            "reservation", "nodelist",      "exclude",   "gres",     "job-name",
                                            "mem",         "cpus-per-task", "exclusive", "licenses", "comment"};
  SlurmOptions options;
  while (!text.empty()) {
    const std::string_view option = text.substr(0, text.find(','));
    text.remove_prefix(std::min(option.size() + 1, text.size()));
    const std::string_view name = option.substr(0, option.find('='));
    const std::string_view value = option.substr(std::min(name.size() + 1, option.size()));
    if (name == "nodes") {
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), options.nodes);
      if (error != std::errc() || end != value.data() + value.size() || options.nodes < 1 || options.nodes > kNodesMax)
        return Status::Invalid(fmt::format("nodes takes a number from 1 to {}, got \"{}\"", kNodesMax, value));
    } else if (name == "servers" && (value == "yes" || value == "no")) {
      options.servers = value == "yes";
    } else if (std::find(std::begin(kRequests), std::end(kRequests), name) != std::end(kRequests)) {
      options.request.push_back(fmt::format("--{}", option));
    } else {
      return Status::Invalid(
          fmt::format("\"{}\" is none of nodes=N, servers=yes|no and salloc's {}", option, fmt::join(kRequests, ", ")));
    }
  }
  return options;
}

struct SlurmCluster::Allocation {
  std::unique_ptr<env::ChildProcess> salloc;  // Null: it was there before us.
  std::string said;
  std::string job;  // Empty: not granted yet.
};

struct SlurmCluster::Node {
  std::string name;
  std::string job;
  std::unique_ptr<env::ChildProcess> step;
  int64_t begun_at = 0;
  int64_t again_at = 0;
  int tries = 0;  // Since its agent was last seen.
  bool given_up = false;
};

SlurmCluster::SlurmCluster(env::Env& env, SlurmOptions options) : env_(env), options_(std::move(options)) {}

Result<std::unique_ptr<SlurmCluster>> SlurmCluster::Make(env::Env& env, SlurmOptions options, Executors executors) {
  std::unique_ptr<SlurmCluster> cluster(new SlurmCluster(env, std::move(options)));
  RETURN_IF_ERROR(cluster->Begin(executors));
  return cluster;
}

Status SlurmCluster::Begin(Executors executors) {
  name_ = fmt::format("glim-{:08x}", env_.RandomSeed() & 0xffffffff);
  ASSIGN_OR_RETURN(program_, env_.files().FollowLink("/proc/self/exe"));
  ASSIGN_OR_RETURN(folder_, env_.files().MakeTemporaryFolder("glim-slurm-"));
  env_.processes().RemoveAtEnd(folder_);
  ASSIGN_OR_RETURN(const net::Key key, net::MakeClusterKey("slurm"));
  client_key_ = std::make_shared<const net::Key>(net::MakeClientKey(key, net::Role::kClient));
  key_file_ = env::JoinPath(folder_, "cluster.key");
  key_text_ = net::FormatKey(key);
  RETURN_IF_ERROR(net::WriteKey(env_.files(), key_file_, key));
  if (const auto job = env_.Variable("SLURM_JOB_ID"); job && !job->empty()) {
    RETURN_IF_ERROR(UseAllocationAtHand(*job));
  } else {
    RETURN_IF_ERROR(Allocate(std::max<uint32_t>(options_.nodes, 1), ""));
    RETURN_IF_ERROR(AwaitAllocation());
  }
  RETURN_IF_ERROR(StartMaster());
  agents_ = std::make_unique<AgentLauncher>(env_, AgentLauncherOptions{.master = master_,
                                                                       .key = client_key_,
                                                                       .threads = executors.threads,
                                                                       .memory_bytes = executors.memory_bytes,
                                                                       .executors_max = 0,
                                                                       .labels = {}});
  for (const auto& node : nodes_) StartStep(*node);
  RETURN_IF_ERROR(AwaitAgents());
  TellNodes();
  watcher_ = std::thread([this] { Watch(); });
  return Status::Ok();
}

SlurmCluster::~SlurmCluster() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_all();
  if (watcher_.joinable()) watcher_.join();
  agents_.reset();
  // Agents first, so that they clean up on their nodes.
  for (const auto& node : nodes_) {
    if (node->step != nullptr) node->step->CloseInput();
  }
  const int64_t until = env_.clock().MonotonicNanos() + kEndNanos;
  const auto await = [&](env::ChildProcess* process) {
    while (process != nullptr && !process->ExitCode() && env_.clock().MonotonicNanos() < until)
      env_.clock().SleepFor(kLookNanos);
  };
  for (const auto& node : nodes_) await(node->step.get());
  for (const auto& allocation : allocations_) {
    if (allocation->salloc != nullptr) allocation->salloc->CloseInput();
  }
  for (const auto& allocation : allocations_) await(allocation->salloc.get());
  nodes_.clear();
  allocations_.clear();
  master_child_.process.reset();
  if (!folder_.empty()) (void)env_.files().RemoveAll(folder_);
}

// ---------------------------------------------------------------------------------------------------------
// allocations

Result<std::string> SlurmCluster::Output(const std::vector<std::string>& command) {
  env::CommandOptions options;
  options.argv = command;
  options.discard_input = true;
  ASSIGN_OR_RETURN(const auto process, env_.processes().Start(options));
  const int64_t until = env_.clock().MonotonicNanos() + kCommandNanos;
  std::string text;
  char bytes[4096];
  while (true) {
    const int64_t left = until - env_.clock().MonotonicNanos();
    if (left <= 0) return Status::Unavailable(fmt::format("{} does not answer", command[0]));
    ASSIGN_OR_RETURN(const auto moved, process->Exchange({}, bytes, left));
    text.append(bytes, moved.read);
    if (moved.output_ended) break;
  }
  ASSIGN_OR_RETURN(const int code, process->Wait());
  if (code != 0) return Status::Unavailable(fmt::format("{} failed with exit code {}", command[0], code));
  return text;
}

Status SlurmCluster::UseAllocationAtHand(const std::string& job) {
  const std::string list = env_.Variable("SLURM_JOB_NODELIST").value_or("");
  auto names = Output({"scontrol", "show", "hostnames", list});
  if (!names.ok()) return Status(Code::kUnreachable, std::move(names).status().With("Slurm").message());
  allocations_.push_back(std::make_unique<Allocation>());
  allocations_.back()->job = job;
  for (const std::string& name : Lines(*names)) {
    if (options_.nodes > 0 && nodes_.size() == options_.nodes) break;
    nodes_.push_back(std::make_unique<Node>());
    nodes_.back()->name = name;
    nodes_.back()->job = job;
  }
  if (nodes_.size() < options_.nodes) {
    return Status(Code::kUnreachable,
                  fmt::format("the allocation {} has {} nodes, and {} are wanted", job, nodes_.size(), options_.nodes));
  }
  return Status::Ok();
}

// `but`: nodes that are not wanted, separated by commas.
Status SlurmCluster::Allocate(uint32_t nodes, const std::string& but) {
  // It says what it has got, and holds it until its stdin ends.
  constexpr const char* kHold =
      "echo \"$SLURM_JOB_ID\"; scontrol show hostnames \"$SLURM_JOB_NODELIST\"; echo; exec cat >/dev/null";
  std::vector<std::string> command = {
      "salloc", "--quiet", "--no-kill", "--job-name=" + name_, fmt::format("--nodes={}", nodes), "--ntasks-per-node=1"};
  if (!but.empty()) command.push_back("--exclude=" + but);
  command.insert(command.end(), options_.request.begin(), options_.request.end());
  command.insert(command.end(), {"sh", "-c", kHold});
  // The shell, because setsid alone would not say which program is missing.
  if (const auto there = Output({"sh", "-c", "command -v salloc srun scontrol setsid"}); !there.ok())
    return Status(Code::kUnreachable, "there is no Slurm here: salloc, srun, scontrol and setsid are needed");
  env::CommandOptions options;
  options.argv = ApartUntilStdinEnds(std::move(command));
  auto allocation = std::make_unique<Allocation>();
  ASSIGN_OR_RETURN(allocation->salloc, env_.processes().Start(options));
  allocations_.push_back(std::move(allocation));
  return Status::Ok();
}

Result<bool> SlurmCluster::Look(Allocation& allocation) {
  char bytes[4096];
  while (allocation.job.empty()) {
    ASSIGN_OR_RETURN(const auto moved, allocation.salloc->Exchange({}, bytes, 0));
    allocation.said.append(bytes, moved.read);
    if (allocation.said.ends_with("\n\n")) {
      const std::vector<std::string> lines = Lines(allocation.said);
      allocation.job = lines[0];
      for (size_t i = 1; i < lines.size(); ++i) {
        nodes_.push_back(std::make_unique<Node>());
        nodes_.back()->name = lines[i];
        nodes_.back()->job = allocation.job;
      }
      return true;
    }
    if (moved.output_ended) return Status(Code::kUnreachable, "Slurm does not give what was asked for");
    if (moved.read == 0) return false;
  }
  return true;
}

Status SlurmCluster::AwaitAllocation() {
  constexpr int64_t kTellNanos = 3 * kSecond;
  const int64_t begin = env_.clock().MonotonicNanos();
  bool told = false;
  while (true) {
    ASSIGN_OR_RETURN(const bool granted, Look(*allocations_.back()));
    if (granted) return Status::Ok();
    if (env_.interrupted()) return Status::Cancelled("interrupted");
    if (!told && env_.clock().MonotonicNanos() - begin > kTellNanos) {
      const auto reason = Output({"squeue", "--noheader", "--name=" + name_, "--format=%r"});
      const std::vector<std::string> reasons = Lines(reason.ok() ? *reason : "");
      base::LogWarning("waiting for Slurm to give {} nodes ({}); Ctrl-C gives up",
                       std::max<uint32_t>(options_.nodes, 1), reasons.empty() ? "it says no more" : reasons[0]);
      told = true;
    }
    env_.clock().SleepFor(kLookNanos);
  }
}

// ---------------------------------------------------------------------------------------------------------
// members

Status SlurmCluster::StartMaster() {
  const MasterRole role{"0.0.0.0:0", env::JoinPath(folder_, "master"), key_file_};
  ASSIGN_OR_RETURN(master_child_,
                   StartChild(env_, "the master", ChildOf(role), env_.clock().MonotonicNanos() + kStartNanos));
  // By the address of ours that a node would answer to.
  std::string node = nodes_[0]->name;
  if (const auto described = Output({"scontrol", "show", "node", node}); described.ok()) {
    constexpr std::string_view kAddress = "NodeAddr=";
    if (const size_t at = described->find(kAddress); at != std::string::npos) {
      const size_t begin = at + kAddress.size();
      node = described->substr(begin, described->find_first_of(" \n", begin) - begin);
    }
  }
  const std::string port = master_child_.address.substr(master_child_.address.rfind(':'));
  ASSIGN_OR_RETURN(const std::string host, net::LocalAddressToward(node + port));
  master_ = host + port;
  return Status::Ok();
}

void SlurmCluster::StartStep(Node& node) {
  const int64_t now = env_.clock().MonotonicNanos();
  ++node.tries;
  node.begun_at = now;
  node.again_at = now + node.tries * kSecond;
  const StepAgentRole role{.master = master_,
                           .name = node.name,
                           .folder = fmt::format("glim-slurm-{}-{}", node.job, node.name),
                           .with_server = options_.servers};
  env::CommandOptions options;
  options.argv = Apart({"srun", "--quiet", "--jobid=" + node.job, "--overlap", "--nodes=1", "--ntasks=1",
                        "--nodelist=" + node.name, "--export=ALL", program_});
  options.environment = {fmt::format("{}={}", kChildVariable, ChildOf(role))};
  auto step = env_.processes().Start(options);
  if (!step.ok()) {
    base::LogWarning("node {}: {}", node.name, step.status().message());
    return;
  }
  node.step = *std::move(step);
  std::string_view rest = key_text_;
  const std::string with_size = fmt::format("{}\n{}", rest.size(), rest);
  rest = with_size;
  char bytes[256];
  while (!rest.empty()) {  // A pipe takes it at once.
    const auto moved = node.step->Exchange(rest, bytes, kSecond);
    if (!moved.ok() || moved->input_closed || (moved->written == 0 && moved->read == 0)) break;
    rest.remove_prefix(moved->written);
  }
}

Status SlurmCluster::AwaitAgents() {
  const int64_t begin = env_.clock().MonotonicNanos();
  int64_t first_at = 0;
  while (true) {
    const int64_t now = env_.clock().MonotonicNanos();
    const auto alive = agents_->AliveAgents();
    const size_t count = alive.ok() ? alive->size() : 0;
    if (count == nodes_.size()) return Status::Ok();
    if (count > 0 && first_at == 0) first_at = now;
    if (first_at > 0 && now - first_at > kOthersNanos) return Status::Ok();
    if (env_.interrupted()) return Status::Cancelled("interrupted");
    if (now - begin > kAgentsNanos) {
      return Status(
          Code::kUnreachable,
          fmt::format("no agent came up on {} nodes of Slurm within {} s: is {} there, and can nodes reach {}?",
                      nodes_.size(), kAgentsNanos / kSecond, program_, master_));
    }
    LookAfter();
    env_.clock().SleepFor(kLookNanos);
  }
}

// Starts again what has ended.
void SlurmCluster::LookAfter() {
  const int64_t now = env_.clock().MonotonicNanos();
  const auto alive = agents_->AliveAgents();
  if (!alive.ok()) return;  // Nobody knows.
  bool wants_another = false;
  for (const auto& node : nodes_) {
    if (node->given_up) continue;
    const bool is_there = std::find(alive->begin(), alive->end(), node->name) != alive->end();
    const bool ended = node->step == nullptr || node->step->ExitCode().has_value();
    if (is_there) node->tries = 0;
    if (is_there || (!ended && now - node->begun_at < kAgentNanos) || now < node->again_at) continue;
    if (node->tries >= kTriesOnANode) {
      base::LogWarning("node {} of Slurm is given up", node->name);
      node->given_up = wants_another = true;
      node->step.reset();
      continue;
    }
    base::LogWarning("the agent on node {} is gone; it is started again", node->name);
    node->step.reset();
    StartStep(*node);
  }
  // In an allocation of somebody else's there are no others.
  if (wants_another && allocations_[0]->salloc != nullptr && allocations_.size() < kAllocationsMax) {
    std::string names;
    for (const auto& node : nodes_) names += (names.empty() ? "" : ",") + node->name;
    if (const Status status = Allocate(1, names); !status.ok()) base::LogWarning("{}", status.message());
  }
  for (const auto& allocation : allocations_) {
    if (!allocation->job.empty() || allocation->salloc == nullptr) continue;
    const size_t before = nodes_.size();
    if (const auto granted = Look(*allocation); !granted.ok()) {
      base::LogWarning("another node of Slurm: {}", granted.status().message());
      allocation->salloc.reset();
    }
    for (size_t i = before; i < nodes_.size(); ++i) StartStep(*nodes_[i]);
  }
}

void SlurmCluster::Watch() {
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, std::chrono::nanoseconds(kSecond), [this] { return stopping_; })) {
    lock.unlock();
    LookAfter();
    TellNodes();
    lock.lock();
  }
}

void SlurmCluster::TellNodes() {
  const std::lock_guard lock(mutex_);
  ours_.clear();
  lost_.clear();
  for (const auto& node : nodes_) (node->given_up ? lost_ : ours_).push_back(node->name);
}

// All nodes, also one whose agent is not there yet or is being started again: a run waits for it rather than go without
// its files.
Result<std::vector<cluster::ExecutorHost>> SlurmCluster::Hosts() {
  std::unique_lock lock(mutex_);
  const std::vector<std::string> ours = ours_, lost = lost_;
  lock.unlock();
  return agents_->HostsWith(ours, lost);
}

Result<std::vector<cluster::ExecutorPlace>> SlurmCluster::Launch(const std::vector<cluster::ExecutorPlace>& at_work) {
  return agents_->Launch(at_work);
}

}  // namespace glim::engine
