// SPDX-License-Identifier: Apache-2.0
#include "env/posix/system_error.h"

#include <fmt/core.h>

#include <cctype>
#include <cerrno>
#include <system_error>

#include "env/env.h"
#include "env/path.h"

namespace glim::env {
namespace {

Code CodeOf(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR: return Code::kNotFound;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
    case ENOMEM: return Code::kExhausted;
    case EACCES:
    case EPERM:
    case EISDIR:
    case EEXIST:
    case EINVAL:
    case ENAMETOOLONG:
    case ELOOP:
    case EROFS:
    case EXDEV:
    case ENOTEMPTY:
    case ENOEXEC:
    case E2BIG: return Code::kInvalid;
    default: return Code::kUnavailable;
  }
}

}  // namespace

std::string ErrorWords(int error) {
  switch (error) {
    case ENOENT: return "no such file";
    case ENOTDIR: return "no such file (a part of the path is not a folder)";
    case ENOSPC: return "disk full";
    case EDQUOT: return "the disk quota is used up";
    case EISDIR: return "is a folder";
    case EBADF: return "is closed";
    default: break;
  }
  std::string words = std::generic_category().message(error);
  if (words.size() > 1 && std::islower(static_cast<unsigned char>(words[1]))) {
    words[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(words[0])));
  }
  return words;
}

Status PathError(int error, std::string_view path) { return SystemError(error, QuotePath(path)); }

Status SystemError(int error, std::string_view what) {
  return {CodeOf(error), fmt::format("{}: {}", what, ErrorWords(error))};
}

}  // namespace glim::env
