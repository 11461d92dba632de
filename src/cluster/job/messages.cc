// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/messages.h"

#include <type_traits>

#include "base/try.h"
#include "net/bytes.h"

namespace glim::cluster {
namespace {

constexpr int kCodeMax = static_cast<int>(Code::kUnreachable);

// One function for each message says its fields in order, to a Writer or to a Reader.
class Writer {
 public:
  static constexpr bool kReads = false;
  template <class T>
    requires std::is_arithmetic_v<T>
  void operator()(const T& value) {
    net::PutNumber(value, &out);
  }
  void operator()(const std::string& text) {
    net::PutNumber(static_cast<uint32_t>(text.size()), &out);
    out += text;
  }
  template <class T>
  void operator()(const std::vector<T>& items) {
    net::PutNumber(static_cast<uint32_t>(items.size()), &out);
    for (const T& item : items) Visit(*this, const_cast<T&>(item));
  }
  std::string out;
};

class Reader {
 public:
  static constexpr bool kReads = true;
  explicit Reader(std::string_view bytes) : bytes_(bytes), left_(bytes.size()) {}
  template <class T>
    requires std::is_arithmetic_v<T>
  void operator()(T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      const auto byte = Number<uint8_t>();
      value = byte == 1;
      if (byte > 1) good_ = false;
    } else {
      value = Number<T>();
    }
  }
  void operator()(std::string& text) { text = Take(Number<uint32_t>()); }
  template <class T>
  void operator()(std::vector<T>& items) {
    const auto count = Number<uint32_t>();
    // Each takes a byte at least.
    if (count > left_) good_ = false;
    for (uint32_t i = 0; i < count && good(); ++i) Visit(*this, items.emplace_back());
  }
  bool good() const { return good_ && bytes_.ok(); }
  bool complete() const { return good_ && bytes_.complete(); }

 private:
  template <class T>
  T Number() {
    left_ -= std::min(left_, sizeof(T));
    return bytes_.Number<T>();
  }
  std::string Take(size_t size) {
    left_ -= std::min(left_, size);
    return std::string(bytes_.Bytes(size));
  }

