// SPDX-License-Identifier: Apache-2.0
//
// Where Lua functions get modules from that lie elsewhere: an executor asks its driver, on whose machine the modules
// of a script are.
//
// Thread: a finder is called from any.
#pragma once

#include <functional>
#include <string>

#include "env/env.h"
#include "glim/status.h"

namespace glim::udf {

struct ModuleSource {
  bool found = false;
  std::string file;  // For messages.
  std::string source;
};

// `name` as in `require "a.b"`, `path` written as package.path is; empty: the place's own. An error says why nobody
// knows; a module that is not there is none.
using ModuleFinder = std::function<Result<ModuleSource>(const std::string& name, const std::string& path)>;

// In files, as package.searchpath finds it. A file of more than 16 MiB is kExhausted.
Result<ModuleSource> FindModuleFile(env::FileSystem& files, const std::string& name, const std::string& path);

}  // namespace glim::udf
