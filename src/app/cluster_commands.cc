// SPDX-License-Identifier: Apache-2.0
#include "app/cluster_commands.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "app/text.h"
#include "base/memory_budget.h"
#include "base/try.h"
#include "engine/roles.h"
#include "env/env.h"
#include "env/path.h"
#include "glim/flow.h"
#include "net/key.h"
#include "param/cluster_client.h"

namespace glim::app {
namespace {

using nlohmann::json;

constexpr const char* kMasterAddress = "127.0.0.1:45326";

std::string RowOf(const TableSpec& spec) {
  const std::string type(ValueTypeName(spec.value_type));
  if (spec.is_variable()) return type + " x variable";
  return spec.width == 1 ? type : fmt::format("{} x {}", type, spec.width);
}

std::string StateOf(const param::TableStatus& table) {
  const uint32_t shards = table.table.shards;
  if (table.served < shards) return fmt::format("{} of {} shards are not served", shards - table.served, shards);
  if (table.complete < shards) {
    return fmt::format("{} of {} shards have too few replicas", shards - table.complete, shards);
  }
  return "ok";
}

json ToJson(const TableInfo& info) {
  const TableSpec& spec = info.spec;
  json row = {{"name", spec.name},
              {"keys", ToString(spec.keys)},
              {"type", ValueTypeName(spec.value_type)},
              {"rule", ToString(spec.rule)},
              {"initial", ToString(spec.initial)},
              {"partitioner", PartitionText(spec)},
              {"shards", spec.shards},
              {"replicas", spec.replicas},
              {"durability", ToString(spec.durability)},
              {"consistency", ToString(spec.consistency)},
              {"keys_stored", info.keys_stored},
              {"memory_bytes", info.memory_bytes}};
  if (spec.is_variable()) {
    row["width"] = "variable";
  } else {
    row["width"] = spec.width;
  }
  return row;
}

std::string DescribeText(const TableInfo& info) {
  const TableSpec& spec = info.spec;
  return fmt::format(
      "name         {}\nkeys         {}\nrow          {}\nrule         {}\ninitial      {}\npartitioner  {}\n"
      "shards       {}\nreplicas     {}\ndurability   {}\nconsistency  {}\nkeys stored  {}\nmemory       {}\n",
      spec.name, ToString(spec.keys), RowOf(spec), ToString(spec.rule), ToString(spec.initial), PartitionText(spec),
      spec.shards, spec.replicas, ToString(spec.durability), ToString(spec.consistency), info.keys_stored,
      Bytes(info.memory_bytes));
}

std::string StatusText(const std::string& master, const param::StatusAnswer& status) {
  const auto living = [](const auto& all) {
    return std::count_if(all.begin(), all.end(), [](const auto& one) { return one.alive; });
  };
  const auto running = std::count_if(status.jobs.begin(), status.jobs.end(), [](const param::JobStatus& job) {
    return job.state == param::JobState::kRunning;
  });
  std::string text =
      fmt::format("master {}, start {}; {} of {} servers alive; {} of {} agents alive; {} tables; {} jobs running\n",
                  master, status.epoch, living(status.members), status.members.size(), living(status.agents),
                  status.agents.size(), status.tables.size(), running);
  if (!status.members.empty()) {
    TextTable servers({"SERVER", "ADDRESS", "STATE", "PRIMARY OF", "BACKUP OF"});
    for (const param::MemberStatus& member : status.members) {
      servers.Add({std::to_string(member.member.node), member.address,
                   !member.alive     ? "dead"
                   : member.draining ? "draining"
                                     : "alive",
                   std::to_string(member.primary_of), std::to_string(member.backup_of)});
    }
    text += "\n" + servers.ToText();
  }
  for (const param::CutServers& cut : status.cuts) {
    text += fmt::format("servers {} and {} do not reach each other\n", cut.one, cut.other);
  }
  if (!status.tables.empty()) {
    TextTable tables({"TABLE", "KEYS", "ROW", "RULE", "SHARDS", "REPLICAS", "STATE"});
    for (const param::TableStatus& table : status.tables) {
      const auto spec = param::DecodeTableSpec(table.table.spec);
      tables.Add({table.table.name, spec.ok() ? ToString(spec->keys) : "?", spec.ok() ? RowOf(*spec) : "?",
                  spec.ok() ? ToString(spec->rule) : "?", std::to_string(table.table.shards),
                  std::to_string(table.table.replicas), StateOf(table)});
    }
    text += "\n" + tables.ToText();
  }
  if (!status.agents.empty()) {
    TextTable agents({"AGENT", "ADDRESS", "STATE", "CORES", "EXECUTORS", "MEMORY", "USED", "LABELS"});
    for (const param::AgentStatus& one : status.agents) {
      const param::AgentBeat& agent = one.agent;
      agents.Add({agent.name, agent.address, one.alive ? "alive" : "dead", std::to_string(agent.cores),
                  std::to_string(agent.executors), Bytes(agent.memory_bytes), Bytes(agent.memory_used_bytes),
                  fmt::format("{}", fmt::join(agent.labels, ","))});
    }
    text += "\n" + agents.ToText();
  }
  if (!status.jobs.empty()) {
    TextTable jobs({"JOB", "FLOW", "DRIVER", "STATE", "BEGUN", "SECONDS", "STAGE", "TASKS", "EXECUTORS"});
    for (const param::JobStatus& job : status.jobs) {
      const double seconds = static_cast<double>(job.ended_millis - job.begun_millis) / 1000;
      jobs.Add({job.id, job.name, job.driver, std::string(param::NameOf(job.state)), TimeText(job.begun_millis),
                job.ended_millis > 0 ? fmt::format("{:.1f}", seconds) : "",
                fmt::format("{} of {}", job.stage, job.stages), fmt::format("{} of {}", job.tasks_done, job.tasks),
                std::to_string(job.executors)});
    }
    text += "\n" + jobs.ToText();
  }
  return text;
}

json StatusJson(const std::string& master, const param::StatusAnswer& status) {
  json members = json::array(), cuts = json::array(), tables = json::array(), agents = json::array();
  json jobs = json::array();
  for (const param::MemberStatus& member : status.members) {
    members.push_back({{"server", member.member.node},
                       {"address", member.address},
                       {"alive", member.alive},
                       {"draining", member.draining},
                       {"primary_of", member.primary_of},
                       {"backup_of", member.backup_of}});
  }
  for (const param::CutServers& cut : status.cuts) cuts.push_back({cut.one, cut.other});
  for (const param::TableStatus& table : status.tables) {
    tables.push_back({{"name", table.table.name},
                      {"shards", table.table.shards},
                      {"replicas", table.table.replicas},
                      {"served", table.served},
                      {"complete", table.complete}});
  }
  for (const param::AgentStatus& one : status.agents) {
    const param::AgentBeat& agent = one.agent;
    agents.push_back({{"name", agent.name},
                      {"address", agent.address},
                      {"alive", one.alive},
                      {"version", agent.version},
                      {"cores", agent.cores},
                      {"executors", agent.executors},
                      {"memory_bytes", agent.memory_bytes},
                      {"memory_used_bytes", agent.memory_used_bytes},
                      {"labels", agent.labels}});
  }
  for (const param::JobStatus& job : status.jobs) {
    jobs.push_back({{"id", job.id},
                    {"flow", job.name},
                    {"driver", job.driver},
                    {"state", param::NameOf(job.state)},
                    {"begun", job.begun_millis},
                    {"ended", job.ended_millis},
                    {"stage", job.stage},
                    {"stages", job.stages},
                    {"tasks_done", job.tasks_done},
                    {"tasks", job.tasks},
                    {"executors", job.executors},
                    {"error", job.error}});
  }
  return {{"master", master}, {"starts", status.epoch}, {"servers", members}, {"cuts", cuts},
          {"agents", agents}, {"tables", tables},       {"jobs", jobs}};
}

}  // namespace

struct ClusterCommands::Options {
  std::unique_ptr<env::Env> env = env::MakePosixEnv();
  std::string folder = ".", cluster = "glim";  // Of init.
  engine::MasterRole master;
  engine::ServerRole server;
  engine::AgentRole agent;
  std::string memory, server_memory;
  std::string job;
  // Of those that ask.
  std::string at = kMasterAddress, key_file;
  bool as_json = false, watch = false, undo = false;
  uint32_t number = 0;
  std::string table, model, name;
  bool rule_state = true;
  std::vector<std::pair<CLI::App*, std::function<Status()>>> commands;