  net::ByteReader bytes_;
  size_t left_;
  bool good_ = true;
};

template <class Codec, class T>
  requires std::is_arithmetic_v<T>
void Visit(Codec& codec, T& number) {
  codec(number);
}
template <class Codec>
void Visit(Codec& codec, std::string& text) {
  codec(text);
}
template <class Codec, class A, class B>
void Visit(Codec& codec, std::pair<A, B>& pair) {
  Visit(codec, pair.first);
  Visit(codec, pair.second);
}
template <class Codec>
void Visit(Codec& codec, exchange::ProducerRows& rows) {
  codec(rows.row_counts);
  codec(rows.width);
}
template <class Codec>
void Visit(Codec& codec, io::Split& split) {
  codec(split.path);
  codec(split.begin);
  codec(split.end);
  codec(split.estimated_bytes);
  codec(split.threads);
  codec(split.host);
}
template <class Codec>
void Visit(Codec& codec, exec::StageShape& shape) {
  codec(shape.tasks);
  codec(shape.consumers);
  codec(shape.splits);
  codec(shape.groups);
  codec(shape.split_count);
  codec(shape.splits_before);
}
template <class Codec>
void Visit(Codec& codec, StageRows::Producer& producer) {
  codec(producer.place);
  Visit(codec, producer.rows);
}
template <class Codec>
void Visit(Codec& codec, StageRows& rows) {
  codec(rows.stage);
  codec(rows.producers);
}
template <class Codec>
void Visit(Codec& codec, exec::StepReport& step) {
  codec(step.rows_in);
  codec(step.rows_out);
  codec(step.bytes_in);
  codec(step.bytes_out);
  codec(step.nanos);
}
template <class Codec>
void Visit(Codec& codec, exec::TaskWork& work) {
  codec(work.stage);
  codec(work.task);
  codec(work.begin_nanos);
  codec(work.end_nanos);
  codec(work.steps);
}
template <class Codec>
void Visit(Codec& codec, Counters& counters) {
  std::vector<std::pair<std::string, int64_t>> all;
  if constexpr (!Codec::kReads) all.assign(counters.all().begin(), counters.all().end());
  codec(all);
  if constexpr (Codec::kReads) {
    for (const auto& [name, sum] : all) counters.Add(name, sum);
  }
}
template <class Codec>
void Visit(Codec& codec, TaskAnswer& answer) {
  Visit(codec, answer.result.counters);
  codec(answer.result.works);
  codec(answer.result.rows_read);
  codec(answer.result.bytes_read);
  Visit(codec, answer.rows);
  codec(answer.keys_seen);
}
template <class Codec>
void Visit(Codec& codec, exchange::SlotPosition& position) {
  codec(position.held);
  codec(position.block);
}
template <class Codec>
void Visit(Codec& codec, FetchAnswer& answer) {
  Visit(codec, answer.next);
  codec(answer.end);
  codec(answer.plain_bytes);
}
template <class Codec>
void Visit(Codec& codec, OpenRun::Cache& cache) {
  codec(cache.id);
  codec(cache.step);
}
template <class Codec>
void Visit(Codec& codec, OpenRun::File& file) {
  codec(file.name);
  codec(file.digest);
  codec(file.size);
  codec(file.permissions);
}
template <class Codec>
void Visit(Codec& codec, OpenRun& open) {
  codec(open.run);
  codec(open.job);
  codec(open.place);
  codec(open.plan_hash);
  codec(open.ends);
  codec(open.partitions);
  codec(open.memory_bytes);
  codec(open.lua_memory_bytes);
  codec(open.lua_path);
  codec(open.folder);
  codec(open.lua_kernels);
  codec(open.taps);
  codec(open.program_run);
  codec(open.reach_nanos);
  codec(open.caches);
  codec(open.files);
}
template <class Codec>
void Visit(Codec& codec, TellOutcomes& tell) {
  codec(tell.first);
  codec(tell.outcomes);
}
template <class Codec>
void Visit(Codec& codec, TellStage& tell) {
  codec(tell.run);
  codec(tell.stage);
  codec(tell.executors);
  codec(tell.shapes);
  codec(tell.rows);
  codec(tell.tables);
}
template <class Codec>
void Visit(Codec& codec, RunTask& run) {
  codec(run.run);
  codec(run.stage);
  codec(run.task);
  codec(run.attempt);
}
template <class Codec>
void Visit(Codec& codec, GiveUpTask& give_up) {
  codec(give_up.run);
  codec(give_up.stage);
  codec(give_up.task);
}
template <class Codec>
void Visit(Codec& codec, DropOutput& drop) {
  codec(drop.run);
  codec(drop.stage);
}
template <class Codec>
void Visit(Codec& codec, EndRun& end) {
  codec(end.run);
}
template <class Codec>
void Visit(Codec& codec, Fetch& fetch) {
  codec(fetch.run);
  codec(fetch.stage);
  codec(fetch.producer);
  codec(fetch.consumer);
  Visit(codec, fetch.from);
  codec(fetch.bytes_max);
}

template <class Codec>
void Visit(Codec& codec, FetchCached& fetch) {
  codec(fetch.run);
  codec(fetch.cache);
  codec(fetch.partition);
  Visit(codec, fetch.from);
  codec(fetch.bytes_max);
}
template <class Codec>
void Visit(Codec& codec, Output& output) {
  codec(output.to_stderr);
  codec(output.bytes);
}
template <class Codec>
void Visit(Codec& codec, FindModule& find) {
  codec(find.name);
  codec(find.path);
}
template <class Codec>
void Visit(Codec& codec, FindModuleAnswer& answer) {
  codec(answer.found);
  codec(answer.file);
  codec(answer.source);
}
template <class Codec>
void Visit(Codec& codec, StartExecutor& start) {
  codec(start.threads);
  codec(start.memory_bytes);
}
template <class Codec>
void Visit(Codec& codec, StartExecutorAnswer& answer) {
  codec(answer.id);
  codec(answer.address);
  codec(answer.threads);
  codec(answer.memory_bytes);
}
template <class Codec>
void Visit(Codec& codec, StopExecutor& stop) {
  codec(stop.id);
}

template <class Codec>
void Visit(Codec& codec, StartProgram::Binary& binary) {
  codec(binary.architecture);
  codec(binary.program);
  codec(binary.size);
}
template <class Codec>
void Visit(Codec& codec, StartProgram& start) {
  Visit(codec, start.executor);
  codec(start.binaries);
  codec(start.arguments);
  codec(start.environment);
  codec(start.folder);
  codec(start.patience_nanos);
}
template <class Codec>
void Visit(Codec& codec, FetchProgram& fetch) {
  codec(fetch.program);
  codec(fetch.offset);
}
template <class Codec>
void Visit(Codec& codec, FindFiles& find) {
  codec(find.run);
  codec(find.stage);
}
template <class Codec>
void Visit(Codec& codec, exec::FoundFiles& found) {
  codec(found.splits);
  codec(found.columns);
}
template <class Codec>
void Visit(Codec& codec, FetchFile& fetch) {
  codec(fetch.name);
  codec(fetch.digest);
  codec(fetch.offset);
}

template <class Message>
std::string EncodeFields(const Message& message) {
  Writer writer;
  Visit(writer, const_cast<Message&>(message));
  return std::move(writer.out);
}

template <class Message>
Result<Message> DecodeFields(std::string_view bytes) {
  Reader reader(bytes);
  Message message;
  Visit(reader, message);
  if (!reader.complete()) return Status::Corrupt("a message of a run that makes no sense");
  return message;
}

// What may be long goes into a segment: bodies are small.
template <class Message>
net::Frame MakeFrame(uint16_t type, const Message& message) {
  return {.header = {.type = type}, .body = {}, .segments = {net::Segment::Copy(EncodeFields(message))}};
}

}  // namespace

