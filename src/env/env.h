// SPDX-License-Identifier: Apache-2.0
//
// Everything that Glim asks of the machine: time, randomness, files, child processes, sockets, signals. One interface,
// so that a test or a simulation can put something else in its place; env/posix/ holds the real one and is the only
// folder that calls the system.
//
// Who needs the machine gets an Env& from its owner; `main` and Session make the real one with env::MakePosixEnv().
//
// Thread: an Env and its parts may be used from any thread. An open file or a child belongs to one thread at a time,
// except RandomAccessFile, which any thread may read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "glim/status.h"

namespace glim::env {

class Clock {
 public:
  virtual ~Clock() = default;
  // Never goes back; its zero means nothing. Deadlines are counted on it.
  virtual int64_t MonotonicNanos() = 0;
  // Since 1970, UTC. For people only.
  virtual int64_t WallNanos() = 0;
  virtual void SleepFor(int64_t nanos) = 0;
};

// A file read by position.
class RandomAccessFile {
 public:
  virtual ~RandomAccessFile() = default;
  // Fills `out` from `offset` on; fewer bytes only at the end of the file. Returns how many.
  virtual Result<size_t> ReadAt(uint64_t offset, std::span<char> out) const = 0;
  // At the time it was opened.
  virtual uint64_t size() const = 0;
};

// A file, pipe or terminal read from its beginning.
class SequentialFile {
 public:
  virtual ~SequentialFile() = default;
  // At least one byte, or 0 at the end. May wait for a writer; kCancelled when the Env was interrupted meanwhile.
  virtual Result<size_t> Read(std::span<char> out) = 0;
};

class WritableFile {
 public:
  virtual ~WritableFile() = default;
  // All or an error (kExhausted when the disk is full, kUnavailable for a broken pipe).
  virtual Status Append(std::string_view bytes) = 0;
  // What was appended survives a crash of the machine.
  virtual Status Sync() = 0;
  // Ends writing; the only place where some errors show. Without it the destructor closes and tells nobody.
  virtual Status Close() = 0;
};

// A file without a name, gone when it is closed or the process dies, however it dies.
class TemporaryFile {
 public:
  virtual ~TemporaryFile() = default;
  // All or an error, as WritableFile's Append. Thread: any; those that write and read different places do not wait for
  // each other.
  virtual Status WriteAt(uint64_t offset, std::string_view bytes) = 0;
  // As RandomAccessFile's.
  virtual Result<size_t> ReadAt(uint64_t offset, std::span<char> out) const = 0;
  // These bytes will be read soon: the disk may begin. Does not wait.
  virtual void WillRead(uint64_t /*offset*/, uint64_t /*size*/) const {}
};

enum class FileKind { kFile, kFolder, kOther };  // kOther: pipe, socket, device; readable in sequence only.

// As long as it lives nobody else has it, in this process or another; a process that dies lets go.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

struct FileStat {
  FileKind kind = FileKind::kFile;
  uint64_t size_bytes = 0;
  int64_t modified_wall_nanos = 0;
  uint32_t permissions = 0;  // 0644, as of chmod.
};

struct DirectoryEntry {
  std::string name;  // Without its folder.
  FileKind kind = FileKind::kFile;
  bool is_link = false;  // A symbolic one; the kind is that of what it leads to.
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  // All errors name the path: `"a.csv": no such file`. kNotFound when there is none.
  virtual Result<std::unique_ptr<RandomAccessFile>> OpenRandom(const std::string& path) = 0;
  virtual Result<std::unique_ptr<SequentialFile>> OpenSequential(const std::string& path) = 0;
  // Empty, made anew. Mode 0644 less the umask.
  virtual Result<std::unique_ptr<WritableFile>> Create(const std::string& path) = 0;
  // A new one that only its owner may read and write (mode 0600). kInvalid when there is something of that name
  // already.
  virtual Result<std::unique_ptr<WritableFile>> CreateSecret(const std::string& path) = 0;
  virtual Result<FileStat> Stat(const std::string& path) = 0;
  // What a symbolic link leads to in the end; anything else, also nothing, stays as it is. kNotFound for a link to what
  // is not there.
  virtual Result<std::string> FollowLink(const std::string& path) = 0;
  // Sorted by name; "." and ".." left out. Symbolic links are followed for their kind; dangling ones are left out.
  virtual Result<std::vector<DirectoryEntry>> List(const std::string& folder) = 0;
  virtual Status Rename(const std::string& from, const std::string& to) = 0;
  virtual Status RemoveFile(const std::string& path) = 0;
  // The folder and all below it; ok when it is not there.
  virtual Status RemoveAll(const std::string& path) = 0;
  virtual Status MakeFolders(const std::string& path) = 0;
  // A rename or a new file in `folder` survives a crash of the machine.
  virtual Status SyncFolder(const std::string& folder) = 0;
  // Makes the file when there is none; it stays. kUnavailable when somebody else has the lock.
  virtual Result<std::unique_ptr<FileLock>> Lock(const std::string& path) = 0;
  // A new empty folder below the temporary folder of the machine ($TMPDIR or /tmp).
  virtual Result<std::string> MakeTemporaryFolder(std::string_view prefix) = 0;
  // Takes space of `folder` as it is written; its messages name the folder.
  virtual Result<std::unique_ptr<TemporaryFile>> CreateTemporary(const std::string& folder) = 0;
};

// A child process with its stdin and stdout in our hands; stderr is ours too (passed through), as a shell would do.
//
// The child leads its own process group, dies with us, and is killed with its group by Kill() or the destructor:
// nothing is left behind.
class ChildProcess {
 public:
  virtual ~ChildProcess() = default;