  Status Print(const std::string& text) { return env->standard_output().Append(text); }

  Result<std::unique_ptr<param::ClusterClient>> Connect() {
    param::ClusterClientOptions options;
    options.master = at;
    options.name = "glim";
    if (!key_file.empty()) {
      auto key = net::ReadKey(env->files(), key_file);
      if (!key.ok()) return Status(Code::kUsage, "--key: " + key.status().message());
      options.key = std::make_shared<const net::Key>(*std::move(key));
    }
    auto client = std::make_unique<param::ClusterClient>(*env, std::move(options));
    if (const Status status = client->Ping(); !status.ok()) return Status(Code::kUnreachable, status.message());
    return client;
  }

  Status Init() {
    ASSIGN_OR_RETURN(const net::Key key, net::MakeClusterKey(cluster));
    RETURN_IF_ERROR(env->files().MakeFolders(folder));
    const std::pair<const char*, net::Key> keys[] = {{"cluster.key", key},
                                                     {"client.key", net::MakeClientKey(key, net::Role::kClient)},
                                                     {"read-only.key", net::MakeClientKey(key, net::Role::kReadOnly)}};
    // All or none: a client's key that belongs to another cluster's would puzzle people.
    for (const auto& [file, value] : keys) {
      const std::string path = env::JoinPath(folder, file);
      if (env->files().Stat(path).ok()) {
        return Status::Invalid(fmt::format("\"{}\" is there already, and a key is never replaced", path));
      }
    }
    for (const auto& [file, value] : keys) RETURN_IF_ERROR(WriteKey(env->files(), env::JoinPath(folder, file), value));
    return Print(
        fmt::format("{0}/cluster.key    for masters and servers: glim master --key, glim server --key\n"
                    "{0}/client.key     for programs: --on standalone://HOST:PORT --key\n"
                    "{0}/read-only.key  for programs that only look\n",
                    folder));
  }

