// SPDX-License-Identifier: Apache-2.0
//
// A program's way to the tables of a cluster: it asks the master where their shards are, and pushes and pulls at the
// servers. Tables that it opens are TableClients like the embedded ones.
//
//   this file           what there is: tables are created, opened, listed, dropped
//   remote_table.h      a table: requests are checked, split by shard and encoded
//   shard_link.h        one shard of it: pushes are numbered and sent until they are answered, pulls asked again
//                       elsewhere when a server is gone
//   cluster_network.h   connections, questions to the master, the bound on what is under way
//
// One thread talks to the network. Thread: any.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "env/env.h"
#include "glim/table.h"
#include "net/key.h"
#include "param/replication/messages.h"
#include "param/table_store.h"

namespace glim::param {

struct ClusterClientOptions {
  std::string master;                   // host:port
  std::shared_ptr<const net::Key> key;  // Null: this machine only.
  std::string name = "client";          // For logs: a-z, 0-9 and -.
  int64_t call_nanos = 10'000'000'000;  // For questions to the master.
  // The master is known to be there: when it is away, and be it at the first question, tables wait for it, up to
  // call_nanos. Else they do so once it has answered.
  bool master_is_known = false;
  uint64_t under_way_bytes_max = 64 << 20;  // Of requests, and of rows that are being answered.
};

class ClusterNetwork;

class ClusterClient final : public TableStore {
 public:
  ClusterClient(env::Env& env, ClusterClientOptions options);
  // Tables that are still open answer kCancelled from then on.
  ~ClusterClient() override;
  ClusterClient(const ClusterClient&) = delete;

  // Ok when the master answers; else why not.
  Status Ping() override;
  // How the cluster is, as its master sees it.
  Result<StatusAnswer> DescribeCluster();
  // A server is to hand over its shards, or need not any more; and how far it is.
  Result<DrainAnswer> DrainServer(uint32_t server, bool draining);
  // Tells the master how a job of this program goes on; true when somebody wants it to end.
  Result<bool> ReportJob(JobStatus job);
  // Adds to the job's log; returns up to where it need not come again.
  Result<uint64_t> AddToJobLog(const std::string& id, uint64_t from, std::string text);
  struct JobLog {
    std::string text;      // Some of it; empty when `from` is its end.
    uint64_t size = 0;     // Of all until now.
    bool running = false;  // The job; more may come.
  };
  // kNotFound when there is no log of this job (any more).
  Result<JobLog> ReadJobLog(const std::string& id, uint64_t from);
  // kNotFound when no such job runs.
  Status CancelJob(const std::string& id);
  // Ends what other threads ask, and refuses what they will, with kCancelled: so that nobody waits at the end of a
  // program for a master that is down. The destructor and this: one thread.
  void GiveUp();
  // spec.shards == 0: 16. Waits for some seconds until there are as many servers as replicas.
  Result<TableHandle> CreateTable(TableSpec spec) override;
  Result<TableHandle> OpenTable(const std::string& name, std::optional<ValueType> value_type = std::nullopt) override;
  Result<TableHandle> OpenTable(const TableAddress& address) override;
  Result<TableHandle> LoadTable(const std::string& folder, const std::string& name = "",
                                const LoadOptions& options = {}) override;
  Result<std::vector<TableInfo>> ListTables() override;
  Result<TableInfo> DescribeTable(const std::string& name) override;
  Status DropTable(const std::string& name) override;

 private:
  struct Found;
  Result<Found> Find(const std::string& name);
  Result<TableHandle> Open(const Found& found);

  env::Env& env_;
  const std::shared_ptr<ClusterNetwork> network_;
};

// A table's description as the master keeps it, and back. `made` is a random number, another one each time that a table
// is made.
SharedBytes EncodeTableSpec(const TableSpec& spec, uint64_t made);
Result<TableSpec> DecodeTableSpec(const SharedBytes& bytes, uint64_t* made = nullptr);

}  // namespace glim::param
