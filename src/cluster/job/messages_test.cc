// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace glim::cluster {
namespace {

using testing::ElementsAre;

TellStage SomeStage() {
  exec::StageShape shape;
  shape.tasks = 2;
  shape.consumers = 3;
  shape.splits.push_back({.path = "a.txt", .begin = 5, .end = 17, .estimated_bytes = 12, .threads = 2});
  shape.groups = {{0, 1}, {1, 1}};
  shape.split_count = 9;
  shape.splits_before = 4;
  return {.run = 7,
          .stage = 2,
          .executors = {{1, "127.0.0.1:1"}, {5, "[::1]:2"}},
          .shapes = {{1, shape}, {2, {}}},
          .rows = {{.stage = 1, .producers = {{.place = 5, .rows = {.row_counts = {1, 0, 1 << 20}, .width = 4}}}}},
          .tables = {0}};
}

TEST(JobMessagesTest, ComeBackAsTheyWere) {
  const auto tell = FromFrame<TellStage>(ToFrame(SomeStage()));
  ASSERT_TRUE(tell.ok());
  EXPECT_EQ(tell->executors, SomeStage().executors);
  ASSERT_EQ(tell->shapes.size(), 2U);
  EXPECT_EQ(tell->shapes[0].second.splits[0].path, "a.txt");
  EXPECT_EQ(tell->shapes[0].second.splits[0].end, 17U);
  EXPECT_EQ(tell->shapes[0].second.groups, SomeStage().shapes[0].second.groups);
  EXPECT_EQ(tell->shapes[0].second.split_count, 9U);
  EXPECT_EQ(tell->shapes[0].second.splits_before, 4U);
  EXPECT_EQ(tell->rows[0].producers[0].place, 5);
  EXPECT_THAT(tell->rows[0].producers[0].rows.row_counts, ElementsAre(1, 0, 1 << 20));
  EXPECT_THAT(tell->tables, ElementsAre(0));

  OpenRun open;
  open.run = 3;
  open.job = "4f 3";
  open.place = 2;
  open.plan_hash = 99;
  open.ends = {1, 4};
  open.lua_path = "?.lua";
  open.folder = "/home";
  open.lua_kernels = false;
  open.taps = true;
  open.program_run = 4;
  open.reach_nanos = 5;
  open.caches = {{.id = 8, .step = 2}, {.id = 9, .step = -1}};
  open.files = {{.name = "words.txt", .digest = "ab", .size = 5, .permissions = 0755}};
  const auto opened = FromFrame<OpenRun>(ToFrame(open));
  ASSERT_TRUE(opened.ok());
  EXPECT_THAT(opened->ends, ElementsAre(1, 4));
  EXPECT_EQ(opened->lua_path, "?.lua");
  EXPECT_EQ(opened->folder, "/home");
  EXPECT_EQ(opened->job, "4f 3");
  EXPECT_EQ(opened->plan_hash, 99U);
  EXPECT_FALSE(opened->lua_kernels);
  EXPECT_TRUE(opened->taps);
  EXPECT_EQ(opened->program_run, 4U);
  EXPECT_EQ(opened->reach_nanos, 5);
  ASSERT_EQ(opened->caches.size(), 2U);
  EXPECT_EQ(opened->caches[0].id, 8U);
  EXPECT_EQ(opened->caches[0].step, 2);
  EXPECT_EQ(opened->caches[1].step, -1);

  ASSERT_EQ(opened->files.size(), 1U);
  EXPECT_EQ(opened->files[0].name, "words.txt");
  EXPECT_EQ(opened->files[0].digest, "ab");
  EXPECT_EQ(opened->files[0].size, 5U);
  EXPECT_EQ(opened->files[0].permissions, 0755U);
  const auto piece = FromFrame<FetchFile>(ToFrame(FetchFile{"words.txt", "ab", 7}));
  ASSERT_TRUE(piece.ok());
  EXPECT_EQ(piece->name, "words.txt");
  EXPECT_EQ(piece->digest, "ab");
  EXPECT_EQ(piece->offset, 7U);

  const auto find = FromFrame<FindFiles>(ToFrame(FindFiles{.run = 6, .stage = 2}));
  ASSERT_TRUE(find.ok());
  EXPECT_EQ(find->run, 6U);
  EXPECT_EQ(find->stage, 2);
  const exec::FoundFiles files{
      .splits = {{.path = "x", .begin = 1, .end = 9, .estimated_bytes = 8, .threads = 2, .host = "a1"}},
      .columns = {"n", ""}};
  const auto found = DecodeFoundFiles(MakeAnswer(7, Status::Ok(), Encode(files)));
  ASSERT_TRUE(found.ok());
  ASSERT_EQ(found->splits.size(), 1U);
  EXPECT_EQ(found->splits[0].path, "x");
  EXPECT_EQ(found->splits[0].end, 9U);
  EXPECT_EQ(found->splits[0].host, "a1");
  EXPECT_THAT(found->columns, ElementsAre("n", ""));
  EXPECT_EQ(DecodeFoundFiles(MakeAnswer(7, Status::Ok(), "xx")).status().code(), Code::kCorrupt);
  EXPECT_EQ(DecodeFoundFiles(MakeAnswer(7, Status::NotFound("x"))).status().code(), Code::kNotFound);

  const auto cached = FromFrame<FetchCached>(
      ToFrame(FetchCached{.run = 1, .cache = 2, .partition = 3, .from = {.held = 4, .block = 5}, .bytes_max = 6}));
  ASSERT_TRUE(cached.ok());
  EXPECT_EQ(cached->run, 1U);
  EXPECT_EQ(cached->cache, 2U);
  EXPECT_EQ(cached->partition, 3U);
  EXPECT_EQ(cached->from.held, 4U);
  EXPECT_EQ(cached->from.block, 5U);
  EXPECT_EQ(cached->bytes_max, 6U);

  const auto told = FromFrame<TellOutcomes>(ToFrame(TellOutcomes{.first = 2, .outcomes = {"a", ""}}));
  ASSERT_TRUE(told.ok());
  EXPECT_EQ(told->first, 2U);
  EXPECT_THAT(told->outcomes, ElementsAre("a", ""));

  StartProgram program{.executor = {.threads = 2, .memory_bytes = 3},
                       .binaries = {{"x86_64", "a0", 4}, {"aarch64", "b1", 5}},
                       .arguments = {"--on", ""},
                       .environment = {"GLIM_A=b"},
                       .folder = "/home",
                       .patience_nanos = 5};
  const auto started = FromFrame<StartProgram>(ToFrame(program));
  ASSERT_TRUE(started.ok());
  EXPECT_EQ(started->executor.threads, 2);
  ASSERT_EQ(started->binaries.size(), 2U);
  EXPECT_EQ(started->binaries[0].architecture, "x86_64");
  EXPECT_EQ(started->binaries[1].program, "b1");
  EXPECT_EQ(started->binaries[1].size, 5U);
  EXPECT_THAT(started->arguments, ElementsAre("--on", ""));
  EXPECT_THAT(started->environment, ElementsAre("GLIM_A=b"));
  EXPECT_EQ(started->folder, "/home");
  EXPECT_EQ(started->patience_nanos, 5);
  EXPECT_EQ(FromFrame<FetchProgram>(ToFrame(FetchProgram{"a0", 7}))->offset, 7U);

  TaskAnswer answer;
  answer.result.counters.Add("odd", 3);
  answer.result.works.push_back({.stage = 1, .task = 2, .begin_nanos = 3, .end_nanos = 4, .steps = {{}, {}}});
  answer.result.works[0].steps[1].rows_out = 17;
  answer.rows = {.row_counts = {5}, .width = 2};
  answer.keys_seen = {"ab"};
  const auto decoded = DecodeTaskAnswer(Encode(answer));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->result.counters.Get("odd"), 3);
  EXPECT_EQ(decoded->result.works[0].steps[1].rows_out, 17);
  EXPECT_THAT(decoded->rows.row_counts, ElementsAre(5));
  EXPECT_THAT(decoded->keys_seen, ElementsAre("ab"));
}

