// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "base/check.h"
#include "glim/batch.h"

namespace glim {

std::shared_ptr<Buffer> Buffer::Allocate(size_t size) {
  constexpr size_t kAlignment = 64;
  const size_t padded = (size + kAlignment - 1) / kAlignment * kAlignment + kAlignment;
  auto* data = static_cast<char*>(std::aligned_alloc(kAlignment, padded));
  CHECK(data != nullptr);
  std::memset(data + size, 0, padded - size);
  return std::shared_ptr<Buffer>(new Buffer(data, size, nullptr));
}

std::shared_ptr<Buffer> Buffer::Wrap(const char* data, size_t size, std::shared_ptr<const void> owner) {
  CHECK(owner != nullptr);
  return std::shared_ptr<Buffer>(new Buffer(const_cast<char*>(data), size, std::move(owner)));
}

Buffer::~Buffer() {
  if (owner_ == nullptr) std::free(data_);
}

}  // namespace glim
