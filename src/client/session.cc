// SPDX-License-Identifier: Apache-2.0
#include "glim/session.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "base/log.h"
#include "base/memory_budget.h"
#include "base/try.h"
#include "client/program_course.h"
#include "client/program_files.h"
#include "client/session_parts.h"
#include "engine/roles.h"
#include "exec/bindings.h"
#include "exec/checkpoints.h"
#include "exec/estimates.h"
#include "exec/function_facts.h"
#include "exec/graph_codec.h"
#include "exec/names.h"
#include "exec/runner.h"
#include "flow/graph.h"
#include "io/file_sink.h"
#include "io/row_encoder.h"
#include "net/address.h"
#include "param/catalogue.h"
#include "param/cluster_client.h"
#include "plan/plan.h"
#include "plan/processes.h"

namespace glim {
namespace {

Result<int> ParseCount(const std::string& option, const std::string& text, int max) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > max) {
    return Status::Invalid(fmt::format("{} takes a number from 1 to {}, got \"{}\"", option, max, text));
  }
  return value;
}

Result<int64_t> ParseMemory(const std::string& option, const std::string& text) {
  auto bytes = base::ParseBytes(text);
  if (!bytes.ok()) return std::move(bytes).status().With(option);
  if (*bytes < (1 << 20)) return Status::Invalid(fmt::format("{} {}: at least 1M is needed", option, text));
  return bytes;
}

bool TakesValue(std::string_view name) {
  return name == "--on" || name == "--key" || name == "--threads" || name == "--memory" || name == "--tmp-dir" ||
         name == "--lua-memory" || name == "--lua" || name == "--cpp" || name == "--partitions" ||
         name == "--stats-file" || name == "--trace" || name == "--dataset-dir" || name == "--dataset-disk" ||
         name == "--files" || name == "--binary";
}

// "aarch64=path,...".
Status ParseBinaries(const std::string& value, std::map<std::string, std::string>* binaries) {
  for (size_t begin = 0; begin <= value.size();) {
    const size_t end = std::min(value.find(',', begin), value.size());
    const std::string one = value.substr(begin, end - begin);
    const size_t equals = one.find('=');
    if (equals == 0 || equals >= one.size() - 1) {
      return Status::Invalid(
          fmt::format("--binary takes ARCHITECTURE=PATH, such as aarch64=build-arm/program, got \"{}\"", one));
    }
    (*binaries)[one.substr(0, equals)] = one.substr(equals + 1);
    begin = end + 1;
  }
  return Status::Ok();
}

// Takes the session's options out of the program's arguments; stops at "--".
Status ParseArguments(int argc, char** argv, SessionOptions* options, std::vector<std::string>* rest) {
  int i = 1;
  for (; i < argc; ++i) {
    const std::string argument = argv[i];
    const size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    if (argument == "--") break;
    if (argument == "--progress" || argument == "--no-progress") {
      options->progress = argument == "--progress";
    } else if (argument == "--stats") {
      options->stats = true;
    } else if (argument == "--explain") {
      options->explain = true;
    } else if (TakesValue(name)) {
      if (equals == std::string::npos && i + 1 == argc) return Status::Invalid(name + " needs a value");
      const std::string value = equals == std::string::npos ? argv[++i] : argument.substr(equals + 1);
      RETURN_IF_ERROR(SetSessionOption(name, value, options));
    } else {
      rest->push_back(argument);
    }
  }
  for (++i; i < argc; ++i) rest->push_back(argv[i]);
  return Status::Ok();
}

// What --on says.
struct Engine {
  std::string master;               // Of a standalone cluster; empty: none.
  std::vector<std::string> labels;  // Of the agents that are wanted.
  uint32_t count = 0;               // The N of local:N, or of executors=N; 0: not said.
  std::optional<engine::SlurmOptions> slurm;
  bool local() const { return master.empty() && count > 0; }
};

constexpr uint32_t kLocalMax = 64;
constexpr uint32_t kExecutorsMax = 4096;

