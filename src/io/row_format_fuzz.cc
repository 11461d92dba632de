// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a format of Printf, with rows of all types: what fails leaves the output as it was.
#include <algorithm>
#include <string_view>

#include "base/check.h"
#include "glim/batch_builder.h"
#include "io/row_format.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace glim;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto format = io::RowFormat::Parse(text);
  if (!format.ok() || format->width() > 8) return 0;
  // A width of a million is allowed, and slow.
  int digits = 0;
  for (const char c : text) {
    digits = c >= '0' && c <= '9' ? digits + 1 : 0;
    if (digits > 3) return 0;
  }
  const Value values[] = {Value(), true, -7, 4.5, 1e300, "text", "12", "\xff", std::vector<Value>{1, "a"}};
  for (const Value& value : values) {
    BatchBuilder builder;
    builder.AppendRow(Row(std::max(1, format->width()), value));
    std::string out = "kept";
    const Status status = format->Append(builder.Finish(), 0, &out);
    CHECK(out.starts_with("kept"));
    CHECK(status.ok() || out == "kept");
  }
  return 0;
}
