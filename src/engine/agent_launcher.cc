// SPDX-License-Identifier: Apache-2.0
#include "engine/agent_launcher.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <set>
#include <span>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "base/try.h"
#include "base/version.h"
#include "cluster/job/program_digest.h"
#include "env/architecture.h"

namespace glim::engine {
namespace {

constexpr int64_t kConnectNanos = 3'000'000'000;
constexpr int64_t kStartNanos = 12'000'000'000;
constexpr int64_t kSendNanos = 130'000'000'000;  // For a program to get there; the agent gives up before.
constexpr int64_t kLookNanos = 50'000'000;

}  // namespace

// A question to an agent that is under way.
struct AgentLauncher::Asked {
  param::AgentBeat agent;
  std::shared_ptr<std::promise<Result<net::Frame>>> promise = std::make_shared<std::promise<Result<net::Frame>>>();
  std::future<Result<net::Frame>> answer = promise->get_future();
};

AgentLauncher::AgentLauncher(env::Env& env, AgentLauncherOptions options)
    : env_(env),
      options_(std::move(options)),
      master_(env, {.master = options_.master, .key = options_.key, .name = "driver"}) {
  net::TransportOptions transport;
  transport.messages = &cluster::JobMessages();
  transport.key = options_.key;
  if (options_.key != nullptr) transport.cluster = options_.key->cluster;
  transport.node = "driver";
  transport.role = net::Role::kClient;
  transport.shared_memory = false;  // Little is said.
  loop_.Call([&] { transport_ = net::MakeTcpTransport(loop_, std::move(transport)); });
}

AgentLauncher::~AgentLauncher() { transport_.reset(); }

Result<bool> AgentLauncher::HasAgents() {
  const auto status = master_.DescribeCluster();
  if (!status.ok()) return Status(Code::kUnreachable, status.status().message());
  return !status->agents.empty();
}

Result<std::vector<std::string>> AgentLauncher::AliveAgents() {
  ASSIGN_OR_RETURN(const param::StatusAnswer status, master_.DescribeCluster());
  std::vector<std::string> names;
  for (const param::AgentStatus& agent : status.agents) {
    if (agent.alive) names.push_back(agent.agent.name);
  }
  return names;
}

bool AgentLauncher::Report(const param::JobStatus& job) {
  const auto cancel = master_.ReportJob(job);
  return cancel.ok() && *cancel;
}

Result<uint64_t> AgentLauncher::AddToLog(const std::string& job, uint64_t from, std::string text) {
  return master_.AddToJobLog(job, from, std::move(text));
}

std::shared_ptr<cluster::Peer> AgentLauncher::PeerOf(const std::string& agent) {
  std::shared_ptr<cluster::Peer> peer;
  loop_.Call([&] {
    if (const auto it = peers_.find(agent); it != peers_.end()) {
      peer = it->second;
      return;
    }
    peer = std::make_shared<cluster::Peer>(
        loop_, "the agent at " + agent,
        [this](const std::shared_ptr<cluster::Peer>& from, const net::Frame& frame) {
          if (frame.header.type != cluster::kFetchProgramMessage) return from->Close();
          from->Answer(PieceOf(sent_.get(), frame));
        },
        [this, agent](const std::shared_ptr<cluster::Peer>& lost, const Status&) {
          const auto known = peers_.find(agent);
          if (known != peers_.end() && known->second == lost) peers_.erase(known);
        });
    peers_[agent] = peer;
    peer->Attach(transport_->Connect(agent, kConnectNanos, peer));
  });
  return peer;
}

Status AgentLauncher::SetProgram(std::shared_ptr<const Program> program, int64_t patience_nanos) {
  std::unique_ptr<Sent> sent;
  if (program != nullptr) {
    sent = std::make_unique<Sent>();
    sent->start = {.executor = {options_.threads, options_.memory_bytes},
                   .binaries = {},
                   .arguments = program->arguments,
                   .environment = program->environment,
                   .folder = program->folder,
                   .patience_nanos = patience_nanos};
    const std::string here = env::Architecture();
    RETURN_IF_ERROR(AddBinary(here, program->binary, sent.get()));
    for (const auto& [architecture, path] : program->binaries) {
      if (architecture != here)
        RETURN_IF_ERROR(AddBinary(architecture, path, sent.get()).With(fmt::format("--binary {}", architecture)));
    }
  }
  loop_.Call([&] {
    sent_ = std::move(sent);
    // With the connections those go that were started otherwise.
    for (const auto& [agent, peer] : std::exchange(peers_, {})) peer->Close();
  });
  agent_of_.clear();
  return Status::Ok();
}

Status AgentLauncher::AddBinary(const std::string& architecture, const std::string& path, Sent* sent) {
  ASSIGN_OR_RETURN(std::unique_ptr<const env::RandomAccessFile> file, env_.files().OpenRandom(path));
  cluster::ProgramDigest digest;
  std::string piece(cluster::kProgramPieceBytes, '\0');
  for (uint64_t offset = 0; offset < file->size(); offset += piece.size()) {
    ASSIGN_OR_RETURN(const size_t read, file->ReadAt(offset, std::span(piece)));
    digest.Add(std::string_view(piece).substr(0, read));
  }
  sent->start.binaries.push_back({architecture, digest.Name(), file->size()});
  sent->files[digest.Name()] = std::move(file);
  return Status::Ok();
}

net::Frame AgentLauncher::Question() const {
  if (sent_ != nullptr) return ToFrame(sent_->start);
  return ToFrame(cluster::StartExecutor{options_.threads, options_.memory_bytes});
}

net::Frame AgentLauncher::PieceOf(const Sent* sent, const net::Frame& question) {
  const uint64_t request = question.header.request;
  const auto fetch = cluster::FromFrame<cluster::FetchProgram>(question);
  if (!fetch.ok()) return cluster::MakeAnswer(request, fetch.status());
  if (sent == nullptr || !sent->files.contains(fetch->program))
    return cluster::MakeAnswer(request, Status::Stale("the driver has started another program meanwhile"));
  std::string piece(cluster::kProgramPieceBytes, '\0');
  const auto read = sent->files.at(fetch->program)->ReadAt(fetch->offset, std::span(piece));
  if (!read.ok()) return cluster::MakeAnswer(request, read.status());
  piece.resize(*read);
  std::vector<net::Segment> segments;
  segments.push_back(net::Segment::Copy(piece));
  return cluster::MakeAnswer(request, Status::Ok(), {}, std::move(segments));
}

bool AgentLauncher::HasLabels(const param::AgentStatus& agent) const {
  const std::vector<std::string>& has = agent.agent.labels;
  return std::all_of(options_.labels.begin(), options_.labels.end(),
                     [&](const std::string& label) { return std::find(has.begin(), has.end(), label) != has.end(); });
}

Result<std::vector<cluster::ExecutorHost>> AgentLauncher::HostsWith(const std::vector<std::string>& coming,
                                                                    const std::vector<std::string>& lost) {
  const auto status = master_.DescribeCluster();
  if (!status.ok()) return Status(Code::kUnreachable, status.status().message());
  std::set<std::string> names(coming.begin(), coming.end()), gone(lost.begin(), lost.end());
  for (const param::AgentStatus& agent : status->agents) {
    if (HasLabels(agent)) (agent.alive ? names : gone).insert(agent.agent.name);
  }
  for (const std::string& name : gone) {
    if (!names.contains(name)) base::LogWarning("agent {} has died; its files are not read", name);
  }
  std::vector<cluster::ExecutorHost> hosts;
  for (const std::string& name : names) {
    const auto refused = refused_.find(name);
    hosts.push_back({name, refused == refused_.end() ? "" : refused->second});
  }
  if (options_.executors_max > 0 && hosts.size() > options_.executors_max) {
    return Status::Invalid(
        fmt::format("per_host reads the files of {} agents, and there are to be executors on {} of them", hosts.size(),
                    options_.executors_max));
  }
  return hosts;
}

Result<std::vector<cluster::ExecutorPlace>> AgentLauncher::Launch(const std::vector<cluster::ExecutorPlace>& at_work) {
  auto status = master_.DescribeCluster();
  // Those at work go on while the master is away.
  if (!status.ok()) return Status(Code::kUnreachable, status.status().message());
  std::erase_if(agent_of_, [&](const auto& entry) {
    return std::none_of(at_work.begin(), at_work.end(),
                        [&](const auto& place) { return place.address == entry.first; });
  });
  std::set<std::string> busy;
  for (const auto& [executor, agent] : agent_of_) busy.insert(agent);
  std::vector<Asked> asked;
  std::string refused;
  refused_.clear();
  const auto refuse = [&](const param::AgentBeat& agent, std::string why) {
    refused = refused_[agent.name] = std::move(why);
  };
  bool lost = false;
  for (const param::AgentStatus& agent : status->agents) {
    if (!agent.alive || !HasLabels(agent)) continue;
    if (busy.contains(agent.agent.address)) continue;
    if (options_.executors_max > 0 && at_work.size() + asked.size() >= options_.executors_max) break;
    if (agent.agent.version != kVersion) {
      refuse(agent.agent, fmt::format("agent {} is of version {}, and this program of {}", agent.agent.name,
                                      agent.agent.version, kVersion));
      continue;
    }
    Asked question{.agent = agent.agent};
    PeerOf(agent.agent.address)->Ask(Question(), [promise = question.promise](Result<net::Frame> frame) {
      promise->set_value(std::move(frame));
    });
    asked.push_back(std::move(question));
  }
  std::vector<cluster::ExecutorPlace> places;
  int64_t until = env_.clock().MonotonicNanos() + kStartNanos;
  if (sent_ != nullptr) until += kSendNanos + sent_->start.patience_nanos;
  for (Asked& question : asked) {
    std::future_status ready = std::future_status::timeout;
    while (ready != std::future_status::ready && env_.clock().MonotonicNanos() < until && !env_.interrupted())
      ready = question.answer.wait_for(std::chrono::nanoseconds(kLookNanos));
    if (ready != std::future_status::ready) {
      // Whatever it starts now ends with the connection.
      refuse(question.agent, fmt::format("agent {} does not answer", question.agent.name));
      lost = true;
      PeerOf(question.agent.address)->Close();
      continue;
    }
    auto frame = question.answer.get();
    auto body = frame.ok() ? cluster::BodyOfAnswer(*frame) : Result<std::string_view>(frame.status());
    auto answer =
        body.ok() ? cluster::DecodeStartExecutorAnswer(*body) : Result<cluster::StartExecutorAnswer>(body.status());
    if (!answer.ok()) {
      refuse(question.agent, answer.status().message());
      lost = answer.status().code() == Code::kStale;
      continue;
    }
    agent_of_[answer->address] = question.agent.address;
    places.push_back({.address = answer->address,
                      .slots = std::max(answer->threads, 1),
                      .memory_bytes = answer->memory_bytes,
                      .host = question.agent.name});
  }
  if (!places.empty() || !at_work.empty()) return places;
  if (lost) return Status::Unavailable(refused);
  if (!refused.empty()) return Status::Exhausted(refused);
  std::string which = options_.labels.empty() ? "" : fmt::format(" with label {}", fmt::join(options_.labels, ", "));
  return Status(Code::kUnreachable, fmt::format("the cluster at {} has no living agent{}: start one with `glim agent`",
                                                options_.master, which));
}

}  // namespace glim::engine
