// SPDX-License-Identifier: Apache-2.0
//
// Unix programs as steps. Rows go out as tab separated lines and lines come back as rows of bytes (io/tsv.h),
// split at tabs unless whole lines are wanted.
//
// Pipe runs one `sh -c command` per task, fed and drained at the same time so that neither side can block the other.
// PipeAsArgs runs one per row, with the row's fields as $1, $2, ...: they are passed as arguments and stand quoted in
// the command, so nothing in a row is ever parsed by the shell. A command that means the same without one
// (plain_command.h) is started without.
//
// A non-zero exit fails the run and names the command. A child that stops reading (head) ends the step's input early; a
// child whose output nobody wants any more is killed.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "io/tsv.h"
#include "ops/operator.h"
#include "ops/plain_command.h"

namespace glim::ops {

class PipeOperator : public Operator {
 public:
  PipeOperator(OperatorContext context, std::string command, bool lines);
  bool full() const override { return input_closed_ || Operator::full(); }

 protected:
  Status DoOpen() override;
  Status DoPush(Batch batch) override;
  Status DoFinish() override;

 private:
  // One exchange with the child; `*input` loses what it took.
  Status Step(std::string_view* input);
  Status GiveRows();

  const std::string command_;
  std::unique_ptr<env::ChildProcess> child_;
  io::TsvReader reader_;
  std::string pending_;
  std::shared_ptr<Buffer> buffer_;
  bool input_closed_ = false;
  bool output_ended_ = false;
};

// Up to `parallel` commands run side by side. Only the one of the earliest row is read; the others write into their
// pipes, which hold 64 KB, and wait when those are full. So rows keep their order, and memory its bound.
class PipeAsArgsOperator : public Operator {
 public:
  PipeAsArgsOperator(OperatorContext context, std::string command, bool lines, int parallel);

 protected:
  Status DoPush(Batch batch) override;
  Status DoFinish() override;

 private:
  struct Running {
    std::unique_ptr<env::ChildProcess> child;
    Batch batch;  // The row that it is for, for messages.
    int64_t row;
  };
  Status Start(const Batch& batch, int64_t row);
  // To the end of the earliest one. One that fails meanwhile ends the step at once.
  Status Await();
  Status CheckExit(const Running& running, int code) const;

  const std::optional<PlainCommand> plain_;  // When it takes no shell.
  const std::string script_;                 // With $N quoted.
  const bool lines_;
  const size_t parallel_;
  const std::unique_ptr<char[]> buffer_;
  std::deque<Running> running_;
};

// `cat $1` -> `cat "${1}"`: $N outside of single quotes becomes ${N}, in double quotes where it is not in them already;
// within $(( )) without quotes, which dash does not take there.
std::string QuoteArguments(std::string_view command);

}  // namespace glim::ops