// What comes behind the "?" of standalone://host:port?executors=4&label=ssd.
Status ParseEngineOptions(std::string_view text, Engine* engine) {
  while (!text.empty()) {
    const std::string_view option = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(option.size() + 1, text.size()));
    const std::string_view name = option.substr(0, option.find('='));
    const std::string_view value = option.substr(std::min(name.size() + 1, option.size()));
    if (name == "executors") {
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), engine->count);
      if (error != std::errc() || end != value.data() + value.size() || engine->count < 1 ||
          engine->count > kExecutorsMax)
        return Status::Invalid(fmt::format("executors takes a number from 1 to {}, got \"{}\"", kExecutorsMax, value));
    } else if (name == "label" && !value.empty()) {
      engine->labels.emplace_back(value);
    } else {
      return Status::Invalid(fmt::format("\"{}\" is none of executors=N and label=NAME", option));
    }
  }
  return Status::Ok();
}

Result<Engine> ParseEngine(std::string_view on) {
  constexpr std::string_view kStandalone = "standalone://", kLocal = "local:", kMasterPort = ":45326", kSlurm = "slurm";
  const auto wrong = [&](std::string_view why) {
    return Status::Invalid(
        fmt::format("--on {}: {}; there are embedded, local:N, standalone://HOST:PORT and slurm", on, why));
  };
  Engine engine;
  if (on == "embedded") return engine;
  if (on == kSlurm || on.starts_with(std::string(kSlurm) + ":")) {
    auto slurm = engine::ParseSlurmOptions(on.substr(std::min(on.size(), kSlurm.size() + 1)));
    if (!slurm.ok()) return wrong(slurm.status().message());
    engine.slurm = *std::move(slurm);
    return engine;
  }
  if (on.starts_with(kStandalone)) {
    engine.master = on.substr(kStandalone.size());
    if (const size_t options = engine.master.find('?'); options != std::string::npos) {
      if (const Status status = ParseEngineOptions(std::string_view(engine.master).substr(options + 1), &engine);
          !status.ok())
        return wrong(status.message());
      engine.master.resize(options);
    }
    const size_t colon = engine.master.rfind(':');
    // The colons in [v6] are none of a port.
    if (colon == std::string::npos || engine.master.ends_with(']')) engine.master += kMasterPort;
    if (const auto address = net::ParseAddress(engine.master); !address.ok()) return wrong(address.status().message());
    return engine;
  }
  if (on.starts_with(kLocal)) {
    const std::string_view number = on.substr(kLocal.size());
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), engine.count);
    if (error != std::errc() || end != number.data() + number.size() || engine.count < 1 || engine.count > kLocalMax) {
      return wrong(fmt::format("N is a number of executors and servers, from 1 to {}", kLocalMax));
    }
    return engine;
  }
  return wrong("there is no such engine");
}

// Only while a run could be cancelled; at other times Ctrl-C ends the program as usual.
class InterruptWatch {
 public:
  InterruptWatch(env::Env& env, bool on) : env_(env), on_(on) {
    if (on_) env_.WatchInterrupts();
  }
  InterruptWatch(const InterruptWatch&) = delete;
  ~InterruptWatch() {
    if (on_) env_.UnwatchInterrupts();
  }

 private:
  env::Env& env_;
  const bool on_;
};

// As a sink does it: complete or not at all, and a device in place.
Status WriteFile(env::Env& env, const std::string& path, std::string_view text) {
  const auto file = io::MakeFileSink(path, io::MakeTextEncoder());
  RETURN_IF_ERROR(file->Open(env));
  RETURN_IF_ERROR(file->WriteBytes(text));
  return file->Finish();
}

// Shows the report of a run that has ended, and writes the files of this run and those before it.
Status Publish(const exec::RunReport& report, int64_t begin_nanos, Session::Parts* parts) {
  if (parts->runs++ == 0) parts->first_run_nanos = begin_nanos;
  const SessionOptions& options = parts->options;
  if (options.stats) RETURN_IF_ERROR(parts->env->standard_error().Append(report.ToText()));
  if (!options.stats_file.empty()) {
    parts->stats_json += (parts->stats_json.empty() ? "" : ",\n") + report.ToJson();
    Status status = WriteFile(*parts->env, options.stats_file, "[" + parts->stats_json + "]\n");
    if (!status.ok()) return std::move(status).With("--stats-file");
  }
  if (!options.trace_file.empty()) {
    parts->trace_json += (parts->trace_json.empty() ? "" : ",\n") +
                         report.ToTraceEvents(parts->runs, begin_nanos - parts->first_run_nanos);
    Status status = WriteFile(*parts->env, options.trace_file, "{\"traceEvents\":[" + parts->trace_json + "]}\n");
    if (!status.ok()) return std::move(status).With("--trace");
  }
  return Status::Ok();
}

