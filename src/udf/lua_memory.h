// SPDX-License-Identifier: Apache-2.0
//
// The memory of one Lua state. It stands between the state and LuaJIT's own allocator, counts, and while user code runs
// refuses what would go beyond the bound, so that a function that hoards fails and the process lives. One huge string
// or table is refused like many small ones; memory that user code takes from C by the FFI is not seen.
//
// LuaJIT frees nothing when memory is refused, and waits with its collection until the heap has doubled. So beyond half
// of the bound a collection is started early and goes faster, even when user code has stopped the collector.
//
// Only user code meets the bound, because only its call is protected; what the engine itself puts into the state is
// noticed after the batch (LuaState::CheckMemory).
//
// Cost: a call through a pointer and two comparisons per allocation: nothing that a word count in Lua would show.
//
// Thread: the state's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

struct lua_State;

namespace glim::udf {

class LuaMemory {
 public:
  // `bytes_max`: 0: no bound.
  LuaMemory(lua_State* L, int64_t bytes_max);
  LuaMemory(const LuaMemory&) = delete;
  // Gives the state its own allocator back: call before lua_close.
  ~LuaMemory();

  int64_t used_bytes() const { return used_bytes_; }
  int64_t bytes_max() const { return bytes_max_; }
  // Of used_bytes, what somebody has reserved already: the accumulators of a fold, by its operator.
  int64_t counted_elsewhere() const { return counted_elsewhere_; }
  void CountElsewhere(int64_t delta) { counted_elsewhere_ += delta; }
  // Was anything refused, ever? User code may have caught the error.
  bool refused() const { return refused_; }
  // Where the last refused allocation was, as "job.lua:3", and forgets it; empty when there was none.
  std::string TakeWhere();

  // Whether the bound holds, while this lives: yes around user code, no where the engine works in between.
  class Bounded {
   public:
    Bounded(LuaMemory* memory, bool bounded) : memory_(memory), outer_(memory->bounded_) { memory->bounded_ = bounded; }
    Bounded(const Bounded&) = delete;
    ~Bounded() { memory_->bounded_ = outer_; }

   private:
    LuaMemory* const memory_;
    const bool outer_;
  };

  // Memory is refused also when C's stack is used up to `bytes_max` beyond `top`; coroutines within coroutines take it
  // without end.
  void SetStack(const char* top, int64_t bytes_max);
  // Was that the reason of the last refusal?
  bool stack_overflow() const { return stack_overflow_; }

 private:
  using Allocator = void* (*)(void* owner, void* block, size_t old_size, size_t new_size);
  static void* Allocate(void* self, void* block, size_t old_size, size_t new_size);
  void Refuse();
  bool StackIsUsedUp() const;
  void CollectSoon();

  lua_State* const L_;
  const int64_t bytes_max_;
  Allocator allocator_ = nullptr;
  void* owner_ = nullptr;
  int64_t used_bytes_;
  int64_t counted_elsewhere_ = 0;
  int64_t collect_at_;
  bool bounded_ = false;
  bool refused_ = false;
  bool stack_overflow_ = false;
  const char* stack_top_ = nullptr;
  int64_t stack_bytes_max_ = 0;
  char where_[128] = "";
};

}  // namespace glim::udf
