// SPDX-License-Identifier: Apache-2.0
#include "param/cluster_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/try.h"
#include "param/cluster_network.h"
#include "param/model_folder.h"
#include "param/remote_table.h"
#include "table/manifest.h"
#include "table/partitioner.h"

namespace glim::param {
namespace {

constexpr int64_t kAwaitServersNanos = 3'000'000'000;
constexpr int64_t kAskAgainNanos = 100'000'000;
constexpr uint32_t kDefaultShards = 16;

}  // namespace

SharedBytes EncodeTableSpec(const TableSpec& spec, uint64_t made) {
  table::Manifest manifest;
  manifest.spec = spec;
  manifest.model_id = made;
  return SharedBytes::Of(table::EncodeManifest(manifest));
}

Result<TableSpec> DecodeTableSpec(const SharedBytes& bytes, uint64_t* made) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.bytes.data()), bytes.bytes.size());
  ASSIGN_OR_RETURN(const table::Manifest manifest, table::DecodeManifest(text));
  if (made != nullptr) *made = manifest.model_id;
  return CheckTableSpec(manifest.spec);
}

ClusterClient::ClusterClient(env::Env& env, ClusterClientOptions options)
    : env_(env), network_(std::make_shared<ClusterNetwork>(env, std::move(options))) {}

ClusterClient::~ClusterClient() { network_->Stop(); }

void ClusterClient::GiveUp() { network_->Stop(); }

Status ClusterClient::Ping() { return network_->Ask<TableAnswer>(TableQuery{}).status(); }

Result<StatusAnswer> ClusterClient::DescribeCluster() { return network_->Ask<StatusAnswer>(StatusQuery{}); }

Result<DrainAnswer> ClusterClient::DrainServer(uint32_t server, bool draining) {
  ASSIGN_OR_RETURN(DrainAnswer answer, network_->Ask<DrainAnswer>(DrainChange{0, server, draining}));
  if (answer.code != Code::kOk) return Status(answer.code, answer.error);
  return answer;
}

Result<bool> ClusterClient::ReportJob(JobStatus job) {
  ASSIGN_OR_RETURN(const JobReportAnswer answer, network_->Ask<JobReportAnswer>(JobReport{0, std::move(job)}));
  return answer.cancel;
}

Result<uint64_t> ClusterClient::AddToJobLog(const std::string& id, uint64_t from, std::string text) {
  ASSIGN_OR_RETURN(const JobLogPieceAnswer answer,
                   network_->Ask<JobLogPieceAnswer>(JobLogPiece{0, id, from, SharedBytes::Of(std::move(text))}));
  if (answer.code != Code::kOk) return Status(answer.code, answer.error);
  return answer.end;
}

Result<ClusterClient::JobLog> ClusterClient::ReadJobLog(const std::string& id, uint64_t from) {
  ASSIGN_OR_RETURN(const JobLogAnswer answer, network_->Ask<JobLogAnswer>(JobLogQuery{0, id, from}));
  if (answer.code != Code::kOk) return Status(answer.code, answer.error);
  const std::span<const std::byte> bytes = answer.text.bytes;
  return JobLog{std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), answer.size, answer.running};
}

Status ClusterClient::CancelJob(const std::string& id) {
  ASSIGN_OR_RETURN(const CancelJobAnswer answer, network_->Ask<CancelJobAnswer>(param::CancelJob{0, id}));
  return answer.code == Code::kOk ? Status::Ok() : Status(answer.code, answer.error);
}

Result<std::vector<TableInfo>> ClusterClient::ListTables() {
  ASSIGN_OR_RETURN(const TableAnswer answer, network_->Ask<TableAnswer>(TableQuery{}));
  std::vector<TableInfo> infos;
  for (const TableEntry& entry : answer.tables) {
    auto info = DescribeTable(entry.name);
    if (!info.ok() && info.status().code() == Code::kNotFound) continue;  // It was dropped meanwhile.
    if (!info.ok()) return std::move(info).status();
    infos.push_back(*std::move(info));
  }
  std::sort(infos.begin(), infos.end(),
            [](const TableInfo& a, const TableInfo& b) { return a.spec.name < b.spec.name; });
  return infos;
}

Result<TableInfo> ClusterClient::DescribeTable(const std::string& name) {
  ASSIGN_OR_RETURN(const TableHandle table, OpenTable(name));
  return table->Describe();
}

struct ClusterClient::Found {
  uint64_t id = 0;
  uint64_t made = 0;
  TableSpec spec;
};