// One line each; those that came to zero say nothing.
Status ShowCounters(const Counters& counters, env::Env& env) {
  std::string text;
  for (const auto& [name, count] : counters.all()) {
    std::string shown = name;
    std::replace_if(shown.begin(), shown.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, ' ');
    if (count != 0) text += fmt::format("glim: {}: {}\n", shown, count);
  }
  return text.empty() ? Status::Ok() : env.standard_error().Append(text);
}

// Not /tmp, if possible: it lies in memory on many machines.
std::string TemporaryFolder(const SessionOptions& options, env::Env& env) {
  if (!options.tmp_folder.empty()) return options.tmp_folder;
  const std::string chosen = env.Variable("TMPDIR").value_or("");
  if (!chosen.empty()) return chosen;
  return env.files().Stat("/var/tmp").ok() ? "/var/tmp" : "/tmp";
}

// An executor that follows main has the files from its driver.
Status TakeFiles(const SessionOptions& options) {
  if (options.files.empty() || ProgramCourse::Here().follows()) return Status::Ok();
  return ProgramFiles::Here().Add(options.files).With("--files");
}

std::unique_ptr<Session::Parts> MakeParts(SessionOptions options) {
  auto parts = std::make_unique<Session::Parts>();
  parts->options = std::move(options);
  parts->env = env::MakePosixEnv();
  engine::ServeIfChild(*parts->env);
  (void)ProgramCourse::Here();  // An executor listens from here on.
  parts->status = ParseEngine(parts->options.on).status();
  if (parts->status.ok()) parts->status = TakeFiles(parts->options);
  return parts;
}

int ThreadsOf(const Session::Parts& parts) {
  return parts.options.threads > 0 ? parts.options.threads : parts.env->machine().cores;
}

int64_t MemoryOf(const Session::Parts& parts) {
  return parts.options.memory_bytes > 0 ? parts.options.memory_bytes : parts.env->machine().memory_bytes / 10 * 6;
}

// Under connect_mutex.
Result<engine::LocalCluster*> Local(Session::Parts* parts) {
  if (parts->local == nullptr) {
    ASSIGN_OR_RETURN(const Engine engine, ParseEngine(parts->options.on));
    // The threads and the memory of a session on local:N are those of all its processes together.
    const int threads = std::max(1, ThreadsOf(*parts) / static_cast<int>(engine.count));
    ASSIGN_OR_RETURN(parts->local, engine::LocalCluster::Make(
                                       *parts->env, {.count = engine.count,
                                                     .threads = static_cast<uint32_t>(threads),
                                                     .memory_bytes = MemoryOf(*parts) / (engine.count + 1),
                                                     .tmp_folder = TemporaryFolder(parts->options, *parts->env)}));
  }
  return parts->local.get();
}

// Under connect_mutex.
Result<engine::SlurmCluster*> Slurm(const Engine& engine, Session::Parts* parts) {
  if (parts->slurm == nullptr) {
    auto slurm = engine::SlurmCluster::Make(
        *parts->env, *engine.slurm, {.threads = parts->options.threads, .memory_bytes = parts->options.memory_bytes});
    if (!slurm.ok()) return std::move(slurm).status().With("--on " + parts->options.on);
    parts->slurm = *std::move(slurm);
  }
  return parts->slurm.get();
}

Result<std::shared_ptr<const net::Key>> KeyOf(const Session::Parts& parts) {
  if (parts.options.key_file.empty()) return std::shared_ptr<const net::Key>();
  auto key = net::ReadKey(parts.env->files(), parts.options.key_file);
  if (!key.ok()) return Status(Code::kUsage, "--key: " + key.status().message());
  return std::make_shared<const net::Key>(*std::move(key));
}

// The flow reads what is kept on disk of it.
Status FindDatasets(const flow::Graph& graph, Session::Parts* parts) {
  RETURN_IF_ERROR(graph.status());
  if (!exec::HasDatasets(graph)) return Status::Ok();
  if (parts->datasets == nullptr) {
    const SessionOptions& options = parts->options;
    parts->datasets = std::make_shared<exec::DatasetStore>(
        *parts->env,
        exec::DatasetStoreOptions{
            .folder = options.dataset_folder.empty() ? exec::DatasetFolder(*parts->env) : options.dataset_folder,
            .bytes_max = options.dataset_bytes_max});
  }
  return exec::OpenDatasets(*parts->datasets, graph);
}

