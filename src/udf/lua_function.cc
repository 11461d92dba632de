// SPDX-License-Identifier: Apache-2.0
#include "udf/lua_function.h"

#include <fmt/core.h>

#include <atomic>
#include <lua.hpp>

#include "base/try.h"
#include "udf/hosts.h"
#include "udf/kernel/standard_calls.h"
#include "udf/lua_gmatch.h"
#include "udf/lua_instance.h"
#include "udf/lua_kernels.h"
#include "udf/lua_loop.h"
#include "udf/lua_reducer.h"
#include "udf/lua_require.h"
#include "udf/lua_rows.h"
#include "udf/lua_values.h"
#include "udf/row_emitter.h"

namespace glim::udf {
namespace {

// Calls its function once per row, or the kernel.
class LuaBatchFunction : public BatchFunction {
 public:
  LuaBatchFunction(std::unique_ptr<LuaInstance> instance, FunctionRole role, std::unique_ptr<LuaKernel> kernel)
      : instance_(std::move(instance)),
        state_(instance_->state()),
        role_(role),
        kernel_(std::move(kernel)),
        loop_(instance_.get()) {}

  Status Run(const Batch& in, BatchOutput& out) override {
    if (!has_rows_ && in.row_count() > 0) {
      has_rows_ = true;
      if (instance_->has_setup_or_teardown()) RETURN_IF_ERROR(CallOnce("setup", &LuaInstance::PushSetup, out));
    }
    if (kernel_ != nullptr && !kernel_->is_worth_it()) kernel_ = nullptr;
    if (kernel_ != nullptr && kernel_->Fits(in)) {
      ASSIGN_OR_RETURN(const bool holds, UsesHoldNow());
      if (holds) return RunKernel(in, out);
    }
    RowEmitter emitter(&out);
    std::vector<uint32_t> kept;
    RETURN_IF_ERROR(state_->Guard([&] {
      const LuaInstance::Scope scope(*instance_, gives_rows() ? &emitter : nullptr);
      RETURN_IF_ERROR(RunPlain(in, emitter, &kept));
      return state_->CheckMemory();
    }));
    return role_ == FunctionRole::kFilter ? out.Push(in.Gather(kept)) : emitter.Flush();
  }

  Status Finish(BatchOutput& out) override {
    return has_rows_ ? CallOnce("teardown", &LuaInstance::PushTeardown, out) : Status::Ok();
  }

 private:
  // With writeRow?
  bool gives_rows() const { return role_ != FunctionRole::kFilter && role_ != FunctionRole::kForEachBatch; }

  // The function that `push` pushes, if there is one. It may give rows.
  Status CallOnce(const char* name, bool (LuaInstance::*push)() const, BatchOutput& out) {
    RowEmitter emitter(&out);
    {
      LuaInstance::Scope scope(*instance_, gives_rows() ? &emitter : nullptr);
      if (!((*instance_).*push)()) return Status::Ok();
      if (Status status = state_->Call(0, 0); !status.ok() && !emitter.stopped()) return std::move(status).With(name);
    }
    return emitter.Flush();
  }

  // Has user code not changed what the kernel takes for granted?
  Result<bool> UsesHoldNow() {
    if (kernel_->uses().empty()) return true;
    bool hold = false;
    RETURN_IF_ERROR(state_->Guard([&] {
      const LuaInstance::Scope scope(*instance_, nullptr);
      instance_->PushFunction();
      hold = UsesHold(state_->raw(), kernel_->uses());
      return Status::Ok();
    }));
    return hold;
  }

  Status RunKernel(const Batch& in, BatchOutput& out) {
    return kernel_->Run(in, out, [&](int64_t row, RowEmitter& emitter, std::vector<uint32_t>* kept) {
      return state_->Guard([&] {
        const LuaInstance::Scope scope(*instance_, gives_rows() ? &emitter : nullptr);
        RETURN_IF_ERROR(RunRows(in, row, row + 1, emitter, kept));
        return state_->CheckMemory();
      });
    });
  }

