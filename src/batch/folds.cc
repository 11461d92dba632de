// SPDX-License-Identifier: Apache-2.0
#include "glim/folds.h"

#include <fmt/core.h>

namespace glim {

std::string ToString(const Fold& fold) {
  switch (fold.kind) {
    case Fold::Kind::kSum: return "sum";
    case Fold::Kind::kCount: return "count";
    case Fold::Kind::kMin: return "min";
    case Fold::Kind::kMax: return "max";
    case Fold::Kind::kMean: return "mean";
    case Fold::Kind::kCountDistinct: return "count_distinct";
    case Fold::Kind::kApproxCountDistinct: return "approx_count_distinct";
    case Fold::Kind::kQuantiles: break;
  }
  std::string text;
  for (const double at : fold.at) text += (text.empty() ? "" : ", ") + fmt::format("{}", at);
  return "quantiles(" + text + ")";
}

}  // namespace glim
