// SPDX-License-Identifier: Apache-2.0
#include "exec/plan_tasks.h"

#include <algorithm>
#include <atomic>
#include <optional>

#include "base/check.h"
#include "base/log.h"
#include "base/try.h"
#include "env/page_memory.h"
#include "exchange/exchange.h"
#include "exec/dataset_store.h"
#include "exec/function_facts.h"
#include "exec/split_groups.h"
#include "ops/join.h"
#include "param/task_table.h"

namespace glim::exec {
namespace {

using exchange::Exchange;
using plan::ExchangeKind;
using plan::OperatorKind;

constexpr int kHashPartitions = 16;
// A stage that ends in a sink writes in order, so its tasks are small; one that gathers state wants few and large ones.
constexpr int64_t kSinkTaskBytesMin = 1 << 20, kSinkTaskBytesMax = 8 << 20;
constexpr int64_t kTaskBytesMin = 2 << 20;
// What later tasks may leave for an ordered sink before they wait.
constexpr int64_t kPendingBytesMin = 1 << 20;
constexpr int64_t kPendingBytesMax = 64 << 20;
constexpr int kTasksAimed = 16;

// Ends a chain: into an exchange, into a sink, or nowhere.
class SinkOutput : public BatchOutput {
 public:
  SinkOutput(OrderedSink* sink, int task, const std::string* name) : sink_(sink), task_(task), name_(name) {}
  Status Push(Batch batch) override {
    if (batch.row_count() == 0) return Status::Ok();
    Status status = sink_->Write(task_, batch);
    return status.code() == Code::kCancelled ? status : std::move(status).With(*name_);
  }
  bool full() const override { return sink_->full(); }

 private:
  OrderedSink* sink_;
  int task_;
  const std::string* name_;
};

class PartOutput : public BatchOutput {
 public:
  PartOutput(io::SinkPart* part, const std::string* name) : part_(part), name_(name) {}
  Status Push(Batch batch) override {
    if (batch.row_count() == 0) return Status::Ok();
    return part_->Write(batch).With(*name_);
  }
  bool full() const override { return false; }