  Status RunPlain(const Batch& in, RowEmitter& emitter, std::vector<uint32_t>* kept) {
    if (role_ == FunctionRole::kForEachBatch) return RunBatch(in);
    if (role_ == FunctionRole::kFilter && state_->options().lua_kernels && !emitter.full() && LuaLoop::Fits(in)) {
      return loop_.Filter(in, kept);
    }
    return RunRows(in, 0, in.row_count(), emitter, kept);
  }

  // Calls the function for each row from `begin` to before `end`.
  Status RunRows(const Batch& in, int64_t begin, int64_t end, RowEmitter& emitter, std::vector<uint32_t>* kept) {
    lua_State* L = state_->raw();
    if (lua_checkstack(L, in.column_count() + 32) == 0) {
      return Status::UserCode(fmt::format("a row of {} columns is too wide for a Lua function", in.column_count()));
    }
    const int top = lua_gettop(L);
    for (int64_t row = begin; row < end && !emitter.full(); ++row) {
      instance_->PushFunction();
      for (const Column& column : in.columns()) PushCell(L, column.At(row));
      Status status = state_->Call(in.column_count(), LUA_MULTRET);
      if (status.ok()) status = TakeResults(top, row, emitter, kept);
      if (!status.ok() && !emitter.stopped()) return WithRow(std::move(status), in, row);
      lua_settop(L, top);
    }
    return Status::Ok();
  }

  Status TakeResults(int top, int64_t row, RowEmitter& emitter, std::vector<uint32_t>* kept) {
    lua_State* L = state_->raw();
    const int results = lua_gettop(L) - top;
    switch (role_) {
      case FunctionRole::kMap: return results == 0 ? Status::Ok() : Emit(emitter, top + 1, results);
      case FunctionRole::kFlatMap: return results == 0 ? Status::Ok() : Drain(emitter, top, results);
      case FunctionRole::kFilter:
        if (results > 0 && lua_toboolean(L, top + 1) != 0) kept->push_back(static_cast<uint32_t>(row));
        return Status::Ok();
      case FunctionRole::kForEach:
      case FunctionRole::kForEachBatch:
      case FunctionRole::kReduce: break;
    }
    return Status::Ok();
  }

  Status Emit(RowEmitter& emitter, int first, int count) {
    std::string error;
    return emitter.AppendRow(state_->raw(), first, count, &error) ? Status::Ok() : Status::UserCode(error);
  }

  // What FlatMap's function returned: an iterator with its state and first value, a list, or nil.
  Status Drain(RowEmitter& emitter, int top, int results) {
    lua_State* L = state_->raw();
    if (lua_isnil(L, top + 1)) return Status::Ok();
    if (lua_istable(L, top + 1)) {
      const int64_t length = ListLength(L, top + 1);
      if (length < 0) return Status::UserCode("FlatMap's function gave a list whose field n is not its length");
      for (int64_t i = 1; i <= length && !emitter.full(); ++i) {
        lua_rawgeti(L, top + 1, static_cast<int>(i));
        RETURN_IF_ERROR(Emit(emitter, lua_gettop(L), 1));
        lua_pop(L, 1);
      }
      return Status::Ok();
    }
    if (!lua_isfunction(L, top + 1)) {
      return Status::UserCode(fmt::format("FlatMap's function must return an iterator or a table, it gave a {}",
                                          luaL_typename(L, top + 1)));
    }
    if (state_->gmatch() != nullptr && state_->gmatch()->Drain(L, top + 1, &emitter)) return Status::Ok();
    lua_settop(L, top + 3);
    while (!emitter.full()) {
      lua_pushvalue(L, top + 1);
      lua_pushvalue(L, top + 2);
      lua_pushvalue(L, top + 3);
      RETURN_IF_ERROR(state_->Call(2, LUA_MULTRET));
      const int count = lua_gettop(L) - top - 3;
      if (count == 0 || lua_isnil(L, top + 4)) return Status::Ok();
      RETURN_IF_ERROR(Emit(emitter, top + 4, count));
      lua_pushvalue(L, top + 4);
      lua_replace(L, top + 3);
      lua_settop(L, top + 3);
    }
    return Status::Ok();
  }

