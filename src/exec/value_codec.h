// SPDX-License-Identifier: Apache-2.0
//
// Values as bytes: a part of archive.h for who has some in what travels.
//
// Thread: plain functions.
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "exec/archive.h"
#include "glim/batch.h"

namespace glim::exec {

inline constexpr int kValueDepthMax = 200;  // Of lists in lists.

template <>
inline constexpr Type kLastOf<Type> = Type::kList;

template <class A>
void TravelValue(A& archive, Value& value, int depth) {
  if (depth > kValueDepthMax) {
    return archive.Fail(Status::Invalid(fmt::format("its lists are more than {} deep", kValueDepthMax)));
  }
  Type type = value.type();
  archive(type);
  const auto plain = [&](auto number) {
    archive(number);
    if constexpr (A::kReads) value = Value(std::move(number));
  };
  switch (type) {
    case Type::kNull: return;
    case Type::kBool: return plain(!A::kReads && value.as_bool());
    case Type::kInt64: return plain(A::kReads ? int64_t{0} : value.as_int64());
    case Type::kDouble: return plain(A::kReads ? 0.0 : value.as_double());
    case Type::kBytes: return plain(A::kReads ? std::string() : std::string(value.as_bytes()));
    case Type::kList: {
      std::vector<Value> elements;
      if constexpr (!A::kReads) elements = value.as_list();
      auto count = static_cast<uint32_t>(elements.size());
      archive(count);
      if constexpr (A::kReads) {
        archive.Require(count <= archive.left(), "a list is longer than what is left");
        for (uint32_t i = 0; i < count && archive.ok(); ++i) TravelValue(archive, elements.emplace_back(), depth + 1);
        value = Value(elements);
      } else {
        for (Value& element : elements) TravelValue(archive, element, depth + 1);
      }
      return;
    }
    case Type::kAny: return;
  }
}

template <class A>
void Travel(A& archive, Value& value) {
  TravelValue(archive, value, 0);
}

}  // namespace glim::exec