TEST(JobMessagesTest, AnAnswerIsAStatusOrABody) {
  const net::Frame good = MakeAnswer(4, Status::Ok(), "body");
  EXPECT_EQ(good.header.request, 4U);
  EXPECT_EQ(*BodyOfAnswer(good), "body");
  const net::Frame bad = MakeAnswer(4, Status::UserCode("no").WithDetails("traceback"), "body");
  const Status status = BodyOfAnswer(bad).status();
  EXPECT_EQ(status.code(), Code::kUserCode);
  EXPECT_EQ(status.message(), "no");
  EXPECT_EQ(status.details(), "traceback");
}

// Cut off, with a byte more, or with any byte changed: refused, or read as something else that is whole.
TEST(JobMessagesTest, DamagedOnesAreRefused) {
  const net::Frame whole = ToFrame(SomeStage());
  const std::string bytes(whole.segments[0].bytes);
  const auto decode = [](const std::string& damaged) {
    net::Frame frame;
    frame.segments.push_back(net::Segment::Copy(damaged));
    return FromFrame<TellStage>(frame);
  };
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(decode(bytes.substr(0, size)).status().code(), Code::kCorrupt) << size;
  }
  EXPECT_EQ(decode(bytes + '\0').status().code(), Code::kCorrupt);
  std::mt19937 random(1);
  for (int i = 0; i < 20000; ++i) {
    std::string damaged = bytes;
    for (int changes = 1 + static_cast<int>(random() % 4); changes > 0; --changes) {
      damaged[random() % damaged.size()] = static_cast<char>(random());
    }
    (void)decode(damaged);
  }
  EXPECT_EQ(FromFrame<RunTask>(net::Frame{}).status().code(), Code::kCorrupt);
  EXPECT_EQ(BodyOfAnswer(net::Frame{}).status().code(), Code::kCorrupt);
}

}  // namespace
}  // namespace glim::cluster
