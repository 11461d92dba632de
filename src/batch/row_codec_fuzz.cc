// SPDX-License-Identifier: Apache-2.0
//
// Rows made of any bytes: what was encoded is decoded as it was, two values have equal bytes if, and only if, they are
// equal, and equal values have one hash.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "batch/row_codec.h"

namespace glim {
namespace {

constexpr int kDepthMax = 6;
constexpr size_t kValuesMax = 64;

// Takes as many bytes as there are, then zeros.
template <class T>
T Take(std::string_view* script) {
  T value{};
  const size_t size = std::min(sizeof(T), script->size());
  std::memcpy(&value, script->data(), size);
  script->remove_prefix(size);
  return value;
}

Value MakeValue(std::string_view* script, int depth) {
  switch (Take<uint8_t>(script) % (depth < kDepthMax ? 8 : 7)) {
    case 0: return Value();
    case 1: return Value(Take<uint8_t>(script) % 2 == 0);
    case 2: return Value(Take<int64_t>(script));
    case 3: return Value(Take<double>(script));
    case 4: return Value(static_cast<int64_t>(Take<int8_t>(script)));
    case 5: return Value(static_cast<double>(Take<int8_t>(script)));
    case 6: {
      const std::string_view bytes = script->substr(0, Take<uint8_t>(script));
      script->remove_prefix(std::min(bytes.size(), script->size()));
      return Value(std::string(bytes));
    }
    default: {
      std::vector<Value> elements(Take<uint8_t>(script) % 4);
      for (Value& element : elements) element = MakeValue(script, depth + 1);
      return Value(std::move(elements));
    }
  }
}

std::string Encoded(const Value& value) {
  std::string bytes;
  batch::AppendEncoded(value.cell(), &bytes);
  return bytes;
}

}  // namespace
}  // namespace glim

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace glim;
  std::string_view script(reinterpret_cast<const char*>(data), size);
  std::vector<Value> values;
  while (!script.empty() && values.size() < kValuesMax) values.push_back(MakeValue(&script, 0));

  std::string row;
  for (const Value& value : values) batch::AppendEncoded(value.cell(), &row);
  std::string_view rest = row;
  ColumnBuilder builder;
  for (size_t i = 0; i < values.size(); ++i) batch::DecodeInto(&rest, &builder);
  CHECK(rest.empty());
  const Column decoded = builder.Finish();
  for (size_t i = 0; i < values.size(); ++i) CHECK(decoded.At(static_cast<int64_t>(i)) == values[i].cell());

  for (size_t i = 1; i < values.size(); ++i) {
    const Value &a = values[i - 1], &b = values[i];
    CHECK_EQ(a == b, Encoded(a) == Encoded(b));
    CHECK(!(a == b) || a.cell().Hash() == b.cell().Hash());
    CHECK_EQ(a.cell().Compare(b.cell()), -b.cell().Compare(a.cell()));
  }
  return 0;
}
