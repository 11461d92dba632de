// SPDX-License-Identifier: Apache-2.0
#include "glim/training.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/try.h"
#include "client/session_parts.h"
#include "client/training_state.h"
#include "env/env.h"
#include "env/path.h"
#include "exec/checkpoints.h"
#include "flow/graph.h"
#include "param/cluster_client.h"
#include "param/forwarding_table.h"
#include "param/remote_table.h"

namespace glim {
namespace {

constexpr std::string_view kState = "training";
constexpr std::string_view kNewState = "training.new";
constexpr std::string_view kLock = "lock";
constexpr std::string_view kSnapshot = "snapshot-";
constexpr uint64_t kStateBytesMax = 64 << 20;
constexpr int64_t kSettleNanos = 10'000'000'000;  // Servers that are lost were replaced by then, where they can be.
constexpr int64_t kLookNanos = 500'000'000;
constexpr int kRollBacksMax = 3;  // Without a snapshot in between.
constexpr int kTries = 10;        // Of a snapshot, when servers go that hold a part of it.

bool Contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

class Training::Impl : public exec::Checkpoints {
 public:
  Impl(Session& session, TrainingOptions options)
      : session_(session), options_(std::move(options)), env_(*session.parts().env), files_(env_.files()) {}
  ~Impl() override { (void)FinishWriting(); }

  Result<TableHandle> CreateTable(TableSpec spec);
  Status Run(const GraphOf& graph_of);
  int64_t passes_done() const { return state_.passes; }

  Result<std::vector<bool>> Begin(const exec::TrainingParts& parts) override;
  bool Due() override;
  Status Take(const std::vector<bool>& done) override {
    state_.stages[at_ - 1].done = done;
    return TakeSnapshot();
  }
  void End() override {
    std::vector<bool>& done = state_.stages[at_ - 1].done;
    done.assign(done.size(), true);
  }
  Status BetweenPassesOnly(const Status& why) override;

 private:
  // Another process does the work, or nobody does.
  bool OnlyLooks() const { return session_.on_executor() || session_.parts().options.explain; }
  std::string PathOf(std::string_view name) const { return env::JoinPath(options_.folder, std::string(name)); }
  std::string SnapshotOf(uint64_t number) const { return PathOf(fmt::format("{}{}", kSnapshot, number)); }
  static std::string TableIn(const std::string& snapshot, const std::string& table) {
    return env::JoinPath(snapshot, "table-" + table);
  }
  Status Words(Status status) const {
    return status.ok() ? status : std::move(status).With(fmt::format("training in \"{}\"", options_.folder));
  }

  // With the first call.
  Status Open();
  Status ReadState();
  Status WriteState(const TrainingState& state);
  Result<TableHandle> MakeTable(TableSpec spec);
  Status LoadSnapshot(const TableHandle& table);
  Result<std::vector<std::string>> LostTables();
  Status RollBack(Status why);
  Status RunPasses(const GraphOf& graph_of);
  Status RunPass(const std::shared_ptr<flow::Graph>& graph);
  Status TakeSnapshot();
  Status TakeLastSnapshot();
  struct Writing;
  Status TakeMoments(Writing* writing);
  Status Write(const Writing& writing, const std::string& folder);
  Status FinishWriting();
  void RemoveOldSnapshots(uint64_t number);

