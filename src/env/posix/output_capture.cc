// SPDX-License-Identifier: Apache-2.0
#include "env/output_capture.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/try.h"
#include "env/posix/descriptor.h"
#include "env/posix/system_error.h"

namespace glim::env {
namespace {

constexpr size_t kPieceBytes = size_t{64} << 10;

// The end to read of a pipe whose other end is `number` from now on.
Result<int> Redirect(int number) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return SystemError(errno, "making a pipe");
  Descriptor read(ends[0]), write(ends[1]);
  // The other end is shared with the commands that we start, and they expect one that blocks.
  if (::fcntl(read.get(), F_SETFL, O_NONBLOCK) < 0) return SystemError(errno, "making a pipe");
  if (::dup2(write.get(), number) < 0) return SystemError(errno, "redirecting the output");
  return read.Release();
}

bool IsEmpty(int pipe) {
  int bytes = 0;
  return pipe < 0 || (::ioctl(pipe, FIONREAD, &bytes) == 0 && bytes == 0);
}

}  // namespace

Result<std::unique_ptr<OutputCapture>> OutputCapture::Begin(bool with_errors) {
  std::unique_ptr<OutputCapture> capture(new OutputCapture);
  std::fflush(stdout);
  ASSIGN_OR_RETURN(capture->output_, Redirect(STDOUT_FILENO));
  if (with_errors) {
    ASSIGN_OR_RETURN(capture->errors_, Redirect(STDERR_FILENO));
  }
  return capture;
}

OutputCapture::~OutputCapture() {
  for (const int pipe : {output_, errors_}) {
    if (pipe >= 0) ::close(pipe);
  }
}

Result<OutputCapture::Piece> OutputCapture::Read(int64_t timeout_nanos) {
  {
    const std::lock_guard lock(mutex_);
    dealing_ = false;
  }
  constexpr int64_t kNanosPerMilli = 1'000'000;
  pollfd pipes[] = {{output_, POLLIN, 0}, {errors_, POLLIN, 0}};
  const int count = ::poll(pipes, 2, static_cast<int>(timeout_nanos / kNanosPerMilli));
  if (count < 0 && errno != EINTR) return SystemError(errno, "waiting for output");
  Piece piece;
  const std::lock_guard lock(mutex_);
  for (const pollfd& pipe : pipes) {
    if (count <= 0 || (pipe.revents & POLLIN) == 0) continue;
    piece.bytes.resize(kPieceBytes);
    const ssize_t read = ::read(pipe.fd, piece.bytes.data(), piece.bytes.size());
    piece.bytes.resize(read > 0 ? static_cast<size_t>(read) : 0);
    piece.from_stderr = pipe.fd == errors_;
    dealing_ = !piece.bytes.empty();
    if (dealing_) break;
  }
  return piece;
}

bool OutputCapture::AllRead() {
  const std::lock_guard lock(mutex_);
  return !dealing_ && IsEmpty(output_) && IsEmpty(errors_);
}

}  // namespace glim::env
