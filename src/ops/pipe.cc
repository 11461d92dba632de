// SPDX-License-Identifier: Apache-2.0
#include "ops/pipe.h"

#include <fmt/core.h>

#include <cstring>
#include <utility>

#include "base/try.h"

namespace glim::ops {
namespace {

// As popen has it: looking for it in all of PATH would be felt where commands are short.
constexpr const char* kShell = "/bin/sh";
constexpr size_t kBufferBytes = 256 << 10;
constexpr int64_t kWaitNanos = 200'000'000;

constexpr int kNotFound = 127;  // As the shell has it.

// What a child said when it ended.
Status CheckExit(int code) {
  if (code == 0) return Status::Ok();
  if (code == kNotFound) return Status::UserCode("the command was not found (exit code 127)");
  if (code > 128) {
    const char* name = ::sigabbrev_np(code - 128);
    return Status::UserCode(fmt::format("the command was ended by signal {}{}", code - 128,
                                        name != nullptr ? fmt::format(" (SIG{})", name) : ""));
  }
  return Status::UserCode(fmt::format("the command exited with {}", code));
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Behind the `$((...))` that begins at `at`; `at` when there is none, as `$((a) | b)` is a command in a subshell.
size_t ArithmeticEnd(std::string_view command, size_t at) {
  if (!command.substr(at).starts_with("$((")) return at;
  int depth = 2;
  for (size_t i = at + 3; i < command.size(); ++i) {
    depth += command[i] == '(' ? 1 : command[i] == ')' ? -1 : 0;
    if (depth == 1) return i + 1 < command.size() && command[i + 1] == ')' ? i + 2 : at;
  }
  return at;
}

}  // namespace

PipeOperator::PipeOperator(OperatorContext context, std::string command, bool lines)
    : Operator(std::move(context)),
      command_(std::move(command)),
      reader_(lines),
      buffer_(Buffer::Allocate(kBufferBytes)) {}

Status PipeOperator::DoOpen() {
  ASSIGN_OR_RETURN(child_, context().env->processes().Start({.argv = {kShell, "-c", command_}, .environment = {}}));
  return Status::Ok();
}

Status PipeOperator::Step(std::string_view* input) {
  if (context().cancelled->load(std::memory_order_relaxed)) return Status::Cancelled("cancelled");
  ASSIGN_OR_RETURN(const auto moved, child_->Exchange(*input, {buffer_->mutable_data(), buffer_->size()}, kWaitNanos));
  input->remove_prefix(moved.written);
  if (moved.input_closed) {
    input_closed_ = true;
    *input = {};
  }
  if (moved.read >= kBufferBytes / 4) {
    RETURN_IF_ERROR(reader_.Feed(std::exchange(buffer_, Buffer::Allocate(kBufferBytes)), moved.read));
  } else if (moved.read > 0) {  // Few bytes must not keep all of the buffer alive.
    RETURN_IF_ERROR(reader_.Feed({buffer_->data(), moved.read}));
  }
  if (moved.read > 0) RETURN_IF_ERROR(GiveRows());
  output_ended_ = output_ended_ || moved.output_ended;
  return Status::Ok();
}

Status PipeOperator::GiveRows() {
  while (std::optional<Batch> batch = reader_.Next()) RETURN_IF_ERROR(Emit(*std::move(batch)));
  return Status::Ok();
}

Status PipeOperator::DoPush(Batch batch) {
  if (input_closed_) return Status::Ok();
  pending_.clear();
  const auto in_place = io::TsvInPlace(batch);
  if (!in_place.has_value()) RETURN_IF_ERROR(io::AppendTsv(batch, &pending_));
  std::string_view input = in_place.value_or(pending_);
  while (!input.empty() && !full()) RETURN_IF_ERROR(Step(&input));
  return Status::Ok();
}

Status PipeOperator::DoFinish() {
  child_->CloseInput();
  std::string_view nothing;
  while (!output_ended_) {
    if (Operator::full()) {  // Nobody wants the rest.
      child_->Kill();
      return Status::Ok();
    }
    RETURN_IF_ERROR(Step(&nothing));
  }
  RETURN_IF_ERROR(reader_.Finish());
  RETURN_IF_ERROR(GiveRows());
  ASSIGN_OR_RETURN(const int code, child_->Wait());
  return CheckExit(code);
}

PipeAsArgsOperator::PipeAsArgsOperator(OperatorContext context, std::string command, bool lines, int parallel)
    : Operator(std::move(context)),
      plain_(PlainCommand::Parse(command)),
      script_(QuoteArguments(command)),
      lines_(lines),
      parallel_(static_cast<size_t>(parallel)),
      buffer_(std::make_unique<char[]>(kBufferBytes)) {}

Status PipeAsArgsOperator::DoPush(Batch batch) {
  for (int64_t row = 0; row < batch.row_count() && !full(); ++row) {
    if (running_.size() == parallel_) RETURN_IF_ERROR(Await());
    RETURN_IF_ERROR(Start(batch, row));
  }
  return Status::Ok();
}

Status PipeAsArgsOperator::DoFinish() {
  while (!running_.empty() && !full()) RETURN_IF_ERROR(Await());
  running_.clear();  // Kills those that nobody wants any more.
  return Status::Ok();
}

Status PipeAsArgsOperator::Start(const Batch& batch, int64_t row) {
  std::vector<std::string> fields;
  for (int c = 0; c < batch.column_count(); ++c) {
    const Cell cell = batch.At(row, c);
    std::string argument = cell.is_null() ? "" : cell.ToString();
    if (argument.find('\0') != std::string::npos) {
      return Status::Invalid("a field with a zero byte cannot be an argument, row " + batch.RowToDebugString(row));
    }
    fields.push_back(std::move(argument));
  }
  env::CommandOptions options{.argv = {}, .environment = {}, .discard_input = true};
  if (plain_.has_value()) {
    options.argv = plain_->Arguments(fields);
  } else {
    options.argv = {kShell, "-c", script_, "sh"};
    options.argv.insert(options.argv.end(), std::make_move_iterator(fields.begin()),
                        std::make_move_iterator(fields.end()));
  }
  auto child = context().env->processes().Start(options);
  if (!child.ok()) {
    if (plain_.has_value() && child.status().code() == Code::kNotFound)
      return CheckExit({nullptr, batch, row}, kNotFound);
    return std::move(child).status();
  }
  running_.push_back({*std::move(child), batch, row});
  return Status::Ok();
}

Status PipeAsArgsOperator::Await() {
  const Running earliest = std::move(running_.front());
  running_.pop_front();
  io::TsvReader reader(lines_);
  for (bool ended = false; !ended;) {
    if (context().cancelled->load(std::memory_order_relaxed)) return Status::Cancelled("cancelled");
    if (full()) return Status::Ok();
    for (const Running& other : running_) RETURN_IF_ERROR(CheckExit(other, other.child->ExitCode().value_or(0)));
    ASSIGN_OR_RETURN(const auto moved, earliest.child->Exchange({}, {buffer_.get(), kBufferBytes}, kWaitNanos));
    RETURN_IF_ERROR(reader.Feed({buffer_.get(), moved.read}));
    ended = moved.output_ended;
    if (ended) RETURN_IF_ERROR(reader.Finish());
    while (std::optional<Batch> rows = reader.Next()) RETURN_IF_ERROR(Emit(*std::move(rows)));
  }
  ASSIGN_OR_RETURN(const int code, earliest.child->Wait());
  return full() ? Status::Ok() : CheckExit(earliest, code);
}

Status PipeAsArgsOperator::CheckExit(const Running& running, int code) const {
  const Status status = ops::CheckExit(code);
  if (status.ok()) return status;
  return Status::UserCode(status.message() + ", row " + running.batch.RowToDebugString(running.row));
}

std::string QuoteArguments(std::string_view command) {
  std::string out;
  bool in_single = false, in_double = false;
  size_t arithmetic_end = 0;
  for (size_t i = 0; i < command.size(); ++i) {
    const char c = command[i];
    if (in_single) {
      in_single = c != '\'';
    } else if (c == '\\' && i + 1 < command.size()) {
      out += c;
      out += command[++i];
      continue;
    } else if (c == '\'' && !in_double) {
      in_single = true;
    } else if (c == '"') {
      in_double = !in_double;
    } else if (c == '$' && i >= arithmetic_end && ArithmeticEnd(command, i) > i) {
      arithmetic_end = ArithmeticEnd(command, i);
    } else if (c == '$' && i + 1 < command.size() && (IsDigit(command[i + 1]) || command[i + 1] == '{')) {
      const bool braced = command[i + 1] == '{';
      size_t end = i + 1 + braced;
      while (end < command.size() && IsDigit(command[end])) ++end;
      const std::string_view number = command.substr(i + 1 + braced, end - i - 1 - braced);
      if (!number.empty() && (!braced || (end < command.size() && command[end] == '}'))) {
        const std::string parameter = fmt::format("${{{}}}", number);
        out += in_double || i < arithmetic_end ? parameter : '"' + parameter + '"';
        i = end - !braced;
        continue;
      }
    }
    out += c;
  }
  return out;
}

}  // namespace glim::ops
