// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as CSV: the rows, or the failure, do not depend on how the file is cut.
#include <string_view>

#include "io/csv_source.h"
#include "io/memory_env_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace glim;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  io::CheckCutsDoNotMatter(bytes, *io::MakeCsvSource({"a.csv"}, {.null = ""}));
  io::CheckCutsDoNotMatter(bytes, *io::MakeCsvSource({"a.csv"}, {.header = true, .columns = {1}}));
  io::CheckCutsDoNotMatter(bytes, *io::MakeCsvSource({"a.csv"}, {.numbers = true}));
  return 0;
}
