// SPDX-License-Identifier: Apache-2.0
#include "udf/lua_reducer.h"

#include <fmt/core.h>

#include <lua.hpp>

#include "base/try.h"
#include "udf/lua_values.h"

namespace glim::udf {
namespace {

// Folds rows until the end, or until a result that is no number: then its row and the results come back. Every group
// has an accumulator already: a branch for new ones would be where the JIT starts its trace, with the fold beside it.
constexpr char kDriver[] = R"lua(
local ffi = require "ffi"
local cast, type, select = ffi.cast, type, select
local f = ...
local function take(...) return select("#", ...), ... end
return function(accumulators, values, groups, rows, position)
  local at = cast("double*", position)  -- The row at work, for the message of an error.
  local a, v, g = cast("double*", accumulators), cast("const double*", values), cast("const uint32_t*", groups)
  for i = 0, rows - 1 do
    local group = g[i]
    at[0] = i
    local results, result = take(f(a[group], v[i]))
    if results ~= 1 or type(result) ~= "number" then return i, result, results end
    a[group] = result
  end
  return rows
end)lua";

// As doubles.
bool AreExact(std::span<const int64_t> values) {
  constexpr int64_t kExactMax = int64_t{1} << 53;
  bool exact = true;
  for (const int64_t value : values) exact &= value >= -kExactMax && value <= kExactMax;
  return exact;
}

}  // namespace

LuaReducer::~LuaReducer() {
  lua_State* L = state_->raw();
  if (driver_ != 0) luaL_unref(L, LUA_REGISTRYINDEX, driver_);
  for (const int table : tables_) luaL_unref(L, LUA_REGISTRYINDEX, table);
  // Who spills makes room for the next: LuaJIT by itself would wait until the heap has doubled.
  constexpr int64_t kWorthCollecting = 2 << 20;
  if (texts_bytes_ > kWorthCollecting) lua_gc(L, LUA_GCCOLLECT, 0);
  state_->memory()->CountElsewhere(-texts_bytes_);
}

Status LuaReducer::MakeDriver() {
  lua_State* L = state_->raw();
  if (luaL_loadbuffer(L, kDriver, sizeof(kDriver) - 1, "=fold") != 0) {
    lua_pop(L, 1);
    return Status::Internal("the fold driver does not compile");
  }
  instance_->PushFunction();
  RETURN_IF_ERROR(state_->Call(1, 1));
  driver_ = luaL_ref(L, LUA_REGISTRYINDEX);
  return Status::Ok();
}

Status LuaReducer::Update(const Batch& values, std::span<const uint32_t> groups, uint32_t group_count) {
  if (values.column_count() == 0) return Status::Invalid("a reduce function needs a value column, the rows have none");
  return state_->Guard([&] {
    const LuaInstance::Scope scope(*instance_, nullptr);
    const Status status = Fold(values, groups, group_count);
    if (!numbers_) CountTexts();
    return status;
  });
}

// What is in tables is in the state, with whatever the function has left to be collected.
void LuaReducer::CountTexts() {
  constexpr int64_t kLuaSlotBytes = 16;
  LuaMemory* const memory = state_->memory();
  if (texts_bytes_ == 0) others_bytes_ = memory->used_bytes();
  const int64_t bytes =
      std::max(static_cast<int64_t>(count_) * width_ * kLuaSlotBytes, memory->used_bytes() - others_bytes_);
  memory->CountElsewhere(bytes - texts_bytes_);
  texts_bytes_ = bytes;
}

