// SPDX-License-Identifier: Apache-2.0
#include "udf/lua_state.h"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <lua.hpp>

#include "base/hash.h"
#include "base/memory_budget.h"
#include "env/env.h"
#include "glim/files.h"
#include "udf/lua_gmatch.h"
#include "udf/lua_json.h"
#include "udf/lua_kernels.h"
#include "udf/lua_side.h"
#include "udf/lua_standard.h"
#include "udf/lua_values.h"
#include "udf/row_emitter.h"

namespace glim::udf {
namespace {

constexpr char kStateKey = 0;  // Its address is the registry key of the LuaState.

LuaState* StateOf(lua_State* L) {
  lua_pushlightuserdata(L, const_cast<char*>(&kStateKey));
  lua_rawget(L, LUA_REGISTRYINDEX);
  auto* state = static_cast<LuaState*>(lua_touserdata(L, -1));
  lua_pop(L, 1);
  return state;
}

// Pushes the line of the innermost Lua function, as "job.lua:3: ".
void PushLine(lua_State* L) {
  lua_Debug frame = {};
  for (int level = 1; lua_getstack(L, level, &frame) != 0; ++level) {
    lua_getinfo(L, "Sl", &frame);
    if (frame.currentline <= 0) continue;
    lua_pushfstring(L, "%s:%d: ", frame.short_src, frame.currentline);
    return;
  }
  lua_pushliteral(L, "");
}

// The message as text and the traceback, as one string with a zero byte between them.
int HandleError(lua_State* L) {
  MakeErrorText(L);
  lua_pushlstring(L, "\0", 1);
  luaL_traceback(L, L, nullptr, 1);
  lua_concat(L, 3);
  return 1;
}

// As SetFunctions of the script module sees to it for the rest of the module.
void TakesAtMost(lua_State* L, int count, const char* name) {
  if (lua_gettop(L) > count) luaL_error(L, "%s takes at most %d arguments, got %d", name, count, lua_gettop(L));
}

int Hash(lua_State* L) {
  TakesAtMost(L, 2, "glim.hash");
  size_t size = 0;
  const char* bytes = luaL_checklstring(L, 1, &size);
  const auto bits = static_cast<int>(luaL_optinteger(L, 2, 53));
  luaL_argcheck(L, bits >= 1 && bits <= 53, 2, "bits must be from 1 to 53");
  lua_pushnumber(L, static_cast<double>(base::HashBytes({bytes, size}) >> (64 - bits)));
  return 1;
}

int File(lua_State* L) {
  TakesAtMost(L, 1, "glim.file");
  size_t size = 0;
  const char* name = luaL_checklstring(L, 1, &size);
  {
    const auto path = FilePath({name, size});
    if (path.ok()) {
      lua_pushlstring(L, path->data(), path->size());
      return 1;
    }
    lua_pushlstring(L, path.status().message().data(), path.status().message().size());
  }
  return luaL_error(L, "glim.file: %s", lua_tostring(L, -1));
}

int Partition(lua_State* L) {
  TakesAtMost(L, 0, "glim.partition");
  const LuaState* state = StateOf(L);
  if (state == nullptr || state->task == nullptr) return luaL_error(L, "glim.partition() is for functions of a flow");
  lua_pushinteger(L, state->task->partition() + 1);
  return 1;
}

int Count(lua_State* L) {
  TakesAtMost(L, 2, "glim.count");
  const LuaState* state = StateOf(L);
  if (state == nullptr || state->task == nullptr) return luaL_error(L, "glim.count() is for functions of a flow");
  size_t size = 0;
  const char* name = luaL_checklstring(L, 1, &size);
  const std::optional<int64_t> more = lua_isnoneornil(L, 2) ? 1 : ReadInteger(L, 2);
  luaL_argcheck(L, more.has_value(), 2, "a whole number is needed");
  state->task->Count({name, size}, *more);
  return 0;
}

int Log(lua_State* L) {
  TakesAtMost(L, 1, "log");
  size_t size = 0;
  const char* text = luaL_checklstring(L, 1, &size);
  std::fprintf(stderr, "%.*s\n", static_cast<int>(size), text);
  return 0;
}

// The other tasks are in the middle of their work, and what is written is not complete.
int Exit(lua_State* L) { return luaL_error(L, "os.exit() is not for functions of a flow; error() ends the run"); }

// As Lua's own, but a line is written at once, so that lines of several tasks do not mix.
int Print(lua_State* L) {
  const int count = lua_gettop(L);
  lua_getglobal(L, "tostring");
  luaL_Buffer line;
  luaL_buffinit(L, &line);
  for (int i = 1; i <= count; ++i) {
    if (i > 1) luaL_addchar(&line, '\t');
    lua_pushvalue(L, count + 1);
    lua_pushvalue(L, i);
    lua_call(L, 1, 1);
    if (lua_type(L, -1) != LUA_TSTRING) return luaL_error(L, "'tostring' must return a string to 'print'");
    luaL_addvalue(&line);
  }
  luaL_addchar(&line, '\n');
  luaL_pushresult(&line);
  size_t size = 0;
  const char* text = lua_tolstring(L, -1, &size);
  if (std::fwrite(text, 1, size, stdout) != size && errno == EPIPE) {
    env::NoteOutputClosed();
    return luaL_error(L, "nobody reads standard output any more");
  }
  return 0;
}

int WriteRow(lua_State* L) {
  LuaState* state = StateOf(L);
  if (state == nullptr || state->emitter == nullptr) {
    return luaL_error(L, "writeRow gives rows from the function of Map, FlatMap or ForEach; nobody takes them here");
  }
  {
    const LuaMemory::Bounded engine(state->memory(), false);
    std::string error;
    if (state->emitter->AppendRow(L, 1, lua_gettop(L), &error)) {
      // Ends the function, which may be in a loop without end; its caller knows why (RowEmitter::stopped).
      return state->emitter->stopped() ? luaL_error(L, "writeRow: nobody wants more rows") : 0;
    }
    lua_pushlstring(L, error.data(), error.size());
  }
  return luaL_error(L, "writeRow: %s", lua_tostring(L, -1));
}

constexpr char kPrelude[] = R"lua(
function split(text, separator)
  local position = 1
  return function()
    if not position then return nil end
    local first, last = text:find(separator, position, true)
    local piece
    if first and last >= first then
      piece, position = text:sub(position, first - 1), last + 1
    else
      piece, position = text:sub(position), nil
    end
    return piece
  end
end
function set(list)
  local members = {}
  for _, value in ipairs(list) do members[value] = true end
  return members
end
function tableLength(t)
  local count = 0
  for _ in pairs(t) do count = count + 1 end
  return count
end
function listEquals(a, b)
  if #a ~= #b then return false end
  for i = 1, #a do if a[i] ~= b[i] then return false end end
  return true
end
function addToTable(t, value) t[#t + 1] = value end
)lua";

}  // namespace

void MakeErrorText(lua_State* L) {
  if (lua_type(L, 1) == LUA_TNUMBER) lua_tostring(L, 1);
  if (lua_type(L, 1) != LUA_TSTRING) {
    PushLine(L);
    // Which may itself fail, or give no text.
    const bool has_text = luaL_getmetafield(L, 1, "__tostring") != 0 &&
                          (lua_pushvalue(L, 1), lua_pcall(L, 1, 1, 0) == 0) && lua_type(L, -1) == LUA_TSTRING;
    if (!has_text) {
      lua_settop(L, 2);
      lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
    }
    lua_concat(L, 2);
    lua_replace(L, 1);
  }
  lua_settop(L, 1);
}

void OpenGlimRuntime(lua_State* L) {
#if defined(__aarch64__)
  // The snapshot of LuaJIT in Debian 12 compiles loops wrongly for ARM: some give other results after a hundred rounds
  // than before. Its interpreter is right, and so is the compiler of later ones, which do not call themselves a beta.
  luaL_loadstring(L, "if jit.version:find('beta3', 1, true) then jit.off() end");
  lua_call(L, 0, 0);
#endif
  lua_newtable(L);
  constexpr luaL_Reg kModule[] = {{"hash", Hash}, {"partition", Partition}, {"count", Count},  {"pairs", SidePairs},
                                  {"log", Log},   {"file", File},           {nullptr, nullptr}};
  luaL_register(L, nullptr, kModule);
  PushParseJson(L);
  lua_setfield(L, -2, "parse_json");
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "loaded");
  lua_pushvalue(L, -3);
  lua_setfield(L, -2, "glim");
  lua_pop(L, 3);
  lua_pushcfunction(L, Log);
  lua_setglobal(L, "log");
  lua_pushcfunction(L, Print);
  lua_setglobal(L, "print");
  lua_pushcfunction(L, WriteRow);
  lua_setglobal(L, "writeRow");
  if (luaL_loadbuffer(L, kPrelude, sizeof(kPrelude) - 1, "=prelude") == 0) lua_call(L, 0, 0);
  RememberStandard(L);
}

