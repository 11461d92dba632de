// SPDX-License-Identifier: Apache-2.0
#include "exec/run_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/memory_budget.h"
#include "base/try.h"
#include "exec/encode_operator.h"

namespace glim::exec {
namespace {

int64_t CellBytes(const Cell& cell) {
  switch (cell.type()) {
    case Type::kNull: return 0;
    case Type::kBool: return 1;
    case Type::kBytes: return static_cast<int64_t>(cell.as_bytes().size());
    case Type::kList: {
      int64_t bytes = 0;
      for (int64_t i = 0; i < cell.list_size(); ++i) bytes += CellBytes(cell.list_element(i));
      return bytes;
    }
    default: return 8;
  }
}

int64_t ValueBytes(const Column& column) {
  if (column.type() == Type::kInt64 || column.type() == Type::kDouble) return 8 * column.length();
  int64_t bytes = 0;
  if (column.type() == Type::kBytes) {
    for (const BytesView& view : column.Views()) bytes += view.size;
    return bytes;
  }
  for (int64_t i = 0; i < column.length(); ++i) bytes += CellBytes(column.At(i));
  return bytes;
}

double Seconds(int64_t nanos) { return static_cast<double>(nanos) / 1e9; }

// 12345678 -> "12,345,678".
std::string Grouped(int64_t number) {
  std::string text = std::to_string(number);
  for (auto i = static_cast<int64_t>(text.size()) - 3; i > (number < 0 ? 1 : 0); i -= 3) text.insert(i, ",");
  return text;
}

// At most `width` bytes, and none of a terminal's control characters.
std::string Shown(std::string text, size_t width) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  }
  if (text.size() > width) text = text.substr(0, width - 3) + "...";
  return text;
}