  struct Transfer {
    size_t written = 0;         // Bytes of `input` that the child's stdin took.
    size_t read = 0;            // Bytes put into `output`.
    bool output_ended = false;  // The child closed its stdout.
    bool input_closed = false;  // The child closed its stdin: it wants no more.
  };
  // Waits until the child takes some of `input` or has given some output, moves what can be moved, and says how much.
  // With an empty `input` it only reads. Returns after `timeout_nanos` (negative: never) with nothing moved. A child
  // that closed its stdin is not an error, it is told by `input_closed`; the rest of the input is then the caller's to
  // drop. kCancelled once the Env was interrupted.
  virtual Result<Transfer> Exchange(std::string_view input, std::span<char> output, int64_t timeout_nanos) = 0;
  // The child sees the end of its stdin.
  virtual void CloseInput() = 0;
  // Waits for the end; 0..255 as the shell would say (128 + signal). Closes both pipes first, so read the output
  // before; what the child left running in its group is killed. kCancelled when the Env was interrupted meanwhile and
  // the child was not killed: Kill() it.
  virtual Result<int> Wait() = 0;
  // As Wait() would give it; nullopt while the child runs. What it wrote is still there to be read.
  virtual std::optional<int> ExitCode() = 0;
  // The child and its whole group. Wait() then gives 137 soon, unless the child had ended by itself.
  virtual void Kill() = 0;
};

struct CommandOptions {
  std::vector<std::string> argv;         // argv[0] is looked up in PATH. Not empty.
  std::vector<std::string> environment;  // "NAME=value", added to ours.
  bool discard_input = false;            // stdin is /dev/null.
};

class Processes {
 public:
  virtual ~Processes() = default;
  // kNotFound when the program does not exist.
  virtual Result<std::unique_ptr<ChildProcess>> Start(const CommandOptions& options) = 0;
  // Removes `folder` and all in it when this process ends without having removed it: killed, by a signal, by exit().
  // Its children have been killed by then.
  virtual void RemoveAtEnd(const std::string& folder) = 0;
};

// A socket that takes connections, and all the connections that it took.
class Listener {
 public:
  virtual ~Listener() = default;

