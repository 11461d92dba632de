// SPDX-License-Identifier: Apache-2.0
#include "io/sinks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "env/fault/faulty_file_system.h"
#include "glim/batch_builder.h"
#include "io/file_sink.h"
#include "io/memory_source.h"
#include "io/test_files.h"

namespace glim::io {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Batch OneRow(const Row& row) {
  BatchBuilder builder(static_cast<int>(row.size()));
  builder.AppendRow(row);
  return builder.Finish();
}

// As the engine does it.
Status Put(Sink& sink, const Batch& batch) {
  if (!sink.wants_bytes()) return sink.WriteBatch(batch);
  std::string bytes;
  Status status = sink.Encode(batch, &bytes);
  return status.ok() ? sink.WriteBytes(bytes) : status;
}

class TextFileSink : public ::testing::Test {
 protected:
  // Twice as many bytes as the buffer holds.
  Status Save(env::Env& env, const std::string& path) {
    auto sink = MakeFileSink(path, MakeTextEncoder());
    Status status = sink->Open(env);
    for (int i = 0; i < 600 && status.ok(); ++i) status = Put(*sink, OneRow({std::string(1000, 'x'), i}));
    if (!status.ok()) {
      sink->Abort();
      return status;
    }
    return sink->Finish();
  }
  std::vector<std::string> Names() {
    std::vector<std::string> names;
    const auto entries = env_->files().List(folder_.path());
    for (const auto& entry : *entries) names.push_back(entry.name);
    return names;
  }