  Status RunBatch(const Batch& in) {
    lua_State* L = state_->raw();
    instance_->PushFunction();
    const LuaRows rows(L, in);
    rows.Push();
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, instance_->task()->partition() + 1);
    lua_setfield(L, -2, "partition");
    lua_pushinteger(L, instance_->task()->partition_count());
    lua_setfield(L, -2, "partitions");
    lua_pushinteger(L, instance_->task()->attempt() + 1);
    lua_setfield(L, -2, "attempt");
    return state_->Call(2, 0);
  }

  const std::unique_ptr<LuaInstance> instance_;
  LuaState* const state_;
  const FunctionRole role_;
  std::unique_ptr<LuaKernel> kernel_;
  LuaLoop loop_;
  bool has_rows_ = false;
};

// What both kinds of Lua functions share.
class LuaFunction : public Function {
 public:
  Result<std::unique_ptr<BatchFunction>> Instantiate(FunctionRole role, TaskContext& context) const override {
    ASSIGN_OR_RETURN(std::unique_ptr<LuaInstance> instance, MakeInstance(&context));
    std::unique_ptr<LuaKernel> kernel;
    if (instance->state()->options().lua_kernels && !instance->has_setup_or_teardown()) {
      LuaInstance::Scope scope(*instance, nullptr);
      instance->PushFunction();
      kernel = FindKernel(instance->state()->raw(), role).kernel;
    }
    return std::unique_ptr<BatchFunction>(
        std::make_unique<LuaBatchFunction>(std::move(instance), role, std::move(kernel)));
  }

  std::string HowItRuns(FunctionRole role, TaskContext& context) const override {
    const auto reason = [&]() -> Result<std::string> {
      ASSIGN_OR_RETURN(const std::unique_ptr<LuaInstance> instance, MakeInstance(&context));
      if (!instance->state()->options().lua_kernels) return std::string("--lua=plain");
      if (instance->has_setup_or_teardown()) return std::string("setup or teardown may assign what it captures");
      const LuaInstance::Scope scope(*instance, nullptr);
      instance->PushFunction();
      lua_State* L = instance->state()->raw();
      return role == FunctionRole::kReduce ? WhyNoSum(L) : FindKernel(L, role).why_not;
    }();
    if (!reason.ok()) return "";  // The run will tell.
    return reason->empty() ? "kernel" : "plain Lua: " + *reason;
  }

  Result<std::unique_ptr<Reducer>> InstantiateReducer(TaskContext& context) const override {
    ASSIGN_OR_RETURN(std::unique_ptr<LuaInstance> instance, MakeInstance(&context));
    bool sums = false;
    if (instance->state()->options().lua_kernels && !instance->has_setup_or_teardown()) {
      LuaInstance::Scope scope(*instance, nullptr);
      instance->PushFunction();
      sums = WhyNoSum(instance->state()->raw()).empty();
    }
    return std::unique_ptr<Reducer>(std::make_unique<LuaReducer>(std::move(instance), sums));
  }

 protected:
  // Pushes the function's code as a list of Lua functions, to which an instance will have the only key.
  virtual Status Load(lua_State* L) const = 0;
  // Pushes the function with fresh variables and the environment at `environment`, made from the code at `code`, and
  // what goes with it (LuaInstance::SetFunctions).
  virtual Status Refresh(LuaState* state, int code, int environment) const = 0;
  // Where it finds modules.
  virtual const std::string& ModulePath(const HostOptions& options) const { return options.lua_path; }

