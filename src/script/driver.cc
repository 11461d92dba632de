// SPDX-License-Identifier: Apache-2.0
#include "script/driver.h"

#include <fmt/core.h>

#include "base/try.h"
#include "client/session_parts.h"
#include "script/lua_functions.h"
#include "script/lua_support.h"
#include "script/lua_table.h"
#include "script/lua_training.h"
#include "udf/lua_state.h"

namespace glim::script {
namespace {

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

std::string WithoutPrelude(std::string traceback) {
  const std::string frame = fmt::format("\n\t{}:", kPrelude);
  for (size_t at = traceback.find(frame); at != std::string::npos; at = traceback.find(frame, at)) {
    traceback.erase(at, traceback.find('\n', at + 1) - at);
  }
  return traceback;
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
  details = WithoutPrelude(std::move(details));
  if (details.starts_with("stack traceback:") && !IsNews(details)) details.clear();
  return Status::UserCode(all.substr(0, end)).WithDetails(std::move(details));
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

// Its upvalue: the Env.
int MonotonicSeconds(lua_State* L) {
  auto* env = static_cast<env::Env*>(lua_touserdata(L, lua_upvalueindex(1)));
  lua_pushnumber(L, static_cast<double>(env->clock().MonotonicNanos()) / 1e9);
  return 1;
}

constexpr Function kClock[] = {{"seconds", MonotonicSeconds, 0}, {}};

constexpr char kExpressionPrelude[] = R"lua(
glim = require "glim"
local flow = glim.flow("e")
for name, value in pairs(glim) do
  if _G[name] == nil then _G[name] = value end
end
local function input(kind)
  return function(...) return flow:Input(kind(...)) end
end
function stdin(...) return flow:Stdin(...) end
function lines(paths, ...) return paths and flow:TextFile(paths, ...) or flow:Stdin(...) end
csv, tsv, json_lines = input(glim.csv), input(glim.tsv), input(glim.json_lines)
function range(first, last, ...) return flow:Range(first, last and last + 1, ...) end
function ints(...) return flow:Ints(...) end
function strings(...) return flow:Strings(...) end
function rows(...) return flow:Rows(...) end
function sql(...) return flow:Sql(...) end
function from_disk(...) return flow:FromDisk(...) end
)lua";

}  // namespace

Status Driver::Open(const std::string& folder, const std::string& name, const std::vector<std::string>& arguments,
                    Session* session) {
  state_.reset(luaL_newstate());
  if (state_ == nullptr) return Status::Exhausted("there is no memory for a Lua state");
  lua_State* L = state_.get();
  luaL_openlibs(L);
  udf::OpenGlimRuntime(L);
  session->parts().lua_path = SetPath(L, folder);
  SetArguments(L, name, arguments);

  lua_getglobal(L, "package");
  lua_getfield(L, -1, "loaded");
  lua_getfield(L, -1, "glim");
  OpenFlow(L, session, &unrun_);
  OpenTables(L, session);
  OpenTraining(L, session, &unrun_);
  OpenFolds(L);
  SetFunctions(L, kClock, CalledWith::kDot, session->parts().env.get());
  RejectUnknown(L, "glim");
  lua_settop(L, 0);
  lua_pushcfunction(L, AddTraceback);
  return Status::Ok();
}

Status Driver::OpenForExpressions(const std::vector<std::string>& arguments, Session* session) {
  RETURN_IF_ERROR(Open(".", "e", arguments, session));
  RETURN_IF_ERROR(Run(kExpressionPrelude, std::string(kPrelude), *session->parts().env));
  lua_settop(L(), 1);
  return Status::Ok();
}

Status Driver::Run(const std::string& text, const std::string& name, env::Env& env) {
  lua_State* L = state_.get();
  if (luaL_loadbuffer(L, text.data(), text.size(), ("=" + name).c_str()) != 0) {
    return Status::Invalid(std::string(lua_tostring(L, -1)));
  }
  if (lua_pcall(L, 0, LUA_MULTRET, 1) == 0) return Status::Ok();
  if (env.interrupted()) return Status::Cancelled("interrupted");
  if (env::OutputClosed()) return Status::Cancelled("nobody reads standard output any more");
  return TakeError(L);
}

bool Driver::Parses(const std::string& text) {
  const bool good = luaL_loadbuffer(L(), text.data(), text.size(), "=") == 0;
  lua_pop(L(), 1);
  return good;
}

bool Driver::IsUnfinished(const std::string& text) {
  const bool good = luaL_loadbuffer(L(), text.data(), text.size(), "=") == 0;
  const std::string message = good ? "" : lua_tostring(L(), -1);
  lua_pop(L(), 1);
  return message.ends_with("near '<eof>'");
}

}  // namespace glim::script
