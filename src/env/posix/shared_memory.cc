// SPDX-License-Identifier: Apache-2.0
#include "env/shared_memory.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "env/posix/system_error.h"

namespace glim::env {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW;

}  // namespace

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), bytes_(std::exchange(other.bytes_, {})) {}
SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(bytes_, other.bytes_);
  return *this;
}
SharedMemory::~SharedMemory() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
  CloseDescriptor();
}

void SharedMemory::CloseDescriptor() {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

Result<SharedMemory> SharedMemory::Map(SharedMemory memory, size_t bytes) {
  void* const place = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.descriptor_, 0);
  if (place == MAP_FAILED) return SystemError(errno, "shared memory");
  memory.bytes_ = {static_cast<char*>(place), bytes};
  return memory;
}

Result<SharedMemory> SharedMemory::Create(size_t bytes) {
  SharedMemory memory;
  memory.descriptor_ = ::memfd_create("glim", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (memory.descriptor_ < 0 || ::ftruncate(memory.descriptor_, static_cast<off_t>(bytes)) != 0 ||
      ::fcntl(memory.descriptor_, F_ADD_SEALS, kSeals | F_SEAL_SEAL) != 0) {
    return SystemError(errno, "shared memory");
  }
  return Map(std::move(memory), bytes);
}

Result<SharedMemory> SharedMemory::Open(int descriptor, size_t bytes) {
  SharedMemory memory;
  memory.descriptor_ = descriptor;
  struct stat what = {};
  struct statfs where = {};
  const int seals = ::fcntl(descriptor, F_GET_SEALS);
  // Seals first: what is true of the size then stays so. Pages of a file system of huge ones may be missing.
  if (seals < 0 || (seals & kSeals) != kSeals || ::fstat(descriptor, &what) != 0 ||
      what.st_size != static_cast<off_t>(bytes) || ::fstatfs(descriptor, &where) != 0 || where.f_type != TMPFS_MAGIC) {
    return Status::Invalid("this is no shared memory of the size that was told");
  }
  return Map(std::move(memory), bytes);
}

}  // namespace glim::env