  static Status ParseMemory(const char* option, const std::string& text, uint64_t* bytes) {
    if (text.empty()) return Status::Ok();
    const auto parsed = base::ParseBytes(text);
    if (!parsed.ok()) return Status(Code::kUsage, fmt::format("{}: {}", option, parsed.status().message()));
    *bytes = static_cast<uint64_t>(*parsed);
    return Status::Ok();
  }

  Status RunServer() {
    RETURN_IF_ERROR(ParseMemory("--memory", memory, &server.memory_max));
    return engine::RunServer(*env, server, engine::Ends::kInterrupt);
  }

  Status RunAgent() {
    RETURN_IF_ERROR(ParseMemory("--memory", memory, &agent.memory_max));
    RETURN_IF_ERROR(ParseMemory("--server-memory", server_memory, &agent.server_memory_max));
    return engine::RunAgent(*env, agent, engine::Ends::kInterrupt);
  }

  Status CancelJob() {
    ASSIGN_OR_RETURN(const auto client, Connect());
    return client->CancelJob(job);
  }

  // With `watch` until the job has ended.
  Status ShowLog() {
    constexpr int64_t kLookNanos = 200'000'000;
    ASSIGN_OR_RETURN(const auto client, Connect());
    if (job.empty()) {
      ASSIGN_OR_RETURN(const param::StatusAnswer status, client->DescribeCluster());
      if (status.jobs.empty()) return Status::NotFound("there was no job yet");
      job = status.jobs.back().id;
    }
    if (watch) env->WatchInterrupts();
    uint64_t at_byte = 0;
    while (!env->interrupted()) {
      ASSIGN_OR_RETURN(const auto log, client->ReadJobLog(job, at_byte));
      at_byte += log.text.size();
      RETURN_IF_ERROR(Print(log.text));
      if (!log.text.empty()) continue;
      if (!watch || !log.running) break;
      env->clock().SleepFor(kLookNanos);
    }
    return Status::Ok();
  }

