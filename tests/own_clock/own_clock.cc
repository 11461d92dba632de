// SPDX-License-Identifier: Apache-2.0
//
// Gives a process a wall clock of its own (LD_PRELOAD): the system's, moved by as many seconds as the file says that
// OWN_CLOCK names. The file is eight bytes, mapped, so whoever writes it moves the clock at once, also those of the
// process's children. The monotonic clock stays what it is. (libfaketime has timers on the monotonic clock refused when
// the wall clock goes back.)
//
// What it replaces is what the C library has: a condition that waits by the wall clock waits by the system's, and ends
// at the wrong time.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

namespace {

int64_t Offset() {
  static const volatile int64_t* const offset = [] {
    const char* path = ::getenv("OWN_CLOCK");
    const int file = path ? ::open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return static_cast<const volatile int64_t*>(nullptr);
    void* page = ::mmap(nullptr, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    ::close(file);
    return static_cast<const volatile int64_t*>(page == MAP_FAILED ? nullptr : page);
  }();
  return offset ? *offset : 0;
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) int clock_gettime(clockid_t which, timespec* now) {
  static const auto next = reinterpret_cast<int (*)(clockid_t, timespec*)>(::dlsym(RTLD_NEXT, "clock_gettime"));
  const int result = next(which, now);
  if (result == 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) now->tv_sec += Offset();
  return result;
}

__attribute__((visibility("default"))) int gettimeofday(timeval* now, void* zone) {
  static const auto next = reinterpret_cast<int (*)(timeval*, void*)>(::dlsym(RTLD_NEXT, "gettimeofday"));
  const int result = next(now, zone);
  if (result == 0) now->tv_sec += Offset();
  return result;
}

__attribute__((visibility("default"))) time_t time(time_t* result) {
  timespec now = {};
  ::clock_gettime(CLOCK_REALTIME, &now);
  if (result) *result = now.tv_sec;
  return now.tv_sec;
}

}  // extern "C"