Result<std::unique_ptr<param::TableStore>> ReachCluster(env::Env& env, param::ClusterClientOptions options) {
  auto tables = std::make_unique<param::ClusterClient>(env, std::move(options));
  if (Status status = tables->Ping(); !status.ok()) return Status(Code::kUnreachable, status.message());
  return std::unique_ptr<param::TableStore>(std::move(tables));
}

// What --on says.
Result<std::unique_ptr<param::TableStore>> MakeTables(Session::Parts* parts) {
  env::Env& env = *parts->env;
  if (parts->options.on == "embedded") return std::unique_ptr<param::TableStore>(new param::Catalogue(env));
  ASSIGN_OR_RETURN(Engine engine, ParseEngine(parts->options.on));
  if (engine.slurm) {
    ASSIGN_OR_RETURN(const engine::SlurmCluster* slurm, Slurm(engine, parts));
    return ReachCluster(env, {.master = slurm->master(), .key = slurm->key()});
  }
  if (!engine.local()) {
    ASSIGN_OR_RETURN(auto key, KeyOf(*parts));
    return ReachCluster(env, {.master = engine.master, .key = std::move(key)});
  }
  ASSIGN_OR_RETURN(engine::LocalCluster * local, Local(parts));
  const uint64_t memory = static_cast<uint64_t>(MemoryOf(*parts)) / engine.count;
  if (Status status = local->StartServers(engine.count, memory); !status.ok())
    return Status(Code::kUnreachable, std::move(status).With(parts->options.on).message());
  return ReachCluster(env, {.master = parts->local->master(), .key = parts->local->key()});
}

Result<param::TableStore*> Tables(Session::Parts* parts) {
  RETURN_IF_ERROR(parts->status);
  const std::lock_guard lock(parts->connect_mutex);
  if (parts->tables == nullptr) {
    ASSIGN_OR_RETURN(parts->tables, MakeTables(parts));
  }
  return parts->tables.get();
}

// Of the cluster of this session, as far as it is known; empty: none.
std::string MasterOf(const Engine& engine, const Session::Parts& parts) {
  if (parts.slurm != nullptr) return parts.slurm->master();
  return parts.local != nullptr ? parts.local->master() : engine.master;
}

Result<TableHandle> OpenHandle(Session::Parts* parts, const std::string& handle) {
  ASSIGN_OR_RETURN(const param::TableAddress address, param::ParseTableAddress(handle));
  const bool embedded = address.place == param::kEmbeddedPlace;
  if (embedded && parts->options.on != "embedded") {
    return Status::Invalid(fmt::format(
        "table \"{}\" of this handle is in the memory of the program that made it, and no other can open it",
        address.name));
  }
  ASSIGN_OR_RETURN(const Engine engine, ParseEngine(parts->options.on));
  if (embedded || address.place == MasterOf(engine, *parts)) {
    ASSIGN_OR_RETURN(param::TableStore * tables, Tables(parts));
    return tables->OpenTable(address);
  }
  RETURN_IF_ERROR(parts->status);
  const std::lock_guard lock(parts->connect_mutex);
  std::unique_ptr<param::TableStore>& there = parts->others[address.place];
  if (there == nullptr) {
    ASSIGN_OR_RETURN(auto key, KeyOf(*parts));
    ASSIGN_OR_RETURN(there, ReachCluster(*parts->env, {.master = address.place, .key = std::move(key)}));
  }
  return there->OpenTable(address);
}

udf::HostOptions HostsOf(const Session::Parts& parts, int threads) {
  constexpr int64_t kLuaMemoryMin = 64 << 20;
  return {.lua_memory_bytes_max = parts.options.lua_memory_bytes > 0
                                      ? parts.options.lua_memory_bytes
                                      : std::max(kLuaMemoryMin, MemoryOf(parts) / 2 / threads),
          .lua_kernels = parts.options.lua_kernels,
          .lua_path = parts.lua_path};
}

