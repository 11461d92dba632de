// SPDX-License-Identifier: Apache-2.0
//
// CHECK: a promise of our own code. It stays on in production and stops the process with the file, the line and both
// values.
//
// Bytes from outside, a user's mistake or a failing disk never reach a CHECK; they are a Status. DCHECK is for hot
// loops: it is compiled in with sanitizers and in debug builds only.
#pragma once

#include <sstream>
#include <string>

namespace glim::base {

[[noreturn]] void CheckFailed(const char* file, int line, const char* expression, const std::string& values);

template <class A, class B>
[[noreturn]] void CheckOpFailed(const char* file, int line, const char* expression, const A& a, const B& b) {
  std::ostringstream values;
  values << a << " against " << b;
  CheckFailed(file, line, expression, values.str());
}

}  // namespace glim::base

#define CHECK(condition)                                             \
  do {                                                               \
    if (!(condition)) [[unlikely]]                                   \
      ::glim::base::CheckFailed(__FILE__, __LINE__, #condition, ""); \
  } while (false)

#define GLIM_CHECK_OP(a, op, b)                                                               \
  do {                                                                                        \
    const auto& check_a_ = (a);                                                               \
    const auto& check_b_ = (b);                                                               \
    if (!(check_a_ op check_b_)) [[unlikely]]                                                 \
      ::glim::base::CheckOpFailed(__FILE__, __LINE__, #a " " #op " " #b, check_a_, check_b_); \
  } while (false)

#define CHECK_EQ(a, b) GLIM_CHECK_OP(a, ==, b)
#define CHECK_NE(a, b) GLIM_CHECK_OP(a, !=, b)
#define CHECK_LT(a, b) GLIM_CHECK_OP(a, <, b)
#define CHECK_LE(a, b) GLIM_CHECK_OP(a, <=, b)
#define CHECK_GT(a, b) GLIM_CHECK_OP(a, >, b)
#define CHECK_GE(a, b) GLIM_CHECK_OP(a, >=, b)

#if !defined(NDEBUG) && (defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(GLIM_DEBUG))
#define DCHECK(condition) CHECK(condition)
#else
#define DCHECK(condition)       \
  do {                          \
    (void)sizeof(!(condition)); \
  } while (false)
#endif
