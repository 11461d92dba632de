// SPDX-License-Identifier: Apache-2.0
#include "counting_state.h"

#include <cstring>
#include <utility>

namespace glim::sim {

param::SharedBytes Encode(const Operation& operation) {
  std::string text(9, '\0');
  std::memcpy(text.data(), &operation.id, 8);
  text[8] = operation.is_bad ? 1 : 0;
  return param::SharedBytes::Of(std::move(text));
}

Operation DecodeOperation(const param::SharedBytes& bytes) {
  Operation operation;
  std::memcpy(&operation.id, bytes.bytes.data(), 8);
  operation.is_bad = bytes.bytes[8] != std::byte{0};
  return operation;
}

LastIds DecodeLastIds(std::span<const std::byte> bytes) {
  LastIds ids;
  for (size_t at = 0; at + 16 <= bytes.size(); at += 16) {
    uint64_t producer, id;
    std::memcpy(&producer, bytes.data() + at, 8);
    std::memcpy(&id, bytes.data() + at + 8, 8);
    ids[producer] = id;
  }
  return ids;
}

Status CountingState::Check(const param::SharedBytes& op) const {
  return DecodeOperation(op).is_bad ? Status::Invalid("a bad push") : Status::Ok();
}

param::SharedBytes CountingState::Apply(const param::Record& record) {
  uint64_t& last = last_ids_[record.producer.low];
  applied_(record, last);
  last = DecodeOperation(record.op).id;
  return HasAnswer(last) ? param::SharedBytes::Of(Save()) : param::SharedBytes();
}

Result<param::SharedBytes> CountingState::Read(const param::SharedBytes& request) const {
  return param::SharedBytes::Of(Save());
}

std::string CountingState::Save() const {
  std::string bytes;
  for (const auto& [producer, id] : last_ids_) {
    bytes.append(reinterpret_cast<const char*>(&producer), 8);
    bytes.append(reinterpret_cast<const char*>(&id), 8);
  }
  return bytes;
}

Status CountingState::Restore(std::span<const std::byte> bytes) {
  last_ids_ = DecodeLastIds(bytes);
  return Status::Ok();
}

}  // namespace glim::sim
