// SPDX-License-Identifier: Apache-2.0
//
// A Lua function at work in one task: its variables, globals and changes to the standard library are its own, even when
// another task or step runs the same function in the same state at the same time.
//
// Code is loaded once for each instance alive; when one dies, its code goes back to the state, so that the next one
// uses the traces that the JIT made of it.
//
// Thread: its state's.
#pragma once

#include <cstdint>

#include "glim/udf.h"
#include "udf/lua_state.h"

namespace glim::udf {

class LuaInstance {
 public:
  // `id` tells functions apart in the state's store of code.
  LuaInstance(LuaState* state, TaskContext* task, uint64_t id) : state_(state), task_(task), id_(id) {
    ++state->instances;
  }
  LuaInstance(const LuaInstance&) = delete;
  ~LuaInstance();

  // Code that an instance before left in the state; pushes it. False: there is none, and nothing is pushed.
  bool TakeSpareCode();
  // What is on top of the stack, a list of functions, is the code of this instance; pops it.
  void SetCode();
  // What is on top of the stack are the function, its setup and teardown or nil, and the list of {module, key, value}
  // or nil for the standard library; pops them.
  void SetFunctions();

  LuaState* state() const { return state_; }
  TaskContext* task() const { return task_; }
  void PushCode() const;
  void PushFunction() const;
  // False: there is none, and nothing is pushed.
  bool PushSetup() const { return PushIfThere(setup_); }
  bool PushTeardown() const { return PushIfThere(teardown_); }
  bool has_setup_or_teardown() const { return setup_ != 0 || teardown_ != 0; }

  // While it lives, the state works for this instance. They may be nested: what one step pushes on may run the next
  // step's function in the same state, in the middle of a call. At the end the state, its stack too, is as before.
  class Scope {
   public:
    // `emitter` takes the rows of writeRow; null: nobody does.
    Scope(const LuaInstance& instance, RowEmitter* emitter);
    Scope(const Scope&) = delete;
    ~Scope();

   private:
    // Takes away one instance's changes to the standard library and puts another's there.
    void Exchange(int additions);

    LuaState* const state_;
    const LuaMemory::Bounded engine_;
    const int top_;
    TaskContext* const outer_task_;
    RowEmitter* const outer_emitter_;
    const int outer_additions_;
  };

 private:
  bool PushIfThere(int reference) const;

  LuaState* const state_;
  TaskContext* const task_;
  const uint64_t id_;
  // References; 0: none.
  int code_ = 0;
  int function_ = 0;
  int setup_ = 0;
  int teardown_ = 0;
  int additions_ = 0;
};

// Adds the row at fault to the message.
Status WithRow(Status status, const Batch& batch, int64_t row);

}  // namespace glim::udf
