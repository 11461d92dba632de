// SPDX-License-Identifier: Apache-2.0
#include "exec/run_outcome.h"

#include "base/try.h"
#include "exec/archive.h"
#include "exec/value_codec.h"

namespace glim::exec {
namespace {

constexpr uint8_t kCodeMax = static_cast<uint8_t>(Code::kUnreachable);

struct Nothing {};

}  // namespace

// It has functions, so it is not taken apart by itself.
template <class A>
void Travel(A& archive, RunOutcome& outcome) {
  auto& [code, message, details, counters, finished, collected] = outcome;
  archive(code, message, details, counters, finished, collected);
  if constexpr (A::kReads) archive.Require(code <= kCodeMax, "a code");
}

void RunOutcome::SetStatus(const Status& status) {
  code = static_cast<uint8_t>(status.code());
  message = status.ok() ? "" : status.message();
  details = status.ok() ? "" : status.details();
}

Status RunOutcome::status() const {
  if (code == 0) return Status::Ok();
  Status status(static_cast<Code>(code), message);
  return details.empty() ? status : std::move(status).WithDetails(details);
}

Result<std::string> EncodeOutcome(const RunOutcome& outcome) {
  Writer<Nothing> out({});
  out(const_cast<RunOutcome&>(outcome));  // A writer only looks.
  RETURN_IF_ERROR(out.status());
  return out.TakeBytes();
}

Result<RunOutcome> DecodeOutcome(std::string_view bytes) {
  Reader<Nothing> in(bytes, {});
  RunOutcome outcome;
  in(outcome);
  in.Require(in.left() == 0, "bytes behind it");
  RETURN_IF_ERROR(in.status());
  return outcome;
}

}  // namespace glim::exec
