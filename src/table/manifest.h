// SPDX-License-Identifier: Apache-2.0
//
// The manifest of a saved model: a text of `name value` lines that says what table it was and which files hold its
// rows, ended by a checksum of all that stands before. A model is there when its manifest is; it is written last.
//
// Thread: values and functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "glim/status.h"
#include "glim/table_spec.h"
#include "table/rows_file.h"

namespace glim::table {

inline constexpr std::string_view kManifestName = "MANIFEST";

struct Manifest {
  TableSpec spec;
  uint64_t model_id = 0;
  // Those of the rule when its state was saved, else 0.
  uint32_t slots = 0;
  uint32_t extras = 0;
  bool has_state = true;
  std::vector<RowsFileInfo> files;  // In the order of their part numbers.

  uint64_t rows() const;
};

std::string EncodeManifest(const Manifest& manifest);
// kCorrupt unless `text` is exactly what EncodeManifest gives for some manifest that makes sense.
Result<Manifest> DecodeManifest(std::string_view text);

}  // namespace glim::table