// Null: flows run in this process.
Result<engine::Launcher*> LauncherOf(const Engine& engine, Session::Parts* parts) {
  const std::lock_guard lock(parts->connect_mutex);
  if (engine.local()) {
    ASSIGN_OR_RETURN(engine::LocalCluster * local, Local(parts));
    return local;
  }
  if (engine.slurm) {
    ASSIGN_OR_RETURN(engine::SlurmCluster * slurm, Slurm(engine, parts));
    return slurm;
  }
  if (engine.master.empty()) return nullptr;
  if (parts->agents == nullptr) {
    ASSIGN_OR_RETURN(auto key, KeyOf(*parts));
    auto agents = std::make_unique<engine::AgentLauncher>(
        *parts->env, engine::AgentLauncherOptions{.master = engine.master,
                                                  .key = std::move(key),
                                                  .threads = parts->options.threads,
                                                  .memory_bytes = parts->options.memory_bytes,
                                                  .executors_max = engine.count,
                                                  .labels = engine.labels});
    // A cluster may be one of servers only.
    ASSIGN_OR_RETURN(const bool has_agents, agents->HasAgents());
    if (!has_agents && engine.count == 0 && engine.labels.empty()) return nullptr;
    parts->agents = std::move(agents);
  }
  return parts->agents.get();
}

// Executors on agents are another program than this one, so they do not have its partitioners (glim/partitioner.h).
bool NeedsPartitionerOfMain(const flow::Graph& graph) {
  return std::any_of(graph.steps().begin(), graph.steps().end(), [](const flow::Step& step) {
    TableHandle table;
    if (const auto* push = std::get_if<flow::PushToStep>(&step.body)) table = push->table;
    if (const auto* look_up = std::get_if<flow::LookupStep>(&step.body)) table = look_up->table;
    return table != nullptr && table->spec().partitioner == Partitioner::kFunction;
  });
}

// For a flow that runs in this process, although there are other machines.
Status CheckFilesAreHere(const plan::Plan& plan) {
  for (const plan::Stage& stage : plan.stages) {
    if (stage.source < 0 || !flow::ReadsPerHost(plan.graph->steps()[stage.source])) continue;
    return Status::Invalid(
        fmt::format("{}: files of each host are read by executors on agents, and this flow has none: it runs in this "
                    "process",
                    exec::StepName(plan.graph->steps()[stage.source])));
  }
  return Status::Ok();
}

// Where the tasks of a flow run. Null: in this process. With `followed` in executors that follow main to this run.
struct Engines {
  engine::Launcher* launcher = nullptr;
  bool followed = false;
};
Result<Engines> ChooseEngine(const plan::Plan& plan, const Engine& engine, const ProgramCourse::Run& run,
                             Session::Parts* parts) {
  const bool native = exec::HasNativeFunctions(*plan.graph);
  const bool can_follow = parts->options.cpp_on_executors && run.number() > 0;
  if (native && !can_follow) {
    base::LogInfo("the functions in C++ of flow \"{}\" run in this process: {}", plan.graph->name(),
                  parts->options.cpp_on_executors ? ProgramCourse::Here().why_not() : "--cpp here");
    return Engines{};
  }
  if (!engine.local() && NeedsPartitionerOfMain(*plan.graph)) {
    base::LogInfo("flow \"{}\" runs in this process, which has the partitioner of its table", plan.graph->name());
    return Engines{};
  }
  Engines engines;
  ASSIGN_OR_RETURN(engines.launcher, LauncherOf(engine, parts));
  if (engines.launcher == nullptr) return engines;
  // Executors that can follow main stay for flows without such functions.
  engines.followed = can_follow && (native || parts->followed);
  if (engines.followed == parts->followed) return engines;
  parts->jobs.reset();
  parts->followed = false;
  std::shared_ptr<const engine::Program> program;
  if (engines.followed) {
    ASSIGN_OR_RETURN(engine::Program here, engine::ThisProgram(*parts->env));
    here.binaries = parts->options.binaries;
    program = std::make_shared<const engine::Program>(std::move(here));
  }
  RETURN_IF_ERROR(engines.launcher->SetProgram(std::move(program), ProgramCourse::Here().patience_nanos()));
  parts->followed = engines.followed;
  return engines;
}

