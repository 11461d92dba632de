// SPDX-License-Identifier: Apache-2.0
#include "script/script.h"

#include <fmt/core.h>

#include <cstdio>
#include <lua.hpp>
#include <memory>

#include "base/try.h"
#include "client/session_parts.h"
#include "script/lua_flow.h"
#include "script/lua_table.h"
#include "udf/lua_state.h"

namespace glim::script {
namespace {

struct CloseState {
  void operator()(lua_State* L) const { lua_close(L); }
};

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

// A message handler: keeps the message and adds the traceback.
int AddTraceback(lua_State* L) {
  udf::MakeErrorText(L);
  lua_createtable(L, 2, 0);
  lua_pushvalue(L, 1);
  lua_rawseti(L, -2, 1);
  luaL_traceback(L, L, nullptr, 1);
  lua_rawseti(L, -2, 2);
  return 1;
}

// A traceback with one line of Lua says nothing that the message does not.
bool IsNews(const std::string& traceback) {
  int lua_frames = 0;
  for (size_t line = traceback.find("\n\t"); line != std::string::npos; line = traceback.find("\n\t", line + 1)) {
    if (traceback.compare(line, 5, "\n\t[C]") != 0) ++lua_frames;
  }
  return lua_frames > 1;
}

// What the handler left on the stack.
Status TakeError(lua_State* L) {
  if (!lua_istable(L, -1)) {
    const char* message = lua_tostring(L, -1);
    return Status::UserCode(message != nullptr ? message : "an error that is not a string");
  }
  lua_rawgeti(L, -1, 1);
  lua_rawgeti(L, -2, 2);
  const char* text = lua_tostring(L, -2);
  const char* traceback = lua_tostring(L, -1);
  // One line is the message, what follows (the traceback of a flow's function) is detail.
  const std::string all = text != nullptr ? text : "";
  const size_t end = all.find('\n');
  std::string details = end == std::string::npos ? (traceback != nullptr ? traceback : "") : all.substr(end + 1);
  if (details.starts_with("stack traceback:") && !IsNews(details)) details.clear();
  return Status::UserCode(all.substr(0, end)).WithDetails(std::move(details));
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

void SetArguments(lua_State* L, const std::string& path, const std::vector<std::string>& arguments) {
  lua_createtable(L, static_cast<int>(arguments.size()), 1);
  lua_pushlstring(L, path.data(), path.size());
  lua_rawseti(L, -2, 0);
  for (size_t i = 0; i < arguments.size(); ++i) {
    lua_pushlstring(L, arguments[i].data(), arguments[i].size());
    lua_rawseti(L, -2, static_cast<int>(i) + 1);
  }
  lua_setglobal(L, "arg");
}

// Modules beside the script are found first. Gives the new path.
std::string SetPath(lua_State* L, const std::string& folder) {
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "path");
  std::string path = folder + "/?.lua;" + lua_tostring(L, -1);
  lua_pop(L, 1);
  lua_pushlstring(L, path.data(), path.size());
  lua_setfield(L, -2, "path");
  lua_pop(L, 1);
  return path;
}

int MonotonicSeconds(lua_State* L) {
  auto* env = static_cast<env::Env*>(lua_touserdata(L, lua_upvalueindex(1)));
  lua_pushnumber(L, static_cast<double>(env->clock().MonotonicNanos()) / 1e9);
  return 1;
}

}  // namespace

Status RunScript(const std::string& path, const std::vector<std::string>& arguments, Session* session) {
  env::Env& env = *session->parts().env;
  ASSIGN_OR_RETURN(std::string text, ReadAll(env, path));
  if (text.starts_with("#!")) text.replace(0, 2, "--");
  UnrunFlows unrun;
  const std::unique_ptr<lua_State, CloseState> state(luaL_newstate());
  if (state == nullptr) return Status::Exhausted("there is no memory for a Lua state");
  lua_State* L = state.get();
  luaL_openlibs(L);
  udf::OpenGlimRuntime(L);
  session->parts().lua_path = SetPath(L, FolderOf(path));
  SetArguments(L, path, arguments);

  lua_getglobal(L, "package");
  lua_getfield(L, -1, "loaded");
  lua_getfield(L, -1, "glim");
  OpenFlow(L, session, &unrun);
  OpenTables(L, session);
  lua_pushlightuserdata(L, &env);
  lua_pushcclosure(L, MonotonicSeconds, 1);
  lua_setfield(L, -2, "seconds");
  lua_settop(L, 0);

  lua_pushcfunction(L, AddTraceback);
  const std::string name = "=" + (path == "-" ? "stdin" : path.substr(path.rfind('/') + 1));
  if (luaL_loadbuffer(L, text.data(), text.size(), name.c_str()) != 0) {
    return Status::Invalid(std::string(lua_tostring(L, -1)));
  }
  if (lua_pcall(L, 0, 0, 1) == 0) {
    for (const std::string& flow : unrun.Describe()) std::fprintf(stderr, "glim: warning: %s\n", flow.c_str());
    return Status::Ok();
  }
  if (env.interrupted()) return Status::Cancelled("interrupted");
  return TakeError(L);
}

}  // namespace glim::script
