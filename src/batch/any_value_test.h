// SPDX-License-Identifier: Apache-2.0
//
// For tests: values of every type, and lists of them.
#pragma once

#include <rapidcheck.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "glim/batch.h"

namespace glim {

// Values near every border: types mixed, small ranges so that equals meet.
inline rc::Gen<Value> AnyValue(int depth = 2) {
  return rc::gen::exec([depth]() -> Value {
    switch (*rc::gen::inRange(0, depth > 0 ? 9 : 8)) {
      case 0: return Value();
      case 1: return Value(*rc::gen::arbitrary<bool>());
      case 2: return Value(*rc::gen::inRange<int64_t>(-3, 3));
      case 3: return Value(static_cast<double>(*rc::gen::inRange(-6, 6)) / 2);
      case 4: return Value(*rc::gen::element<int64_t>(INT64_MAX, INT64_MIN, (int64_t{1} << 53) + 1, int64_t{1} << 53));
      case 5:
        return Value(*rc::gen::element(-0.0, NAN, HUGE_VAL, -HUGE_VAL, 9007199254740992.0, 9223372036854775808.0));
      case 6: return Value(*rc::gen::container<std::string>(rc::gen::element('a', 'b', '\0', '\xff')));
      case 7: return Value(std::string(*rc::gen::inRange(10, 40), *rc::gen::element('x', 'y')));
      default: return Value(*rc::gen::container<std::vector<Value>>(*rc::gen::inRange(0, 4), AnyValue(depth - 1)));
    }
  });
}

}  // namespace glim
