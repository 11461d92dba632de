// SPDX-License-Identifier: Apache-2.0
//
// A cluster over real sockets within this process: a master, servers that go without a word and come back, programs
// that push and pull meanwhile.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "cluster/master_process.h"
#include "cluster/server_process.h"
#include "env/fault/faulty_file_system.h"
#include "param/cluster_client.h"
#include "param/table_request.h"

namespace glim::cluster {
namespace {

using param::ClusterClient;
using testing::HasSubstr;

constexpr int64_t kMilli = 1'000'000;

TableSpec Counts(const std::string& name, uint32_t shards = 4) {
  TableSpec spec;
  spec.name = name;
  spec.value_type = ValueType::kI64;
  spec.rule = Add{};
  spec.shards = shards;
  return spec;
}

// Holds up whoever reads rows, until it is opened.
class Gate {
 public:
  void Close() { Set(true); }
  void Open() { Set(false); }
  void Pass() {
    std::unique_lock lock(mutex_);
    if (closed_) ++held_up_;
    opened_.wait(lock, [this] { return !closed_; });
  }
  // From now on every other mark of a save is turned down and has to come again.
  void SlowMarks() { slow_marks_ = true; }
  bool MayMark() { return !slow_marks_ || marks_++ % 2 == 1; }
  void NoteForgotten(const param::Producer& producer) {
    const std::lock_guard lock(mutex_);
    ++forgotten_[producer];
  }
  // How many shards have forgotten somebody for good: each does so when a session is opened, too.
  int forgotten() const {
    const std::lock_guard lock(mutex_);
    return static_cast<int>(
        std::count_if(forgotten_.begin(), forgotten_.end(), [](const auto& of) { return of.second % 2 == 0; }));
  }
  int held_up() const {
    const std::lock_guard lock(mutex_);
    return held_up_;
  }

 private:
  void Set(bool closed) {
    const std::lock_guard lock(mutex_);
    closed_ = closed;
    opened_.notify_all();
  }
  mutable std::mutex mutex_;
  std::condition_variable opened_;
  bool closed_ = false;
  int held_up_ = 0;
  std::atomic<bool> slow_marks_{false};
  std::atomic<int> marks_{0};
  std::map<param::Producer, int> forgotten_;
};

// Rows that are read through a gate.
class GatedRows final : public param::ShardState {
 public:
  GatedRows(std::unique_ptr<param::ShardState> rows, Gate& gate) : rows_(std::move(rows)), gate_(gate) {}
  Status Check(const param::SharedBytes& op) const override { return rows_->Check(op); }
  bool is_held() const override { return rows_->is_held(); }
  bool Fits(const param::SharedBytes& op, uint64_t reserved) const override {
    const auto request = param::DecodeTableRequest(op.bytes);
    const bool is_mark = request.ok() && request->call == param::TableCall::kMark;
    return (!is_mark || gate_.MayMark()) && rows_->Fits(op, reserved);
  }
  param::SharedBytes Apply(const param::Record& record) override { return rows_->Apply(record); }
  void Forget(const param::Producer& producer) override {
    gate_.NoteForgotten(producer);
    rows_->Forget(producer);
  }
  bool FitsSnapshot(uint64_t bytes) const override { return rows_->FitsSnapshot(bytes); }
  Result<param::SharedBytes> Read(const param::SharedBytes& request) const override {
    gate_.Pass();
    return rows_->Read(request);
  }
  std::string Save() const override { return rows_->Save(); }
  Status Restore(std::span<const std::byte> bytes) override { return rows_->Restore(bytes); }
  bool on_disk() const override { return rows_->on_disk(); }
  void Clear() override { rows_->Clear(); }
  void Watch(int64_t now) override { rows_->Watch(now); }
  void Heard(const param::SharedBytes& request, int64_t now) override { rows_->Heard(request, now); }
  std::optional<param::SharedBytes> Overdue(int64_t now) override { return rows_->Overdue(now); }

 private:
  const std::unique_ptr<param::ShardState> rows_;
  Gate& gate_;
};

class ProcessesTest : public testing::Test {
 protected:
  ProcessesTest() : env_(env::MakePosixEnv()), folder_(*env_->files().MakeTemporaryFolder("processes")) {}
  ~ProcessesTest() override {
    client_.reset();
    servers_.clear();
    master_.reset();
    (void)env_->files().RemoveAll(folder_);
  }