  std::unique_ptr<env::Env> env_ = env::MakePosixEnv();
  TemporaryFolder folder_{*env_};
};

TEST_F(TextFileSink, RowsAreLines) {
  auto sink = MakeFileSink(folder_.Path("out"), MakeTextEncoder());
  ASSERT_TRUE(sink->Open(*env_).ok());
  ASSERT_TRUE(Put(*sink, OneRow({"a", 4.0, Value()})).ok());
  ASSERT_TRUE(Put(*sink, OneRow({"b"})).ok());
  EXPECT_THAT(Names(), ElementsAre(HasSubstr("out.tmp-")));
  ASSERT_TRUE(sink->Finish().ok());
  EXPECT_THAT(Names(), ElementsAre("out"));
  EXPECT_EQ(ReadWhole(*env_, folder_.Path("out")), "a\t4\tnil\nb\n");
}

TEST_F(TextFileSink, AbortLeavesTheOldFile) {
  folder_.Write("out", "old");
  auto sink = MakeFileSink(folder_.Path("out"), MakeTextEncoder());
  ASSERT_TRUE(sink->Open(*env_).ok());
  ASSERT_TRUE(Put(*sink, OneRow({"new"})).ok());
  sink->Abort();
  EXPECT_THAT(Names(), ElementsAre("out"));
  EXPECT_EQ(ReadWhole(*env_, folder_.Path("out")), "old");
}

TEST_F(TextFileSink, SinkThatIsDroppedLeavesNothing) {
  ASSERT_TRUE(MakeFileSink(folder_.Path("out"), MakeTextEncoder())->Open(*env_).ok());
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(TextFileSink, AnyFailureIsReportedAndLeavesNoPartialFile) {
  env::FaultyFileSystem files(env_->files());
  env::FaultyEnv env(*env_, files);
  const std::string path = folder_.Path("out");
  folder_.Write("out", "old");
  using enum env::FileOperation;
  for (const auto operation : {kCreate, kWrite, kSync, kClose, kRename}) {
    files.Heal();
    files.FailAt(operation, 1, Status::Exhausted("no room"));
    const Status status = Save(env, path);
    EXPECT_EQ(status.code(), Code::kExhausted);
    EXPECT_THAT(status.message(), HasSubstr("saving \"" + path + "\""));
    EXPECT_THAT(Names(), ElementsAre("out"));
    EXPECT_EQ(ReadWhole(*env_, path), "old");
  }
  // The folder's sync comes after the rename: the file is whole.
  files.Heal();
  files.FailAt(kSyncFolder, 1, Status::Exhausted("no room"));
  EXPECT_EQ(Save(env, path).code(), Code::kExhausted);
  EXPECT_THAT(Names(), ElementsAre("out"));
  files.Heal();
  files.SetDiskBytes(400000);
  folder_.Write("out", "old");
  EXPECT_EQ(Save(env, path).code(), Code::kExhausted);
  EXPECT_EQ(ReadWhole(*env_, path), "old");
  files.Heal();
  EXPECT_TRUE(Save(env, path).ok());
  EXPECT_THAT(Names(), ElementsAre("out"));
  EXPECT_GT(ReadWhole(*env_, path).size(), 600000u);
}

TEST_F(TextFileSink, FolderAndDeviceAreNotReplaced) {
  EXPECT_EQ(Save(*env_, folder_.path()).code(), Code::kInvalid);
  EXPECT_TRUE(Save(*env_, "/dev/null").ok());
  EXPECT_EQ(env_->files().Stat("/dev/null")->kind, env::FileKind::kOther);
  const Status missing = Save(*env_, folder_.Path("nope/out"));
  EXPECT_EQ(missing.code(), Code::kNotFound);
  EXPECT_THAT(missing.message(), HasSubstr("nope\": no such folder"));
}

TEST(Sinks, FormatSinkWritesToItsFile) {
  auto env = env::MakePosixEnv();
  TemporaryFolder folder(*env);
  auto file = *env->files().Create(folder.Path("out"));
  auto sink = MakeWriterSink(
      MakeFormatEncoder(*RowFormat::Parse("%s=%d\n")), [&](std::string_view bytes) { return file->Append(bytes); },
      "Printf()");
  EXPECT_EQ(sink->Describe(), "Printf()");
  ASSERT_TRUE(sink->Open(*env).ok());
  ASSERT_TRUE(Put(*sink, OneRow({"a", 1})).ok());
  EXPECT_EQ(ReadWhole(*env, folder.Path("out")), "a=1\n");
  EXPECT_FALSE(Put(*sink, OneRow({"a"})).ok());
  EXPECT_TRUE(sink->Finish().ok());
}

TEST(Sinks, FormatFileSinkWritesToACFile) {
  auto env = env::MakePosixEnv();
  char* bytes = nullptr;
  size_t size = 0;
  FILE* file = open_memstream(&bytes, &size);
  auto sink = MakeCFileSink(MakeFormatEncoder(*RowFormat::Parse("%s\n")), file, "Fprintf(\"%s\\n\")");
  EXPECT_EQ(sink->Describe(), R"(Fprintf("%s\n"))");
  ASSERT_TRUE(sink->Open(*env).ok());
  ASSERT_TRUE(Put(*sink, OneRow({"a"})).ok());
  ASSERT_TRUE(sink->Finish().ok());
  EXPECT_EQ(std::string(bytes, size), "a\n");
  std::fclose(file);
  std::free(bytes);
  FILE* full = std::fopen("/dev/full", "w");
  sink = MakeCFileSink(MakeFormatEncoder(*RowFormat::Parse("%s\n")), full, "Fprintf()");
  static_cast<void>(Put(*sink, OneRow({"a"})));
  EXPECT_EQ(sink->Finish().code(), Code::kUnavailable);
  std::fclose(full);
}

TEST(Sinks, RowsReachTheProgram) {
  auto env = env::MakePosixEnv();
  std::vector<Row> rows;
  auto collect = MakeCollectSink(&rows);
  ASSERT_TRUE(Put(*collect, OneRow({"a", 1})).ok());
  ASSERT_TRUE(Put(*collect, OneRow({"b"})).ok());
  EXPECT_EQ(rows, (std::vector<Row>{{"a", 1}, {"b"}}));

  Row saved;
  auto first = MakeFirstRowSink([&](const Row& row) {
    saved = row;
    return Status::Ok();
  });
  EXPECT_FALSE(first->full());
  ASSERT_TRUE(Put(*first, OneRow({"a"})).ok());
  ASSERT_TRUE(Put(*first, OneRow({"b"})).ok());
  EXPECT_TRUE(first->full());
  EXPECT_EQ(saved, (Row{"a"}));

  auto refuse = MakeCallbackSink([](const Batch&) { return Status::UserCode("no"); });
  EXPECT_EQ(Put(*refuse, OneRow({"a"})).message(), "no");
}

TEST(MemorySource, GivesItsRowsInOrderHoweverItIsCut) {
  auto env = env::MakePosixEnv();
  for (const int64_t split_bytes_max : {1, 50, 1 << 20}) {
    EXPECT_EQ(*ReadAll(*env, *MakeStringsSource({"a", "", "a longer text"}), split_bytes_max),
              (Texts{{"a"}, {""}, {"a longer text"}}));
    EXPECT_EQ(*ReadAll(*env, *MakeIntsSource({3, -1, 2}), split_bytes_max), (Texts{{"3"}, {"-1"}, {"2"}}));
    EXPECT_EQ(*ReadAll(*env, *MakeRowsSource({{1, "a"}, {2, "b"}, {}, {}, {Value()}}), split_bytes_max),
              (Texts{{"1", "a"}, {"2", "b"}, {}, {}, {"nil"}}));
    const auto range = *ReadAll(*env, *MakeRangeSource(-5, 10000), split_bytes_max);
    ASSERT_EQ(range.size(), 10005u);
    for (int i = 0; i < 10005; ++i) ASSERT_EQ(range[i][0], std::to_string(i - 5));
  }
  EXPECT_EQ(*ReadAll(*env, *MakeRangeSource(3, 3)), Texts{});
  EXPECT_EQ(*ReadAll(*env, *MakeRangeSource(3, -3)), Texts{});
  EXPECT_EQ(*ReadAll(*env, *MakeStringsSource({})), Texts{});
}

TEST(MemorySource, WholeRangeOfIntegersIsCutWithoutOverflow) {
  auto env = env::MakePosixEnv();
  const auto source = MakeRangeSource(INT64_MIN, INT64_MAX);
  const auto splits = *source->MakeSplits(*env, {});
  ASSERT_EQ(splits.size(), 1024u);
  auto reader = *source->Open(*env, {"", splits.back().end - 1, splits.back().end, 0});
  const Batch batch = **reader->Next();
  EXPECT_EQ(batch.At(0, 0).as_int64(), INT64_MAX - 1);
}

}  // namespace
}  // namespace glim::io
