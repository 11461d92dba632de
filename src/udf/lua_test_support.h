// SPDX-License-Identifier: Apache-2.0
//
// What the tests of Lua functions share: rows in, rows out, a step behind a step, and functions captured from a script.
#pragma once

#include <gtest/gtest.h>

#include <lua.hpp>
#include <memory>
#include <string>
#include <vector>

#include "glim/batch_builder.h"
#include "glim/udf.h"
#include "udf/hosts.h"
#include "udf/lua_capture.h"
#include "udf/lua_function.h"
#include "udf/lua_state.h"

namespace glim::udf {

inline Batch MakeBatch(const std::vector<Row>& rows) {
  BatchBuilder builder;
  for (const Row& row : rows) builder.AppendRow(row);
  return builder.Finish();
}

// Every value with its type: `int64 4`, `double 4`, `bytes "x"`.
inline std::string Exactly(const Cell& cell) {
  if (cell.type() == Type::kList) {
    std::string text = "{";
    for (int64_t i = 0; i < cell.list_size(); ++i) text += Exactly(cell.list_element(i)) + ",";
    return text + "}";
  }
  if (cell.type() == Type::kBytes) return "bytes " + std::string(cell.as_bytes());
  if (cell.type() == Type::kDouble) {
    char text[64];
    std::snprintf(text, sizeof(text), "double %a", cell.as_double());
    return text;
  }
  return std::string(TypeName(cell.type())) + " " + cell.ToString();
}

class Collector : public BatchOutput {
 public:
  Status Push(Batch batch) override {
    for (int64_t row = 0; row < batch.row_count(); ++row) {
      std::vector<std::string> cells;
      for (int c = 0; c < batch.column_count(); ++c) cells.push_back(Exactly(batch.At(row, c)));
      rows.push_back(std::move(cells));
    }
    ++batches;
    return next_status;
  }
  bool full() const override { return static_cast<int64_t>(rows.size()) >= rows_max; }

  std::vector<std::vector<std::string>> rows;
  int batches = 0;
  int64_t rows_max = INT64_MAX;
  Status next_status;
};

// Gives what it takes to a function.
class Behind : public BatchOutput {
 public:
  Behind(BatchFunction* function, BatchOutput* out) : function_(function), out_(out) {}
  Status Push(Batch batch) override { return function_->Run(batch, *out_); }
  bool full() const override { return out_->full(); }

 private:
  BatchFunction* function_;
  BatchOutput* out_;
};

struct Answer {
  Status status;
  std::vector<std::vector<std::string>> rows;
};

inline Answer RunOn(const Function& function, FunctionRole role, const std::vector<Batch>& batches,
                    HostOptions options = {}) {
  Hosts hosts(options);
  TaskContext task(0, 1, 0, &hosts);
  auto instance = function.Instantiate(role, task);
  if (!instance.ok()) return {instance.status(), {}};
  Collector out;
  for (const Batch& batch : batches) {
    if (Status status = (*instance)->Run(batch, out); !status.ok()) return {std::move(status), std::move(out.rows)};
  }
  Status status = (*instance)->Finish(out);
  return {std::move(status), std::move(out.rows)};
}

inline Answer RunSource(const std::string& source, FunctionRole role, const std::vector<Row>& rows,
                        const std::string& init = "", HostOptions options = {}) {
  return RunOn(*MakeLuaFunction(source, init), role, {MakeBatch(rows)}, options);
}

// The state of a job script.
class Script {
 public:
  Script() : L_(luaL_newstate()) {
    luaL_openlibs(L_);
    OpenGlimRuntime(L_);
  }
  ~Script() { lua_close(L_); }
  lua_State* L() const { return L_; }
  // Runs the script and captures the function it returns.
  Result<std::shared_ptr<const Function>> Capture(const std::string& text) {
    if (luaL_loadbuffer(L_, text.data(), text.size(), "=job.lua") != 0 || lua_pcall(L_, 0, 1, 0) != 0) {
      return Status::Internal(lua_tostring(L_, -1));
    }
    auto captured = udf::Capture(L_, lua_gettop(L_));
    if (!captured.ok()) return std::move(captured).status();
    return MakeLuaFunction(*std::move(captured));
  }

 private:
  lua_State* L_;
};

using Rows = std::vector<std::vector<std::string>>;

}  // namespace glim::udf