Status RunPlan(const plan::Plan& plan, const exec::RunnerOptions& options, const ProgramCourse::Run& run,
               Session::Parts* parts) {
  ASSIGN_OR_RETURN(const Engine engine, ParseEngine(parts->options.on));
  ASSIGN_OR_RETURN(const Engines engines, ChooseEngine(plan, engine, run, parts));
  engine::Launcher* launcher = engines.launcher;
  exec::RunnerOptions here = options;
  if (launcher != nullptr && engine.local()) here.memory_bytes = options.memory_bytes / (engine.count + 1);
  if (parts->caches == nullptr) {
    parts->caches = std::make_shared<exec::CacheSpace>(&parts->env->files(), here.tmp_folder, here.memory_bytes);
  }
  parts->caches->datasets = parts->datasets;
  here.caches = parts->caches;
  if (launcher == nullptr && (engine.slurm || !engine.master.empty())) RETURN_IF_ERROR(CheckFilesAreHere(plan));
  if (launcher == nullptr) return exec::Runner(parts->env.get(), parts->pool.get(), here).Run(plan);
  if (parts->jobs == nullptr) {
    cluster::JobDriverOptions driver;
    driver.key = launcher->key();
    driver.launch = [launcher](const auto& at_work) { return launcher->Launch(at_work); };
    driver.host = parts->env->machine().name;
    if (!engine.local()) driver.hosts = [launcher] { return launcher->Hosts(); };
    if (engine::AgentLauncher* agents = parts->AgentLauncher(); agents != nullptr) {
      driver.report = [agents](const auto& job) { return agents->Report(job); };
      driver.add_to_log = [agents](const std::string& job, uint64_t from, std::string text) {
        return agents->AddToLog(job, from, std::move(text));
      };
    }
    parts->jobs = std::make_unique<cluster::JobDriver>(*parts->env, std::move(driver));
  }
  int sharing = ThreadsOf(*parts);
  if (engine.local()) sharing += static_cast<int>(engine.count);
  cluster::JobOptions job{.hosts = HostsOf(*parts, sharing)};
  if (!engine.local()) {
    auto files = ProgramFiles::Here().Read();
    if (!files.ok()) return std::move(files).status().With("--files");
    job.files = *std::move(files);
  }
  if (engines.followed) {
    job.program_run = run.number();
    job.outcomes = ProgramCourse::Here().OutcomesBefore(job.program_run);
    job.reach_nanos = ProgramCourse::Here().patience_nanos();
  }
  Status status = parts->jobs->Run(plan, parts->pool.get(), here, job);
  return status.code() == Code::kUnreachable ? std::move(status).With("--on " + parts->options.on) : status;
}

// Main's own dealings with tables are not answered again in an executor that follows it.
Status UseTables() {
  ProgramCourse& course = ProgramCourse::Here();
  if (course.follows()) return Status::Unavailable("an executor follows main only as far as it uses no table");
  course.CannotBeFollowed("main has used a table");
  return Status::Ok();
}

}  // namespace

Status SetSessionOption(const std::string& name, const std::string& value, SessionOptions* options) {
  if (name == "--on") {
    options->on = value;
  } else if (name == "--key") {
    options->key_file = value;
  } else if (name == "--threads") {
    ASSIGN_OR_RETURN(options->threads, ParseCount(name, value, 4096));
  } else if (name == "--partitions") {
    ASSIGN_OR_RETURN(options->partitions, ParseCount(name, value, 65536));
  } else if (name == "--stats-file") {
    options->stats_file = value;
  } else if (name == "--trace") {
    options->trace_file = value;
  } else if (name == "--lua") {
    if (value != "auto" && value != "plain") {
      return Status::Invalid(fmt::format("--lua takes auto or plain, got \"{}\"", value));
    }
    options->lua_kernels = value == "auto";
  } else if (name == "--cpp") {
    if (value != "executors" && value != "here") {
      return Status::Invalid(fmt::format("--cpp takes executors or here, got \"{}\"", value));
    }
    options->cpp_on_executors = value == "executors";
  } else if (name == "--tmp-dir") {
    options->tmp_folder = value;
  } else if (name == "--files") {
    for (size_t begin = 0; begin <= value.size();) {
      const size_t end = std::min(value.find(',', begin), value.size());
      options->files.push_back(value.substr(begin, end - begin));
      begin = end + 1;
    }
  } else if (name == "--binary") {
    RETURN_IF_ERROR(ParseBinaries(value, &options->binaries));
  } else if (name == "--dataset-dir") {
    options->dataset_folder = value;
  } else if (name == "--dataset-disk") {
    ASSIGN_OR_RETURN(options->dataset_bytes_max, ParseMemory(name, value));
  } else if (name == "--lua-memory") {
    ASSIGN_OR_RETURN(options->lua_memory_bytes, ParseMemory(name, value));
  } else {
    ASSIGN_OR_RETURN(options->memory_bytes, ParseMemory(name, value));
  }
  return Status::Ok();
}