  Status ShowStatus() {
    ASSIGN_OR_RETURN(const auto client, Connect());
    if (watch) return WatchStatus(*client);
    ASSIGN_OR_RETURN(const param::StatusAnswer status, client->DescribeCluster());
    return Print(as_json ? StatusJson(at, status).dump(2) + "\n" : StatusText(at, status));
  }

  // Until the server has none, or nobody is left to take the rest.
  Status DrainServer() {
    constexpr int64_t kLookNanos = 200'000'000, kNobodyNanos = 2'000'000'000;
    ASSIGN_OR_RETURN(const auto client, Connect());
    env->WatchInterrupts();
    int64_t nobody_since = 0;
    while (!env->interrupted()) {
      ASSIGN_OR_RETURN(const param::DrainAnswer answer, client->DrainServer(number, !undo));
      if (undo) return Print(fmt::format("server {} takes shards again\n", number));
      if (answer.drain == param::DrainState::kDone) return Print(fmt::format("server {} holds no shards\n", number));
      const int64_t now = env->clock().MonotonicNanos();
      if (answer.drain != param::DrainState::kNobody || nobody_since == 0) nobody_since = now;
      if (now - nobody_since >= kNobodyNanos) {
        return Status::Unavailable(fmt::format(
            "server {} still holds {} shards, and there is no other server to take them", number, answer.shards));
      }
      env->clock().SleepFor(kLookNanos);
    }
    return Status::Cancelled(fmt::format("interrupted; server {} goes on handing over its shards", number));
  }

  // Until somebody interrupts it. A master that does not answer is a state like others. On a terminal each block takes
  // the place of the one before; else an empty line, or with JSON the end of the line, tells them apart.
  Status WatchStatus(param::ClusterClient& client) {
    constexpr int kStdout = 1;
    constexpr int64_t kPauseNanos = 1'000'000'000, kLookNanos = 50'000'000;
    const bool redraws = env->IsTerminal(kStdout) && !as_json;
    env->WatchInterrupts();
    while (!env->interrupted()) {
      const auto status = client.DescribeCluster();
      std::string text;
      if (as_json) {
        text = (status.ok() ? StatusJson(at, *status) : json{{"master", at}, {"error", status.status().message()}})
                   .dump() +
               "\n";
      } else {
        text = status.ok() ? StatusText(at, *status) : status.status().message() + "\n";
      }
      if (redraws) text = "\x1b[H\x1b[2J" + text;
      if (!redraws && !as_json) text += "\n";
      RETURN_IF_ERROR(Print(text));
      const int64_t until = env->clock().MonotonicNanos() + kPauseNanos;
      while (!env->interrupted() && env->clock().MonotonicNanos() < until) env->clock().SleepFor(kLookNanos);
    }
    return Status::Ok();
  }

