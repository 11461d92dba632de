// SPDX-License-Identifier: Apache-2.0
//
// The places where tables live, for tests that hold in each of them: this process, and a cluster of a master and three
// servers over TCP, with two copies of each shard.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cluster/master_process.h"
#include "cluster/server_process.h"
#include "param/catalogue.h"
#include "param/cluster_client.h"

namespace glim::cluster {

// Where tables live, and another program that uses it, with an `env` of its own.
class TablePlace {
 public:
  virtual ~TablePlace() = default;
  virtual param::TableStore& tables() = 0;
  virtual std::unique_ptr<TablePlace> Other(env::Env& env) = 0;

  // With as many copies as the place has.
  virtual Result<TableHandle> CreateTable(TableSpec spec) { return tables().CreateTable(std::move(spec)); }
  Result<TableHandle> OpenTable(const std::string& name) { return tables().OpenTable(name); }
  Result<TableHandle> LoadTable(const std::string& folder, const std::string& name) {
    return tables().LoadTable(folder, name);
  }
  std::vector<std::string> TableNames() {
    std::vector<std::string> names;
    for (const TableInfo& info : tables().ListTables().value()) names.push_back(info.spec.name);
    return names;
  }
};

class EmbeddedPlace final : public TablePlace {
 public:
  explicit EmbeddedPlace(env::Env& env) : catalogue_(env) {}
  param::TableStore& tables() override { return catalogue_; }
  std::unique_ptr<TablePlace> Other(env::Env& env) override { return std::make_unique<EmbeddedPlace>(env); }

 private:
  param::Catalogue catalogue_;
};

// A cluster as long as somebody uses it.
class TestCluster {
 public:
  explicit TestCluster(uint32_t servers, uint64_t memory_max = uint64_t{1} << 30)
      : env_(env::MakePosixEnv()), folder_(env_->files().MakeTemporaryFolder("glim-cluster").value()) {
    master_ = std::make_unique<MasterProcess>(
        *env_, MasterProcessOptions{.address = "127.0.0.1:0", .folder = folder_, .key = nullptr, .master = {}},
        nullptr);
    if (const Status status = master_->Start(); !status.ok()) ADD_FAILURE() << status.message();
    for (uint32_t i = 1; i <= servers; ++i) {
      ServerProcessOptions options;
      options.master = master_->address();
      options.node = i;
      options.memory_max = memory_max;
      servers_.push_back(std::make_unique<ServerProcess>(*env_, std::move(options), nullptr));
      if (const Status status = servers_.back()->Start(); !status.ok()) ADD_FAILURE() << status.message();
    }
  }
  ~TestCluster() {
    servers_.clear();
    master_.reset();
    (void)env_->files().RemoveAll(folder_);
  }
  env::Env& env() { return *env_; }
  std::string master() const { return master_->address(); }

 private:
  const std::unique_ptr<env::Env> env_;
  const std::string folder_;
  std::unique_ptr<MasterProcess> master_;
  std::vector<std::unique_ptr<ServerProcess>> servers_;
};

class ServersPlace final : public TablePlace {
 public:
  ServersPlace(env::Env& env, std::shared_ptr<TestCluster> cluster, uint32_t replicas = 2,
               param::ClusterClientOptions options = {})
      : cluster_(std::move(cluster)), replicas_(replicas), client_(env, WithMaster(std::move(options))) {}

  param::ClusterClient& tables() override { return client_; }
  Result<TableHandle> CreateTable(TableSpec spec) override {
    spec.replicas = replicas_;
    return client_.CreateTable(std::move(spec));
  }
  std::unique_ptr<TablePlace> Other(env::Env& env) override { return std::make_unique<ServersPlace>(env, cluster_); }

 private:
  param::ClusterClientOptions WithMaster(param::ClusterClientOptions options) {
    options.master = cluster_->master();
    return options;
  }

  const std::shared_ptr<TestCluster> cluster_;
  const uint32_t replicas_;
  param::ClusterClient client_;
};

// What a suite is instantiated with.
struct PlaceKind {
  const char* name;
  bool on_servers;
};
inline std::unique_ptr<TablePlace> MakePlace(const PlaceKind& kind, env::Env& env) {
  if (!kind.on_servers) return std::make_unique<EmbeddedPlace>(env);
  return std::make_unique<ServersPlace>(env, std::make_shared<TestCluster>(3));
}
inline constexpr PlaceKind kEmbedded{"Embedded", false};
inline constexpr PlaceKind kOnServers{"OnServers", true};
inline std::string PlaceName(const testing::TestParamInfo<PlaceKind>& info) { return info.param.name; }

#define GLIM_IN_ALL_PLACES(Suite) \
  INSTANTIATE_TEST_SUITE_P(Place, Suite, testing::Values(kEmbedded, kOnServers), PlaceName)

}  // namespace glim::cluster