  void StartMaster(const std::string& address = "127.0.0.1:0", std::function<void(Status)> stopped = nullptr) {
    MasterProcessOptions options{.address = address, .folder = folder_, .key = nullptr, .master = {}};
    options.master.dead_nanos = kDead;
    options.master.resend_nanos = 50 * kMilli;
    master_ = std::make_unique<MasterProcess>(master_env_, std::move(options), std::move(stopped));
    const Status status = master_->Start();
    ASSERT_TRUE(status.ok()) << status.message();
  }
  void StartServer(uint32_t number, uint64_t memory_max = uint64_t{1} << 30) {
    ServerProcessOptions options;
    options.memory_max = memory_max;
    options.owners = 3;
    options.master = master_->address();
    options.node = number;
    if (on_disk_) options.folder = folder_ + "/server-" + std::to_string(number);
    options.disk.log_bytes_max = 20'000;
    options.around_rows = [this](std::unique_ptr<param::ShardState> rows) {
      return std::make_unique<GatedRows>(std::move(rows), gate_);
    };
    options.node_options.beat_nanos = 50 * kMilli;
    options.node_options.dead_nanos = kDead;
    servers_[number] = std::make_unique<ServerProcess>(server_env_, std::move(options), nullptr);
    const Status status = servers_[number]->Start();
    ASSERT_TRUE(status.ok()) << status.message();
  }
  void Start(uint32_t servers) {
    StartMaster();
    for (uint32_t i = 1; i <= servers; ++i) StartServer(i);
    client_ = NewClient();
  }
  std::unique_ptr<ClusterClient> NewClient(int64_t call_nanos = 10'000 * kMilli) {
    param::ClusterClientOptions options;
    options.call_nanos = call_nanos;
    options.master = master_->address();
    return std::make_unique<ClusterClient>(*env_, std::move(options));
  }
  // A master needs a moment until enough servers have beaten.
  Table<int64_t> Create(TableSpec spec, uint32_t replicas) {
    spec.replicas = replicas;
    for (int i = 0;; ++i) {
      auto table = client_->CreateTable(spec);
      if (table.ok()) return Table<int64_t>(*table);
      if (table.status().code() != Code::kUnavailable || i == 200) {
        ADD_FAILURE() << table.status().message();
        return {};
      }
      env_->clock().SleepFor(50 * kMilli);
    }
  }

  bool on_disk_ = false;  // Servers have data folders.
  static constexpr int64_t kDead = 1000 * kMilli;

