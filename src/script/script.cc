// SPDX-License-Identifier: Apache-2.0
#include "script/script.h"

#include <cstdio>

#include "base/try.h"
#include "client/session_parts.h"
#include "script/driver.h"

namespace glim::script {
namespace {

Result<std::string> ReadAll(env::Env& env, const std::string& path) {
  ASSIGN_OR_RETURN(const auto file, env.files().OpenSequential(path));
  std::string text;
  char buffer[1 << 16];
  while (true) {
    ASSIGN_OR_RETURN(const size_t size, file->Read(buffer));
    if (size == 0) return text;
    text.append(buffer, size);
  }
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

}  // namespace

Status RunScript(const std::string& path, const std::vector<std::string>& arguments, Session* session) {
  env::Env& env = *session->parts().env;
  ASSIGN_OR_RETURN(std::string text, ReadAll(env, path));
  if (text.starts_with("#!")) text.replace(0, 2, "--");
  Driver driver;
  RETURN_IF_ERROR(driver.Open(FolderOf(path), path, arguments, session));
  RETURN_IF_ERROR(driver.Run(text, path == "-" ? "stdin" : path.substr(path.rfind('/') + 1), env));
  for (const std::string& flow : driver.unrun().Describe()) std::fprintf(stderr, "glim: warning: %s\n", flow.c_str());
  return Status::Ok();
}

Status RunExpression(const std::string& text, const std::vector<std::string>& arguments, const std::string& format,
                     Session* session) {
  ASSIGN_OR_RETURN(const PrintFormat print_format, ParsePrintFormat(format));
  env::Env& env = *session->parts().env;
  Driver driver;
  RETURN_IF_ERROR(driver.OpenForExpressions(arguments, session));
  lua_State* L = driver.L();
  const std::string value = "return " + text;
  RETURN_IF_ERROR(driver.Run(driver.Parses(value) ? value : text, "e", env));
  for (int i = 2, top = lua_gettop(L); i <= top; ++i) RETURN_IF_ERROR(FinishExpression(L, i, print_format, session));
  return Status::Ok();
}

}  // namespace glim::script
