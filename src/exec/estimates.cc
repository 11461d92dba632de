// SPDX-License-Identifier: Apache-2.0
#include "exec/estimates.h"

#include "exec/bindings.h"

namespace glim::exec {

std::vector<plan::Size> SourceSizes(env::Env& env, const plan::Plan& plan) {
  std::vector<plan::Size> sizes(plan.stages.size());
  for (size_t s = 0; s < sizes.size(); ++s) {
    if (plan.stages[s].source < 0) continue;
    const auto source = MakeSource(plan.graph->steps()[plan.stages[s].source]);
    if (!source.ok()) continue;
    const io::Estimate estimate = (*source)->MakeEstimate(env);
    sizes[s] = {estimate.rows, estimate.bytes, estimate.rows_exact};
  }
  return sizes;
}

}  // namespace glim::exec
