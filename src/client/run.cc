// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <cstdio>

#include "base/try.h"
#include "env/env.h"
#include "exec/bindings.h"
#include "exec/dataset_store.h"
#include "exec/estimates.h"
#include "exec/names.h"
#include "flow/graph.h"
#include "glim/flow.h"
#include "glim/session.h"
#include "plan/plan.h"

namespace glim {
namespace {

Status PrintPlan(const std::shared_ptr<flow::Graph>& graph, std::vector<int> ends, const Explain& explain) {
  const auto env = env::MakePosixEnv();
  // Not for the names that a sink would print: they would have to be waited for at a terminal.
  auto resolved = graph;
  RETURN_IF_ERROR(graph->status());
  if (exec::HasDatasets(*graph)) {
    exec::DatasetStore datasets(*env, {.folder = exec::DatasetFolder(*env)});
    RETURN_IF_ERROR(exec::OpenDatasets(datasets, *graph));
  }
  if (graph->has_names()) {
    ASSIGN_OR_RETURN(resolved, exec::ResolveNames(*env, graph));
  }
  ASSIGN_OR_RETURN(const plan::Plan plan, plan::MakePlan(resolved, std::move(ends)));
  ASSIGN_OR_RETURN(const exec::Functions functions, exec::MakeFunctions(*graph));
  const std::string text =
      plan::ToText(plan, exec::SourceSizes(*env, plan), exec::HowFunctionsRun(*graph, functions, {}));
  if (std::fwrite(text.data(), 1, text.size(), explain.out) != text.size())
    return Status::Unavailable("the plan could not be written");
  return Status::Ok();
}

}  // namespace

Status Flow::Run() {
  Session session;
  return Run(session);
}

Status Flow::Run(Session& session) { return session.Run(*this); }

Status Flow::Run(const EngineChoice& on) {
  Session session(SessionOptions{.on = on.engine, .key_file = on.key_file});
  return Run(session);
}

Status Flow::Run(Explain explain) { return PrintPlan(graph_, graph_->EndsToRun(), explain); }

Status Dataset::Run() const {
  Session session;
  return Run(session);
}

Status Dataset::Run(Session& session) const { return session.Run(graph_, graph_->EndsFor(step_)); }

Status Dataset::Run(const EngineChoice& on) const {
  Session session(SessionOptions{.on = on.engine, .key_file = on.key_file});
  return Run(session);
}

Status Dataset::Show(int64_t count) const { return Shown(count).Run(); }

Status Dataset::Show(Session& session, int64_t count) const { return Shown(count).Run(session); }

Status Dataset::Run(Explain explain) const { return PrintPlan(graph_, graph_->EndsFor(step_), explain); }

int ExitCode(const Status& status) {
  constexpr int kFailed = 1, kWrongUsage = 2, kUnreachable = 3;
  if (status.ok()) {
    // What print and printf still hold; nobody else looks whether it arrives.
    errno = 0;
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return 0;
    if (errno == EPIPE) return env::kOutputClosedCode;
    const std::string why = errno != 0 ? env::ErrorWords(errno) : "not all of it could be written";
    std::fprintf(stderr, "glim: standard output: %s\n", why.c_str());
    return kFailed;
  }
  std::fflush(stdout);
  // As programs are that a signal ends for it: nobody asked for more, so nothing went wrong.
  if (status.code() == Code::kCancelled && env::OutputClosed()) return env::kOutputClosedCode;
  std::fprintf(stderr, "glim: %s\n", status.message().c_str());
  if (!status.details().empty()) std::fprintf(stderr, "%s\n", status.details().c_str());
  if (status.code() == Code::kUsage) return kWrongUsage;
  if (status.code() == Code::kUnreachable) return kUnreachable;
  const int signal = env::InterruptSignal();
  return status.code() == Code::kCancelled && signal > 0 ? 128 + signal : kFailed;
}

}  // namespace glim