// JSON must be UTF-8; a name may hold any bytes.
std::string Dump(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace

Status Tap::Push(Batch batch) {
  if (encoded_) {
    RETURN_IF_ERROR(CheckEncoded(batch));
    rows_ += RowsEncoded(batch);
    bytes_ += ValueBytes(batch.column(0));
  } else {
    rows_ += batch.row_count();
    for (const Column& column : batch.columns()) bytes_ += ValueBytes(column);
  }
  const int64_t begin = clock_->MonotonicNanos();
  Status status = next_->Push(std::move(batch));
  nanos_ += clock_->MonotonicNanos() - begin;
  return status;
}

void RunReport::AddStage(StageReport stage) {
  std::lock_guard lock(mutex_);
  stages_.push_back(std::move(stage));
}

void RunReport::EndStage(int stage, int64_t end_nanos) {
  std::lock_guard lock(mutex_);
  stages_[stage].end_nanos = end_nanos;
}

void RunReport::AddAttempt(int stage, bool beside) {
  std::lock_guard lock(mutex_);
  ++(beside ? stages_[stage].begun_beside : stages_[stage].tried_again);
}

void RunReport::AddTask(int stage, int task, int64_t begin_nanos, int64_t end_nanos,
                        const std::vector<StepReport>& steps) {
  std::lock_guard lock(mutex_);
  const auto self = std::this_thread::get_id();
  auto thread = std::find(threads_.begin(), threads_.end(), self);
  if (thread == threads_.end()) thread = threads_.insert(thread, self);
  tasks_.push_back({stage, task, static_cast<int>(thread - threads_.begin()), begin_nanos, end_nanos});
  for (size_t i = 0; i < steps.size(); ++i) {
    StepReport& sum = stages_[stage].steps[i];
    sum.rows_in += steps[i].rows_in;
    sum.rows_out += steps[i].rows_out;
    sum.bytes_in += steps[i].bytes_in;
    sum.bytes_out += steps[i].bytes_out;
    sum.nanos += steps[i].nanos;
  }
}

void RunReport::Finish(int64_t nanos, int64_t peak_bytes, int64_t spilled_bytes) {
  nanos_ = nanos;
  peak_bytes_ = peak_bytes;
  spilled_bytes_ = spilled_bytes;
}

std::string RunReport::ToText() const {
  std::string out = fmt::format("flow \"{}\": {:.3f} s, at most {} kept", Shown(flow_, 60), Seconds(nanos_),
                                base::FormatBytes(peak_bytes_));
  if (spilled_bytes_ > 0) out += fmt::format(", {} put on disk", base::FormatBytes(spilled_bytes_));
  out += '\n';
  out += fmt::format("{:44} {:>14} {:>14} {:>11} {:>9}\n", "", "rows in", "rows out", "bytes out", "seconds");
  for (const StageReport& stage : stages_) {
    out += fmt::format("{}, {} task{}, {:.3f} s", stage.name, stage.tasks, stage.tasks == 1 ? "" : "s",
                       Seconds(stage.end_nanos - stage.begin_nanos));
    if (stage.tried_again > 0) out += fmt::format(", {} tried again", stage.tried_again);
    if (stage.begun_beside > 0) out += fmt::format(", {} begun a second time, being slow", stage.begun_beside);
    out += '\n';
    for (const StepReport& step : stage.steps) {
      out += fmt::format("  {:42} {:>14} {:>14} {:>11} {:>9.3f}\n", Shown(step.name, 42), Grouped(step.rows_in),
                         Grouped(step.rows_out), base::FormatBytes(step.bytes_out), Seconds(step.nanos));
    }
  }
  return out;
}

std::string RunReport::ToJson() const {
  nlohmann::ordered_json all;
  all["flow"] = flow_;
  all["seconds"] = Seconds(nanos_);
  all["peak_memory_bytes"] = peak_bytes_;
  all["spilled_bytes"] = spilled_bytes_;
  all["counters"] = nlohmann::ordered_json::object();
  for (const auto& [name, count] : counters_.all()) all["counters"][name] = count;
  all["stages"] = nlohmann::ordered_json::array();
  for (const StageReport& stage : stages_) {
    nlohmann::ordered_json one;
    one["name"] = stage.name;
    one["tasks"] = stage.tasks;
    one["tried_again"] = stage.tried_again;
    one["begun_beside"] = stage.begun_beside;
    one["seconds"] = Seconds(stage.end_nanos - stage.begin_nanos);
    one["steps"] = nlohmann::ordered_json::array();
    for (const StepReport& step : stage.steps) {
      one["steps"].push_back({{"name", step.name},
                              {"rows_in", step.rows_in},
                              {"rows_out", step.rows_out},
                              {"bytes_in", step.bytes_in},
                              {"bytes_out", step.bytes_out},
                              {"seconds", Seconds(step.nanos)}});
    }
    all["stages"].push_back(std::move(one));
  }
  return Dump(all);
}

std::string RunReport::ToTraceEvents(int run, int64_t begin_nanos) const {
  constexpr double kMicro = 1e3;
  std::string out = Dump({{"name", "process_name"},
                          {"ph", "M"},
                          {"pid", run},
                          {"args", {{"name", fmt::format("run {}: {}", run, flow_)}}}});
  for (const TaskReport& task : tasks_) {
    const StageReport& stage = stages_[task.stage];
    std::string steps;
    for (const StepReport& step : stage.steps) steps += (steps.empty() ? "" : " > ") + step.name;
    out += ",\n" + Dump({{"name", fmt::format("{} task {}", stage.name, task.task + 1)},
                         {"cat", stage.name},
                         {"ph", "X"},
                         {"pid", run},
                         {"tid", task.thread + 1},
                         {"ts", static_cast<double>(begin_nanos + task.begin_nanos) / kMicro},
                         {"dur", static_cast<double>(task.end_nanos - task.begin_nanos) / kMicro},
                         {"args", {{"steps", steps}}}});
  }
  return out;
}

}  // namespace glim::exec
