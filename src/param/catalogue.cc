// SPDX-License-Identifier: Apache-2.0
#include "param/catalogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/try.h"
#include "param/embedded_table.h"
#include "param/model_folder.h"
#include "table/partitioner.h"

namespace glim::param {

namespace {
// More than one for each core, so that two threads seldom want the same; not too many, so that a mini-batch does not
// fall into crumbs.
constexpr uint32_t kShardsPerCore = 4;
}  // namespace

Status CheckValueType(const TableSpec& spec, std::optional<ValueType> value_type) {
  if (!value_type || spec.value_type == *value_type) return Status::Ok();
  return Status::Invalid(fmt::format("table \"{}\" holds {}, not {}", spec.name, ValueTypeName(spec.value_type),
                                     ValueTypeName(*value_type)));
}

Catalogue::Catalogue(env::Env& env) : env_(env) {}

Result<TableHandle> Catalogue::CreateTable(TableSpec spec) {
  ASSIGN_OR_RETURN(spec, Complete(std::move(spec)));
  if (spec.durability == Durability::kDisk) {
    return Status::Invalid(fmt::format(
        "table \"{}\": durability disk is for tables on servers; one in this program can be saved (Save)", spec.name));
  }
  auto table = MakeTable(std::move(spec));
  RETURN_IF_ERROR(Enter(table));
  return TableHandle(std::move(table));
}

Result<TableHandle> Catalogue::OpenTable(const std::string& name, std::optional<ValueType> value_type) {
  ASSIGN_OR_RETURN(auto table, Find(name));
  RETURN_IF_ERROR(CheckValueType(table->spec(), value_type));
  return TableHandle(std::move(table));
}

Result<TableHandle> Catalogue::OpenTable(const TableAddress& address) {
  auto table = Find(address.name);
  if (!table.ok()) {
    return std::move(table).status().With("a handle of a table in the program that made it, and in no other");
  }
  RETURN_IF_ERROR(CheckIsSame(address, (*table)->spec(), (*table)->id()));
  return TableHandle(*std::move(table));
}

Result<TableHandle> Catalogue::LoadTable(const std::string& folder, const std::string& name,
                                         const LoadOptions& options) {
  Result<table::Manifest> manifest = ReadManifest(env_.files(), folder);
  if (!manifest.ok()) return std::move(manifest).status().With("loading a table");
  TableSpec spec = manifest->spec;
  if (!name.empty()) spec.name = name;
  spec.shards = 0;
  spec.durability = Durability::kMemory;
  ASSIGN_OR_RETURN(spec, Complete(std::move(spec)));
  auto table = MakeTable(std::move(spec));
  RETURN_IF_ERROR(table->Load(folder, options));
  RETURN_IF_ERROR(Enter(table));
  return TableHandle(std::move(table));
}

Result<std::vector<TableInfo>> Catalogue::ListTables() {
  std::vector<std::shared_ptr<EmbeddedTable>> tables;
  {
    std::lock_guard lock(names_->mutex);
    for (const auto& [name, table] : names_->tables) tables.push_back(table);
  }
  std::vector<TableInfo> infos;
  for (const auto& table : tables) {
    // One that was dropped meanwhile is left out.
    if (Result<TableInfo> info = table->Describe(); info.ok()) infos.push_back(*std::move(info));
  }
  return infos;
}

Result<TableInfo> Catalogue::DescribeTable(const std::string& name) {
  ASSIGN_OR_RETURN(auto table, Find(name));
  return table->Describe();
}

Status Catalogue::DropTable(const std::string& name) {
  ASSIGN_OR_RETURN(auto table, Find(name));
  return table->Drop();
}

Result<TableSpec> Catalogue::Complete(TableSpec spec) const {
  ASSIGN_OR_RETURN(spec, CheckTableSpec(std::move(spec)));
  if (spec.shards == 0) spec.shards = kShardsPerCore * static_cast<uint32_t>(std::max(1, env_.machine().cores));
  // No shard of a dense table shall be without keys.
  if (spec.keys.key_count > 0)
    spec.shards = static_cast<uint32_t>(std::min<uint64_t>(spec.shards, spec.keys.key_count));
  RETURN_IF_ERROR(table::TakePartitionPrint(&spec));
  return spec;
}

std::shared_ptr<EmbeddedTable> Catalogue::MakeTable(TableSpec spec) {
  return std::make_shared<EmbeddedTable>(env_, std::move(spec),
                                         [names = std::weak_ptr(names_)](EmbeddedTable* dropped) {
                                           auto alive = names.lock();
                                           if (!alive) return;
                                           std::shared_ptr<EmbeddedTable> last;  // Dies after the lock is given back.
                                           std::lock_guard lock(alive->mutex);
                                           auto found = alive->tables.find(dropped->spec().name);
                                           if (found == alive->tables.end() || found->second.get() != dropped) return;
                                           last = std::move(found->second);
                                           alive->tables.erase(found);
                                         });
}

Status Catalogue::Enter(std::shared_ptr<EmbeddedTable> table) {
  const TableSpec& spec = table->spec();
  std::lock_guard lock(names_->mutex);
  auto [entry, is_new] = names_->tables.try_emplace(spec.name, table);
  if (is_new) return Status::Ok();
  const TableSpec& other = entry->second->spec();
  if (other == spec) {
    return Status::Invalid(fmt::format(
        "there is a table \"{}\" already; open it (OpenTable, in Lua glim.open_table), or drop it first", spec.name));
  }
  auto text = [](const TableSpec& s) {
    return fmt::format("{}, {} x {}, {}", ToString(s.keys), s.is_variable() ? "variable" : std::to_string(s.width),
                       ValueTypeName(s.value_type), ToString(s.rule));
  };
  return Status::Invalid(
      fmt::format("there is another table \"{}\" already ({}; asked for: {}); choose another name, or drop it first",
                  spec.name, text(other), text(spec)));
}

Result<std::shared_ptr<EmbeddedTable>> Catalogue::Find(const std::string& name) {
  std::lock_guard lock(names_->mutex);
  if (auto found = names_->tables.find(name); found != names_->tables.end()) return found->second;
  std::string known;
  for (const auto& [other, table] : names_->tables) known += fmt::format("{}\"{}\"", known.empty() ? "" : ", ", other);
  return Status::NotFound(
      fmt::format("there is no table \"{:.100}\"; there is {}", name, known.empty() ? std::string("none") : known));
}

}  // namespace glim::param
