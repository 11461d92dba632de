// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as JSON lines: the rows, or the failure, do not depend on how the file is cut.
#include <string_view>

#include "io/json_source.h"
#include "io/memory_env_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace glim;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  io::CheckCutsDoNotMatter(bytes, *io::MakeJsonSource({"a.jsonl"}, {}));
  io::CheckCutsDoNotMatter(bytes, *io::MakeJsonSource({"a.jsonl"}, {.columns = {"a", "a.b[0]", "[1]"}}));
  static_cast<void>(io::ParseJsonPath(bytes));
  return 0;
}