const net::MessageTable& JobMessages() {
  static const net::MessageTable table = [] {
    net::MessageTable messages;
    messages.Add(kOpenRunMessage, "open-run", net::Role::kClient);
    messages.Add(kFindFilesMessage, "find-files", net::Role::kClient);
    messages.Add(kTellStageMessage, "tell-stage", net::Role::kClient);
    messages.Add(kRunTaskMessage, "run-task", net::Role::kClient);
    messages.Add(kGiveUpTaskMessage, "give-up-task", net::Role::kClient);
    messages.Add(kDropOutputMessage, "drop-output", net::Role::kClient);
    messages.Add(kEndRunMessage, "end-run", net::Role::kClient);
    messages.Add(kFetchMessage, "fetch", net::Role::kClient);
    messages.Add(kAnswerMessage, "answer", net::Role::kClient);
    messages.Add(kOutputMessage, "output", net::Role::kNode);
    messages.Add(kFindModuleMessage, "find-module", net::Role::kNode);
    messages.Add(kStartExecutorMessage, "start-executor", net::Role::kClient);
    messages.Add(kStopExecutorMessage, "stop-executor", net::Role::kClient);
    messages.Add(kTellOutcomesMessage, "tell-outcomes", net::Role::kClient);
    messages.Add(kStartProgramMessage, "start-program", net::Role::kClient);
    messages.Add(kFetchProgramMessage, "fetch-program", net::Role::kNode);
    messages.Add(kFetchCachedMessage, "fetch-cached", net::Role::kNode);
    messages.Add(kFetchFileMessage, "fetch-file", net::Role::kNode);
    return messages;
  }();
  return table;
}

net::Frame ToFrame(const OpenRun& message) { return MakeFrame(kOpenRunMessage, message); }
net::Frame ToFrame(const TellOutcomes& message) { return MakeFrame(kTellOutcomesMessage, message); }
net::Frame ToFrame(const FindFiles& message) { return MakeFrame(kFindFilesMessage, message); }
net::Frame ToFrame(const TellStage& message) { return MakeFrame(kTellStageMessage, message); }
net::Frame ToFrame(const RunTask& message) { return MakeFrame(kRunTaskMessage, message); }
net::Frame ToFrame(const GiveUpTask& message) { return MakeFrame(kGiveUpTaskMessage, message); }
net::Frame ToFrame(const DropOutput& message) { return MakeFrame(kDropOutputMessage, message); }
net::Frame ToFrame(const EndRun& message) { return MakeFrame(kEndRunMessage, message); }
net::Frame ToFrame(const Fetch& message) { return MakeFrame(kFetchMessage, message); }
net::Frame ToFrame(const FetchCached& message) { return MakeFrame(kFetchCachedMessage, message); }
net::Frame ToFrame(const Output& message) { return MakeFrame(kOutputMessage, message); }
net::Frame ToFrame(const FindModule& message) { return MakeFrame(kFindModuleMessage, message); }
net::Frame ToFrame(const StartExecutor& message) { return MakeFrame(kStartExecutorMessage, message); }
net::Frame ToFrame(const StopExecutor& message) { return MakeFrame(kStopExecutorMessage, message); }
net::Frame ToFrame(const StartProgram& message) { return MakeFrame(kStartProgramMessage, message); }
net::Frame ToFrame(const FetchProgram& message) { return MakeFrame(kFetchProgramMessage, message); }
net::Frame ToFrame(const FetchFile& message) { return MakeFrame(kFetchFileMessage, message); }