Status LuaReducer::Fold(const Batch& values, std::span<const uint32_t> groups, uint32_t group_count) {
  if (width_ < 0) width_ = values.column_count();
  int64_t row = 0;
  if (numbers_ && width_ == 1) {
    const Column& column = values.column(0);
    const bool doubles = column.type() == Type::kDouble && !column.may_have_nulls();
    const bool integers = column.type() == Type::kInt64 && !column.may_have_nulls() && AreExact(column.Int64s());
    if ((doubles || integers) && accumulators_.size() < group_count)
      accumulators_.resize(std::max<size_t>(group_count, accumulators_.size() * 2));
    if (sums_ && (doubles || integers)) {
      doubles ? AddNumbers(column.Doubles(), groups) : AddNumbers(column.Int64s(), groups);
      row = values.row_count();
    } else if (doubles) {
      RETURN_IF_ERROR(UpdateNumbers(column.Doubles().data(), values, groups, group_count, &row));
    } else if (integers) {
      converted_.assign(column.Int64s().begin(), column.Int64s().end());
      RETURN_IF_ERROR(UpdateNumbers(converted_.data(), values, groups, group_count, &row));
    }
  }
  if (row < values.row_count()) RETURN_IF_ERROR(UpdateAny(values, groups, row));
  return state_->CheckMemory();
}

template <class T>
void LuaReducer::AddNumbers(std::span<const T> values, std::span<const uint32_t> groups) {
  double* const sums = accumulators_.data();
  uint32_t count = count_;
  for (size_t row = 0; row < values.size(); ++row) {
    const auto value = static_cast<double>(values[row]);
    const uint32_t group = groups[row];
    if (group == count) {
      sums[count++] = value;
    } else {
      sums[group] += value;
    }
  }
  count_ = count;
}

std::span<const uint32_t> LuaReducer::StartGroups(const double** values, std::span<const uint32_t> groups) {
  rows_.clear();
  row_groups_.clear();
  row_values_.clear();
  uint32_t count = count_;
  for (uint32_t row = 0; row < groups.size(); ++row) {
    const double value = (*values)[row];
    if (groups[row] == count) {
      accumulators_[count++] = value;
    } else {
      rows_.push_back(row);
      row_groups_.push_back(groups[row]);
      row_values_.push_back(value);
    }
  }
  *values = row_values_.data();
  return row_groups_;
}

Status LuaReducer::UpdateNumbers(const double* values, const Batch& batch, std::span<const uint32_t> groups,
                                 uint32_t group_count, int64_t* row) {
  lua_State* L = state_->raw();
  if (driver_ == 0) RETURN_IF_ERROR(MakeDriver());
  const bool has_new = group_count > count_;
  if (has_new) groups = StartGroups(&values, groups);
  if (groups.empty()) {
    *row = batch.row_count();
    count_ = group_count;
    return Status::Ok();
  }
  const auto row_of = [&](double at) {
    return has_new ? int64_t{rows_[static_cast<size_t>(at)]} : static_cast<int64_t>(at);
  };
  const int top = lua_gettop(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, driver_);
  lua_pushlightuserdata(L, accumulators_.data());
  lua_pushlightuserdata(L, const_cast<double*>(values));
  lua_pushlightuserdata(L, const_cast<uint32_t*>(groups.data()));
  lua_pushnumber(L, static_cast<double>(groups.size()));
  double at = 0;
  lua_pushlightuserdata(L, &at);
  if (Status status = state_->Call(5, 3); !status.ok()) return At(std::move(status), batch, row_of(at));
  const double done = lua_tonumber(L, top + 1);
  if (done == static_cast<double>(groups.size())) {
    *row = batch.row_count();
    count_ = group_count;
  } else {  // The result is not one number.
    *row = row_of(done);
    if (const auto results = static_cast<int>(lua_tointeger(L, top + 3)); results != 1) {
      lua_settop(L, top);
      return At(Status::UserCode(fmt::format("the function gave {} values, there are 1 to fold", results)), batch,
                *row);
    }
    // Rows before this one that were not folded began a group.
    count_ += static_cast<uint32_t>(*row) - static_cast<uint32_t>(done);
    StopNumbers();
    lua_rawgeti(L, LUA_REGISTRYINDEX, tables_[0]);
    lua_pushvalue(L, top + 2);
    lua_rawseti(L, -2, static_cast<int>(groups[static_cast<size_t>(done)]) + 1);
    ++*row;
  }
  lua_settop(L, top);
  return Status::Ok();
}