TaskContext* TaskAtWork(lua_State* L) {
  const LuaState* state = StateOf(L);
  return state != nullptr ? state->task : nullptr;
}

Result<std::unique_ptr<LuaState>> LuaState::Make(const HostOptions& options) {
  lua_State* L = luaL_newstate();
  if (L == nullptr) return Status::Exhausted("there is no memory for a Lua state");
  luaL_openlibs(L);
  lua_getglobal(L, "os");
  lua_pushcfunction(L, Exit);
  lua_setfield(L, -2, "exit");
  lua_pop(L, 1);
  OpenGlimRuntime(L);
  if (options.lua_kernels) PrepareKernels(L);
  std::unique_ptr<LuaState> state(new LuaState(L, options));
  if (options.lua_kernels) state->gmatch_ = GmatchReader::Make(L);
  lua_pushlightuserdata(L, const_cast<char*>(&kStateKey));
  lua_pushlightuserdata(L, state.get());
  lua_rawset(L, LUA_REGISTRYINDEX);
  lua_pushcfunction(L, HandleError);
  state->handler_ = luaL_ref(L, LUA_REGISTRYINDEX);
  return state;
}

LuaState::LuaState(lua_State* L, const HostOptions& options)
    : L_(L), memory_(std::make_unique<LuaMemory>(L, options.lua_memory_bytes_max)), options_(options) {
  globals_ = lua_topointer(L, LUA_GLOBALSINDEX);
  lua_pushvalue(L, LUA_GLOBALSINDEX);
  globals_reference_ = luaL_ref(L, LUA_REGISTRYINDEX);
  if (options.stack_top != nullptr) memory_->SetStack(options.stack_top, kStackBytes / 2);
}

