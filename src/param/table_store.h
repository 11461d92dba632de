// SPDX-License-Identifier: Apache-2.0
//
// Where the tables of a session live: in this process (catalogue.h) or on the servers of a cluster (cluster_client.h).
// Tables are found by name; a program sees no difference but in what may go wrong.
//
// Thread: any.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "glim/table.h"
#include "param/table_address.h"

namespace glim::param {

class TableStore {
 public:
  virtual ~TableStore() = default;

  // Ok when tables can be made and opened; else why not. Asks the cluster.
  virtual Status Ping() = 0;

  // kInvalid when the name is taken or the spec makes no sense; kUnavailable when there are fewer servers than
  // replicas. shards == 0: chosen.
  virtual Result<TableHandle> CreateTable(TableSpec spec) = 0;
  // kNotFound when there is none, kInvalid when it holds values of another type.
  virtual Result<TableHandle> OpenTable(const std::string& name,
                                        std::optional<ValueType> value_type = std::nullopt) = 0;
  // The table that a handle stands for, when it is here and the one it was.
  virtual Result<TableHandle> OpenTable(const TableAddress& address) = 0;
  // A new table from a saved model, under the name it was saved with or another one.
  virtual Result<TableHandle> LoadTable(const std::string& folder, const std::string& name = "",
                                        const LoadOptions& options = {}) = 0;
  // By name.
  virtual Result<std::vector<TableInfo>> ListTables() = 0;
  virtual Result<TableInfo> DescribeTable(const std::string& name) = 0;
  // Handles that were opened before answer kNotFound from then on.
  virtual Status DropTable(const std::string& name) = 0;
};

// kInvalid when the table that was opened holds another type than was asked for.
Status CheckValueType(const TableSpec& spec, std::optional<ValueType> value_type);

}  // namespace glim::param
