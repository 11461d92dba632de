// SPDX-License-Identifier: Apache-2.0
#include "app/dataset_commands.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "app/text.h"
#include "base/log.h"
#include "base/try.h"
#include "env/env.h"
#include "exec/dataset_store.h"
#include "glim/flow.h"

namespace glim::app {
namespace {

using nlohmann::json;

constexpr int64_t kNanosPerMilli = 1'000'000;

json ToJson(const exec::DatasetInfo& info) {
  return {{"name", info.name},
          {"rows", info.rows},
          {"partitions", info.partitions},
          {"columns", info.head.names},
          {"made_by", info.head.made_by},
          {"made", info.head.made_wall_nanos / kNanosPerMilli},
          {"read", info.read_wall_nanos / kNanosPerMilli},
          {"disk_bytes", info.file_bytes},
          {"bytes", info.plain_bytes}};
}

std::string Columns(const exec::DatasetInfo& info) {
  std::vector<std::string> names = info.head.names;
  for (std::string& name : names) {
    if (name.empty()) name = "-";
  }
  return names.empty() ? "without names" : fmt::format("{}", fmt::join(names, ", "));
}

std::string ToText(const exec::DatasetInfo& info) {
  return fmt::format(
      "name        {}\nrows        {}\npartitions  {}\ncolumns     {}\nmade by     {}\nmade        {}\n"
      "read        {}\non disk     {}\nsize        {}\n",
      info.name, info.rows, info.partitions, Columns(info), info.head.made_by,
      TimeText(info.head.made_wall_nanos / kNanosPerMilli), TimeText(info.read_wall_nanos / kNanosPerMilli),
      Bytes(info.file_bytes), Bytes(info.plain_bytes));
}

}  // namespace

struct DatasetCommands::Options {
  std::unique_ptr<env::Env> env = env::MakePosixEnv();
  std::string folder, name;
  bool as_json = false;
  CLI::App *list = nullptr, *describe = nullptr, *drop = nullptr;

  exec::DatasetStoreOptions Where() const { return {.folder = folder.empty() ? exec::DatasetFolder(*env) : folder}; }
  Status Print(const std::string& text) const { return env->standard_output().Append(text); }

  Status List() const {
    exec::DatasetStore store(*env, Where());
    std::vector<Status> unreadable;
    ASSIGN_OR_RETURN(const std::vector<exec::DatasetInfo> all, store.List(&unreadable));
    for (const Status& status : unreadable) base::LogWarning("{}", status.message());
    if (as_json) {
      json rows = json::array();
      for (const exec::DatasetInfo& info : all) rows.push_back(ToJson(info));
      return Print(rows.dump(2) + "\n");
    }
    TextTable text({"DATASET", "ROWS", "PARTITIONS", "ON DISK", "MADE", "READ"});
    for (const exec::DatasetInfo& info : all) {
      text.Add({info.name, std::to_string(info.rows), std::to_string(info.partitions), Bytes(info.file_bytes),
                TimeText(info.head.made_wall_nanos / kNanosPerMilli), TimeText(info.read_wall_nanos / kNanosPerMilli)});
    }
    return Print(text.ToText());
  }
  Status Describe() const {
    exec::DatasetStore store(*env, Where());
    ASSIGN_OR_RETURN(const exec::DatasetInfo info, store.Describe(name));
    return Print(as_json ? ToJson(info).dump(2) + "\n" : ToText(info));
  }
  Status Drop() const {
    exec::DatasetStore store(*env, Where());
    return store.Drop(name);
  }
};

DatasetCommands::DatasetCommands(CLI::App* app) : options_(std::make_unique<Options>()) {
  Options& o = *options_;
  CLI::App* datasets = app->add_subcommand("dataset", "Looks at the datasets that OnDisk has kept, and drops them.");
  datasets->footer("Example:\n  glim dataset list");
  datasets->require_subcommand(1);
  o.list = datasets->add_subcommand("list", "Lists them.");
  o.list->footer("Example:\n  glim dataset list");
  o.describe = datasets->add_subcommand("describe", "Tells what a dataset is and holds.");
  o.describe->footer("Example:\n  glim dataset describe words");
  o.drop = datasets->add_subcommand("drop", "Takes a dataset away; flows that read it at the moment go on.");
  o.drop->footer("Example:\n  glim dataset drop words");
  for (CLI::App* command : {o.list, o.describe, o.drop}) {
    command
        ->add_option("--dataset-dir", o.folder,
                     "where they are; glim/datasets below $XDG_DATA_HOME or ~/.local/share when not given")
        ->envname("GLIM_DATASET_DIR");
  }
  for (CLI::App* command : {o.list, o.describe}) command->add_flag("--json", o.as_json, "as JSON");
  for (CLI::App* command : {o.describe, o.drop})
    command->add_option("dataset", o.name, "the dataset's name")->required();
}

DatasetCommands::~DatasetCommands() = default;

std::optional<int> DatasetCommands::Run() {
  if (options_->list->parsed()) return ExitCode(options_->List());
  if (options_->describe->parsed()) return ExitCode(options_->Describe());
  if (options_->drop->parsed()) return ExitCode(options_->Drop());
  return std::nullopt;
}

}  // namespace glim::app
