// SPDX-License-Identifier: Apache-2.0
//
// The folds of glim/folds.h as the function of a ReduceBy.
#pragma once

#include <memory>
#include <vector>

#include "glim/folds.h"
#include "glim/udf.h"

namespace glim::ops {

// One fold for all value columns, or one for each.
std::shared_ptr<const Function> MakeFoldFunction(std::vector<Fold> folds);

}  // namespace glim::ops
