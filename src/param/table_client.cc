// SPDX-License-Identifier: Apache-2.0
//
// What is the same for tables of all kinds: numbers as doubles, and the handle that stands for a failure.
#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "glim/table.h"

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
Result<std::vector<V>> FromDoubles(const TableSpec& spec, std::span<const double> doubles) {
  std::vector<V> values(doubles.size());
  for (size_t i = 0; i < doubles.size(); ++i) {
    if (FromDouble(doubles[i], &values[i])) continue;
    return Status::Invalid(fmt::format("table \"{}\": value {} of the push is {}, which {} cannot hold", spec.name, i,
                                       doubles[i], ValueTypeName(ValueTypeOf<V>())));
  }
  return values;
}

template <class V>
std::vector<double> ToDoubles(const std::vector<V>& values) {
  return {values.begin(), values.end()};
}

// What a pull of these keys fills.
template <class V>
std::vector<V> Room(const TableSpec& spec, std::span<const Key> keys) {
  return std::vector<V>(keys.size() * (spec.is_variable() ? 0 : spec.width));
}

template <class V>
Future<void> PushAs(TableClient& table, std::span<const Key> keys, std::span<const double> doubles,
                    const PushOptions& options) {
  const auto values = FromDoubles<V>(table.spec(), doubles);
  if (!values.ok()) return values.status();
  return table.Push(keys, std::as_bytes(std::span(*values)), options);
}

template <class V>
Future<std::vector<double>> PullAs(TableClient& table, std::span<const Key> keys, const PullOptions& options) {
  std::vector<V> values = Room<V>(table.spec(), keys);
  std::span<V> out(values);
  return table.Pull(keys, std::as_writable_bytes(out), options).With(std::move(values)).Map(ToDoubles<V>);
}

template <class V>
Future<std::vector<double>> PushPullAs(TableClient& table, std::span<const Key> keys, std::span<const double> doubles,
                                       const PushOptions& options) {
  const auto values = FromDoubles<V>(table.spec(), doubles);
  if (!values.ok()) return values.status();
  std::vector<V> pulled = Room<V>(table.spec(), keys);
  std::span<V> out(pulled);
  return table.PushPull(keys, std::as_bytes(std::span(*values)), std::as_writable_bytes(out), options)
      .With(std::move(pulled))
      .Map(ToDoubles<V>);
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

Future<void> TableClient::PushDoubles(std::span<const Key> keys, std::span<const double> values,
                                      const PushOptions& options) {
  switch (spec().value_type) {
    case ValueType::kF32: return PushAs<float>(*this, keys, values, options);
    case ValueType::kF64: return Push(keys, std::as_bytes(values), options);
    case ValueType::kI32: return PushAs<int32_t>(*this, keys, values, options);
    case ValueType::kI64: return PushAs<int64_t>(*this, keys, values, options);
  }
  return Status::Internal("a table of an unknown value type");
}

Future<std::vector<double>> TableClient::PullDoubles(std::span<const Key> keys, const PullOptions& options) {
  switch (spec().value_type) {
    case ValueType::kF32: return PullAs<float>(*this, keys, options);
    case ValueType::kF64: return PullAs<double>(*this, keys, options);
    case ValueType::kI32: return PullAs<int32_t>(*this, keys, options);
    case ValueType::kI64: return PullAs<int64_t>(*this, keys, options);
  }
  return Status::Internal("a table of an unknown value type");
}

Future<std::vector<double>> TableClient::PushPullDoubles(std::span<const Key> keys, std::span<const double> values,
                                                         const PushOptions& options) {
  switch (spec().value_type) {
    case ValueType::kF32: return PushPullAs<float>(*this, keys, values, options);
    case ValueType::kF64: return PushPullAs<double>(*this, keys, values, options);
    case ValueType::kI32: return PushPullAs<int32_t>(*this, keys, values, options);
    case ValueType::kI64: return PushPullAs<int64_t>(*this, keys, values, options);
  }
  return Status::Internal("a table of an unknown value type");
}

TableHandle MakeFailedTable(TableSpec spec, Status status) {
  return std::make_shared<FailedTable>(std::move(spec), std::move(status));
}

size_t RowBytes(const TableSpec& spec) { return size_t{spec.width} * ValueBytes(spec.value_type); }

}  // namespace glim