  Session& session_;
  const TrainingOptions options_;
  env::Env& env_;
  env::FileSystem& files_;
  bool opened_ = false;
  Status broken_;  // Why it cannot go on.
  std::unique_ptr<env::FileLock> lock_;
  TrainingState state_;
  struct Made {
    TableSpec spec;  // As it was asked for.
    TableHandle table;
    std::shared_ptr<param::ReboundTable> rebound;  // The same, when it is on servers.
  };
  std::map<std::string, Made> tables_;
  size_t at_ = 0;  // So many stages of the pass have begun.
  int64_t last_nanos_ = 0;
  int roll_backs_ = 0;  // Since the last snapshot.
  // A snapshot whose moment has passed, while tables on servers are written and the next parts are at work.
  struct Writing {
    TrainingState state;  // That counts when the rows are written.
    std::map<std::string, std::unique_ptr<param::SavedMoment>> moments;
    std::thread thread;
    // Its own until it has finished.
    Status status;
    int64_t ended_nanos = 0;
    std::atomic<bool> finished{false};
  };
  std::unique_ptr<Writing> writing_;
  int stale_ = 0;  // Snapshots in a row of which a server lost a part before it was written.
};

Status Training::Impl::Open() {
  if (opened_) return broken_;
  opened_ = true;
  const auto open = [&]() -> Status {
    RETURN_IF_ERROR(session_.status());
    if (options_.folder.empty()) return Status::Invalid("a training needs a folder for its snapshots");
    if (options_.passes < 1) return Status::Invalid(fmt::format("passes are at least 1, got {}", options_.passes));
    if (options_.every.count() < 0) return Status::Invalid("the time between snapshots is less than nothing");
    RETURN_IF_ERROR(files_.MakeFolders(options_.folder));
    auto lock = files_.Lock(PathOf(kLock));
    if (lock.status().code() == Code::kUnavailable) return Status::Unavailable("another program works on it");
    RETURN_IF_ERROR(lock.status());
    lock_ = *std::move(lock);
    RETURN_IF_ERROR(ReadState());
    last_nanos_ = env_.clock().MonotonicNanos();
    if (state_.snapshot > 0) {
      base::LogInfo("training in \"{}\": goes on from snapshot {}, behind {} whole passes", options_.folder,
                    state_.snapshot, state_.passes);
    }
    return Status::Ok();
  };
  broken_ = open();
  return broken_;
}

Status Training::Impl::ReadState() {
  const std::string path = PathOf(kState);
  auto file = files_.OpenRandom(path);
  if (file.status().code() == Code::kNotFound) return Status::Ok();
  RETURN_IF_ERROR(file.status());
  if ((*file)->size() > kStateBytesMax) return Status::Corrupt(fmt::format("\"{}\" is too large", path));
  std::string text((*file)->size(), '\0');
  ASSIGN_OR_RETURN(const size_t got, (*file)->ReadAt(0, text));
  text.resize(got);
  auto state = DecodeTrainingState(text);
  if (!state.ok()) return std::move(state).status().With(fmt::format("\"{}\" is damaged", path));
  state_ = *std::move(state);
  return Status::Ok();
}

Status Training::Impl::WriteState(const TrainingState& state) {
  const std::string path = PathOf(kNewState);
  {
    ASSIGN_OR_RETURN(const auto file, files_.Create(path));
    RETURN_IF_ERROR(file->Append(EncodeTrainingState(state)));
    RETURN_IF_ERROR(file->Sync());
    RETURN_IF_ERROR(file->Close());
  }
  RETURN_IF_ERROR(files_.Rename(path, PathOf(kState)));
  return files_.SyncFolder(options_.folder);
}

Result<TableHandle> Training::Impl::CreateTable(TableSpec spec) {
  if (OnlyLooks()) return session_.CreateTable(std::move(spec));
  RETURN_IF_ERROR(Words(Open()));
  auto table = MakeTable(std::move(spec));
  if (!table.ok()) return Words(std::move(table).status());
  return table;
}

Result<TableHandle> Training::Impl::MakeTable(TableSpec spec) {
  const std::string name = spec.name;
  if (tables_.contains(name)) return Status::Invalid(fmt::format("it has a table \"{}\" already", name));
  const bool known = Contains(state_.tables, name);
  if (known) {
    // Left by a program that was killed. Tasks of it may be at work yet; they must not reach the new one.
    if (Status status = session_.DropTable(name); !status.ok() && status.code() != Code::kNotFound) return status;
  } else {
    if (state_.snapshot > 0) return Status::Invalid(fmt::format("its snapshot has no table \"{}\"", name));
    auto other = session_.OpenTable(name);
    if (other.ok()) return Status::Invalid(fmt::format("there is a table \"{}\" already, which is not its own", name));
    if (other.status().code() != Code::kNotFound) return std::move(other).status();
    state_.tables.push_back(name);
    RETURN_IF_ERROR(WriteState(state_));
  }
  auto table = session_.CreateTable(spec);
  if (!table.ok()) {
    if (!known) {
      state_.tables.pop_back();
      RETURN_IF_ERROR(WriteState(state_));
    }
    return table;
  }
  if (Status status = LoadSnapshot(*table); !status.ok()) {
    broken_ = status;
    return status;
  }
  Made& made = tables_[name];
  made = {std::move(spec), *table, nullptr};
  if (std::dynamic_pointer_cast<param::RemoteTable>(*table) != nullptr)
    made.table = made.rebound = std::make_shared<param::ReboundTable>(*table);
  return made.table;
}

// The rows that the table had then.
Status Training::Impl::LoadSnapshot(const TableHandle& table) {
  if (state_.snapshot == 0) return Status::Ok();
  return table->Load(TableIn(SnapshotOf(state_.snapshot), table->spec().name));
}

Status Training::Impl::Run(const GraphOf& graph_of) {
  if (OnlyLooks()) {
    ASSIGN_OR_RETURN(const auto graph, graph_of(0));
    return session_.Run(graph, graph->EndsToRun());
  }
  RETURN_IF_ERROR(Words(Open()));
  if (tables_.empty()) return Words(Status::Invalid("it makes its tables itself, and none was made"));
  for (const std::string& name : state_.tables) {
    if (!tables_.contains(name)) return Words(Status::Invalid(fmt::format("its table \"{}\" was not made", name)));
  }
  Status status = RunPasses(graph_of);
  if (!status.ok()) {
    broken_ = Status::Invalid("a run of it has failed; a new Training goes on from the last snapshot");
  }
  return status;
}

Status Training::Impl::RunPasses(const GraphOf& graph_of) {
  while (state_.passes < options_.passes) {
    ASSIGN_OR_RETURN(const auto graph, graph_of(state_.passes));
    Status status = RunPass(graph);
    if (status.ok()) {
      ++state_.passes;
      state_.stages.clear();
      if (state_.passes == options_.passes) {
        status = TakeLastSnapshot();
      } else if (Due()) {
        status = TakeSnapshot();
      }
    }
    if (!status.ok()) RETURN_IF_ERROR(RollBack(std::move(status)));
  }
  return Status::Ok();
}

// Those of which some shards have no living server, and will have none: what they held is gone.
Result<std::vector<std::string>> Training::Impl::LostTables() {
  std::vector<std::string> lost;
  auto* const cluster = dynamic_cast<param::ClusterClient*>(session_.parts().tables.get());
  if (cluster == nullptr) return lost;
  const int64_t begin = env_.clock().MonotonicNanos();
  while (true) {
    ASSIGN_OR_RETURN(const param::StatusAnswer cluster_status, cluster->DescribeCluster());
    lost.clear();
    for (const param::TableStatus& table : cluster_status.tables) {
      const auto known = tables_.find(table.table.name);
      if (known == tables_.end() || known->second.spec.durability == Durability::kDisk) continue;
      if (table.served < table.table.shards)
        lost.push_back(fmt::format("{} of {} shards of table \"{}\"", table.table.shards - table.served,
                                   table.table.shards, table.table.name));
    }
    if (lost.empty() || env_.clock().MonotonicNanos() - begin > kSettleNanos) return lost;
    if (env_.interrupted()) return Status::Cancelled("interrupted");
    env_.clock().SleepFor(kLookNanos);
  }
}

// A run has failed. When that is because tables were lost with their servers, they are made anew, as they were in the
// last snapshot; a failure is what else has failed.
Status Training::Impl::RollBack(Status why) {
  (void)FinishWriting();
  if (why.code() == Code::kCancelled) return why;
  const auto lost = LostTables();
  if (!lost.ok() || lost->empty()) return why;
  const std::string words = fmt::format("{} {} lost with the servers that held them", fmt::join(*lost, " and "),
                                        lost->size() == 1 && lost->front().starts_with("1 of") ? "is" : "are");
  if (++roll_backs_ > kRollBacksMax) return Words(std::move(why).With(words));
  state_ = TrainingState();
  const auto roll_back = [&]() -> Status {
    RETURN_IF_ERROR(ReadState());
    for (auto& [name, made] : tables_) {
      if (made.rebound == nullptr) return Status::Invalid(fmt::format("table \"{}\" is in this process", name));
      if (Status status = session_.DropTable(name); !status.ok() && status.code() != Code::kNotFound) return status;
      ASSIGN_OR_RETURN(const TableHandle table, session_.CreateTable(made.spec));
      RETURN_IF_ERROR(LoadSnapshot(table));
      made.rebound->Set(table);
    }
    return Status::Ok();
  };
  if (Status status = roll_back(); !status.ok()) return Words(std::move(status).With(words));
  if (state_.snapshot == 0) {
    base::LogWarning("training in \"{}\": {}; there is no snapshot yet, so all is rolled back, and it begins anew",
                     options_.folder, words);
    return Status::Ok();
  }
  size_t parts = 0, done = 0;
  for (const TrainingState::Stage& stage : state_.stages) {
    parts += stage.done.size();
    done += static_cast<size_t>(std::count(stage.done.begin(), stage.done.end(), true));
  }
  base::LogWarning("training in \"{}\": {}; all tables are rolled back to snapshot {}, behind {} whole passes{}",
                   options_.folder, words, state_.snapshot, state_.passes,
                   parts == 0 ? "" : fmt::format(" and {} of {} parts of the next", done, parts));
  return Status::Ok();
}

Status Training::Impl::RunPass(const std::shared_ptr<flow::Graph>& graph) {
  at_ = 0;
  // Workers in step wait for each other, so none of them can be begun later than the others.
  const bool in_step = std::any_of(tables_.begin(), tables_.end(),
                                   [](const auto& table) { return table.second.spec.consistency != kAsync; });
  session_.parts().checkpoints = in_step ? nullptr : this;
  Status status = session_.Run(graph, graph->EndsToRun());
  session_.parts().checkpoints = nullptr;
  RETURN_IF_ERROR(std::move(status));
  // Else it would have been cut otherwise from the beginning on.
  if (at_ < state_.stages.size())
    return Words(Status::Invalid("its snapshot has more steps that train than the flow; parts may count twice"));
  return Status::Ok();
}

Result<std::vector<bool>> Training::Impl::Begin(const exec::TrainingParts& parts) {
  const TrainingState::Stage fresh{parts.step, parts.fingerprint, std::vector<bool>(parts.count)};
  if (at_ == state_.stages.size()) {
    state_.stages.push_back(fresh);
  } else {
    const TrainingState::Stage& known = state_.stages[at_];
    if (known.step != fresh.step || known.fingerprint != fresh.fingerprint || known.done.size() != fresh.done.size()) {
      return Words(Status::Invalid(fmt::format(
          "{}: its snapshot is of other data: files, steps or --partitions have changed since; with those of before it "
          "goes on, in another folder it begins anew",
          parts.name)));
    }
  }
  return state_.stages[at_++].done;
}

Status Training::Impl::BetweenPassesOnly(const Status& why) {
  if (!state_.stages.empty()) {
    return Words(Status::Invalid(fmt::format(
        "its snapshot was taken in the midst of a pass, which this flow cannot go on with: {}", why.message())));
  }
  base::LogInfo("training in \"{}\": snapshots are taken between passes only: {}", options_.folder, why.message());
  return Status::Ok();
}

// By whoever asks meanwhile, from any thread.
bool Training::Impl::Due() {
  int64_t last = last_nanos_;
  if (writing_ != nullptr) {
    if (!writing_->finished.load(std::memory_order_acquire)) return false;
    if (!writing_->status.ok()) return true;
    last = writing_->ended_nanos;
  }
  return env_.clock().MonotonicNanos() - last >= options_.every.count();
}

// No part is at work. Tables on servers are written while the next ones are.
Status Training::Impl::TakeSnapshot() {
  RETURN_IF_ERROR(FinishWriting());
  TrainingState state = state_;
  const std::string folder = SnapshotOf(++state.snapshot);
  RETURN_IF_ERROR(Words(files_.RemoveAll(folder)));
  RETURN_IF_ERROR(Words(files_.MakeFolders(folder)));
  auto writing = std::make_unique<Writing>();
  writing->state = std::move(state);
  const auto can_wait = [](const auto& table) {
    return table.second.rebound != nullptr && table.second.spec.consistency == kAsync;
  };
  if (std::all_of(tables_.begin(), tables_.end(), can_wait)) RETURN_IF_ERROR(Words(TakeMoments(writing.get())));
  writing_ = std::move(writing);
  const auto write = [this, written = writing_.get(), folder] {
    written->status = Words(Write(*written, folder));
    written->ended_nanos = env_.clock().MonotonicNanos();
    written->finished.store(true, std::memory_order_release);
  };
  if (!writing_->moments.empty()) {
    writing_->thread = std::thread(write);
    return Status::Ok();
  }
  write();
  return FinishWriting();
}

Status Training::Impl::TakeLastSnapshot() {
  RETURN_IF_ERROR(FinishWriting());
  const uint64_t before = state_.snapshot;
  while (state_.snapshot == before) {
    RETURN_IF_ERROR(TakeSnapshot());
    RETURN_IF_ERROR(FinishWriting());
  }
  return Status::Ok();
}

// No task is at work, so the moments of all tables are one.
Status Training::Impl::TakeMoments(Writing* writing) {
  for (const auto& [name, made] : tables_) {
    const auto remote = std::static_pointer_cast<param::RemoteTable>(param::ReboundTable::Now(made.table));
    for (int i = 1; !writing->moments.contains(name); ++i) {
      auto moment = remote->TakeMoment({});
      if (moment.ok()) {
        writing->moments[name] = *std::move(moment);
      } else if (moment.status().code() != Code::kStale || i == kTries) {
        return std::move(moment).status();
      }
    }
  }
  return Status::Ok();
}

// The rows of all tables, and then that they count.
Status Training::Impl::Write(const Writing& writing, const std::string& folder) {
  if (writing.moments.empty()) {
    for (const auto& [name, made] : tables_) RETURN_IF_ERROR(made.table->Save(TableIn(folder, name), {}));
  } else {
    // Side by side: servers do not keep what nobody asks for.
    std::map<std::string, Status> written;
    std::vector<std::thread> others;
    for (const auto& [name, moment] : writing.moments) {
      others.emplace_back(
          [&, at = &written[name], table = TableIn(folder, name), rows = moment.get()] { *at = rows->Write(table); });
    }
    for (std::thread& other : others) other.join();
    for (const auto& [name, status] : written) RETURN_IF_ERROR(status);
  }
  RETURN_IF_ERROR(files_.SyncFolder(folder));
  RETURN_IF_ERROR(WriteState(writing.state));
  RemoveOldSnapshots(writing.state.snapshot);
  return Status::Ok();
}

// Waits for the snapshot that is being written. One of which a server has lost a part is none: the next one is due.
Status Training::Impl::FinishWriting() {
  if (writing_ == nullptr) return Status::Ok();
  if (writing_->thread.joinable()) writing_->thread.join();
  const std::unique_ptr<Writing> writing = std::move(writing_);
  if (writing->status.code() == Code::kStale && ++stale_ < kTries) return Status::Ok();
  RETURN_IF_ERROR(writing->status);
  state_.snapshot = writing->state.snapshot;
  last_nanos_ = writing->ended_nanos;
  stale_ = roll_backs_ = 0;
  return Status::Ok();
}

// What is left does no harm, but for its space.
void Training::Impl::RemoveOldSnapshots(uint64_t number) {
  const auto entries = files_.List(options_.folder);
  if (!entries.ok()) return;
  const std::string current = fmt::format("{}{}", kSnapshot, number);
  for (const env::DirectoryEntry& entry : *entries) {
    if (entry.name.starts_with(kSnapshot) && entry.name != current) (void)files_.RemoveAll(PathOf(entry.name));
  }
}

Training::Training(Session& session, TrainingOptions options)
    : impl_(std::make_unique<Impl>(session, std::move(options))) {}
Training::~Training() = default;

Result<TableHandle> Training::CreateTable(TableSpec spec) { return impl_->CreateTable(std::move(spec)); }

Status Training::Run(const Flow& flow) {
  return impl_->Run([&](int64_t) { return flow.graph(); });
}
Status Training::Run(const Dataset& dataset) {
  return impl_->Run([&](int64_t) { return dataset.graph(); });
}
Status Training::Run(const std::function<Flow(int64_t)>& flow_of) {
  return impl_->Run([&](int64_t pass) { return flow_of(pass).graph(); });
}
Status Training::RunGraphs(const GraphOf& graph_of) { return impl_->Run(graph_of); }

int64_t Training::passes_done() const { return impl_->passes_done(); }

}  // namespace glim
