// SPDX-License-Identifier: Apache-2.0
#include "glim/status.h"

namespace glim {

std::string_view CodeName(Code code) {
  switch (code) {
    case Code::kOk: return "ok";
    case Code::kInvalid: return "invalid";
    case Code::kNotFound: return "not found";
    case Code::kUnavailable: return "unavailable";
    case Code::kTimeout: return "timeout";
    case Code::kExhausted: return "exhausted";
    case Code::kStale: return "stale";
    case Code::kCorrupt: return "corrupt";
    case Code::kUserCode: return "user code";
    case Code::kCancelled: return "cancelled";
    case Code::kInternal: return "internal";
    case Code::kUsage: return "usage";
    case Code::kUnreachable: return "unreachable";
  }
  return "unknown";
}

namespace {
const std::string& EmptyString() {
  static const std::string* const empty = new std::string;
  return *empty;
}
}  // namespace

Status::Status(Code code, std::string message) {
  if (code != Code::kOk) state_ = std::make_unique<State>(State{code, std::move(message), {}});
}

const std::string& Status::message() const { return state_ ? state_->message : EmptyString(); }

const std::string& Status::details() const { return state_ ? state_->details : EmptyString(); }

std::string Status::ToString() const { return ok() ? "ok" : state_->message; }

Status Status::With(std::string_view context) && {
  if (state_) state_->message.insert(0, std::string(context) + ": ");
  return std::move(*this);
}

Status Status::WithDetails(std::string details) && {
  if (state_) state_->details = std::move(details);
  return std::move(*this);
}

void ThrowBadResultAccess(const Status& status) {
  throw BadResultAccess(status);  // allow(throw): what std::expected does; the door of a flow's function catches it
}

}  // namespace glim
