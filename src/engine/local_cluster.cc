// SPDX-License-Identifier: Apache-2.0
#include "engine/local_cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/try.h"
#include "engine/roles.h"
#include "env/path.h"
#include "param/cluster_client.h"

namespace glim::engine {
namespace {

constexpr int64_t kStartNanos = 10'000'000'000;
constexpr int64_t kAskAgainNanos = 20'000'000;
constexpr std::string_view kListening = "listening ";

}  // namespace

Result<std::unique_ptr<LocalCluster>> LocalCluster::Make(env::Env& env) {
  std::unique_ptr<LocalCluster> cluster(new LocalCluster(env));
  RETURN_IF_ERROR(cluster->Begin());
  return cluster;
}

Status LocalCluster::Begin() {
  ASSIGN_OR_RETURN(folder_, env_.files().MakeTemporaryFolder("glim-local-"));
  ASSIGN_OR_RETURN(const net::Key key, net::MakeClusterKey("local"));
  client_key_ = std::make_shared<const net::Key>(net::MakeClientKey(key, net::Role::kClient));
  key_file_ = env::JoinPath(folder_, "cluster.key");
  return net::WriteKey(env_.files(), key_file_, key);
}

Status LocalCluster::StartServers(uint32_t servers, uint64_t memory_max) {
  const int64_t until = env_.clock().MonotonicNanos() + kStartNanos;
  const MasterRole role{"127.0.0.1:0", env::JoinPath(folder_, "master"), key_file_};
  ASSIGN_OR_RETURN(std::string master, StartChild("the master", ChildOf(role), until));
  for (uint32_t i = 1; i <= servers; ++i) {
    const std::string name = fmt::format("server {}", i);
    const ServerRole server{.master = master,
                            .address = "127.0.0.1:0",
                            .folder = "",  // It would end with us, and nothing is to be promised of it.
                            .key_file = key_file_,
                            .memory_max = memory_max,
                            .node = i};
    RETURN_IF_ERROR(StartChild(name, ChildOf(server), until).status());
  }
  master_ = std::move(master);
  return AwaitServers(servers, until);
}

Result<std::string> LocalCluster::StartExecutor(uint32_t threads, const std::string& tmp_folder) {
  const int64_t until = env_.clock().MonotonicNanos() + kStartNanos;
  const ExecutorRole role{
      .address = "127.0.0.1:0", .key_file = key_file_, .tmp_folder = tmp_folder, .threads = threads};
  // One that is killed while it starts is lost as one that is killed later.
  constexpr int kTries = 3;
  Result<std::string> address = StartChild("an executor", ChildOf(role), until);
  for (int i = 1; i < kTries && !address.ok() && env_.clock().MonotonicNanos() < until; ++i) {
    address = StartChild("an executor", ChildOf(role), until);
  }
  return address;
}

LocalCluster::~LocalCluster() {
  // All at once, so that no server sees another one go and takes over its shards.
  for (const auto& child : children_) child->Kill();
  children_.clear();
  if (!folder_.empty()) (void)env_.files().RemoveAll(folder_);
}

Result<std::string> LocalCluster::StartChild(const std::string& what, const std::string& role, int64_t until) {
  env::CommandOptions options;
  options.argv = {"/proc/self/exe"};
  options.environment = {fmt::format("{}={}", kChildVariable, role)};
  options.lend_output = true;
  ASSIGN_OR_RETURN(std::unique_ptr<env::ChildProcess> child, env_.processes().Start(options));
  env::ChildProcess& started = *children_.emplace_back(std::move(child));
  std::string line;
  while (!line.ends_with('\n')) {
    char bytes[256];
    const int64_t left = until - env_.clock().MonotonicNanos();
    if (left <= 0)
      return Status::Unavailable(fmt::format("{} did not start within {} s", what, kStartNanos / 1000000000));
    ASSIGN_OR_RETURN(const auto moved, started.Exchange({}, bytes, left));
    if (moved.output_ended) return Status::Unavailable(fmt::format("{} ended as soon as it was started", what));
    line.append(bytes, moved.read);
    if (line.size() > sizeof(bytes)) break;
  }
  if (!line.starts_with(kListening) || line.find('\n') != line.size() - 1) {
    return Status::Unavailable(
        fmt::format("{} is this program, started again, and it did not become one: its session has to be made before "
                    "anything is printed",
                    what));
  }
  return line.substr(kListening.size(), line.size() - kListening.size() - 1);
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
