// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/messages.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/try.h"
#include "exec/archive.h"
#include "net/bytes.h"

namespace glim {

template <class A>
void Travel(A& archive, Counters& counters) {
  std::vector<std::pair<std::string, int64_t>> all;
  if constexpr (!A::kReads) all.assign(counters.all().begin(), counters.all().end());
  archive(all);
  if constexpr (A::kReads) {
    for (const auto& [name, sum] : all) counters.Add(name, sum);
  }
}

namespace cluster {

template <class A>
void Travel(A& archive, OpenRun& open) {
  archive(open.run, open.job, open.place, open.plan_hash, open.ends, open.partitions, open.memory_bytes,
          open.lua_memory_bytes, open.lua_path, open.folder, open.lua_kernels, open.taps, open.program_run,
          open.reach_nanos, open.caches, open.files);
}

namespace {

constexpr int kCodeMax = static_cast<int>(Code::kUnreachable);

struct Nothing {};

template <class Message>
std::string EncodeFields(const Message& message) {
  exec::Writer<Nothing> writer({});
  writer(const_cast<Message&>(message));  // A writer only looks.
  return writer.TakeBytes();
}

template <class Message>
Result<Message> DecodeFields(std::string_view bytes) {
  exec::Reader<Nothing> reader(bytes, {});
  Message message;
  reader(message);
  if (!reader.ok() || reader.left() > 0) return Status::Corrupt("a message of a run that makes no sense");
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
  std::string bytes;
  const auto put_text = [&](std::string_view text) {
    net::PutNumber(static_cast<uint32_t>(text.size()), &bytes);
    bytes += text;
  };
  net::PutNumber(static_cast<uint8_t>(status.code()), &bytes);
  put_text(status.ok() ? std::string_view() : status.message());
  put_text(status.ok() ? std::string_view() : status.details());
  bytes += body;
  net::Frame frame{.header = {.type = kAnswerMessage, .request = request}, .body = {}, .segments = {}};
  frame.segments.push_back(net::Segment::Copy(bytes));
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

}  // namespace cluster
}  // namespace glim
