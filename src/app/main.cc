// SPDX-License-Identifier: Apache-2.0
//
// The `glim` program: glim run, explain, e, repl, version; those for clusters are in cluster_commands.h, those
// for datasets in dataset_commands.h.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/cluster_commands.h"
#include "app/dataset_commands.h"
#include "base/version.h"
#include "client/session_parts.h"
#include "engine/roles.h"
#include "glim/session.h"
#include "script/lua_table.h"
#include "script/script.h"

namespace {

constexpr int kWrongUsage = 2;

struct RunOptions {
  // Those with a value are read by the session, so that programs and this one agree on them.
  std::vector<std::pair<const char*, std::string>> values = {
      {"--on", ""},         {"--key", ""},         {"--threads", ""},      {"--partitions", ""}, {"--memory", ""},
      {"--tmp-dir", ""},    {"--dataset-dir", ""}, {"--dataset-disk", ""}, {"--lua-memory", ""}, {"--lua", ""},
      {"--stats-file", ""}, {"--trace", ""},       {"--files", ""}};
  bool progress = isatty(STDERR_FILENO) != 0;
  bool stats = false;
  std::string format = "auto";
  std::string script;
};

// "--stats-file" -> "GLIM_STATS_FILE".
std::string EnvironmentName(std::string_view option) {
  std::string name = "GLIM_";
  for (const char c : option.substr(2)) name += c == '-' ? '_' : static_cast<char>(std::toupper(c));
  return name;
}

CLI::App* AddRunCommand(CLI::App* app, const char* name, const char* what, const char* example, RunOptions* options) {
  CLI::App* command = app->add_subcommand(name, what);
  const char* const texts[] = {
      "who does the work: embedded, this process, when not given; local:3, 3 executors, and 3 "
      "servers for tables, started for this run; standalone://HOST:PORT, tables are on the "
      "servers of that master",
      "client.key of `glim init`, for standalone://",
      "threads; all cores when not given",
      "tasks and partitions where the engine chooses",
      "what a run may hold, like 512M; 60 % of the machine when not given",
      "where what does not fit into that lies meanwhile; $TMPDIR or /var/tmp when not given",
      "where OnDisk keeps datasets; glim/datasets below $XDG_DATA_HOME or ~/.local/share when not given",
      "what all datasets there may take, like 10G, beyond which those go that nobody has read for longest; no bound when "
      "not given",
      "what the Lua functions of one thread may hold; when not given, half of that by the "
      "number of threads, at least 64M",
      "auto: functions that are understood run without Lua, with the same result; plain: none "
      "does; auto when not given",
      "what --stats shows as JSON: a list with one object per run",
      "when each task ran, to be opened at ui.perfetto.dev",
      "a,b: files that functions (glim.file) and programs (in the folder $GLIM_FILES) have wherever they run"};
  for (size_t i = 0; i < options->values.size(); ++i) {
    auto& [option, value] = options->values[i];
    CLI::Option* const added = command->add_option(option, value, texts[i]);
    // $GLIM_FILES is where a program has them, which may be this one's parent.
    if (std::string_view(option) != "--files") added->envname(EnvironmentName(option));
  }
  command->add_flag("--progress,!--no-progress", options->progress,
                    "a progress line on stderr; when not given, only on a terminal");
  command->add_flag("--stats", options->stats, "after each run, rows, bytes and time of every step, on stderr");
  command->footer(std::string("Example:\n  ") + example);
  return command;
}

// The arguments up to the script are ours, those after it are the script's own, whatever they look like.
size_t CountOwnArguments(const std::vector<std::string>& arguments) {
  for (size_t i = 1; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "-" || !argument.starts_with("-")) return i + 1;
    const RunOptions options;
    const bool takes_value =
        argument == "--format" || std::any_of(options.values.begin(), options.values.end(),
                                              [&](const auto& value) { return argument == value.first; });
    if (takes_value) ++i;
  }
  return arguments.size();
}

