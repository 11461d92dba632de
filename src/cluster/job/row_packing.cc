// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/row_packing.h"

#include <lz4.h>

#include "cluster/job/messages.h"

namespace glim::cluster {
namespace {

constexpr size_t kPlainBytesMin = 128;      // Less is not worth the call.
constexpr size_t kExpansionMax = 255;       // Of LZ4: a byte stands for so many at most.
constexpr double kMeasuredBytesMin = 1e6;   // Before that nothing is known of our own speed.
constexpr double kMeasuredBytesMax = 64e6;  // Half of what is older is forgotten.
constexpr int kDeclinedMax = 32;            // Then it is tried again: it may have been a bad moment for the processor.

}  // namespace

RowPacking::RowPacking(env::Env& env) : clock_(env.clock()), always_(env.Variable(kAlwaysVariable) == "1") {}

double RowPacking::BytesPerSecond() const { return bytes_ * 1e9 / (nanos_ + 1); }

bool RowPacking::Pays(const PeerWay& way) {
  if (always_) return true;
  if (!way.other_machine) return false;
  const bool slower = bytes_ >= kMeasuredBytesMin && way.bytes_per_second > BytesPerSecond();
  if (slower && ++declined_ < kDeclinedMax) return false;
  declined_ = 0;
  return true;
}

std::shared_ptr<const std::string> RowPacking::Pack(std::shared_ptr<const std::string> plain, uint32_t* plain_bytes) {
  *plain_bytes = 0;
  if (plain->size() < kPlainBytesMin || plain->size() > LZ4_MAX_INPUT_SIZE) return plain;
  // One that did not get as small as wanted did not fit.
  scratch_.resize(plain->size() - plain->size() / 8);
  const int64_t begun = clock_.MonotonicNanos();
  const int size = LZ4_compress_default(plain->data(), scratch_.data(), static_cast<int>(plain->size()),
                                        static_cast<int>(scratch_.size()));
  bytes_ += static_cast<double>(plain->size());
  nanos_ += static_cast<double>(clock_.MonotonicNanos() - begun);
  if (bytes_ > kMeasuredBytesMax) {
    bytes_ /= 2;
    nanos_ /= 2;
  }
  if (size <= 0) return plain;
  *plain_bytes = static_cast<uint32_t>(plain->size());
  return std::make_shared<const std::string>(scratch_, 0, static_cast<size_t>(size));
}

Result<std::shared_ptr<Buffer>> UnpackRows(std::string_view packed, uint32_t plain_bytes) {
  const Status damaged = Status::Corrupt("packed rows that make no sense");
  if (plain_bytes > kPayloadBytesMax || plain_bytes > packed.size() * kExpansionMax) return damaged;
  std::shared_ptr<Buffer> plain = Buffer::Allocate(plain_bytes);
  const int size = LZ4_decompress_safe(packed.data(), plain->mutable_data(), static_cast<int>(packed.size()),
                                       static_cast<int>(plain_bytes));
  if (size < 0 || static_cast<uint32_t>(size) != plain_bytes) return damaged;
  return plain;
}

}  // namespace glim::cluster