Result<TableHandle> ClusterClient::CreateTable(TableSpec spec) {
  if (spec.shards == 0) spec.shards = kDefaultShards;
  ASSIGN_OR_RETURN(spec, CheckTableSpec(std::move(spec)));
  // No shard of a dense table shall be without keys.
  if (spec.keys.key_count > 0) {
    spec.shards = static_cast<uint32_t>(std::min<uint64_t>(spec.shards, spec.keys.key_count));
  }
  RETURN_IF_ERROR(table::TakePartitionPrint(&spec));
  const uint64_t made = env_.RandomSeed();
  const TableChange create{
      0,
      TableAction::kCreate,
      {0, spec.name, spec.shards, spec.replicas, spec.durability == Durability::kDisk, EncodeTableSpec(spec, made)}};
  // Servers that were started a moment ago may not have told the master yet.
  const int64_t until = env_.clock().MonotonicNanos() + kAwaitServersNanos;
  while (true) {
    bool asked_again = false;
    ASSIGN_OR_RETURN(const TableAnswer answer, network_->AskAgain<TableAnswer>(create, &asked_again));
    if (answer.code == Code::kOk) return OpenTable(spec.name);
    if (asked_again && answer.code == Code::kInvalid) {
      // There is one already; a master that went before it answered may have made it for us.
      const auto found = Find(spec.name);
      if (found.ok() && found->made == made) return Open(*found);
    }
    if (answer.code != Code::kUnavailable || env_.clock().MonotonicNanos() >= until) {
      return Status(answer.code, answer.error);
    }
    env_.clock().SleepFor(kAskAgainNanos);
  }
}

Result<ClusterClient::Found> ClusterClient::Find(const std::string& name) {
  ASSIGN_OR_RETURN(const TableAnswer answer, network_->AskAgain<TableAnswer>(TableQuery{0, name}));
  if (answer.code != Code::kOk) return Status(answer.code, answer.error);
  if (answer.tables.size() != 1) return Status::Corrupt("the master answered with other tables");
  const TableEntry& entry = answer.tables[0];
  Found found{entry.id, 0, {}};
  ASSIGN_OR_RETURN(found.spec, DecodeTableSpec(entry.spec, &found.made));
  if (found.spec.shards != entry.shards) return Status::Corrupt("the master answered with another number of shards");
  return found;
}

// The table is made in the network thread, and all of a client's handles share it.
Result<TableHandle> ClusterClient::Open(const Found& found) {
  auto promise = std::make_shared<Promise<std::shared_ptr<RemoteTable>>>();
  Future<std::shared_ptr<RemoteTable>> table = promise->GetFuture();
  RETURN_IF_ERROR(network_->Post([network = network_, found, promise] {
    promise->Set(std::static_pointer_cast<RemoteTable>(network->FindOrAdd(
        found.id, [&] { return std::make_shared<RemoteTable>(network, found.id, found.made, found.spec); })));
  }));
  promise.reset();  // When it was dropped with the loop, the future says so.
  ASSIGN_OR_RETURN(std::shared_ptr<RemoteTable> made, std::move(table).Get());
  return TableHandle(std::move(made));
}

Result<TableHandle> ClusterClient::OpenTable(const std::string& name, std::optional<ValueType> value_type) {
  ASSIGN_OR_RETURN(const Found found, Find(name));
  RETURN_IF_ERROR(CheckValueType(found.spec, value_type));
  return Open(found);
}

Result<TableHandle> ClusterClient::OpenTable(const TableAddress& address) {
  ASSIGN_OR_RETURN(const Found found, Find(address.name));
  RETURN_IF_ERROR(CheckIsSame(address, found.spec, found.made));
  return Open(found);
}

Result<TableHandle> ClusterClient::LoadTable(const std::string& folder, const std::string& name,
                                             const LoadOptions& options) {
  auto manifest = ReadManifest(env_.files(), folder);
  if (!manifest.ok()) return std::move(manifest).status().With("loading a table");
  TableSpec spec = manifest->spec;
  if (!name.empty()) spec.name = name;
  spec.shards = 0;
  ASSIGN_OR_RETURN(TableHandle table, CreateTable(std::move(spec)));
  if (Status status = table->Load(folder, options); !status.ok()) {
    (void)table->Drop();  // Nobody is to find an empty one.
    return status;
  }
  return table;
}

Status ClusterClient::DropTable(const std::string& name) { return network_->DropTable(name); }

}  // namespace glim::param
