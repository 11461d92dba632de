// SPDX-License-Identifier: Apache-2.0
#include "cluster/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/version.h"
#include "env/usage.h"

namespace glim::cluster {
namespace {

std::string Escaped(std::string_view value) {
  std::string escaped;
  for (const char c : value) {
    if (c == '\n') {
      escaped += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

}  // namespace

void Metrics::Begin(std::string_view name, std::string_view type, std::string_view help) {
  name_ = name;
  text_ += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
}

void Metrics::Add(double value, const Labels& labels) {
  text_ += name_;
  for (size_t i = 0; i < labels.size(); ++i) {
    text_ += fmt::format("{}{}=\"{}\"", i == 0 ? '{' : ',', labels[i].first, Escaped(labels[i].second));
  }
  text_ += fmt::format("{} {}\n", labels.empty() ? "" : "}", value);
}

void Metrics::Gauge(std::string_view name, std::string_view help, double value) {
  Begin(name, "gauge", help);
  Add(value);
}

void Metrics::Counter(std::string_view name, std::string_view help, double value) {
  Begin(name, "counter", help);
  Add(value);
}

void AddProcessMetrics(std::string_view role, Metrics* metrics) {
  metrics->Begin("glim_build_info", "gauge", "Always 1; the labels tell what runs here.");
  metrics->Add(1, {{"version", kVersion}, {"role", role}});
  const env::Usage usage = env::OwnUsage();
  metrics->Counter("process_cpu_seconds_total", "Processor time of this process.", usage.cpu_seconds);
  metrics->Gauge("process_resident_memory_bytes", "Memory of this process.", static_cast<double>(usage.resident_bytes));
  metrics->Gauge("process_open_fds", "Open file descriptors of this process.", static_cast<double>(usage.descriptors));
}

void AddClusterMetrics(const param::StatusAnswer& status, Metrics* metrics) {
  metrics->Gauge("glim_master_starts", "How often the master of this folder has started.",
                 static_cast<double>(status.epoch));
  const auto alive_and_dead = [&](std::string_view name, std::string_view help, const auto& all) {
    const auto alive = std::count_if(all.begin(), all.end(), [](const auto& one) { return one.alive; });
    metrics->Begin(name, "gauge", help);
    metrics->Add(static_cast<double>(alive), {{"state", "alive"}});
    metrics->Add(static_cast<double>(static_cast<int64_t>(all.size()) - alive), {{"state", "dead"}});
  };
  alive_and_dead("glim_servers", "Servers of tables.", status.members);
  alive_and_dead("glim_agents", "Agents.", status.agents);

  const auto of_agents = [&](std::string_view name, std::string_view help, auto value) {
    metrics->Begin(name, "gauge", help);
    for (const param::AgentStatus& agent : status.agents) {
      if (!agent.alive) continue;
      metrics->Add(static_cast<double>(value(agent.agent)),
                   {{"agent", agent.agent.name}, {"address", agent.agent.address}});
    }
  };
  using Beat = param::AgentBeat;
  of_agents("glim_agent_cores", "Threads that an agent offers to each session.", [](const Beat& a) { return a.cores; });
  of_agents("glim_agent_executors", "Executors that run on an agent.", [](const Beat& a) { return a.executors; });
  of_agents("glim_agent_memory_bytes", "Memory that an agent offers to executors.",
            [](const Beat& a) { return a.memory_bytes; });
  of_agents("glim_agent_memory_used_bytes", "What of it executors were given.",
            [](const Beat& a) { return a.memory_used_bytes; });

  uint64_t shards = 0, served = 0, complete = 0;
  for (const param::TableStatus& table : status.tables) {
    shards += table.table.shards;
    served += table.served;
    complete += table.complete;
  }
  metrics->Gauge("glim_tables", "Tables of this cluster.", static_cast<double>(status.tables.size()));
  metrics->Gauge("glim_shards", "Shards of all tables.", static_cast<double>(shards));
  metrics->Gauge("glim_shards_not_served", "Shards that nobody can push to or pull from now.",
                 static_cast<double>(shards - served));
  metrics->Gauge("glim_shards_too_few_replicas", "Shards with fewer replicas than their table wants.",
                 static_cast<double>(shards - complete));

  double jobs = 0, tasks = 0, tasks_done = 0;
  for (const param::JobStatus& job : status.jobs) {
    if (job.state != param::JobState::kRunning) continue;
    ++jobs;
    tasks += job.tasks;
    tasks_done += job.tasks_done;
  }
  metrics->Gauge("glim_jobs_running", "Jobs that run.", jobs);
  metrics->Gauge("glim_stage_tasks", "Tasks of the stages at hand.", tasks);
  metrics->Gauge("glim_stage_tasks_done", "What of them is done.", tasks_done);
}

net::HttpHandler MakeHttpHandler(std::string role, std::function<Status()> health,
                                 std::function<void(Metrics*)> metrics) {
  return [role = std::move(role), health = std::move(health),
          metrics = std::move(metrics)](std::string_view path) -> net::HttpResponse {
    if (path == "/healthz") {
      const Status status = health();
      if (status.ok()) return {.body = "ok\n"};
      return {.status = 503, .body = status.message() + "\n"};
    }
    if (path == "/metrics") {
      Metrics text;
      AddProcessMetrics(role, &text);
      metrics(&text);
      return {.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = text.text()};
    }
    return {.status = 404, .body = "here are /healthz and /metrics\n"};
  };
}

}  // namespace glim::cluster
