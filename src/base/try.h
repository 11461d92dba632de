// SPDX-License-Identifier: Apache-2.0
//
// The two macros that pass a failure up. Not in the public headers, so that users' files stay free of our macros.
//
//   RETURN_IF_ERROR(file->Sync());
//   ASSIGN_OR_RETURN(auto file, fs.Open(path));
#pragma once

#include "glim/status.h"

#define RETURN_IF_ERROR(expression)                                                                \
  do {                                                                                             \
    if (::glim::Status status_of_try_ = (expression); !status_of_try_.ok()) return status_of_try_; \
  } while (false)

#define GLIM_TRY_CONCAT_INNER(a, b) a##b
#define GLIM_TRY_CONCAT(a, b) GLIM_TRY_CONCAT_INNER(a, b)
#define ASSIGN_OR_RETURN(declaration, expression) \
  GLIM_ASSIGN_OR_RETURN(GLIM_TRY_CONCAT(result_of_try_, __LINE__), declaration, expression)
#define GLIM_ASSIGN_OR_RETURN(result, declaration, expression) \
  auto result = (expression);                                  \
  if (!result.has_value()) return std::move(result).status();  \
  declaration = *std::move(result)
