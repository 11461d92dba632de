// SPDX-License-Identifier: Apache-2.0
//
// Datasets that outlive the program which made them, by their names, in a folder of this machine.
//
//   NAME/rows        the rows (dataset_file.h)
//   NAME/READ        empty; changed when the dataset was read last
//   .new-0123...     one that is being written, with its LOCK held by who writes it, or one that is going
//
// A dataset comes into being by the rename of its folder, so it is whole or not there, and of two programs that make
// the same one at once the first has the name. The folder may be one that machines share.
//
// What is dropped while somebody reads it goes on for him: he has the file open. So nothing has to be pinned, and a
// reader that is killed leaves nothing behind.
//
// Thread: any, and any number of processes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "env/env.h"
#include "exec/cache_space.h"
#include "exec/dataset_file.h"
#include "flow/graph.h"
#include "glim/status.h"

namespace glim::exec {

struct DatasetStoreOptions {
  std::string folder;     // Made when a dataset is first kept; empty: there is none to be had.
  int64_t bytes_max = 0;  // Of all datasets together, beyond which those go that nobody has read for longest; 0: none.
};

struct DatasetInfo {
  std::string name;
  DatasetHead head;
  int partitions = 0;
  int64_t rows = 0;
  int64_t file_bytes = 0;
  int64_t plain_bytes = 0;
  int64_t read_wall_nanos = 0;  // When it was read last, or made.
};

class DatasetStore {
 public:
  // `env` outlives this.
  DatasetStore(env::Env& env, DatasetStoreOptions options) : env_(env), options_(std::move(options)) {}
  DatasetStore(const DatasetStore&) = delete;

  const std::string& folder() const { return options_.folder; }

  // For reading. kNotFound when there is none of this name.
  Result<std::shared_ptr<const DatasetFile>> Open(const std::string& name);
  // Writes the rows of a cache under `name`, and gives what was written. When there is one of this name by now, that
  // one stays, and what is given goes with the last who has it. `stop` is asked now and then. kExhausted when the disk
  // is full, or the dataset is larger than all may be.
  Result<std::shared_ptr<const DatasetFile>> Keep(const std::string& name, DatasetHead head, const KeptRows& rows,
                                                  int partitions, const std::function<Status()>& stop);
  // By name. Those that cannot be read are left out, and `unreadable` has why.
  Result<std::vector<DatasetInfo>> List(std::vector<Status>* unreadable);
  Result<DatasetInfo> Describe(const std::string& name);
  // kNotFound when there is none.
  Status Drop(const std::string& name);

 private:
  std::string PathOf(const std::string& name) const;
  std::string NewFolder() const;
  Status NotThere(const std::string& name) const;
  Status Write(const std::string& path, DatasetHead head, const KeptRows& rows, int partitions,
               const std::function<Status()>& stop);
  Status RemoveLeftovers();
  Status MakeRoom(int64_t bytes);

  env::Env& env_;
  const DatasetStoreOptions options_;
};

// $GLIM_DATASET_DIR, else glim/datasets below $XDG_DATA_HOME or ~/.local/share. Empty: none of them is there.
std::string DatasetFolder(env::Env& env);

// Before a run: each OnDisk and FromDisk of the flow whose dataset is there has its rows from then on. kNotFound for a
// FromDisk without one; kInvalid when a dataset was made by other steps than stand before the OnDisk of its name.
Status OpenDatasets(DatasetStore& store, const flow::Graph& graph);
bool HasDatasets(const flow::Graph& graph);

}  // namespace glim::exec