  const std::unique_ptr<env::Env> env_;
  const std::string folder_;
  env::FaultyFileSystem master_files_{env_->files()}, server_files_{env_->files()};
  env::FaultyEnv master_env_{*env_, master_files_}, server_env_{*env_, server_files_};
  Gate gate_;
  std::unique_ptr<MasterProcess> master_;
  std::map<uint32_t, std::unique_ptr<ServerProcess>> servers_;
  std::unique_ptr<ClusterClient> client_;
};

TEST_F(ProcessesTest, PushesOfOneProgramAreSeenByAnother) {
  Start(2);
  const Table<int64_t> counts = Create(Counts("counts"), 2);
  const std::vector<Key> keys{1, 2, 3, 1, 1'000'000'007, ~uint64_t{0}};
  const std::vector<int64_t> values{10, 20, 30, 5, 7, 9};
  const Status pushed = counts.Push(keys, values).Wait();
  ASSERT_TRUE(pushed.ok()) << pushed.message();
  const auto other = NewClient();
  const auto opened = other->OpenTable("counts");
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const auto pulled = Table<int64_t>(*opened).Pull(keys).Get();
  ASSERT_TRUE(pulled.ok()) << pulled.status().message();
  EXPECT_THAT(*pulled, testing::ElementsAre(15, 20, 30, 15, 7, 9));
  EXPECT_EQ(other->OpenTable("other").status().code(), Code::kNotFound);
  EXPECT_THAT(client_->CreateTable(Counts("counts")).status().message(), HasSubstr("there is a table \"counts\""));
}

TEST_F(ProcessesTest, ATableThatIsOpenedTwiceIsOneAndHandlesOutliveTheClient) {
  Start(1);
  const Table<int64_t> first = Create(Counts("counts"), 1);
  ASSERT_TRUE(first.Push(std::vector<Key>{1}, std::vector<int64_t>{1}).Wait().ok());
  Table<int64_t> second(*client_->OpenTable("counts"));
  ASSERT_TRUE(second.Push(std::vector<Key>{1}, std::vector<int64_t>{1}).Wait().ok());
  EXPECT_THAT(*first.Pull(std::vector<Key>{1}).Get(), testing::ElementsAre(2));
  ASSERT_TRUE(first.Drop().ok());
  EXPECT_EQ(client_->OpenTable("counts").status().code(), Code::kNotFound);
  EXPECT_EQ(first.Pull(std::vector<Key>{1}).Get().status().code(), Code::kNotFound);
  EXPECT_EQ(second.Push(std::vector<Key>{1}, std::vector<int64_t>{1}).Wait().code(), Code::kNotFound);
  client_.reset();
  EXPECT_EQ(first.Push(std::vector<Key>{1}, std::vector<int64_t>{1}).Wait().code(), Code::kCancelled);
}

TEST_F(ProcessesTest, ProgramsThatEndAreForgotten) {
  Start(1);
  const Table<int64_t> counts = Create(Counts("counts", 1), 1);
  constexpr int kPrograms = 100;
  for (int i = 0; i < kPrograms; ++i) {
    const auto program = NewClient();
    const Table<int64_t> opened(*program->OpenTable("counts"));
    ASSERT_TRUE(opened.Push(std::vector<Key>{1, 2}, std::vector<int64_t>{1, 1}).Wait().ok());
  }
  for (int i = 0; i < 1000 && gate_.forgotten() < kPrograms; ++i) env_->clock().SleepFor(10 * kMilli);
  EXPECT_EQ(gate_.forgotten(), kPrograms);
  EXPECT_THAT(*counts.Pull(std::vector<Key>{1, 2}).Get(), testing::Each(kPrograms));
}

TEST_F(ProcessesTest, AClientThatGoesLetsGoOfThoseWhoWait) {
  Start(1);
  const Table<int64_t> table = Create(Counts("left"), 1);
  const std::vector<Key> keys{1};
  ASSERT_TRUE(table.Push(keys, std::vector<int64_t>{5}).Wait().ok());
  servers_.clear();
  std::atomic<int> waiting{0}, callbacks{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const auto pulled = table.Pull(keys, {.deadline = std::chrono::hours(1)});
      pulled.Then([&](const Status& status, const auto*) { callbacks += status.code() == Code::kCancelled; });
      ++waiting;
      EXPECT_EQ(pulled.Wait().code(), Code::kCancelled);
    });
  }
  while (waiting < 4) std::this_thread::yield();
  client_.reset();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(callbacks, 4);
}

// The answer to how many keys there are takes the shards some time; the master and the other servers hear nothing of
// it.
TEST_F(ProcessesTest, AServerWhoseShardsAreAtWorkStaysAMember) {
  Start(2);
  const Table<int64_t> table = Create(Counts("work", 2), 2);
  std::vector<Key> keys(1000);
  std::iota(keys.begin(), keys.end(), Key{0});
  ASSERT_TRUE(table.Push(keys, std::vector<int64_t>(keys.size(), 3)).Wait().ok());
  ASSERT_EQ(table.Pull(keys).Get().value(), std::vector<int64_t>(keys.size(), 3));
  const auto before = client_->DescribeCluster();
  ASSERT_TRUE(before.ok());

  gate_.Close();
  auto pulled = table.Pull(keys);
  while (gate_.held_up() < 1) env_->clock().SleepFor(kMilli);
  for (int i = 0; i < 30; ++i) {
    env_->clock().SleepFor(kDead / 10);
    const auto now = client_->DescribeCluster();
    ASSERT_TRUE(now.ok());
    for (size_t member = 0; member < now->members.size(); ++member) {
      EXPECT_TRUE(now->members[member].alive);
      EXPECT_EQ(now->members[member].primary_of, before->members[member].primary_of);
    }
  }
  gate_.Open();
  EXPECT_EQ(pulled.Get().value(), std::vector<int64_t>(keys.size(), 3));
}

// More pulls than may wait for the shards, of more rows than may wait for the client.
TEST_F(ProcessesTest, ManyPullsAreAnsweredWhenTheShardsGoOn) {
  Start(1);
  const Table<int64_t> table = Create(Counts("many", 1), 1);
  std::vector<Key> keys(2000);
  std::iota(keys.begin(), keys.end(), Key{0});
  ASSERT_TRUE(table.Push(keys, std::vector<int64_t>(keys.size(), 3)).Wait().ok());
  ASSERT_TRUE(table.Pull(keys).Wait().ok());
  gate_.Close();
  std::vector<Future<std::vector<int64_t>>> pulls;
  for (int i = 0; i < 500; ++i) pulls.push_back(table.Pull(keys));
  while (gate_.held_up() < 1) env_->clock().SleepFor(kMilli);
  auto pushed = table.Push(keys, std::vector<int64_t>(keys.size(), 1));
  EXPECT_FALSE(pushed.ready());
  gate_.Open();
  for (auto& pull : pulls) {
    // One may be asked again, and see a push that came after it.
    const std::vector<int64_t> rows = pull.Get().value();
    EXPECT_TRUE(rows == std::vector<int64_t>(keys.size(), 3) || rows == std::vector<int64_t>(keys.size(), 4));
  }
  EXPECT_TRUE(pushed.Wait().ok());
}

TEST_F(ProcessesTest, ManyRowsComeInPieces) {
  Start(1);
  const Table<int64_t> counts = Create(Counts("counts"), 1);
  std::vector<Key> keys(500'000);
  std::vector<int64_t> values(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    keys[i] = i * 7919;
    values[i] = static_cast<int64_t>(i);
  }
  for (int round = 0; round < 3; ++round) {
    const Status pushed = counts.Push(keys, values).Wait();
    ASSERT_TRUE(pushed.ok()) << pushed.message();
  }
  const auto pulled = counts.Pull(keys).Get();
  ASSERT_TRUE(pulled.ok()) << pulled.status().message();
  for (size_t i = 0; i < keys.size(); ++i) ASSERT_EQ((*pulled)[i], 3 * values[i]);
}

TEST_F(ProcessesTest, ServersAndTheMasterGoAndComeBackWhilePushesGoOn) {
  Start(3);
  const Table<int64_t> counts = Create(Counts("counts"), 2);
  const std::vector<Key> keys{1, 2, 3, 4, 5, 6, 7, 8};
  const std::vector<int64_t> ones(keys.size(), 1);
  std::atomic<bool> stop{false};
  int64_t pushes = 0;
  Status failed;
  std::thread pusher([&] {
    while (!stop && failed.ok()) {
      failed = counts.Push(keys, ones).Wait();
      if (failed.ok()) ++pushes;
    }
  });
  const std::string address = master_->address();
  for (uint32_t round = 0; round < 3; ++round) {
    env_->clock().SleepFor(300 * kMilli);
    const uint32_t victim = 1 + round;
    servers_.erase(victim);
    env_->clock().SleepFor(1500 * kMilli);
    StartServer(victim);
    env_->clock().SleepFor(700 * kMilli);  // It joins.
    if (round == 1) {
      master_.reset();
      env_->clock().SleepFor(300 * kMilli);
      StartMaster(address);
      env_->clock().SleepFor(1500 * kMilli);
    }
  }
  stop = true;
  pusher.join();
  ASSERT_TRUE(failed.ok()) << failed.message();
  const auto pulled = counts.Pull(keys).Get();
  ASSERT_TRUE(pulled.ok()) << pulled.status().message();
  EXPECT_THAT(*pulled, testing::Each(pushes));
  EXPECT_GT(pushes, 10);
}

// Who pushes to one key after the other, each when the one before is acknowledged, has never more of a later one.
TEST_F(ProcessesTest, ASaveIsOfOneMomentAlsoWhenShardsAreMarkedAtDifferentTimes) {
  Start(3);
  const Table<int64_t> counts = Create(Counts("counts", 6), 1);
  std::vector<Key> keys(12);
  std::iota(keys.begin(), keys.end(), Key{0});
  ASSERT_TRUE(counts.Push(keys, std::vector<int64_t>(keys.size(), 1)).Wait().ok());
  gate_.SlowMarks();
  std::atomic<bool> stop{false};
  Status failed;
  std::thread pusher([&, program = NewClient()] {
    const Table<int64_t> own(*program->OpenTable("counts"));
    while (!stop && failed.ok()) {
      for (const Key key : keys) {
        failed = own.Push(std::vector<Key>{key}, std::vector<int64_t>{1}).Wait();
        if (!failed.ok()) break;
      }
    }
  });
  for (int i = 0; i < 5; ++i) {
    const Status saved = counts.Save(folder_ + "/model");
    EXPECT_TRUE(saved.ok()) << saved.message();
    if (!saved.ok()) break;
    const Table<int64_t> copy(*client_->LoadTable(folder_ + "/model", "copy"));
    const auto rows = copy.Pull(keys).Get();
    EXPECT_TRUE(rows.ok() && std::is_sorted(rows->begin(), rows->end(), std::greater<>()) &&
                rows->front() <= rows->back() + 1)
        << testing::PrintToString(*rows);
    EXPECT_TRUE(copy.Drop().ok());
  }
  stop = true;
  pusher.join();
  EXPECT_TRUE(failed.ok()) << failed.message();
}

// Each shard has a copy left: so both are carried out, or say what failed, and then nothing has changed.
TEST_F(ProcessesTest, AServerThatGoesDuringASaveOrALoadLeavesAllOrNothing) {
  Start(3);
  const Table<int64_t> counts = Create(Counts("counts", 6), 3);
  const Table<int64_t> other = Create(Counts("other", 4), 3);
  std::vector<Key> keys(100'000);
  std::iota(keys.begin(), keys.end(), Key{0});
  const std::vector<int64_t> ones(keys.size(), 1), twos(keys.size(), 2);
  ASSERT_TRUE(counts.Push(keys, ones).Wait().ok());
  ASSERT_TRUE(other.Push(keys, twos).Wait().ok());
  const std::string folder = folder_ + "/model";

  std::future<Status> saved = std::async(std::launch::async, [&] { return counts.Save(folder); });
  env_->clock().SleepFor(5 * kMilli);
  servers_.erase(1);
  const Status save = saved.get();
  EXPECT_TRUE(save.ok()) << save.message();
  if (!save.ok()) {
    ASSERT_TRUE(counts.Save(folder).ok());
  }

  std::future<Status> loaded = std::async(std::launch::async, [&] { return other.Load(folder); });
  env_->clock().SleepFor(20 * kMilli);
  servers_.erase(2);
  const Status load = loaded.get();
  EXPECT_TRUE(load.ok()) << load.message();
  const auto rows = other.Pull(keys).Get();
  ASSERT_TRUE(rows.ok()) << rows.status().message();
  EXPECT_TRUE(*rows == (load.ok() ? ones : twos));
}

TEST_F(ProcessesTest, AServerThatComesLaterGetsItsPartWhilePushesGoOn) {
  Start(1);
  const Table<int64_t> counts = Create(Counts("counts", 8), 1);
  const std::vector<Key> keys{1, 2, 3, 4, 5, 6, 7, 8};
  const std::vector<int64_t> ones(keys.size(), 1);
  int64_t pushes = 0;
  const auto push_until = [&](const std::function<bool(const param::StatusAnswer&)>& there) {
    for (int i = 0; i < 2000; ++i) {
      const Status pushed = counts.Push(keys, ones).Wait();
      ASSERT_TRUE(pushed.ok()) << pushed.message();
      ++pushes;
      const auto status = client_->DescribeCluster();
      if (status.ok() && there(*status)) return;
      env_->clock().SleepFor(10 * kMilli);
    }
    FAIL() << "it did not come to pass";
  };
  const auto has = [](const param::StatusAnswer& status, uint32_t server, uint32_t shards) {
    return std::any_of(status.members.begin(), status.members.end(), [&](const param::MemberStatus& member) {
      return member.member.node == server && member.primary_of == shards;
    });
  };
  const auto has_begun = [&](const param::StatusAnswer& status) { return has(status, 1, 8); };
  ASSERT_NO_FATAL_FAILURE(push_until(has_begun));
  StartServer(2, 1);  // It has room for nothing.
  StartServer(3);
  ASSERT_NO_FATAL_FAILURE(push_until([&](const auto& status) { return has(status, 1, 4) && has(status, 3, 4); }));
  EXPECT_TRUE(has(*client_->DescribeCluster(), 2, 0));
  servers_.erase(2);
  const auto pulled = counts.Pull(keys).Get();
  ASSERT_TRUE(pulled.ok()) << pulled.status().message();
  EXPECT_THAT(*pulled, testing::Each(pushes));
}

TEST_F(ProcessesTest, TablesOnDiskSurviveThatAllAreKilledAtOnceAgainAndAgain) {
  on_disk_ = true;
  Start(2);
  TableSpec spec = Counts("counts", 2);
  spec.durability = Durability::kDisk;
  const Table<int64_t> counts = Create(spec, 2);
  const std::vector<Key> keys{1, 2, 3, 4, 5, 6, 7, 8};
  const std::vector<int64_t> ones(keys.size(), 1);
  std::atomic<bool> stop{false}, ended{false};
  std::atomic<int64_t> pushes{0};
  Status failed;
  // Pushes that were not answered when all ended are sent again afterwards.
  std::thread pusher([&] {
    while (!stop && failed.ok()) {
      failed = counts.Push(keys, ones).Wait();
      if (failed.ok()) ++pushes;
    }
    ended = true;
  });
  const std::string address = master_->address();
  int64_t before = 0;
  for (int round = 0; round < 3; ++round) {
    while (!ended && pushes < before + 100) env_->clock().SleepFor(10 * kMilli);
    servers_.clear();
    master_.reset();
    before = pushes;
    StartMaster(address);
    for (uint32_t i = 1; i <= 2; ++i) StartServer(i);
  }
  while (!ended && pushes < before + 100) env_->clock().SleepFor(10 * kMilli);
  stop = true;
  pusher.join();
  ASSERT_TRUE(failed.ok()) << failed.message();
  const auto pulled = counts.Pull(keys).Get();
  ASSERT_TRUE(pulled.ok()) << pulled.status().message();
  EXPECT_THAT(*pulled, testing::Each(pushes.load()));
}

TEST_F(ProcessesTest, ATableOnDiskWantsServersWithDataFolders) {
  Start(2);
  Create(Counts("other"), 2);
  TableSpec spec = Counts("counts");
  spec.replicas = 2;
  spec.durability = Durability::kDisk;
  const Status refused = client_->CreateTable(spec).status();
  EXPECT_EQ(refused.code(), Code::kInvalid);
  EXPECT_THAT(refused.message(),
              testing::MatchesRegex("table \"counts\" is to be kept on disk by 2 servers, and 0 have a data folder; "
                                    "server 1 at 127.0.0.1:[0-9]+ has none .glim server --dir."));
  // Where enough have one, they hold it.
  on_disk_ = true;
  for (uint32_t i = 3; i <= 4; ++i) StartServer(i);
  auto created = client_->CreateTable(spec);
  while (!created.ok() && created.status().code() == Code::kInvalid) {
    env_->clock().SleepFor(10 * kMilli);
    created = client_->CreateTable(spec);
  }
  ASSERT_TRUE(created.ok()) << created.status().message();
  const Table<int64_t> counts(*created);
  ASSERT_TRUE(counts.Push(std::vector<Key>{7}, std::vector<int64_t>{1}).Wait().ok());
  servers_.erase(1);
  servers_.erase(2);
  EXPECT_THAT(counts.Pull(std::vector<Key>{7}).Get().value(), testing::ElementsAre(1));
}

TEST_F(ProcessesTest, TwoServersOnOneFolderAreOneTooMany) {
  on_disk_ = true;
  Start(1);
  ServerProcessOptions options;
  options.master = master_->address();
  options.node = 1;
  options.folder = folder_ + "/server-1";
  ServerProcess second(*env_, std::move(options), nullptr);
  const Status status = second.Start();
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("server-1\" is in use by another process"));
}

TEST_F(ProcessesTest, AFullDiskRefusesPushesAndServesPulls) {
  on_disk_ = true;
  Start(2);
  TableSpec spec = Counts("counts", 1);
  spec.durability = Durability::kDisk;
  const Table<int64_t> counts = Create(spec, 2);
  const std::vector<Key> keys{7};
  const std::vector<int64_t> ones{1};
  ASSERT_TRUE(counts.Push(keys, ones).Wait().ok());
  int64_t acknowledged = 1, unknown = 0;
  server_files_.SetDiskBytes(0);
  // The first one finds out; the next one is told. Both are sent again until there is room.
  Status told;
  for (; told.message().find("the disk of server") == std::string::npos; ++unknown) {
    told = counts.Push(keys, ones, {.deadline = std::chrono::milliseconds(300)}).Wait();
    ASSERT_EQ(told.code(), Code::kTimeout) << told.message();
  }
  EXPECT_THAT(told.message(), testing::ContainsRegex("the disk of server [12] is full"));
  // Who pushed waits for what it pushed, others for nothing.
  const auto other = NewClient();
  EXPECT_THAT(Table<int64_t>(other->OpenTable("counts").value()).Pull(keys).Get().value(),
              testing::ElementsAre(acknowledged));
  server_files_.Heal();
  const Status pushed = counts.Push(keys, ones).Wait();
  ASSERT_TRUE(pushed.ok()) << pushed.message();
  ++acknowledged;
  const std::string address = master_->address();
  servers_.clear();
  master_.reset();
  StartMaster(address);
  for (uint32_t i = 1; i <= 2; ++i) StartServer(i);
  const std::vector<int64_t> pulled = counts.Pull(keys).Get().value();
  EXPECT_GE(pulled[0], acknowledged);
  EXPECT_LE(pulled[0], acknowledged + unknown);
}

TEST_F(ProcessesTest, AMasterWithoutRoomEndsAndPromisesNothing) {
  std::promise<Status> ended;
  StartMaster("127.0.0.1:0", [&](const Status& why) { ended.set_value(why); });
  StartServer(1);
  client_ = NewClient();
  const Table<int64_t> counts = Create(Counts("counts"), 1);
  const std::vector<Key> keys{7};
  const std::vector<int64_t> ones{1};
  ASSERT_TRUE(counts.Push(keys, ones).Wait().ok());
  master_files_.SetDiskBytes(0);
  const auto other = NewClient(500 * kMilli);
  EXPECT_FALSE(other->CreateTable(Counts("more")).ok());
  const Status why = ended.get_future().get();
  EXPECT_EQ(why.code(), Code::kExhausted);
  EXPECT_THAT(why.message(), HasSubstr("the master's log"));
  EXPECT_TRUE(counts.Push(keys, ones).Wait().ok());
  const std::string address = master_->address();
  master_.reset();
  master_files_.Heal();
  StartMaster(address);
  EXPECT_THAT(counts.Pull(keys).Get().value(), testing::ElementsAre(2));
  EXPECT_EQ(client_->ListTables().value().size(), 1U);
}

// Programs that make, open and drop tables meanwhile notice nothing; one that is only about to begin is told to wait.
TEST_F(ProcessesTest, TablesWaitForAMasterThatStartsAgain) {
  Start(1);
  (void)Create(Counts("first"), 1);
  const std::string address = master_->address();
  std::atomic<bool> stop{false};
  int restarts = 0;
  std::thread restarter([&] {
    while (!stop || restarts < 3) {
      env_->clock().SleepFor(60 * kMilli);
      master_.reset();
      env_->clock().SleepFor(40 * kMilli);
      StartMaster(address);
      ++restarts;
    }
  });
  Status failed;
  for (int i = 0; i < 20 && failed.ok(); ++i) {
    TableSpec spec = Counts("t" + std::to_string(i));
    spec.shards = 1;
    const auto table = client_->CreateTable(spec);
    failed = table.status();
    if (!failed.ok()) break;
    failed = client_->OpenTable(spec.name, std::nullopt).status();
    // A client that has never spoken with it, but knows that it is there.
    ClusterClient other(*env_, {.master = address, .key = nullptr, .master_is_known = true});
    if (failed.ok()) failed = other.OpenTable(spec.name, std::nullopt).status();
    if (failed.ok()) failed = i % 2 == 0 ? (*table)->Drop() : other.DropTable(spec.name);
  }
  stop = true;
  restarter.join();
  EXPECT_TRUE(failed.ok()) << failed.message();
  EXPECT_EQ(client_->ListTables().value().size(), 1U);
}

TEST_F(ProcessesTest, AMasterThatIsNotThereIsNamed) {
  param::ClusterClientOptions options;
  options.master = "127.0.0.1:1";
  ClusterClient client(*env_, std::move(options));
  const Status status = client.Ping();
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("the master at 127.0.0.1:1"));
}

}  // namespace
}  // namespace glim::cluster