template <class Message>
Result<Message> FromFrame(const net::Frame& frame) {
  if (frame.segments.empty()) return Status::Corrupt("a message of a run without its content");
  return DecodeFields<Message>(frame.segments[0].bytes);
}
template Result<OpenRun> FromFrame(const net::Frame& frame);
template Result<TellOutcomes> FromFrame(const net::Frame& frame);
template Result<FindFiles> FromFrame(const net::Frame& frame);
template Result<TellStage> FromFrame(const net::Frame& frame);
template Result<RunTask> FromFrame(const net::Frame& frame);
template Result<GiveUpTask> FromFrame(const net::Frame& frame);
template Result<DropOutput> FromFrame(const net::Frame& frame);
template Result<EndRun> FromFrame(const net::Frame& frame);
template Result<Fetch> FromFrame(const net::Frame& frame);
template Result<FetchCached> FromFrame(const net::Frame& frame);
template Result<Output> FromFrame(const net::Frame& frame);
template Result<FindModule> FromFrame(const net::Frame& frame);
template Result<StartExecutor> FromFrame(const net::Frame& frame);
template Result<StopExecutor> FromFrame(const net::Frame& frame);
template Result<StartProgram> FromFrame(const net::Frame& frame);
template Result<FetchProgram> FromFrame(const net::Frame& frame);
template Result<FetchFile> FromFrame(const net::Frame& frame);

net::Frame MakeAnswer(uint64_t request, const Status& status, std::string_view body,
                      std::vector<net::Segment> segments) {
  Writer writer;
  writer(static_cast<uint8_t>(status.code()));
  writer(status.ok() ? std::string() : status.message());
  writer(status.ok() ? std::string() : status.details());
  writer.out += body;
  net::Frame frame{.header = {.type = kAnswerMessage, .request = request}, .body = {}, .segments = {}};
  frame.segments.push_back(net::Segment::Copy(writer.out));
  for (net::Segment& segment : segments) frame.segments.push_back(std::move(segment));
  return frame;
}

Result<std::string_view> BodyOfAnswer(const net::Frame& answer) {
  if (answer.segments.empty()) return Status::Corrupt("an answer without its content");
  net::ByteReader reader(answer.segments[0].bytes);
  const auto code = reader.Number<uint8_t>();
  const std::string_view message = reader.Bytes(reader.Number<uint32_t>());
  const std::string_view details = reader.Bytes(reader.Number<uint32_t>());
  if (!reader.ok() || code > kCodeMax) return Status::Corrupt("an answer that makes no sense");
  if (code != static_cast<uint8_t>(Code::kOk)) {
    Status status(static_cast<Code>(code), std::string(message));
    if (!details.empty()) status = std::move(status).WithDetails(std::string(details));
    return status;
  }
  return answer.segments[0].bytes.substr(
      static_cast<size_t>(details.data() + details.size() - answer.segments[0].bytes.data()));
}

std::string Encode(const exec::FoundFiles& answer) { return EncodeFields(answer); }
Result<exec::FoundFiles> DecodeFoundFiles(const Result<net::Frame>& answer) {
  RETURN_IF_ERROR(answer.status());
  ASSIGN_OR_RETURN(const std::string_view body, BodyOfAnswer(*answer));
  return DecodeFields<exec::FoundFiles>(body);
}
std::string Encode(const TaskAnswer& answer) { return EncodeFields(answer); }
Result<TaskAnswer> DecodeTaskAnswer(std::string_view body) { return DecodeFields<TaskAnswer>(body); }
std::string Encode(const FetchAnswer& answer) { return EncodeFields(answer); }
Result<FetchAnswer> DecodeFetchAnswer(std::string_view body) { return DecodeFields<FetchAnswer>(body); }
std::string Encode(const FindModuleAnswer& answer) { return EncodeFields(answer); }
Result<FindModuleAnswer> DecodeFindModuleAnswer(std::string_view body) { return DecodeFields<FindModuleAnswer>(body); }
std::string Encode(const StartExecutorAnswer& answer) { return EncodeFields(answer); }
Result<StartExecutorAnswer> DecodeStartExecutorAnswer(std::string_view body) {
  return DecodeFields<StartExecutorAnswer>(body);
}

}  // namespace glim::cluster