 private:
  io::SinkPart* part_;
  const std::string* name_;
};

class NoOutput : public BatchOutput {
 public:
  Status Push(Batch) override { return Status::Ok(); }
  bool full() const override { return false; }
};

}  // namespace

// The split that a task is at: of its own source, or of those of its parts together.
struct PlanTasks::Reading {
  uint64_t split = 0;
  uint64_t splits_before = 0;
  Reading* outer = nullptr;  // That of the stage whose part this is.
};

// The task at work, whatever stages its chains are of.
struct PlanTasks::TaskRun {
  udf::Hosts& hosts;
  int attempt;
  TaskResult* result;
  const std::atomic<bool>* given_up;  // Or null.
};

// What the steps of a chain that push to tables have of their own.
struct PlanTasks::Pushing {
  explicit Pushing(const TaskRun& of) : of(of) {}
  const TaskRun& of;
  std::vector<std::unique_ptr<param::TaskTables>> tables;
  std::vector<std::unique_ptr<TaskContext>> contexts;  // Of functions.
};

// One stage while it runs.
struct PlanTasks::StageRun {
  const plan::Stage* stage;
  bool cached = false;  // Its source is what a cache holds: a task has one partition of it, as when it was filled.
  StageShape shape;
  std::unique_ptr<io::Source> source;
  // Of an exchange:
  Exchange* input = nullptr;
  // Of parts:
  std::vector<StageRun*> parts;
  StageRun* part_of = nullptr;
  // Where rows go:
  std::shared_ptr<Exchange> output;  // A cache's goes on after the run.
  std::unique_ptr<io::Sink> sink;
  std::unique_ptr<OrderedSink> ordered;
  std::string sink_name;
  // Per operator; null where it is no limit, or no join that all tasks share.
  std::vector<std::unique_ptr<ops::LimitProgress>> limits;
  std::vector<std::shared_ptr<const ops::JoinTable>> tables;
  std::vector<std::unique_ptr<ops::KeyKinds>> key_kinds;  // Null where it is no join.
};

PlanTasks::PlanTasks(env::Env* env, PlanTasksOptions options, const plan::Plan& plan)
    : env_(env),
      options_(std::move(options)),
      plan_(plan),
      budget_(RowBytes(options_.memory_bytes)),
      spill_(&env->files(), options_.tmp_folder),
      cache_space_(options_.caches != nullptr
                       ? options_.caches
                       : std::make_shared<CacheSpace>(&env->files(), options_.tmp_folder, options_.memory_bytes)),
      caches_spilled_before_(cache_space_->spill.bytes_written()),
      caches_(&budget_, "Cache"),
      started_(env->clock().MonotonicNanos()),
      stages_(plan.stages.size()) {}

PlanTasks::~PlanTasks() {
  for (const flow::Step& step : plan_.graph->steps()) {
    if (const auto* table = std::get_if<flow::TableStep>(&step.body)) table->rows->Clear();
  }
}

Status PlanTasks::Open(bool tasks_only) {
  // What earlier runs of the process have left to malloc, in whatever session.
  env::ReturnFreeMemory();
  ASSIGN_OR_RETURN(functions_, MakeFunctions(*plan_.graph));
  tasks_only_ = tasks_only;
  if (!tasks_only) RETURN_IF_ERROR(CountCaches());
  RETURN_IF_ERROR(OpenSources(tasks_only));
  RETURN_IF_ERROR(OpenSinks(tasks_only));
  readers_.assign(stages_.size(), 0);
  for (const plan::Stage& stage : plan_.stages) {
    for (const int input : Reads(stage)) ++readers_[input];
  }
  return Status::Ok();
}

StageReport PlanTasks::Report(int index) const {
  const StageRun& run = stages_[index];
  const auto& steps = plan_.graph->steps();
  StageReport stage;
  stage.name = "stage " + std::to_string(index + 1);
  stage.tasks = run.shape.tasks;
  stage.begin_nanos = Now();
  const auto add = [&](std::string name) { stage.steps.push_back({std::move(name)}); };
  add(run.stage->source >= 0 ? "read " + StepName(steps[run.stage->source])
      : run.parts.empty()    ? "read what was sent"
                             : "take what is passed on");
  for (const plan::Operator& op : run.stage->operators) add(plan::OperatorText(op, steps[op.step]));
  add(run.sink != nullptr      ? "write " + run.sink_name
      : run.output != nullptr  ? "send"
      : run.part_of != nullptr ? "pass on"
                               : "drop");
  return stage;
}

// What earlier runs keep is memory too, and what this one will.
Status PlanTasks::CountCaches() {
  const bool fills =
      std::any_of(plan_.stages.begin(), plan_.stages.end(), [](const plan::Stage& stage) { return stage.cache >= 0; });
  return caches_.Resize(fills ? cache_space_->budget.limit_bytes() : cache_space_->budget.used_bytes());
}

Status PlanTasks::OpenSources(bool tasks_only) {
  const auto& steps = plan_.graph->steps();
  for (size_t i = 0; i < stages_.size(); ++i) {
    StageRun& run = stages_[i];
    run.stage = &plan_.stages[i];
    if (run.stage->source < 0 || tasks_only) continue;
    const flow::Step& step = steps[run.stage->source];
    run.cached = std::holds_alternative<flow::CacheStep>(step.body);
    auto source = MakeSource(step);
    if (!source.ok()) return std::move(source).status().With(step.name);
    run.source = *std::move(source);
    if (options_.asks_hosts && flow::ReadsPerHost(step)) continue;
    auto splits = run.source->MakeSplits(run_env_, {.threads = options_.threads});
    if (!splits.ok()) return std::move(splits).status().With(step.name);
    run.shape.splits = *std::move(splits);
  }
  for (StageRun& run : stages_) {
    for (const int part : run.stage->parts) {
      run.parts.push_back(&stages_[part]);
      stages_[part].part_of = &run;
    }
  }
  CountSplits();
  return Status::Ok();
}

// Stages come behind their parts.
void PlanTasks::CountSplits() {
  source_bytes_ = 0;
  for (StageRun& run : stages_) {
    for (const io::Split& split : run.shape.splits) source_bytes_ = SumOfBytes(source_bytes_, split.estimated_bytes);
    run.shape.split_count = run.shape.splits.size();
    for (StageRun* part : run.parts) {
      part->shape.splits_before = run.shape.split_count;
      run.shape.split_count += part->shape.split_count;
    }
  }
}

std::vector<int> PlanTasks::HostStages() const {
  std::vector<int> stages;
  for (size_t i = 0; i < plan_.stages.size(); ++i) {
    const int source = plan_.stages[i].source;
    if (options_.asks_hosts && source >= 0 && flow::ReadsPerHost(plan_.graph->steps()[source]))
      stages.push_back(static_cast<int>(i));
  }
  return stages;
}

void PlanTasks::SetFiles(int stage, std::vector<io::Split> splits) {
  stages_[stage].shape.splits = std::move(splits);
  CountSplits();
}

Result<FoundFiles> PlanTasks::FindFiles(int stage) {
  const int number = plan_.stages[stage].source;
  if (number < 0 || !flow::ReadsPerHost(plan_.graph->steps()[number]))
    return Status::Corrupt("a stage that reads no files of each host");
  const flow::Step& step = plan_.graph->steps()[number];
  const auto find = [&]() -> Result<FoundFiles> {
    ASSIGN_OR_RETURN(const std::unique_ptr<io::Source> source, MakeSource(step));
    FoundFiles found;
    ASSIGN_OR_RETURN(found.splits, source->MakeSplits(run_env_, {.threads = options_.threads}));
    ASSIGN_OR_RETURN(found.columns, source->ColumnNames(run_env_));
    return found;
  };
  auto found = find();
  if (!found.ok()) return std::move(found).status().With(step.name);
  return found;
}

std::pair<int, std::span<const io::Split>> PlanTasks::SplitsOf(int stage, int task) const {
  const StageRun& run = stages_[stage];
  if (run.source != nullptr) {
    const auto [begin, end] = run.shape.groups[task];
    return {stage, std::span(run.shape.splits).subspan(begin, end - begin)};
  }
  for (const int part : run.stage->parts) {
    const int of_part = stages_[part].shape.tasks;
    if (task < of_part) return SplitsOf(part, task);
    task -= of_part;
  }
  return {stage, {}};
}

// Where only tasks run, there are no sinks but the tables that functions read.
Status PlanTasks::OpenSinks(bool tasks_only) {
  const auto& steps = plan_.graph->steps();
  for (StageRun& run : stages_) {
    if (run.stage->sink < 0) continue;
    const auto* table = std::get_if<flow::TableStep>(&steps[run.stage->sink].body);
    if (tasks_only && table == nullptr) continue;
    run.sink_name = steps[run.stage->sink].name;
    if (table != nullptr) table->rows->Start(base::Reservation(&budget_, run.sink_name));
    ASSIGN_OR_RETURN(run.sink, MakeSink(steps[run.stage->sink], *env_));
  }
  for (StageRun& run : stages_) {
    if (run.sink == nullptr) continue;
    if (Status status = run.sink->Open(run_env_); !status.ok()) return std::move(status).With(run.sink_name);
  }
  return Status::Ok();
}

std::vector<int> PlanTasks::Reads(const plan::Stage& stage) {
  std::vector<int> stages;
  if (stage.input >= 0) stages.push_back(stage.input);
  for (const plan::Operator& op : stage.operators) {
    if (op.build >= 0) stages.push_back(op.build);
  }
  return stages;
}

void PlanTasks::CountTasks(StageRun* run) {
  const plan::Stage& stage = *run->stage;
  if (run->source == nullptr) {
    run->shape.tasks = run->input != nullptr ? run->input->consumers() : 0;
    for (const StageRun* part : run->parts) run->shape.tasks += part->shape.tasks;
    if (stage.one_task) run->shape.tasks = 1;
    return;
  }
  const StageRun* last = run;
  while (last->part_of != nullptr) last = last->part_of;
  const bool into_sink = last->stage->output.kind == ExchangeKind::kNone;
  int64_t bytes = 0;
  for (const io::Split& split : run->shape.splits) bytes = SumOfBytes(bytes, split.estimated_bytes);
  if (stage.one_task) {
    run->shape.groups = CutSplits(run->shape.splits.size(), 1);
  } else if (stage.user_partitions > 0 || (run->cached && !run->shape.splits.empty())) {
    run->shape.groups = CutSplits(run->shape.splits.size(), static_cast<int>(run->shape.splits.size()));
  } else if (options_.partitions > 0) {
    run->shape.groups = CutSplits(run->shape.splits.size(), options_.partitions);
  } else {
    const int64_t share = bytes / kTasksAimed;
    run->shape.groups =
        GroupSplits(run->shape.splits, into_sink ? std::clamp(share, kSinkTaskBytesMin, kSinkTaskBytesMax)
                                                 : std::max(share, kTaskBytesMin));
    // Work without data, such as Pipe("date") or a sink that must be opened, still needs its one task.
    if (run->shape.groups.empty()) run->shape.groups.emplace_back(0, 0);
  }
  run->shape.groups = CutAtHosts(run->shape.splits, run->shape.groups);
  run->shape.tasks = static_cast<int>(run->shape.groups.size());
}

int PlanTasks::Consumers(const StageRun& run) const {
  switch (run.stage->output.kind) {
    case ExchangeKind::kNone: return 0;
    case ExchangeKind::kKeep: return run.shape.tasks;
    case ExchangeKind::kGather:
    case ExchangeKind::kMergeSorted:
    case ExchangeKind::kBroadcast: return run.stage->output.partitions;
    case ExchangeKind::kHash:
    case ExchangeKind::kRoundRobin: break;
  }
  if (run.stage->output.partitions > 0) return run.stage->output.partitions;
  return options_.partitions > 0 ? options_.partitions : kHashPartitions;
}

std::string PlanTasks::OutputName(const StageRun& run) const {
  const int step = run.stage->output_for;
  return step < 0 ? "exchange" : StepName(plan_.graph->steps()[step]);
}

Status PlanTasks::FillCache(const StageRun& run) const {
  const flow::Step& step = plan_.graph->steps()[run.stage->cache];
  flow::CachedRows& rows = *std::get<flow::CacheStep>(step.body).rows;
  auto kept = std::make_shared<const CachePartitions>(cache_space_, run.output);
  if (rows.name.empty()) {
    rows.user_partitions = run.stage->user_partitions;
    rows.in_order = run.stage->in_order;
    Fill(&rows, std::move(kept));
    return Status::Ok();
  }
  CHECK(cache_space_->datasets != nullptr);
  const DatasetHead head{.made_by = rows.made_by,
                         .names = rows.names,
                         .user_partitions = run.stage->user_partitions,
                         .in_order = run.stage->in_order};
  auto file = cache_space_->datasets->Keep(rows.name, head, *kept, run.output->consumers(), [this] {
    return run_env_.interrupted() ? Status::Cancelled("cancelled") : Continue();
  });
  if (!file.ok()) return std::move(file).status().With(StepName(step));
  Fill(&rows, *std::move(file));
  return Status::Ok();
}

// Nobody reads the stage's rows after this reader.
bool PlanTasks::LastReader(int stage) const {
  return !options_.keeps_outputs && readers_[stage] == 1 && stages_[stage].stage->cache < 0 &&
         stages_[stage].stage->output.kind != ExchangeKind::kBroadcast;
}

// The right side of a join, for all tasks.
Result<std::shared_ptr<const ops::JoinTable>> PlanTasks::BuildTable(const plan::Operator& op,
                                                                    ops::KeyKinds* kinds) const {
  const flow::Step& step = plan_.graph->steps()[op.step];
  const auto& join = std::get<flow::JoinStep>(step.body);
  Exchange& right = *stages_[op.build].output;
  auto table = std::make_shared<ops::JoinTable>(join.kind, join.right_keys, right.width(),
                                                base::Reservation(&budget_, StepName(step)));
  const auto reader = right.MakeReader(0, right.consumers(), LastReader(op.build));
  while (true) {
    if (run_env_.interrupted()) return Status::Cancelled("cancelled");
    ASSIGN_OR_RETURN(const std::optional<Batch> batch, reader->Next());
    if (!batch.has_value()) break;
    Status status = table->Add(*batch);
    if (status.ok()) kinds->AddRight(*batch, join.right_keys);
    if (status.ok()) status = table->memory()->Resize(table->memory_bytes());
    if (!status.ok()) return std::move(status).With(StepName(step));
  }
  table->Finish();
  return std::shared_ptr<const ops::JoinTable>(std::move(table));
}

void PlanTasks::MakeOutput(StageRun* run) {
  const plan::Stage& stage = *run->stage;
  if (run->part_of != nullptr || stage.output.kind == ExchangeKind::kNone) return;
  const bool for_cache = stage.cache >= 0 && !tasks_only_;
  run->output = std::make_shared<Exchange>(
      stage.output, run->shape.tasks, run->shape.consumers, for_cache ? &cache_space_->budget : &budget_,
      for_cache ? &cache_space_->spill : &spill_, for_cache ? "Cache" : OutputName(*run));
}

void PlanTasks::Shape(int index) {
  StageRun& run = stages_[index];
  if (run.stage->input >= 0) run.input = output(run.stage->input);
  CountTasks(&run);
  run.shape.consumers = Consumers(run);
  MakeOutput(&run);
}

Status PlanTasks::SetShape(int index, StageShape shape) {
  StageRun& run = stages_[index];
  run.shape = std::move(shape);
  if (run.stage->input >= 0) run.input = output(run.stage->input);
  if (run.stage->source >= 0 && run.source == nullptr) {
    const flow::Step& step = plan_.graph->steps()[run.stage->source];
    auto source = MakeSource(step);
    if (!source.ok()) return std::move(source).status().With(step.name);
    run.source = *std::move(source);
    if (Status status = run.source->TakeSplits(run.shape.splits); !status.ok())
      return std::move(status).With(step.name);
  }
  if (run.output == nullptr) MakeOutput(&run);
  return Status::Ok();
}

bool PlanTasks::IsPart(int stage) const { return stages_[stage].part_of != nullptr; }

const StageShape& PlanTasks::shape(int stage) const { return stages_[stage].shape; }

exchange::Exchange* PlanTasks::output(int stage) const { return stages_[stage].output.get(); }

Status PlanTasks::Prepare(int index) {
  StageRun& run = stages_[index];
  const plan::Stage& stage = *run.stage;
  run.limits.clear();
  run.tables.clear();
  MakeKeyKinds(&run);
  for (const plan::Operator& op : stage.operators) {
    run.limits.push_back(op.kind == OperatorKind::kLimit && !op.local && run.shape.tasks > 1
                             ? std::make_unique<ops::LimitProgress>(run.shape.tasks)
                             : nullptr);
    run.tables.emplace_back();
    if (op.kind == OperatorKind::kJoin && op.build_whole) {
      ASSIGN_OR_RETURN(run.tables.back(), BuildTable(op, run.key_kinds[run.tables.size() - 1].get()));
    }
  }
  if (run.sink != nullptr) {
    run.ordered = std::make_unique<OrderedSink>(
        run.sink.get(), stage.encoded, std::clamp(options_.memory_bytes / 8, kPendingBytesMin, kPendingBytesMax),
        &cancelled_);
  }
  return Status::Ok();
}

void PlanTasks::MakeKeyKinds(StageRun* run) {
  if (!run->key_kinds.empty()) return;
  for (const plan::Operator& op : run->stage->operators) {
    const auto* join = std::get_if<flow::JoinStep>(&plan_.graph->steps()[op.step].body);
    run->key_kinds.push_back(join == nullptr ? nullptr : std::make_unique<ops::KeyKinds>(join->left_keys.size()));
  }
}

std::vector<ops::KeyKinds*> PlanTasks::KeyKindsOf(const StageRun& run) const {
  std::vector<ops::KeyKinds*> all;
  for (const StageRun* part : run.parts) {
    const auto of_part = KeyKindsOf(*part);
    all.insert(all.end(), of_part.begin(), of_part.end());
  }
  for (const auto& kinds : run.key_kinds) {
    if (kinds != nullptr) all.push_back(kinds.get());
  }
  return all;
}

std::vector<std::string> PlanTasks::KeysSeen(int stage) const {
  std::vector<std::string> seen;
  for (const ops::KeyKinds* kinds : KeyKindsOf(stages_[stage])) seen.push_back(kinds->Seen());
  return seen;
}

void PlanTasks::AddKeysSeen(int stage, const std::vector<std::string>& seen) {
  StageRun& run = stages_[stage];
  for (StageRun* part : run.parts) MakeKeyKinds(part);
  MakeKeyKinds(&run);
  const auto all = KeyKindsOf(run);
  for (size_t i = 0; i < std::min(all.size(), seen.size()); ++i) all[i]->AddSeen(seen[i]);
}

Status PlanTasks::FinishStage(int index) {
  StageRun& run = stages_[index];
  const plan::Stage& stage = *run.stage;
  WarnOfKeys(run);
  if (run.sink != nullptr) {
    if (Status status = run.sink->Finish(); !status.ok()) return std::move(status).With(run.sink_name);
    run.sink.reset();
    if (const auto* table = std::get_if<flow::TableStep>(&plan_.graph->steps()[stage.sink].body)) {
      if (Status status = table->rows->Finish(); !status.ok()) return std::move(status).With(run.sink_name);
    }
  }
  if (stage.cache >= 0) RETURN_IF_ERROR(FillCache(run));
  LetGo(&run);
  return Status::Ok();
}

void PlanTasks::DropOutput(int stage) { stages_[stage].output.reset(); }

void PlanTasks::Wake(int stage) {
  if (stages_[stage].ordered != nullptr) stages_[stage].ordered->Wake();
}

void PlanTasks::Abort() {
  for (StageRun& run : stages_) {
    if (run.sink != nullptr) run.sink->Abort();
  }
}

// Numbers never equal bytes, which is easily forgotten of a file's columns.
void PlanTasks::WarnOfKeys(const StageRun& run) const {
  for (const StageRun* part : run.parts) WarnOfKeys(*part);
  for (size_t i = 0; i < run.key_kinds.size(); ++i) {
    const std::string why = run.key_kinds[i] == nullptr ? "" : run.key_kinds[i]->WhyNothingMatched();
    if (!why.empty())
      base::LogWarning("{}: no row has a partner: {}", StepName(plan_.graph->steps()[run.stage->operators[i].step]),
                       why);
  }
}

// Of what the stage has read.
void PlanTasks::LetGo(StageRun* run) {
  for (StageRun* part : run->parts) LetGo(part);
  run->tables.clear();
  for (const int input : Reads(*run->stage)) {
    if (--readers_[input] == 0 && !options_.keeps_outputs) stages_[input].output.reset();
  }
}

void PlanTasks::Fail(Status status) {
  if (status.ok()) return;
  std::lock_guard lock(failure_mutex_);
  // A neighbour that was cancelled is no news.
  if (first_failure_.ok()) first_failure_ = std::move(status);
  cancelled_.store(true);
}

Status PlanTasks::RunTask(int stage, int task, udf::Hosts& hosts, TaskResult* result, int attempt,
                          const std::atomic<bool>* given_up) {
  RETURN_IF_ERROR(Continue());
  StageRun& run = stages_[stage];
  if (run.output != nullptr && options_.keeps_outputs) run.output->Clear(task);
  RETURN_IF_ERROR(RunToEnd(&run, task, {hosts, attempt, result, given_up}));
  return run.ordered != nullptr ? run.ordered->EndTask(task) : Status::Ok();
}

// The task's chain, and where its rows go in the end.
Status PlanTasks::RunToEnd(StageRun* run, int task, const TaskRun& of) {
  const bool in_parts = run->sink != nullptr && run->sink->in_parts();
  if (!in_parts && NothingToDo(*run, task)) return Status::Ok();
  Reading reading;
  if (run->output != nullptr) {
    const bool by_place = run->stage->output.deal == batch::Deal::kByPlace;
    const auto writer =
        run->output->MakeWriter(task, &reading.split, by_place ? run->input->RowCount(0, task) : 0, GivesRuns(*run));
    return RunChain(run, task, of, &reading, writer.get(), writer.get());
  }
  if (in_parts) {
    auto part = run->sink->OpenPart(task);
    if (!part.ok()) return std::move(part).status().With(run->sink_name);
    PartOutput into_part(part->get(), &run->sink_name);
    RETURN_IF_ERROR(RunChain(run, task, of, &reading, &into_part, nullptr));
    return (*part)->Finish().With(run->sink_name);
  }
  NoOutput nowhere;
  SinkOutput into_sink(run->ordered.get(), task, &run->sink_name);
  BatchOutput* end = run->ordered != nullptr ? static_cast<BatchOutput*>(&into_sink) : &nowhere;
  return RunChain(run, task, of, &reading, end, nullptr);
}

template <class FeedInto>
Status PlanTasks::FeedThrough(const Chain& chain, const FeedInto& feed, BatchOutput* end,
                              exchange::PartitionWriter* writer) {
  for (size_t i = chain.size(); i-- > 0;) {
    BatchOutput* next = i + 1 < chain.size() ? static_cast<BatchOutput*>(chain[i + 1].get()) : end;
    RETURN_IF_ERROR(chain[i]->Open(next));
  }
  RETURN_IF_ERROR(feed(chain.empty() ? end : static_cast<BatchOutput*>(chain[0].get())));
  for (const auto& op : chain) RETURN_IF_ERROR(op->Finish());
  return writer != nullptr ? writer->Finish() : Status::Ok();
}

// Reads the task's rows and pushes what the operators give into `end`, which is `writer` when there is one.
Status PlanTasks::RunChain(StageRun* run, int task, const TaskRun& of, Reading* reading, BatchOutput* end,
                           exchange::PartitionWriter* writer) {
  TaskContext context(task, run->shape.tasks, of.attempt, &of.hosts);
  Pushing pushing(of);
  Chain chain;
  RETURN_IF_ERROR(MakeChain(*run, task, &context, &reading->split, &pushing, &chain));
  const auto feed = [&](BatchOutput* head) { return Feed(run, task, of, reading, head); };
  const Status fed =
      options_.taps ? RunTapped(run, task, chain, feed, end, writer, of.result) : FeedThrough(chain, feed, end, writer);
  // An attempt that a later one has shut out is no error of the function, which saw its push fail.
  for (const auto& tables : pushing.tables) {
    if (fed.code() != Code::kCancelled) tables->WaitForPushes();
    if (Status failure = tables->failure(); failure.code() == Code::kStale) return failure;
  }
  RETURN_IF_ERROR(fed);
  // An attempt in which a push failed must not pass for whole, also when a function did not look.
  for (const auto& tables : pushing.tables) RETURN_IF_ERROR(tables->failure());
  of.result->counters.Add(context.counters());
  for (const auto& of_step : pushing.contexts) of.result->counters.Add(of_step->counters());
  return Status::Ok();
}

// Steps of the stage that hold rows, at the same time.
int64_t PlanTasks::CountKeepers(const StageRun& run) {
  const auto keeps_rows = [](const plan::Operator& op) {
    switch (op.kind) {
      case OperatorKind::kDistinct:
      case OperatorKind::kCombine:
      case OperatorKind::kMerge:
      case OperatorKind::kGroup:
      case OperatorKind::kSort:
      case OperatorKind::kOrder:
      case OperatorKind::kTop:
      case OperatorKind::kJoin:
      case OperatorKind::kCoGroup: return true;
      case OperatorKind::kSample: return op.draw == plan::Draw::kByCopies;
      default: return false;
    }
  };
  const auto& operators = run.stage->operators;
  // The operators of a part run inside of those of its whole.
  return std::count_if(operators.begin(), operators.end(), keeps_rows) +
         (run.part_of != nullptr ? CountKeepers(*run.part_of) : 0);
}

// What one operator of a task may hold. The rest is for what lies between stages, as far as there is need for it;
// that can go to disk as well.
int64_t PlanTasks::MemoryShare(const StageRun& run) const {
  return budget_.limit_bytes() / 2 /
         (std::clamp(run.shape.tasks, 1, options_.threads) * std::max<int64_t>(CountKeepers(run), 1));
}

// Its last step sorts for its own exchange, which merges here: so it may leave the merging of runs to it.
bool PlanTasks::GivesRuns(const StageRun& run) const {
  const auto& operators = run.stage->operators;
  return !options_.keeps_outputs && run.output != nullptr && !operators.empty() &&
         run.stage->output.kind == ExchangeKind::kMergeSorted && operators.back().kind == OperatorKind::kSort &&
         operators.back().step == run.stage->output_for;
}

// Tables as this task pushes to them, when it may be run again.
Status PlanTasks::PushAsTask(const StageRun& run, int task, const plan::Operator& op, Pushing* pushing,
                             TaskContext** context, OperatorInputs* inputs) {
  const flow::Step& step = plan_.graph->steps()[op.step];
  const auto* push_to = op.kind == OperatorKind::kPushTo ? &std::get<flow::PushToStep>(step.body) : nullptr;
  const bool function = op.kind == OperatorKind::kFunction && CapturesTable(step);
  if (options_.job.empty() || (push_to == nullptr && !function)) return Status::Ok();
  pushing->tables.push_back(
      std::make_unique<param::TaskTables>(param::TaskAttempt{.job = options_.job,
                                                             .stage = static_cast<uint32_t>(&run - stages_.data()),
                                                             .partition = static_cast<uint32_t>(task),
                                                             .step = static_cast<uint32_t>(op.step),
                                                             .attempt = static_cast<uint64_t>(pushing->of.attempt)}));
  param::TaskTables& tables = *pushing->tables.back();
  if (push_to != nullptr) {
    auto table = tables.Of(push_to->table);
    if (!table.ok()) return std::move(table).status().With(StepName(step));
    inputs->table = *std::move(table);
    return Status::Ok();
  }
  const TaskContext& whole = **context;
  pushing->contexts.push_back(
      std::make_unique<TaskContext>(whole.partition(), whole.partition_count(), whole.attempt(), &whole.hosts()));
  *context = pushing->contexts.back().get();
  (*context)->set_tables(&tables);
  return Status::Ok();
}

Status PlanTasks::MakeChain(const StageRun& run, int task, TaskContext* context, const uint64_t* split,
                            Pushing* pushing, Chain* chain) {
  const plan::Stage& stage = *run.stage;
  const int64_t share = MemoryShare(run);
  for (size_t i = 0; i < stage.operators.size(); ++i) {
    const plan::Operator& op = stage.operators[i];
    OperatorInputs inputs;
    inputs.progress = run.limits[i].get();
    if (op.kind == OperatorKind::kZipWithIndex || op.draw == plan::Draw::kByPlace)
      inputs.rows_before = stage.one_task ? 0 : run.input->RowCount(0, task);
    inputs.split = split;
    if (i + 1 == stage.operators.size() && GivesRuns(run))
      inputs.runs_given_max = std::max<int64_t>(run.output->sorted_runs_max() / run.shape.tasks - 1, 0);
    if (stage.user_partitions > 0) inputs.partition = static_cast<uint64_t>(task);
    inputs.right.table = run.tables[i];
    inputs.key_kinds = run.key_kinds[i].get();
    if (op.build >= 0 && inputs.right.table == nullptr) {
      Exchange& right = *stages_[op.build].output;
      const auto [begin, end] = Partitions(run, right, task);
      inputs.right.reader = right.MakeReader(begin, end, LastReader(op.build));
      inputs.right.rows = right.RowCount(begin, end);
      inputs.right.width = right.width();
      inputs.left_width = run.input->width();
      if (const auto* join = std::get_if<flow::JoinStep>(&plan_.graph->steps()[op.step].body)) {
        // A side without a row still has as many columns as its names.
        if (inputs.right.width == 0) inputs.right.width = join->right_width;
        if (inputs.left_width == 0) inputs.left_width = join->left_width;
      }
    }
    TaskContext* of_step = context;
    RETURN_IF_ERROR(PushAsTask(run, task, op, pushing, &of_step, &inputs));
    chain->push_back(
        MakeOperator(op, *plan_.graph, functions_,
                     {env_, &budget_, &spill_, share, of_step, &cancelled_, StepName(plan_.graph->steps()[op.step])},
                     std::move(inputs)));
  }
  return Status::Ok();
}

// The same with a tap before each operator and before the end. What an operator took is the time in front of it and
// in its Finish, less the time behind it.
template <class FeedInto>
Status PlanTasks::RunTapped(const StageRun* run, int task, const Chain& chain, const FeedInto& feed, BatchOutput* end,
                            exchange::PartitionWriter* writer, TaskResult* result) {
  std::vector<std::unique_ptr<Tap>> taps;
  bool encoded = run->stage->encoded;
  for (size_t i = 0; i <= chain.size(); ++i) {
    encoded = encoded || (i > 0 && run->stage->operators[i - 1].kind == OperatorKind::kEncode);
    BatchOutput* next = i < chain.size() ? static_cast<BatchOutput*>(chain[i].get()) : end;
    taps.push_back(std::make_unique<Tap>(next, encoded, &env_->clock()));
  }
  std::vector<StepReport> steps(taps.size() + 1);
  const int64_t begin = Now();
  int64_t last = begin;
  // A join reads its right side here.
  for (size_t i = chain.size(); i-- > 0;) {
    RETURN_IF_ERROR(chain[i]->Open(taps[i + 1].get()));
    steps[i + 1].nanos = Now() - last;
    last = Now();
  }
  const int64_t opened = last;
  RETURN_IF_ERROR(feed(taps[0].get()));
  last = Now();
  // Parts have told the time that they took.
  if (run->parts.empty()) steps[0].nanos = last - opened - taps[0]->nanos();
  for (size_t i = 0; i <= chain.size(); ++i) {
    if (i < chain.size()) {
      RETURN_IF_ERROR(chain[i]->Finish());
    } else if (writer != nullptr) {
      RETURN_IF_ERROR(writer->Finish());
    }
    steps[i + 1].nanos += Now() - last;
    last = Now();
  }
  for (size_t i = 0; i < taps.size(); ++i) {
    const Tap& tap = *taps[i];
    steps[i].rows_out = steps[i + 1].rows_in = tap.rows();
    steps[i].bytes_out = steps[i + 1].bytes_in = tap.bytes();
    steps[i + 1].nanos += tap.nanos();
    if (i > 0) steps[i].nanos -= tap.nanos();
  }
  if (run->part_of != nullptr) steps.back().nanos = 0;  // The time of the stage that goes on.
  steps.back().rows_out = steps.back().rows_in;
  steps.back().bytes_out = steps.back().bytes_in;
  const auto stage = static_cast<int>(run - stages_.data());
  result->works.push_back({stage, task, begin, last, std::move(steps)});
  return Status::Ok();
}

// The partitions of an input that the task reads.
std::pair<int, int> PlanTasks::Partitions(const StageRun& run, const Exchange& input, int task) {
  return run.stage->one_task ? std::pair(0, input.consumers()) : std::pair(task, task + 1);
}

// An empty partition has nothing to do, unless a program would have something to say about it.
bool PlanTasks::NothingToDo(const StageRun& run, int task) const {
  const auto& operators = run.stage->operators;
  if (run.input == nullptr || std::any_of(operators.begin(), operators.end(),
                                          [](const plan::Operator& op) { return op.kind == OperatorKind::kPipe; })) {
    return false;
  }
  for (const int stage : Reads(*run.stage)) {
    const Exchange& input = *stages_[stage].output;
    const auto [begin, end] = Partitions(run, input, task);
    if (end <= input.consumers() && !input.Empty(begin, end)) return false;
  }
  return true;
}

Status PlanTasks::Continue(const TaskRun& of) const {
  if (of.given_up != nullptr && of.given_up->load(std::memory_order_relaxed)) return Status::Cancelled("given up");
  return Continue();
}

// Pushes all rows of the task's input into `head`.
Status PlanTasks::Feed(StageRun* run, int task, const TaskRun& of, Reading* reading, BatchOutput* head) {
  if (run->source != nullptr) return FeedSplits(run, task, of, reading, head);
  if (run->input == nullptr) return FeedParts(*run, task, of, reading, head);
  const auto [begin, end] = Partitions(*run, *run->input, task);
  // Where one task has all rows, the other threads are free.
  const int threads = run->stage->one_task ? options_.threads : 1;
  const auto reader = run->input->MakeReader(begin, end, LastReader(run->stage->input), threads);
  while (!head->full()) {
    RETURN_IF_ERROR(GoOn(of));
    ASSIGN_OR_RETURN(std::optional<Batch> batch, reader->Next());
    if (!batch.has_value()) break;
    RETURN_IF_ERROR(head->Push(*std::move(batch)));
  }
  return Status::Ok();
}

// What Lua states hold cannot be taken from them, so it is counted, and others make room.
Status PlanTasks::GoOn(const TaskRun& of) {
  constexpr int64_t kOfTheProgram = 1 << 20;  // Libraries and compiled functions.
  const int64_t bytes = std::max<int64_t>(of.hosts.uncounted_bytes() - kOfTheProgram, 0);
  const std::lock_guard lock(lua_mutex_);
  base::Reservation& held = lua_.try_emplace(&of.hosts, &budget_, "Lua").first->second;
  if (bytes > held.bytes() + held.bytes() / 16 || bytes < held.bytes() / 2) held.ForceResize(bytes);
  return Continue(of);
}

// The task is one of a part's, or, when there is but one, all of them.
Status PlanTasks::FeedParts(const StageRun& run, int task, const TaskRun& of, Reading* reading, BatchOutput* head) {
  int first = 0;
  for (StageRun* part : run.parts) {
    for (int i = 0; i < part->shape.tasks && !head->full(); ++i) {
      if (!run.stage->one_task && first + i != task) continue;
      if (NothingToDo(*part, i)) continue;
      Reading of_part{0, part->shape.splits_before, reading};
      RETURN_IF_ERROR(RunChain(part, i, of, &of_part, head, nullptr));
    }
    first += part->shape.tasks;
  }
  return Status::Ok();
}

Status PlanTasks::FeedSplits(StageRun* run, int task, const TaskRun& of, Reading* reading, BatchOutput* head) {
  const std::string& name = plan_.graph->steps()[run->stage->source].name;
  for (size_t s = run->shape.groups[task].first; s < run->shape.groups[task].second && !head->full(); ++s) {
    uint64_t split = s;
    for (Reading* at = reading; at != nullptr; at = at->outer) {
      at->split = split;
      split += at->splits_before;
    }
    auto reader = run->source->Open(run_env_, run->shape.splits[s]);
    if (!reader.ok()) return std::move(reader).status().With(name);
    while (!head->full()) {
      RETURN_IF_ERROR(GoOn(of));
      auto batch = (*reader)->Next();
      if (!batch.ok()) return std::move(batch).status().With(name);
      if (!batch->has_value()) break;
      if ((*batch)->row_count() == 0) continue;  // Nothing yet.
      of.result->rows_read += (*batch)->row_count();
      if (options_.progress != nullptr) options_.progress->AddRows((*batch)->row_count());
      RETURN_IF_ERROR(head->Push(**std::move(batch)));
    }
    of.result->bytes_read += run->shape.splits[s].estimated_bytes;
    if (options_.progress != nullptr) options_.progress->AddBytes(run->shape.splits[s].estimated_bytes);
  }
  return Status::Ok();
}

}  // namespace glim::exec
