// SPDX-License-Identifier: Apache-2.0
#include "engine/local_cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/try.h"
#include "engine/roles.h"
#include "env/path.h"
#include "param/cluster_client.h"

namespace glim::engine {
namespace {

constexpr int64_t kStartNanos = 10'000'000'000;
constexpr int64_t kAskAgainNanos = 20'000'000;

}  // namespace

Result<std::unique_ptr<LocalCluster>> LocalCluster::Make(env::Env& env, LocalExecutors executors) {
  std::unique_ptr<LocalCluster> cluster(new LocalCluster(env, std::move(executors)));
  RETURN_IF_ERROR(cluster->Begin());
  return cluster;
}

Status LocalCluster::Begin() {
  ASSIGN_OR_RETURN(folder_, env_.files().MakeTemporaryFolder("glim-local-"));
  env_.processes().RemoveAtEnd(folder_);
  ASSIGN_OR_RETURN(const net::Key key, net::MakeClusterKey("local"));
  client_key_ = std::make_shared<const net::Key>(net::MakeClientKey(key, net::Role::kClient));
  key_file_ = env::JoinPath(folder_, "cluster.key");
  return net::WriteKey(env_.files(), key_file_, key);
}

Status LocalCluster::StartServers(uint32_t servers, uint64_t memory_max) {
  const int64_t until = env_.clock().MonotonicNanos() + kStartNanos;
  const MasterRole role{"127.0.0.1:0", env::JoinPath(folder_, "master"), key_file_};
  ASSIGN_OR_RETURN(std::string master, Start("the master", ChildOf(role), until));
  for (uint32_t i = 1; i <= servers; ++i) {
    const std::string name = fmt::format("server {}", i);
    const ServerRole server{.master = master,
                            .address = "127.0.0.1:0",
                            .folder = "",  // It would end with us, and nothing is to be promised of it.
                            .key_file = key_file_,
                            .memory_max = memory_max,
                            .node = i};
    RETURN_IF_ERROR(Start(name, ChildOf(server), until).status());
  }
  master_ = std::move(master);
  return AwaitServers(servers, until);
}

Result<std::vector<cluster::ExecutorPlace>> LocalCluster::Launch(const std::vector<cluster::ExecutorPlace>& at_work) {
  std::vector<cluster::ExecutorPlace> places;
  // One that is killed or stopped while it starts is lost as one that is killed later, and as often as a task is tried.
  int tries = 4;
  while (at_work.size() + places.size() < executors_.count) {
    Result<std::string> address = StartExecutor();
    if (address.ok()) {
      places.push_back({.address = *std::move(address),
                        .slots = static_cast<int>(executors_.threads),
                        .memory_bytes = executors_.memory_bytes,
                        .host = ""});
    } else if (--tries == 0) {
      if (places.empty() && at_work.empty()) return Status(Code::kUnreachable, address.status().message());
      break;
    }
  }
  return places;
}

Result<std::string> LocalCluster::StartExecutor() {
  const ExecutorRole role{.address = "127.0.0.1:0",
                          .key_file = key_file_,
                          .tmp_folder = executors_.tmp_folder,
                          .threads = executors_.threads,
                          // Ours is not theirs: what main prints there would come out many times.
                          .sends_errors = program_ != nullptr,
                          .program = program_ != nullptr};
  const int64_t now = env_.clock().MonotonicNanos();
  if (program_ == nullptr) return Start("an executor", ChildOf(role), now + kStartNanos);
  ASSIGN_OR_RETURN(Child child, StartProgram(env_, *program_, ChildOf(role), now + program_nanos_));
  return Keep(std::move(child));
}

Status LocalCluster::SetProgram(std::shared_ptr<const Program> program, int64_t patience_nanos) {
  program_ = std::move(program);
  program_nanos_ = patience_nanos;
  return Status::Ok();
}

LocalCluster::~LocalCluster() {
  // All at once, so that no server sees another one go and takes over its shards.
  for (const Child& child : children_) child.process->Kill();
  children_.clear();
  if (!folder_.empty()) (void)env_.files().RemoveAll(folder_);
}

Result<std::string> LocalCluster::Start(const std::string& what, const std::string& role, int64_t until) {
  ASSIGN_OR_RETURN(Child child, StartChild(env_, what, role, until));
  return Keep(std::move(child));
}

std::string LocalCluster::Keep(Child child) {
  const std::lock_guard lock(mutex_);
  // Those that have ended need not be kept.
  std::erase_if(children_, [](const Child& old) { return old.process->ExitCode().has_value(); });
  children_.push_back(std::move(child));
  return children_.back().address;
}

Status LocalCluster::AwaitServers(uint32_t servers, int64_t until) {
  param::ClusterClient client(env_, {.master = master_, .key = client_key_, .name = "local"});
  while (true) {
    ASSIGN_OR_RETURN(const param::StatusAnswer answer, client.DescribeCluster());
    const auto alive = std::count_if(answer.members.begin(), answer.members.end(),
                                     [](const param::MemberStatus& member) { return member.alive; });
    if (alive >= servers) return Status::Ok();
    if (env_.clock().MonotonicNanos() >= until) {
      return Status::Unavailable(fmt::format("only {} of {} servers came up", alive, servers));
    }
    env_.clock().SleepFor(kAskAgainNanos);
  }
}

}  // namespace glim::engine
