// SPDX-License-Identifier: Apache-2.0
//
// What is the same for tables of all kinds: numbers as doubles, and the handle that stands for a failure.
#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "base/try.h"
#include "glim/table.h"
#include "param/doubles.h"

namespace glim {
namespace {

// A double as a V; false when V has no such number.
template <class V>
bool FromDouble(double from, V* to) {
  if constexpr (std::is_same_v<V, double>) {
    *to = from;
    return true;
  } else if constexpr (std::is_same_v<V, float>) {
    *to = static_cast<float>(from);
    return std::isfinite(*to) || !std::isfinite(from);  // What is not finite is the table's to judge.
  } else {
    // The bounds of integers are powers of two, which doubles hold exactly.
    constexpr double kBelow = -static_cast<double>(std::numeric_limits<V>::min());
    if (!(from >= -kBelow && from < kBelow) || from != std::floor(from)) return false;
    *to = static_cast<V>(from);
    return true;
  }
}

template <class V>
Status FromDoubles(const TableSpec& spec, std::span<const double> doubles, std::byte* to) {
  for (size_t i = 0; i < doubles.size(); ++i) {
    V value;
    if (!FromDouble(doubles[i], &value)) {
      return Status::Invalid(fmt::format("table \"{}\": value {} of the push is {}, which {} cannot hold", spec.name, i,
                                         doubles[i], ValueTypeName(ValueTypeOf<V>())));
    }
    std::memcpy(to + i * sizeof(V), &value, sizeof(V));
  }
  return Status::Ok();
}

template <class V>
std::vector<double> ToDoubles(std::span<const std::byte> bytes) {
  std::vector<double> doubles(bytes.size() / sizeof(V));
  for (size_t i = 0; i < doubles.size(); ++i) {
    V value;
    std::memcpy(&value, bytes.data() + i * sizeof(V), sizeof(V));
    doubles[i] = static_cast<double>(value);
  }
  return doubles;
}

// What a pull of these keys fills.
std::vector<std::byte> Room(const TableSpec& spec, std::span<const Key> keys) {
  return std::vector<std::byte>(spec.is_variable() ? 0 : keys.size() * RowBytes(spec));
}

class FailedTable final : public TableClient {
 public:
  FailedTable(TableSpec spec, Status status) : spec_(std::move(spec)), status_(std::move(status)) {}

  const TableSpec& spec() const override { return spec_; }
  Future<void> Push(std::span<const Key>, std::span<const std::byte>, const PushOptions&) override { return status_; }
  Future<void> Pull(std::span<const Key>, std::span<std::byte>, const PullOptions&) override { return status_; }
  Future<void> PushPull(std::span<const Key>, std::span<const std::byte>, std::span<std::byte>,
                        const PushOptions&) override {
    return status_;
  }
  Future<void> VPush(std::span<const Key>, std::span<const std::byte>, std::span<const uint32_t>,
                     const PushOptions&) override {
    return status_;
  }
  Future<VariableBytes> VPull(std::span<const Key>, const PullOptions&) override { return status_; }
  Status Scan(ScanCursor*, size_t, RowChunk*) override { return status_; }
  Result<uint64_t> CountNonZero() override { return status_; }
  Result<TableInfo> Describe() override { return status_; }
  Status Save(const std::string&, const SaveOptions&) override { return status_; }
  Status Load(const std::string&, const LoadOptions&) override { return status_; }
  Status Drop() override { return status_; }
  Result<WorkerHandle> Join(const JoinOptions&) override { return status_; }
  Status RemoveWorker(uint32_t) override { return status_; }
  Status status() const override { return status_; }

 private:
  const TableSpec spec_;
  const Status status_;
};

}  // namespace

Result<std::string> TableClient::Handle() const {
  if (Status failed = status(); !failed.ok()) return failed;
  return Status::Invalid(fmt::format("table \"{}\" has no handle here", spec().name));
}

Result<WorkerHandle> TableClient::Join(const JoinOptions& options) {
  return Status::Invalid(fmt::format("table \"{}\" has no clock here", spec().name));
}

Status TableClient::RemoveWorker(uint32_t worker) {
  return Status::Invalid(fmt::format("table \"{}\" has no clock here", spec().name));
}

namespace param {

Result<std::vector<std::byte>> BytesOfDoubles(const TableSpec& spec, std::span<const double> doubles) {
  std::vector<std::byte> bytes(doubles.size() * ValueBytes(spec.value_type));
  switch (spec.value_type) {
    case ValueType::kF32: RETURN_IF_ERROR(FromDoubles<float>(spec, doubles, bytes.data())); break;
    case ValueType::kF64: RETURN_IF_ERROR(FromDoubles<double>(spec, doubles, bytes.data())); break;
    case ValueType::kI32: RETURN_IF_ERROR(FromDoubles<int32_t>(spec, doubles, bytes.data())); break;
    case ValueType::kI64: RETURN_IF_ERROR(FromDoubles<int64_t>(spec, doubles, bytes.data())); break;
  }
  return bytes;
}

std::vector<double> DoublesOfBytes(ValueType type, std::span<const std::byte> bytes) {
  switch (type) {
    case ValueType::kF32: return ToDoubles<float>(bytes);
    case ValueType::kF64: return ToDoubles<double>(bytes);
    case ValueType::kI32: return ToDoubles<int32_t>(bytes);
    case ValueType::kI64: return ToDoubles<int64_t>(bytes);
  }
  return {};
}

}  // namespace param

Future<void> TableClient::PushDoubles(std::span<const Key> keys, std::span<const double> values,
                                      const PushOptions& options) {
  if (spec().value_type == ValueType::kF64) return Push(keys, std::as_bytes(values), options);
  const auto bytes = param::BytesOfDoubles(spec(), values);
  if (!bytes.ok()) return bytes.status();
  return Push(keys, *bytes, options);
}

Future<std::vector<double>> TableClient::PullDoubles(std::span<const Key> keys, const PullOptions& options) {
  std::vector<std::byte> pulled = Room(spec(), keys);
  const std::span<std::byte> out(pulled);
  return Pull(keys, out, options).With(std::move(pulled)).Map([type = spec().value_type](std::vector<std::byte> bytes) {
    return param::DoublesOfBytes(type, bytes);
  });
}

Future<std::vector<double>> TableClient::PushPullDoubles(std::span<const Key> keys, std::span<const double> values,
                                                         const PushOptions& options) {
  const auto bytes = param::BytesOfDoubles(spec(), values);
  if (!bytes.ok()) return bytes.status();
  std::vector<std::byte> pulled = Room(spec(), keys);
  const std::span<std::byte> out(pulled);
  return PushPull(keys, *bytes, out, options)
      .With(std::move(pulled))
      .Map([type = spec().value_type](std::vector<std::byte> bytes) { return param::DoublesOfBytes(type, bytes); });
}

TableHandle MakeFailedTable(TableSpec spec, Status status) {
  return std::make_shared<FailedTable>(std::move(spec), std::move(status));
}

size_t RowBytes(const TableSpec& spec) { return size_t{spec.width} * ValueBytes(spec.value_type); }

}  // namespace glim
