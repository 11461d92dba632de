// SPDX-License-Identifier: Apache-2.0
//
// What the driver of a run and its executors say to each other. A question is a frame of its own type, an answer a
// frame of type kAnswer with the question's number; it begins with a status. docs/format/wire.md has the bytes.
//
//   driver -> executor    TellOutcomes, OpenRun, FindFiles, TellStage, RunTask, GiveUpTask, DropOutput,
//                         EndRun
//   executor -> driver    Output, FindModule, FetchCached, FetchFile
//   executor -> executor, executor -> driver and back   Fetch
//   driver -> agent       StartExecutor, StopExecutor, StartProgram
//   agent -> driver       FetchProgram
//
// Thread: values and plain functions.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "exchange/exchange.h"
#include "exec/plan_tasks.h"
#include "glim/status.h"
#include "net/frame.h"
#include "net/messages.h"

namespace glim::cluster {

enum JobMessage : uint16_t {
  kOpenRunMessage = 80,
  kTellStageMessage = 81,
  kRunTaskMessage = 82,
  kDropOutputMessage = 83,
  kEndRunMessage = 84,
  kFetchMessage = 85,
  kAnswerMessage = 86,
  kOutputMessage = 87,
  kFindModuleMessage = 88,
  kStartExecutorMessage = 89,
  kStopExecutorMessage = 90,
  kTellOutcomesMessage = 91,
  kStartProgramMessage = 92,
  kFetchProgramMessage = 93,
  kFetchCachedMessage = 94,
  kGiveUpTaskMessage = 95,
  kFetchFileMessage = 96,
  kFindFilesMessage = 97,
};
const net::MessageTable& JobMessages();

// Of a frame between them: a row may be large.
inline constexpr size_t kPayloadBytesMax = size_t{1} << 30;

// An executor works for one session, on one run at a time. The graph is the frame's segment (exec/graph_codec.h).
struct OpenRun {
  uint64_t run = 0;        // Numbers runs of the session.
  std::string job;         // A name for the run that no other has, in no session: under it tasks push to tables.
  int32_t place = 0;       // Of this executor.
  uint64_t plan_hash = 0;  // plan::Fingerprint of what the driver made of it.
  std::vector<int32_t> ends;
  int32_t partitions = 0;
  int64_t memory_bytes = 0;
  int64_t lua_memory_bytes = 0;
  std::string lua_path;
  std::string folder;  // The driver's current one, for paths of files and programs.
  bool lua_kernels = true;
  bool taps = false;
  // For an executor that follows the program's main (ExecutorOptions::own_flow): the flow is the one that main runs as
  // its so-many-th from 1, and main has so much time to get there. 0: the bytes are all there is of the flow.
  uint64_t program_run = 0;
  int64_t reach_nanos = 0;
  // What caches of the session hold, by number. Of any other the executor forgets what it keeps.
  struct Cache {
    uint64_t id = 0;
    int32_t step = -1;  // That the run may read it through; -1: it does not.
  };
  std::vector<Cache> caches;
  // That travel with the program (glim/files.h), for an executor on another machine.
  struct File {
    std::string name;
    std::string digest;  // Of its bytes (program_digest.h).
    uint64_t size = 0;
    uint32_t permissions = 0;  // As of chmod.
  };
  std::vector<File> files;
};

// How runs of the program went that are over, for executors that follow its main; before the OpenRun of a later one.
struct TellOutcomes {
  uint64_t first = 0;                 // Of them, from 1.
  std::vector<std::string> outcomes;  // exec/run_outcome.h
};

// What there is on the executor's machine for a stage that reads what each has of its own. The answer is FoundFiles;
// their splits have no host.
struct FindFiles {
  uint64_t run = 0;
  int32_t stage = 0;
};

// Where the rows are that the tasks of a stage gave.
struct StageRows {
  struct Producer {
    int32_t place = 0;
    exchange::ProducerRows rows;
  };
  int32_t stage = 0;
  std::vector<Producer> producers;
};

// Before the tasks of a stage run at an executor, and again when rows have moved.
struct TellStage {
  uint64_t run = 0;
  int32_t stage = 0;
  std::vector<std::pair<int32_t, std::string>> executors;    // All: place, and host:port.
  std::vector<std::pair<int32_t, exec::StageShape>> shapes;  // Of what it reads, its parts, and itself; in plan order.
  std::vector<StageRows> rows;                               // Of what it reads.
  std::vector<int32_t> tables;                               // Stages that fill tables for its functions.
};

struct RunTask {
  uint64_t run = 0;
  int32_t stage = 0, task = 0, attempt = 0;
};
struct TaskAnswer {
  exec::TaskResult result;
  exchange::ProducerRows rows;         // Without rows counts when the stage sends nothing.
  std::vector<std::string> keys_seen;  // By joins of the stage, in all tasks there so far.
};

// Another attempt of the task has won. Its answer comes all the same.
struct GiveUpTask {
  uint64_t run = 0;
  int32_t stage = 0, task = 0;
};

struct DropOutput {
  uint64_t run = 0;
  int32_t stage = 0;
};
struct EndRun {
  uint64_t run = 0;
};

// Asks for rows that a producer has for a consumer, from a place on.
struct Fetch {
  uint64_t run = 0;
  int32_t stage = 0, producer = 0, consumer = 0;
  exchange::SlotPosition from;
  uint32_t bytes_max = 0;  // About; at least one batch comes.
};
// Asks for what a cache holds of a partition, from a place on. The answer is that to a Fetch.
struct FetchCached {
  uint64_t run = 0;
  uint64_t cache = 0;
  uint32_t partition = 0;
  exchange::SlotPosition from;
  uint32_t bytes_max = 0;  // As there.
};
// Each batch is a segment (batch/batch_codec.h), as it is or packed (row_packing.h).
struct FetchAnswer {
  exchange::SlotPosition next;
  bool end = false;
  // Of each batch when it was packed, else 0. Empty: none was.
  std::vector<uint32_t> plain_bytes = {};
};

// What functions printed, and what the executor itself has to say. The answer comes when it was written.
struct Output {
  bool to_stderr = false;
  std::string bytes;
};

// The source of a Lua module, where the driver has it.
struct FindModule {
  std::string name;  // As in `require "a.b"`.
  std::string path;  // Where to look, written as package.path is.
};
struct FindModuleAnswer {
  bool found = false;
  std::string file;  // For messages; when not found, where it was looked for.
  std::string source;
};

// An executor for this driver, on the agent's machine. It ends with the connection, or with StopExecutor. Refused with
// kExhausted when too little is free, which the message tells.
struct StartExecutor {
  int32_t threads = 0;       // At most; 0: as many as the agent offers.
  int64_t memory_bytes = 0;  // 0: half of what is free.
};
struct StartExecutorAnswer {
  uint64_t id = 0;
  std::string address;  // Where it listens.
  int32_t threads = 0;
  int64_t memory_bytes = 0;
};
struct StopExecutor {
  uint64_t id = 0;
};

// As StartExecutor, for one that is the driver's program. The answer is that of StartExecutor; before it the agent may
// ask for the program.
struct StartProgram {
  // The program for machines of one architecture.
  struct Binary {
    std::string architecture;  // env::Architecture().
    std::string program;       // The name of its bytes (program_digest.h).
    uint64_t size = 0;
  };
  StartExecutor executor;
  std::vector<Binary> binaries;          // One for each architecture; the agent starts that of its own.
  std::vector<std::string> arguments;    // Without the program's name.
  std::vector<std::string> environment;  // "GLIM_...=value"
  std::string folder;
  int64_t patience_nanos = 0;  // That its main has to make a Session.
};
// A piece of the program that the driver named. The second segment of the answer is it.
struct FetchProgram {
  std::string program;
  uint64_t offset = 0;
};

// A piece of a file that OpenRun named. The second segment of the answer is it.
struct FetchFile {
  std::string name;
  std::string digest;
  uint64_t offset = 0;
};

net::Frame ToFrame(const TellOutcomes& message);
net::Frame ToFrame(const Output& message);
net::Frame ToFrame(const FindModule& message);
net::Frame ToFrame(const StartExecutor& message);
net::Frame ToFrame(const StopExecutor& message);
net::Frame ToFrame(const StartProgram& message);
net::Frame ToFrame(const FetchProgram& message);
net::Frame ToFrame(const FetchFile& message);
net::Frame ToFrame(const OpenRun& message);
net::Frame ToFrame(const FindFiles& message);
net::Frame ToFrame(const TellStage& message);
net::Frame ToFrame(const RunTask& message);
net::Frame ToFrame(const GiveUpTask& message);
net::Frame ToFrame(const DropOutput& message);
net::Frame ToFrame(const EndRun& message);
net::Frame ToFrame(const Fetch& message);
net::Frame ToFrame(const FetchCached& message);
// Any other bytes are kCorrupt.
template <class Message>
Result<Message> FromFrame(const net::Frame& frame);

// An answer to the question `request`; `body` counts only when the status is ok.
net::Frame MakeAnswer(uint64_t request, const Status& status, std::string_view body = {},
                      std::vector<net::Segment> segments = {});
// The body of an answer; its status when that is not ok.
Result<std::string_view> BodyOfAnswer(const net::Frame& answer);

std::string Encode(const exec::FoundFiles& answer);
Result<exec::FoundFiles> DecodeFoundFiles(const Result<net::Frame>& answer);
std::string Encode(const TaskAnswer& answer);
Result<TaskAnswer> DecodeTaskAnswer(std::string_view body);
std::string Encode(const FetchAnswer& answer);
Result<FetchAnswer> DecodeFetchAnswer(std::string_view body);
std::string Encode(const FindModuleAnswer& answer);
Result<FindModuleAnswer> DecodeFindModuleAnswer(std::string_view body);
std::string Encode(const StartExecutorAnswer& answer);
Result<StartExecutorAnswer> DecodeStartExecutorAnswer(std::string_view body);

}  // namespace glim::cluster