  Status ListTables() {
    ASSIGN_OR_RETURN(const auto client, Connect());
    ASSIGN_OR_RETURN(const std::vector<TableInfo> tables, client->ListTables());
    if (as_json) {
      json all = json::array();
      for (const TableInfo& info : tables) all.push_back(ToJson(info));
      return Print(all.dump(2) + "\n");
    }
    TextTable text({"TABLE", "KEYS", "ROW", "RULE", "SHARDS", "REPLICAS", "STORED", "MEMORY"});
    for (const TableInfo& info : tables) {
      text.Add({info.spec.name, ToString(info.spec.keys), RowOf(info.spec), ToString(info.spec.rule),
                std::to_string(info.spec.shards), std::to_string(info.spec.replicas), std::to_string(info.keys_stored),
                Bytes(info.memory_bytes)});
    }
    return Print(text.ToText());
  }

  Status DescribeTable() {
    ASSIGN_OR_RETURN(const auto client, Connect());
    ASSIGN_OR_RETURN(const TableInfo info, client->DescribeTable(table));
    return Print(as_json ? ToJson(info).dump(2) + "\n" : DescribeText(info));
  }

  Status SaveTable() {
    ASSIGN_OR_RETURN(const auto client, Connect());
    ASSIGN_OR_RETURN(const TableHandle opened, client->OpenTable(table));
    return opened->Save(model, {.rule_state = rule_state});
  }

  Status LoadTable() {
    ASSIGN_OR_RETURN(const auto client, Connect());
    ASSIGN_OR_RETURN(const TableHandle loaded, client->LoadTable(model, name, {.rule_state = rule_state}));
    return Print(fmt::format("table \"{}\" is there\n", loaded->spec().name));
  }

  Status DropTable() {
    ASSIGN_OR_RETURN(const auto client, Connect());
    return client->DropTable(table);
  }

  CLI::App* Add(CLI::App* parent, const char* name, const char* what, const char* example, Status (Options::*run)()) {
    CLI::App* command = parent->add_subcommand(name, what);
    command->footer(std::string("Example:\n  ") + example);
    if (run != nullptr) commands.emplace_back(command, [this, run] { return (this->*run)(); });
    return command;
  }

  void AddMasterAndKey(CLI::App* command) {
    command->add_option("--master", at, "where the master listens")->envname("GLIM_MASTER")->capture_default_str();
    command->add_option("--key", key_file, "a key of `glim init`; a cluster without keys needs none")
        ->envname("GLIM_KEY");
  }