 private:
  Result<std::unique_ptr<LuaInstance>> MakeInstance(TaskContext* task) const {
    ASSIGN_OR_RETURN(LuaState * state, task->hosts().Lua());
    lua_State* L = state->raw();
    auto instance = std::make_unique<LuaInstance>(state, task, id_);
    LuaInstance::Scope scope(*instance, nullptr);
    if (!instance->TakeSpareCode()) {
      RETURN_IF_ERROR(Load(L));
      instance->SetCode();
      instance->PushCode();
    }
    const int code = lua_gettop(L);
    // The task's own globals, over those of the state.
    lua_newtable(L);
    lua_newtable(L);
    lua_getglobal(L, "_G");
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "_G");
    PushTaskRequire(L, code + 1, ModulePath(state->options()), state->options().find_module);
    lua_setfield(L, code + 1, "require");
    RETURN_IF_ERROR(Refresh(state, code, code + 1));
    constexpr int kFunction = -4;
    if (!lua_isfunction(L, kFunction)) {
      return Status::Invalid(fmt::format("a function is needed, this is a {}", luaL_typename(L, kFunction)));
    }
    instance->SetFunctions();
    return instance;
  }

  // Tells functions apart in states, which may outlive them.
  static uint64_t NextId() {
    static std::atomic<uint64_t> next{1};
    return next.fetch_add(1, std::memory_order_relaxed);
  }
  const uint64_t id_ = NextId();
};

class SourceFunction : public LuaFunction {
 public:
  SourceFunction(std::string source, std::string init) : source_(std::move(source)), init_(std::move(init)) {}

  std::string Describe() const override { return "lua"; }

  // Without init, which may do anything.
  std::string HowItRuns(FunctionRole role, TaskContext& context) const override {
    if (!init_.empty()) return SourceFunction(source_, "").HowItRuns(role, context);
    return LuaFunction::HowItRuns(role, context);
  }

  Status Check(FunctionRole) const override {
    std::unique_ptr<lua_State, void (*)(lua_State*)> state(luaL_newstate(), lua_close);
    if (state == nullptr) return Status::Exhausted("there is no memory for a Lua state");
    return Load(state.get());
  }

 protected:
  // A list of the two chunks.
  Status Load(lua_State* L) const override {
    lua_createtable(L, 2, 0);
    const std::string expression = "return " + source_;
    const std::pair<const std::string*, const char*> chunks[] = {{&expression, "=lua"}, {&init_, "=init"}};
    for (int i = 0; i < 2; ++i) {
      const auto& [code, name] = chunks[i];
      if (luaL_loadbuffer(L, code->data(), code->size(), name) != 0) {
        Status status = Status::Invalid(lua_tostring(L, -1));
        lua_pop(L, 2);
        return status;
      }
      lua_rawseti(L, -2, i + 1);
    }
    return Status::Ok();
  }

  Status Refresh(LuaState* state, int code, int environment) const override {
    lua_State* L = state->raw();
    for (int i = 2; i >= 1; --i) {
      lua_rawgeti(L, code, i);
      lua_pushvalue(L, environment);
      lua_setfenv(L, -2);
      RETURN_IF_ERROR(state->Call(0, i == 1 ? 1 : 0));
    }
    for (int i = 0; i < 3; ++i) lua_pushnil(L);
    return Status::Ok();
  }

 private:
  const std::string source_;
  const std::string init_;
};

class CapturedLuaFunction : public LuaFunction {
 public:
  explicit CapturedLuaFunction(Captured captured) : captured_(std::move(captured)) {}

  std::string Describe() const override { return "lua " + captured_.where; }
  const Captured& captured() const { return captured_; }

 protected:
  Status Load(lua_State* L) const override { return LoadFunctions(L, captured_); }
  const std::string& ModulePath(const HostOptions&) const override { return captured_.path; }
  Status Refresh(LuaState* state, int code, int environment) const override {
    Revive(state->raw(), captured_, code, environment);
    return Status::Ok();
  }

 private:
  const Captured captured_;
};

}  // namespace

std::shared_ptr<const Function> MakeLuaFunction(std::string source, std::string init) {
  return std::make_shared<SourceFunction>(std::move(source), std::move(init));
}

std::shared_ptr<const Function> MakeLuaFunction(Captured captured) {
  return std::make_shared<CapturedLuaFunction>(std::move(captured));
}

const Captured* CapturedOf(const Function& function) {
  const auto* captured = dynamic_cast<const CapturedLuaFunction*>(&function);
  return captured != nullptr ? &captured->captured() : nullptr;
}

}  // namespace glim::udf