void LuaReducer::StopNumbers() {
  lua_State* L = state_->raw();
  numbers_ = false;
  for (int c = 0; c < width_; ++c) {
    lua_newtable(L);
    if (c == 0) {
      for (uint32_t group = 0; group < count_ && group < accumulators_.size(); ++group) {
        lua_pushnumber(L, accumulators_[group]);
        lua_rawseti(L, -2, static_cast<int>(group) + 1);
      }
    }
    tables_.push_back(luaL_ref(L, LUA_REGISTRYINDEX));
  }
  accumulators_ = {};
}

Status LuaReducer::UpdateAny(const Batch& batch, std::span<const uint32_t> groups, int64_t row) {
  lua_State* L = state_->raw();
  if (numbers_) StopNumbers();
  if (lua_checkstack(L, 4 * width_ + 16) == 0) {
    return Status::UserCode(fmt::format("a row of {} columns is too wide for a Lua function", width_));
  }
  const int top = lua_gettop(L);
  for (const int table : tables_) lua_rawgeti(L, LUA_REGISTRYINDEX, table);
  for (; row < batch.row_count(); ++row) {
    const uint32_t group = groups[row];
    const int slot = static_cast<int>(group) + 1;
    if (group >= count_) {
      for (int c = 0; c < width_; ++c) {
        PushCell(L, batch.At(row, c));
        lua_rawseti(L, top + 1 + c, slot);
      }
      count_ = group + 1;
      continue;
    }
    instance_->PushFunction();
    for (int c = 0; c < width_; ++c) lua_rawgeti(L, top + 1 + c, slot);
    for (int c = 0; c < width_; ++c) PushCell(L, batch.At(row, c));
    Status status = state_->Call(2 * width_, LUA_MULTRET);
    const int results = lua_gettop(L) - top - width_;
    if (status.ok() && results != width_) {
      status = Status::UserCode(fmt::format("the function gave {} values, there are {} to fold", results, width_));
    }
    if (!status.ok()) {
      lua_settop(L, top);
      return At(std::move(status), batch, row);
    }
    lua_settop(L, top + 2 * width_);
    for (int c = width_; c-- > 0;) lua_rawseti(L, top + 1 + c, slot);
  }
  lua_settop(L, top);
  return Status::Ok();
}

Status LuaReducer::At(Status status, const Batch& batch, int64_t row) {
  failed_ = row;
  return WithRow(std::move(status), batch, row);
}

int64_t LuaReducer::memory_bytes() const {
  return static_cast<int64_t>(accumulators_.capacity() * sizeof(double)) + texts_bytes_;
}

Result<Batch> LuaReducer::Finish() {
  BatchBuilder builder(std::max(width_, 0));
  if (numbers_) {
    for (uint32_t group = 0; group < count_; ++group) AppendLuaNumber(accumulators_[group], &builder.column(0));
    builder.EndRows(count_);
    return builder.Finish();
  }
  lua_State* L = state_->raw();
  const int top = lua_gettop(L);
  for (int c = 0; c < width_; ++c) {
    ColumnBuilder& column = builder.column(c);
    std::string error;
    lua_rawgeti(L, LUA_REGISTRYINDEX, tables_[c]);
    for (uint32_t group = 0; group < count_; ++group) {
      lua_rawgeti(L, top + 1, static_cast<int>(group) + 1);
      const bool ok = AppendLuaValue(L, lua_gettop(L), &column, &error);
      lua_pop(L, 1);
      if (!ok) {
        lua_settop(L, top);
        failed_ = group;
        return Status::UserCode("a folded value: " + error);
      }
    }
    lua_settop(L, top);
  }
  builder.EndRows(count_);
  return builder.Finish();
}

}  // namespace glim::udf