int Run(const RunOptions& options, std::vector<std::string> arguments, const std::string& command) {
  glim::SessionOptions session_options;
  for (const auto& [name, value] : options.values) {
    if (value.empty()) continue;
    if (glim::Status status = glim::SetSessionOption(name, value, &session_options); !status.ok()) {
      glim::ExitCode(status);
      return kWrongUsage;
    }
  }
  session_options.progress = options.progress;
  session_options.explain = command == "explain";
  session_options.stats = options.stats;
  session_options.watch_interrupts = true;
  glim::Session session(std::move(session_options));
  if (!session.status().ok()) {
    glim::ExitCode(session.status());
    return kWrongUsage;
  }
  if (const glim::Status status = command == "explain" ? glim::Status() : session.Connect(); !status.ok()) {
    return glim::ExitCode(status);
  }
  if (command == "repl") {
    const char* home = std::getenv("HOME");
    const std::string history = home == nullptr ? "" : std::string(home) + "/.glim_history";
    return glim::ExitCode(glim::script::RunRepl(history, &session));
  }
  if (command == "e") {
    return glim::ExitCode(glim::script::RunExpression(options.script, arguments, options.format, &session));
  }
  return glim::ExitCode(glim::script::RunScript(options.script, arguments, &session));
}

int Complain(const std::string& what, const std::string& command) {
  std::fprintf(stderr, "glim: %s; see glim%s --help\n", what.c_str(), command.c_str());
  return kWrongUsage;
}

}  // namespace

int main(int argc, char** argv) {
  glim::engine::ServeIfChild(*glim::env::MakePosixEnv(), glim::script::MakeTableObject);
  CLI::App app("Glim: dataflow and parameter server in one engine.", "glim");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("glim ") + glim::kVersion, "prints the version");
  app.footer("Example:\n  glim run examples/wordcount.lua /etc/passwd\nglim COMMAND --help tells more of a command.");
  app.set_help_all_flag("--help-all", "the help of every command");
  RunOptions options;
  CLI::App* run = AddRunCommand(&app, "run", "Runs a job script.",
                                "glim run --threads 4 examples/wordcount.lua /etc/passwd", &options);
  CLI::App* explain =
      AddRunCommand(&app, "explain", "Prints the stages of a job script's flows instead of running them.",
                    "glim explain examples/wordcount.lua /etc/passwd", &options);
  for (CLI::App* command : {run, explain}) {
    command
        ->add_option("script", options.script,
                     "a Lua file, or - for stdin; all that follows it, options too, is the script's: arg[1], ...")
        ->required();
  }
  CLI::App* expression = AddRunCommand(&app, "e", "Evaluates a Lua expression, and prints the rows it gives.",
                                       "glim e 'lines(\"/etc/passwd\"):Map(function(l) return l:match(\"[^:]*$\"), 1 "
                                       "end):ReduceBy(function(x, y) return x + y end):Sort(2)'",
                                       &options);
  expression->add_option("--format", options.format, "how rows are printed: auto, table, csv, tsv or json");
  expression->add_option("expression", options.script, "Lua; all that follows it, options too, is its own: arg[1], ...")
      ->required();
  AddRunCommand(&app, "repl", "Reads Lua a line at a time, and shows the rows that it gives.", "glim repl", &options);
  glim::app::ClusterCommands cluster_commands(&app);
  glim::app::DatasetCommands dataset_commands(&app);
  CLI::App* version = app.add_subcommand("version", "Prints the version.");
  version->footer("Example:\n  glim version");

  std::vector<std::string> arguments(argv + 1, argv + argc);
  const std::string command = arguments.empty() ? "" : arguments[0];
  std::string known;
  bool is_known = command.starts_with("-");
  for (const CLI::App* each : app.get_subcommands({})) {
    known += (known.empty() ? "" : ", ") + each->get_name();
    is_known = is_known || each->get_name() == command;
  }
  if (command.empty()) return Complain("a command is needed: " + known, "");
  if (!is_known) {
    if (command.ends_with(".lua")) return Complain("to run a script: glim run " + command, "");
    return Complain("there is no command \"" + command + "\"; there are " + known, "");
  }
  const bool runs = command == "run" || command == "explain" || command == "e" || command == "repl";
  std::vector<std::string> rest;
  if (runs) {
    const size_t own = CountOwnArguments(arguments);
    rest.assign(arguments.begin() + static_cast<ptrdiff_t>(own), arguments.end());
    arguments.resize(own);
  }
  try {
    std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them last first.
    app.parse(arguments);
  } catch (const CLI::Success& asked) {  // Help or version.
    app.exit(asked);
    return glim::ExitCode({});
  } catch (const CLI::ParseError& e) {
    return Complain(e.what(), command.starts_with("-") ? "" : " " + command);
  }
  if (version->parsed()) {
    std::printf("glim %s\n", glim::kVersion);
    return glim::ExitCode({});
  }
  if (const auto code = cluster_commands.Run()) return *code;
  if (const auto code = dataset_commands.Run()) return *code;
  return Run(options, std::move(rest), command);
}
