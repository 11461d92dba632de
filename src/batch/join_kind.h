// SPDX-License-Identifier: Apache-2.0
//
// Which rows a join gives. Named by the planner, obeyed by the operator.
#pragma once

#include <cstdint>

namespace glim::batch {

enum class JoinKind : uint8_t {
  kInner,
  kLeft,   // And left rows without a partner, their right fields nil.
  kRight,  // And right rows without a partner, their left fields nil.
  kFull,   // Both.
  kSemi,   // Left rows with a partner, once, as they are.
  kAnti,   // Left rows without one, as they are.
};

inline bool KeepsLeft(JoinKind kind) { return kind == JoinKind::kLeft || kind == JoinKind::kFull; }
inline bool KeepsRight(JoinKind kind) { return kind == JoinKind::kRight || kind == JoinKind::kFull; }

}  // namespace glim::batch
