// SPDX-License-Identifier: Apache-2.0
//
// How a Glim call says that it failed: Status (no value) and Result<T> (a value or a Status).
//
// A Status is one pointer, null when everything went well, so returning one costs nothing. A failure has a code, chosen
// by what the caller can do about it, and a message that reads as a story: each layer that passes it up may put its own
// words in front
// (`With("reading \"a.csv\"")` gives `reading "a.csv": no such file`). Nothing in Glim throws, but value() of a Result
// that has none, which is for programs that cannot go on without it.
//
// Thread: values; copy and send them freely.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace glim {

enum class Code : uint8_t {
  kOk,
  kInvalid,      // The call or the data is wrong; the same call will fail again.
  kNotFound,     // A file, a table, a member that is not there.
  kUnavailable,  // The world said no; a retry may succeed.
  kTimeout,      // The deadline passed; the outcome of a change is unknown.
  kExhausted,    // Memory budget, disk or another bound was reached.
  kStale,        // The caller acted on an old view (clock, epoch, attempt).
  kCorrupt,      // Bytes that fail their checksum or make no sense.
  kUserCode,     // A user's function or command failed.
  kCancelled,    // Somebody asked to stop (Ctrl-C, a failed neighbour).
  kInternal,     // Our own bug that was caught in time.
  kUsage,        // The program was called with a wrong option.
  kUnreachable,  // There is no way to the cluster, or it does not let us in.
};

// "invalid", "not found", ... in lower case.
std::string_view CodeName(Code code);

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Code code, std::string message);
  Status(const Status& other) : state_(other.state_ ? std::make_unique<State>(*other.state_) : nullptr) {}
  Status& operator=(const Status& other) { return *this = Status(other); }
  Status(Status&&) noexcept = default;
  Status& operator=(Status&&) noexcept = default;

  static Status Ok() { return {}; }
  static Status Invalid(std::string message) { return {Code::kInvalid, std::move(message)}; }
  static Status NotFound(std::string message) { return {Code::kNotFound, std::move(message)}; }
  static Status Unavailable(std::string message) { return {Code::kUnavailable, std::move(message)}; }
  static Status Timeout(std::string message) { return {Code::kTimeout, std::move(message)}; }
  static Status Exhausted(std::string message) { return {Code::kExhausted, std::move(message)}; }
  static Status Stale(std::string message) { return {Code::kStale, std::move(message)}; }
  static Status Corrupt(std::string message) { return {Code::kCorrupt, std::move(message)}; }
  static Status UserCode(std::string message) { return {Code::kUserCode, std::move(message)}; }
  static Status Cancelled(std::string message) { return {Code::kCancelled, std::move(message)}; }
  static Status Internal(std::string message) { return {Code::kInternal, std::move(message)}; }

  bool ok() const { return state_ == nullptr; }
  Code code() const { return state_ ? state_->code : Code::kOk; }
  // Without the code; empty when ok.
  const std::string& message() const;
  // What the failing code left to help the user, e.g. a Lua traceback; shown under the message. Often empty.
  const std::string& details() const;
  // `message`, or "ok".
  std::string ToString() const;

  // The same failure with `context: ` in front of its message. Ok stays ok.
  Status With(std::string_view context) &&;
  // Replaces the details. Ok stays ok.
  Status WithDetails(std::string details) &&;

 private:
  struct State {
    Code code;
    std::string message;
    std::string details;
  };
  std::unique_ptr<State> state_;
};

// value() was asked of a Result without one. what() is the failure's message; thrown from a flow's function, it ends
// the run with that.
class BadResultAccess : public std::exception {
 public:
  explicit BadResultAccess(Status status) : status_(std::move(status)) {}
  const char* what() const noexcept override { return status_.message().c_str(); }
  const Status& status() const { return status_; }

 private:
  Status status_;
};
[[noreturn]] void ThrowBadResultAccess(const Status& status);

// A T or the Status that says why there is none. The member names are those of C++23's std::expected<T, Status>.
template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  Result(T value) : value_(std::move(value)) {}
  // Expects: !status.ok().
  Result(Status status) : status_(std::move(status)) {
    if (status_.ok()) status_ = Status::Internal("a Result was made from an ok Status");
  }

  bool has_value() const { return value_.has_value(); }
  explicit operator bool() const { return has_value(); }
  bool ok() const { return has_value(); }
  // Throws BadResultAccess when there is none, as std::expected does.
  T& value() & { return Checked().value_.value(); }
  const T& value() const& { return Checked().value_.value(); }
  // From a temporary, by value: `for (float w : table.Pull(keys).Get().value())` must not look at what is gone.
  T value() && { return std::move(Checked().value_).value(); }
  // Expects: has_value().
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  T operator*() && { return *std::move(value_); }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }
  template <class U>
  T value_or(U&& other) && {
    return std::move(value_).value_or(std::forward<U>(other));
  }
  // Ok when there is a value.
  const Status& status() const& { return status_; }
  Status&& status() && { return std::move(status_); }
  const Status& error() const& { return status_; }
  Status&& error() && { return std::move(status_); }

 private:
  Result& Checked() {
    if (!value_.has_value()) [[unlikely]]
      ThrowBadResultAccess(status_);
    return *this;
  }
  const Result& Checked() const { return const_cast<Result*>(this)->Checked(); }

  Status status_;
  std::optional<T> value_;
};

}  // namespace glim