Session::Session() : Session(SessionOptions{}) {}

Session::Session(SessionOptions options) : parts_(MakeParts(std::move(options))) {}

Session::Session(int argc, char** argv) : parts_(MakeParts({.watch_interrupts = true})) {
  constexpr int kStderr = 2;
  SessionOptions& options = parts_->options;
  options.progress = parts_->env->IsTerminal(kStderr);
  parts_->status = ParseArguments(argc, argv, &options, &parts_->arguments);
  if (parts_->status.ok()) parts_->status = ParseEngine(options.on).status();
  if (parts_->status.ok()) parts_->status = TakeFiles(options);
  if (!parts_->status.ok()) parts_->status = Status(Code::kUsage, parts_->status.message());
}

Session::~Session() = default;

const std::vector<std::string>& Session::arguments() const { return parts_->arguments; }

const Status& Session::status() const { return parts_->status; }

bool Session::on_executor() const { return ProgramCourse::Here().follows(); }

Status Session::Connect() {
  RETURN_IF_ERROR(status());
  if (on_executor()) return Status::Ok();
  const InterruptWatch watch(*parts_->env, parts_->options.watch_interrupts);
  ASSIGN_OR_RETURN(const Engine engine, ParseEngine(parts_->options.on));
  if (engine.local()) return Status::Ok();
  if (engine.slurm) {
    const std::lock_guard lock(parts_->connect_mutex);
    return Slurm(engine, parts_.get()).status();
  }
  return Tables(parts_.get()).status();
}

Result<TableHandle> Session::CreateTable(TableSpec spec) {
  RETURN_IF_ERROR(UseTables());
  ASSIGN_OR_RETURN(param::TableStore * tables, Tables(parts_.get()));
  return tables->CreateTable(std::move(spec));
}

Result<TableHandle> Session::OpenTable(const std::string& name) {
  RETURN_IF_ERROR(UseTables());
  if (param::IsTableAddress(name)) return OpenHandle(parts_.get(), name);
  ASSIGN_OR_RETURN(param::TableStore * tables, Tables(parts_.get()));
  return tables->OpenTable(name);
}

Result<TableHandle> Session::LoadTable(const std::string& folder, const std::string& name) {
  RETURN_IF_ERROR(UseTables());
  ASSIGN_OR_RETURN(param::TableStore * tables, Tables(parts_.get()));
  return tables->LoadTable(folder, name);
}

Result<std::vector<TableInfo>> Session::ListTables() {
  RETURN_IF_ERROR(UseTables());
  ASSIGN_OR_RETURN(param::TableStore * tables, Tables(parts_.get()));
  return tables->ListTables();
}

Status Session::DropTable(const std::string& name) {
  RETURN_IF_ERROR(UseTables());
  ASSIGN_OR_RETURN(param::TableStore * tables, Tables(parts_.get()));
  return tables->DropTable(name);
}

int64_t Session::counter(std::string_view name) const { return parts_->counters.Get(name); }

Status Session::Run(const Flow& flow) { return Run(flow.graph(), flow.graph()->EndsToRun()); }

Status Session::Run(const std::shared_ptr<flow::Graph>& graph, std::vector<int> ends) {
  Status status = RunEnds(graph, std::move(ends));
  // Whoever pushes rows is told that nobody reads them any more.
  for (const flow::Step& step : graph->steps()) {
    const auto* source = std::get_if<flow::ChannelSource>(&step.body);
    if (source != nullptr && source->channel != nullptr) source->channel->EndRun(!status.ok());
  }
  return status;
}

