// SPDX-License-Identifier: Apache-2.0
#include "udf/modules.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/try.h"

namespace glim::udf {
namespace {

constexpr size_t kModuleBytesMax = size_t{16} << 20;

std::string FileOf(std::string_view pattern, const std::string& module) {
  std::string file;
  for (const char c : pattern) {
    if (c == '?') {
      file += module;
    } else {
      file += c;
    }
  }
  return file;
}

}  // namespace

Result<ModuleSource> FindModuleFile(env::FileSystem& files, const std::string& name, const std::string& path) {
  std::string module = name;
  std::replace(module.begin(), module.end(), '.', '/');
  std::string_view rest = path;
  while (!rest.empty()) {
    const std::string_view pattern = rest.substr(0, rest.find(';'));
    rest.remove_prefix(std::min(pattern.size() + 1, rest.size()));
    const std::string file = FileOf(pattern, module);
    auto opened = files.OpenRandom(file);
    if (!opened.ok()) continue;
    if ((*opened)->size() > kModuleBytesMax)
      return Status::Exhausted(fmt::format("module \"{}\": {} is too large", name, file));
    ModuleSource found{.found = true, .file = file, .source = std::string((*opened)->size(), '\0')};
    ASSIGN_OR_RETURN(const size_t read, (*opened)->ReadAt(0, found.source));
    found.source.resize(read);
    return found;
  }
  return ModuleSource{};
}

}  // namespace glim::udf
