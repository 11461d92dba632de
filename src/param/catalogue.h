// SPDX-License-Identifier: Apache-2.0
//
// The tables of this process, by name. A session owns one.
//
//   ASSIGN_OR_RETURN(TableHandle table, catalogue.CreateTable(MakeTableSpec<float>("ctr", SparseKeys(), Ftrl{})));
//   Table<float> model(catalogue.OpenTable("ctr", ValueType::kF32));
//
// A table lives until it is dropped, or until the catalogue and all handles to it are gone.
//
// Thread: any.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "env/env.h"
#include "glim/table.h"
#include "param/table_store.h"

namespace glim::param {

class EmbeddedTable;

class Catalogue final : public TableStore {
 public:
  // `env` must live as long as the tables.
  explicit Catalogue(env::Env& env);
  Catalogue(const Catalogue&) = delete;

  Status Ping() override { return Status::Ok(); }
  // shards == 0: four for each core.
  Result<TableHandle> CreateTable(TableSpec spec) override;
  Result<TableHandle> OpenTable(const std::string& name, std::optional<ValueType> value_type = std::nullopt) override;
  Result<TableHandle> OpenTable(const TableAddress& address) override;
  Result<TableHandle> LoadTable(const std::string& folder, const std::string& name = "",
                                const LoadOptions& options = {}) override;
  Result<std::vector<TableInfo>> ListTables() override;
  Result<TableInfo> DescribeTable(const std::string& name) override;
  Status DropTable(const std::string& name) override;

 private:
  // Shared with the tables, which take their names out when they are dropped.
  struct Names {
    std::mutex mutex;
    std::map<std::string, std::shared_ptr<EmbeddedTable>> tables;
  };

  Result<TableSpec> Complete(TableSpec spec) const;
  std::shared_ptr<EmbeddedTable> MakeTable(TableSpec spec);
  Status Enter(std::shared_ptr<EmbeddedTable> table);
  Result<std::shared_ptr<EmbeddedTable>> Find(const std::string& name);

  env::Env& env_;
  std::shared_ptr<Names> names_ = std::make_shared<Names>();
};

}  // namespace glim::param