LuaState::~LuaState() {
  memory_.reset();
  lua_close(L_);
}

Status LuaState::Call(int arguments, int results) {
  const int function = lua_gettop(L_) - arguments;
  lua_rawgeti(L_, LUA_REGISTRYINDEX, handler_);
  lua_insert(L_, function);
  int code = 0;
  {
    const LuaMemory::Bounded bounded(memory_.get(), true);
    code = lua_pcall(L_, arguments, results, function);
  }
  lua_remove(L_, function);
  // A hook that stays would be called in the middle of our own work.
  if (lua_gethook(L_) != nullptr) lua_sethook(L_, nullptr, 0, 0);
  // setfenv(0, ...) took the globals away.
  if (lua_topointer(L_, LUA_GLOBALSINDEX) != globals_) {
    lua_rawgeti(L_, LUA_REGISTRYINDEX, globals_reference_);
    lua_replace(L_, LUA_GLOBALSINDEX);
  }
  return code == 0 ? Status::Ok() : TakeError(code);
}

Status LuaState::Guard(const std::function<Status()>& work) {
  struct Guarded {
    const std::function<Status()>& work;
    Status status;
  } guarded{work, {}};
  const auto run = [](lua_State* L) {
    auto* inside = static_cast<Guarded*>(lua_touserdata(L, 1));
    lua_settop(L, 0);
    inside->status = inside->work();
    return 0;
  };
  const int code = lua_cpcall(L_, run, &guarded);
  return code == 0 ? std::move(guarded.status) : TakeError(code);
}

Status LuaState::TakeError(int code) {
  size_t size = 0;
  const char* text = lua_tolstring(L_, -1, &size);
  const std::string_view all =
      text != nullptr ? std::string_view(text, size) : std::string_view("an error without a message");
  const size_t zero = all.rfind('\0');
  std::string message(all.substr(0, zero));
  std::replace_if(message.begin(), message.end(), [](char c) { return c == '\n' || c == '\0'; }, ' ');
  // A coroutine hands the error on as one of another kind.
  if (code == LUA_ERRMEM || (memory_->refused() && message.find("not enough memory") != std::string::npos)) {
    lua_pop(L_, 1);
    return MemoryError();
  }
  Status status(Code::kUserCode, std::move(message));
  if (zero != std::string_view::npos) {
    std::string_view traceback = all.substr(zero + 1);
    // The innermost Guard is no news.
    const size_t last = traceback.rfind("\n\t");
    if (traceback.substr(std::min(last, traceback.size())).starts_with("\n\t[C]: at "))
      traceback = traceback.substr(0, last);
    status = std::move(status).WithDetails(std::string(traceback));
  }
  lua_pop(L_, 1);
  return status;
}

int LuaState::TakeCode(uint64_t id) {
  const auto found = spare_code_.find(id);
  if (found == spare_code_.end()) return 0;
  const int reference = found->second;
  spare_code_.erase(found);
  return reference;
}

void LuaState::KeepCode(uint64_t id, int reference) {
  constexpr size_t kSpareMax = 256;
  if (spare_code_.size() >= kSpareMax) {
    luaL_unref(L_, LUA_REGISTRYINDEX, spare_code_.begin()->second);
    spare_code_.erase(spare_code_.begin());
  }
  spare_code_.emplace(id, reference);
}

Status LuaState::CheckMemory() const {
  if (memory_->bytes_max() == 0 || memory_->used_bytes() <= memory_->bytes_max()) return Status::Ok();
  // Some of it may be garbage.
  lua_gc(L_, LUA_GCCOLLECT, 0);
  if (memory_->used_bytes() <= memory_->bytes_max()) return Status::Ok();
  return MemoryError();
}

Status LuaState::MemoryError() const {
  std::string where = memory_->TakeWhere();
  if (!where.empty()) where += ": ";
  if (memory_->stack_overflow()) {
    return Status::UserCode(
        fmt::format("{}stack overflow, in functions that call each other by way of C or coroutines", where));
  }
  return Status::Exhausted(fmt::format("{}Lua has not enough memory: {}", where,
                                       memory_->bytes_max() > 0 ? fmt::format("a state may hold {} (--lua-memory)",
                                                                              base::FormatBytes(memory_->bytes_max()))
                                                                : "a string or table is larger than it can have"));
}

}  // namespace glim::udf
