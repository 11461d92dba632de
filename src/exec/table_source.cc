// SPDX-License-Identifier: Apache-2.0
#include "exec/table_source.h"

#include "base/try.h"
#include "ops/table_steps.h"
#include "param/forwarding_table.h"
#include "param/remote_table.h"

namespace glim::exec {
namespace {

class TableReader : public io::Reader {
 public:
  TableReader(TableHandle table, uint32_t shard) : table_(std::move(table)) { cursor_.shard = shard; }

  Result<std::optional<Batch>> Next() override {
    while (!cursor_.done) {
      RETURN_IF_ERROR(table_->Scan(&cursor_, ops::kRowsPerBatch, &chunk_));
      if (chunk_.keys.empty()) continue;
      const auto rows = static_cast<int64_t>(chunk_.keys.size());
      const std::vector<int64_t> keys(chunk_.keys.begin(), chunk_.keys.end());
      std::vector<Column> columns = {Column::FromInt64s(keys)};
      for (Column& column : ops::TableColumns(table_->spec(), chunk_.values, rows))
        columns.push_back(std::move(column));
      return std::optional<Batch>(Batch(std::move(columns), rows));
    }
    return std::optional<Batch>();
  }

 private:
  TableHandle table_;
  ScanCursor cursor_;
  RowChunk chunk_;
};

class TableSource : public io::Source {
 public:
  explicit TableSource(TableHandle table) : table_(std::move(table)) {}
  std::string Describe() const override { return "Table(\"" + table_->spec().name + "\")"; }
  Result<std::vector<io::Split>> MakeSplits(env::Env&, const io::SplitOptions&) const override {
    RETURN_IF_ERROR(table_->status());
    if (table_->spec().is_variable()) {
      return Status::Invalid(Describe() + ": rows of variable length cannot be read as a dataset");
    }
    ASSIGN_OR_RETURN(const TableInfo info, table_->Describe());
    // Describe has asked all of them.
    std::vector<std::string> primaries(info.spec.shards);
    if (const auto remote = std::dynamic_pointer_cast<param::RemoteTable>(param::ReboundTable::Now(table_)))
      primaries = remote->PrimaryAddresses();
    std::vector<io::Split> splits;
    for (uint32_t shard = 0; shard < info.spec.shards; ++shard) {
      splits.push_back({"", shard, shard + 1, static_cast<int64_t>(info.memory_bytes / info.spec.shards)});
      splits.back().near = primaries[shard].substr(0, primaries[shard].rfind(':'));
    }
    return splits;
  }
  Result<std::unique_ptr<io::Reader>> Open(env::Env&, const io::Split& split) const override {
    return std::unique_ptr<io::Reader>(std::make_unique<TableReader>(table_, static_cast<uint32_t>(split.begin)));
  }

 private:
  TableHandle table_;
};

}  // namespace

std::unique_ptr<io::Source> MakeTableSource(TableHandle table) {
  return std::make_unique<TableSource>(std::move(table));
}

}  // namespace glim::exec