  CLI::App* AddTableCommand(CLI::App* tables, const char* name, const char* what, const char* example,
                            Status (Options::*run)()) {
    CLI::App* command = Add(tables, name, what, example, run);
    AddMasterAndKey(command);
    return command;
  }
};

ClusterCommands::ClusterCommands(CLI::App* app) : options_(std::make_unique<Options>()) {
  Options& o = *options_;

  CLI::App* init = o.Add(app, "init", "Writes the keys of a new cluster: cluster.key, client.key, read-only.key.",
                         "glim init --dir keys --cluster ads", &Options::Init);
  init->add_option("--dir", o.folder, "where to; the folder is made when there is none")->capture_default_str();
  init->add_option("--cluster", o.cluster, "its name: a-z, 0-9 and -")->capture_default_str();

  CLI::App* master = app->add_subcommand("master", "Runs a master: it knows the servers and the tables of a cluster.");
  master->footer("Example:\n  glim master --address :45326 --dir glim-master --key cluster.key");
  o.master.address = ":45326";
  o.master.folder = "glim-master";
  o.server.folder = "glim-server";
  o.agent.folder = "glim-agent";
  o.agent.address = ":45327";
  o.agent.master = kMasterAddress;
  o.server.master = kMasterAddress;
  o.commands.emplace_back(master, [&o] { return engine::RunMaster(*o.env, o.master, engine::Ends::kInterrupt); });
  master
      ->add_option("--address", o.master.address,
                   "where to listen; :PORT is this machine only without a key, and all its addresses with one; "
                   "port 0: a free one")
      ->envname("GLIM_ADDRESS")
      ->capture_default_str();
  master->add_option("--dir", o.master.folder, "its own folder; a master that is started again goes on from there")
      ->envname("GLIM_DIR")
      ->capture_default_str();
  master->add_option("--key", o.master.key_file, "cluster.key of `glim init`; without it, this machine only")
      ->envname("GLIM_KEY");
  master
      ->add_flag("--open-metrics", o.master.open_metrics,
                 "answer other machines, too, who ask for /metrics and /healthz by HTTP; they need no key")
      ->envname("GLIM_OPEN_METRICS");

  CLI::App* server =
      o.Add(app, "server", "Runs a server: it holds shards of tables.",
            "glim server --master host:45326 --dir glim-server --memory 8G --key cluster.key", &Options::RunServer);
  server->add_option("--master", o.server.master, "where the master listens")
      ->envname("GLIM_MASTER")
      ->capture_default_str();
  server
      ->add_option("--address", o.server.address,
                   "where to listen, and what others are told; a free port when not given, of this machine only "
                   "without a key")
      ->envname("GLIM_ADDRESS");
  server->add_option("--dir", o.server.folder, "its own folder; it keeps its number there")
      ->envname("GLIM_DIR")
      ->capture_default_str();
  server->add_option("--memory", o.memory, "what its shards may hold, like 8G; 60 % of the machine when not given")
      ->envname("GLIM_MEMORY");
  server
      ->add_option("--threads", o.server.threads,
                   "threads that work on shards, each on its own; as many as there are cores when not given")
      ->envname("GLIM_THREADS")
      ->check(CLI::Range(1u, 64u));
  server->add_option("--number", o.server.node, "its number in the cluster; when not given, that of its folder")
      ->check(CLI::Range(1u, 1'000'000'000u));
  server
      ->add_option("--drain", o.server.drain_seconds,
                   "when it is told to end (SIGTERM, Ctrl-C): so many seconds for other servers to take its shards; 0: "
                   "it ends at once, as it does when it is told again")
      ->envname("GLIM_DRAIN")
      ->capture_default_str()
      ->check(CLI::Range(0u, 86'400u));
  server->add_option("--key", o.server.key_file, "cluster.key of `glim init`; without it, this machine only")
      ->envname("GLIM_KEY");
  server
      ->add_flag("--open-metrics", o.server.open_metrics,
                 "answer other machines, too, who ask for /metrics and /healthz by HTTP; they need no key")
      ->envname("GLIM_OPEN_METRICS");

  CLI::App* agent =
      o.Add(app, "agent", "Runs an agent: it starts executors on its machine, for flows of the cluster.",
            "glim agent --master host:45326 --dir glim-agent --memory 16G --key cluster.key", &Options::RunAgent);
  agent->add_option("--master", o.agent.master, "where the master listens")
      ->envname("GLIM_MASTER")
      ->capture_default_str();
  agent
      ->add_option("--address", o.agent.address,
                   "where to listen; :PORT is this machine only without a key, and all its addresses with one; "
                   "port 0: a free one")
      ->envname("GLIM_ADDRESS")
      ->capture_default_str();
  agent->add_option("--dir", o.agent.folder, "its own folder; what does not fit into memory goes there")
      ->envname("GLIM_DIR")
      ->capture_default_str();
  agent->add_option("--cores", o.agent.cores, "threads of each executor; those of the machine when not given")
      ->envname("GLIM_CORES")
      ->check(CLI::Range(1u, 4096u));
  agent->add_option("--memory", o.memory, "what all executors may take, like 16G; 60 % of the machine when not given")
      ->envname("GLIM_MEMORY");
  agent->add_option("--name", o.agent.name, "what others call it; the name of the machine when not given")
      ->envname("GLIM_NAME");
  agent->add_option("--label", o.agent.labels, "for flows to choose by: --on \"standalone://host:45326?label=ssd\"")
      ->envname("GLIM_LABEL");
  agent->add_flag("--server", o.agent.with_server, "keep a server of tables running, too, in its folder");
  agent->add_option("--server-memory", o.server_memory,
                    "what the server's shards may hold; a third of --memory when not given");
  agent->add_option("--key", o.agent.key_file, "cluster.key of `glim init`; without it, this machine only")
      ->envname("GLIM_KEY");
  agent
      ->add_flag("--open-metrics", o.agent.open_metrics,
                 "answer other machines, too, who ask for /metrics and /healthz by HTTP; they need no key")
      ->envname("GLIM_OPEN_METRICS");

  CLI::App* status = o.Add(app, "status", "Shows the members, tables and jobs of a cluster.",
                           "glim status --master host:45326 --key client.key", &Options::ShowStatus);
  o.AddMasterAndKey(status);
  status->add_flag("--json", o.as_json, "as JSON; with --watch an object a line");
  status->add_flag("--watch", o.watch, "again each second, until Ctrl-C");

  CLI::App* drain = o.Add(app, "drain", "Lets other servers take the shards of one, and gives it no new ones.",
                          "glim drain --server 3 --master host:45326 --key client.key", &Options::DrainServer);
  o.AddMasterAndKey(drain);
  drain->add_option("--server", o.number, "its number, as `glim status` shows it")->required();
  drain->add_flag("--undo", o.undo, "it takes shards again");

  CLI::App* logs = o.Add(app, "logs", "Shows what became of a job, and what its functions printed on executors.",
                         "glim logs 5d1f0a2b9c3e4d67 --master host:45326 --key client.key", &Options::ShowLog);
  o.AddMasterAndKey(logs);
  logs->add_option("job", o.job,
                   "its id, as `glim status` shows it; the one that the master heard of last when not given");
  logs->add_flag("--follow", o.watch, "until the job has ended, or Ctrl-C");

  CLI::App* cancel = o.Add(app, "cancel", "Ends a job: a run of a flow on agents.",
                           "glim cancel 5d1f0a2b9c3e4d67 --master host:45326 --key client.key", &Options::CancelJob);
  o.AddMasterAndKey(cancel);
  cancel->add_option("job", o.job, "its id, as `glim status` shows it")->required();

  CLI::App* tables = o.Add(app, "table", "Looks at the tables of a cluster, and saves, loads and drops them.",
                           "glim table list --master host:45326 --key client.key", nullptr);
  tables->require_subcommand(1);
  CLI::App* list = o.AddTableCommand(tables, "list", "Lists them.", "glim table list", &Options::ListTables);
  CLI::App* describe = o.AddTableCommand(tables, "describe", "Tells what a table is and holds.",
                                         "glim table describe ctr", &Options::DescribeTable);
  CLI::App* save = o.AddTableCommand(tables, "save", "Writes a table into a folder, as a model.",
                                     "glim table save ctr ctr.model", &Options::SaveTable);
  CLI::App* load = o.AddTableCommand(tables, "load", "Makes a table of a saved model.",
                                     "glim table load ctr.model --name ctr2", &Options::LoadTable);
  CLI::App* drop = o.AddTableCommand(tables, "drop", "Takes a table away, with all it holds.", "glim table drop ctr",
                                     &Options::DropTable);
  for (CLI::App* command : {list, describe}) command->add_flag("--json", o.as_json, "as JSON");
  for (CLI::App* command : {describe, save, drop}) {
    command->add_option("table", o.table, "the table's name")->required();
  }
  for (CLI::App* command : {save, load}) {
    command->add_option("model", o.model, "the model's folder")->required();
    command->add_flag(
        "!--without-rule-state", o.rule_state,
        "leave out what the update rule keeps beside the rows: enough for looking up, not for training on");
  }
  load->add_option("--name", o.name, "the table's name; that of the saved one when not given");
}

ClusterCommands::~ClusterCommands() = default;

std::optional<int> ClusterCommands::Run() {
  for (const auto& [command, run] : options_->commands) {
    if (command->parsed()) return ExitCode(run());
  }
  return std::nullopt;
}

}  // namespace glim::app