namespace {

// Of a training's pass, when it can be gone on with from its midst; null otherwise.
Result<exec::Checkpoints*> CheckpointsOf(const plan::Plan& plan, const Session::Parts& parts) {
  if (parts.checkpoints == nullptr) return nullptr;
  const std::vector<plan::FunctionFacts> facts = exec::FactsOfFunctions(*plan.graph);
  const Status can = exec::CanGoOnWithin(plan::SpreadOverProcesses(plan, facts), facts);
  if (can.ok()) return parts.checkpoints;
  RETURN_IF_ERROR(parts.checkpoints->BetweenPassesOnly(can));
  return nullptr;
}

Status RunInCourse(Session& session, const std::shared_ptr<flow::Graph>& graph, std::vector<int> ends,
                   ProgramCourse::Run* run) {
  RETURN_IF_ERROR(session.status());
  Session::Parts& parts = session.parts();
  // From here on: asking a database for its names may take long, too.
  const InterruptWatch watch(*parts.env, parts.options.watch_interrupts);
  RETURN_IF_ERROR(ProgramFiles::Here().Look().With("--files"));
  RETURN_IF_ERROR(FindDatasets(*graph, &parts));
  ASSIGN_OR_RETURN(const auto resolved, exec::ResolveNames(*parts.env, graph));
  const auto recorded = run->Record(resolved, ends);
  ASSIGN_OR_RETURN(const plan::Plan plan, plan::MakePlan(recorded, std::move(ends)));
  if (parts.options.explain) {
    ASSIGN_OR_RETURN(const exec::Functions functions, exec::MakeFunctions(*graph));
    const udf::HostOptions hosts{.lua_kernels = parts.options.lua_kernels, .lua_path = parts.lua_path};
    std::fflush(stdout);
    return parts.env->standard_output().Append(
        plan::ToText(plan, exec::SourceSizes(*parts.env, plan), exec::HowFunctionsRun(*graph, functions, hosts)));
  }
  // Elsewhere a flow needs servers only for the tables that it has opened by now.
  if (parts.options.on.starts_with("standalone:")) RETURN_IF_ERROR(session.Connect());
  if (parts.running.exchange(true)) {
    return Status::Invalid(fmt::format("the flow \"{}\" cannot run yet: its session runs another one", graph->name()));
  }
  const std::unique_ptr<std::atomic<bool>, void (*)(std::atomic<bool>*)> over(
      &parts.running, [](std::atomic<bool>* running) { running->store(false); });
  const int64_t memory = MemoryOf(parts);
  if (parts.pool == nullptr) {
    const int threads = ThreadsOf(parts);
    parts.pool = std::make_unique<exec::WorkerPool>(threads, HostsOf(parts, threads));
  }
  // Who asks for a limit wants it kept by the whole process.
  if (parts.options.memory_bytes > 0) env::ReturnMemoryEarly(parts.options.memory_bytes);
  const bool reports = parts.options.stats || !parts.options.stats_file.empty() || !parts.options.trace_file.empty();
  exec::RunReport report(graph->name());
  Counters counters;
  exec::RunnerOptions options{.partitions = parts.options.partitions,
                              .memory_bytes = memory,
                              .tmp_folder = TemporaryFolder(parts.options, *parts.env),
                              .progress = parts.options.progress,
                              .report = reports ? &report : nullptr,
                              .counters = &counters};
  ASSIGN_OR_RETURN(options.checkpoints, CheckpointsOf(plan, parts));
  const int64_t begin_nanos = parts.env->clock().MonotonicNanos();
  RETURN_IF_ERROR(RunPlan(plan, options, *run, &parts));
  run->Finished(plan.ends, counters);
  graph->MarkFinished(plan.ends);
  parts.counters.Add(counters);
  report.SetCounters(counters);
  RETURN_IF_ERROR(ShowCounters(counters, *parts.env));
  return reports ? Publish(report, begin_nanos, &parts) : Status::Ok();
}

}  // namespace

Status Session::RunEnds(const std::shared_ptr<flow::Graph>& graph, std::vector<int> ends) {
  ProgramCourse& course = ProgramCourse::Here();
  if (course.follows()) return course.Follow(graph, &parts_->counters);
  // A script has no functions in C++.
  const bool is_script = !parts_->lua_path.empty();
  ProgramCourse::Run run(course, parts_->options.on != "embedded" && !is_script);
  Status status = RunInCourse(*this, graph, std::move(ends), &run);
  run.End(status);
  return status;
}

}  // namespace glim
