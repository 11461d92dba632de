// SPDX-License-Identifier: Apache-2.0
#include "env/library.h"

#include <dlfcn.h>
#include <fmt/core.h>

namespace glim::env {

Status LoadFunctions(const char* library, std::initializer_list<LoadedFunction> functions) {
  void* const loaded = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (loaded == nullptr) {
    const char* why = dlerror();
    return Status::Unavailable(
        fmt::format("this needs {}, which cannot be loaded: {}", library, why != nullptr ? why : ""));
  }
  for (const LoadedFunction& function : functions) {
    void* const address = dlsym(loaded, function.name());
    if (address == nullptr) return Status::Unavailable(fmt::format("{} has no function {}", library, function.name()));
    function.Set(address);
  }
  return Status::Ok();
}

}  // namespace glim::env