  struct Event {
    enum class Kind : uint8_t { kOpened, kBytes, kEnded };
    uint64_t connection = 0;  // From 1, in the order in which they came.
    Kind kind = Kind::kOpened;
    std::string peer;  // "127.0.0.1:40123".
    size_t size = 0;   // Of kBytes: of what was put into `out`.
    Status status;     // Of kEnded: why, when it broke off.
  };
  // Where it listens, with the port that was chosen for port 0: "127.0.0.1:40123".
  virtual const std::string& address() const = 0;
  // What happens next on any connection, or nullopt when nothing did for so long (negative: wait for ever). A peer that
  // sends more than is asked for waits. kCancelled once the Env was interrupted.
  virtual Result<std::optional<Event>> Next(std::span<char> out, int64_t timeout_nanos) = 0;
  // Those that are there go on.
  virtual void StopAccepting() = 0;
};

struct Machine {
  int cores = 1;             // That this process may use.
  int64_t memory_bytes = 0;  // Of the machine or of our cgroup, the smaller.
  std::string name;          // As `hostname` says it.
};

class Env {
 public:
  virtual ~Env() = default;
  virtual Clock& clock() = 0;
  virtual FileSystem& files() = 0;
  virtual Processes& processes() = 0;
  // `network` is "tcp", "tcp4" or "tcp6" with an address like "localhost:7000" or ":0" (this machine only, a free
  // port), or "unix" with a path.
  virtual Result<std::unique_ptr<Listener>> Listen(const std::string& network, const std::string& address) = 0;
  virtual uint64_t RandomSeed() = 0;
  virtual Machine machine() = 0;
  virtual std::optional<std::string> Variable(const std::string& name) = 0;
  virtual int process_id() = 0;
  // May be a file, a pipe or a terminal; read by one thread.
  virtual SequentialFile& standard_input() = 0;
  // The next Read of standard_input(), through any Env of the process, begins with these bytes: for who looked at the
  // beginning only.
  virtual void ReturnToStandardInput(std::string_view bytes) = 0;
  // stdout and stderr; the returned file does not close them. Append is not buffered.
  virtual WritableFile& standard_output() = 0;
  virtual WritableFile& standard_error() = 0;
  virtual bool IsTerminal(int descriptor) = 0;

  // Interrupts (Ctrl-C, SIGTERM, SIGHUP): between WatchInterrupts() and UnwatchInterrupts(), which may nest, the first
  // one only sets the flag, for good; a second one ends the process. At other times they do what they did before.
  virtual void WatchInterrupts() = 0;
  virtual void UnwatchInterrupts() = 0;
  virtual bool interrupted() const = 0;
  // Until the flag is set. Expects: between the two calls.
  virtual void AwaitInterrupt() = 0;
};

// The machine itself. Descriptors 0 to 2 that are closed are taken up first, so that no file of ours gets their number;
// reading or writing them stays an error.
std::unique_ptr<Env> MakePosixEnv();

// From now on, large pieces of memory go back to the system as soon as they are freed: slower, and smaller. The less
// memory there is to be, the smaller are those that count as large.
void ReturnMemoryEarly(int64_t limit_bytes);

// Lets go of what was read of the program and its libraries to start: what is needed again is read again. For processes
// that run for days and do little.
void ForgetStart();

// The folder that relative paths begin at; "/" when it was removed.
std::string CurrentFolder();
// For the whole process.
Status ChangeFolder(const std::string& path);

// What a number of errno means, in the words of our messages: "disk full".
std::string ErrorWords(int error);

// The signal that interrupted this process, 0 when none did. For exit codes.
int InterruptSignal();

// Whoever read our standard output has closed it, as `head` does; writing there is kCancelled.
bool OutputClosed();
void NoteOutputClosed();  // By who writes there through the C library.
// What a shell says of a program that wrote there all the same and was ended for it, as most are.
inline constexpr int kOutputClosedCode = 141;

// Ends the process at once, as a second interrupt does: for when a thread cannot be stopped.
[[noreturn]] void ExitNow(int code);

}  // namespace glim::env
