// SPDX-License-Identifier: Apache-2.0
//
// Runs a Program over a slice of rows, block after block, each for the rows that came to it. Nothing that it does can
// be seen from outside, so a row with something that the kernel does not do (arithmetic with nil, say) is simply left,
// and its function called in Lua: the error, its line and its row are those of plain Lua.
//
// Thread: its task's.
#pragma once

#include <memory>
#include <vector>

#include "glim/batch.h"
#include "udf/kernel/program.h"
#include "udf/kernel/texts.h"
#include "udf/kernel/values.h"

namespace glim::udf {

class Machine {
 public:
  explicit Machine(Program program);

  // Of up to kSliceRows rows. What it gave before is gone.
  void Run(const Batch& slice);

  // Afterwards: rows that returned, by the block whose results they are, and those that are for Lua.
  struct Returned {
    const Block* block;
    Selection rows;
  };
  const std::vector<Returned>& returned() const { return returned_; }
  const Failures& failures() const { return failures_; }

  const Program& program() const { return program_; }
  // Of a value that is no argument.
  const Values& values(int value) const { return values_[value]; }
  // The blocks that texts lie in.
  Blocks ShareBlocks() { return texts_.Share(); }

 private:
  void Load(const Batch& slice);
  void Compute(const Instruction& instruction, Selection* rows);
  void ComputeText(const Instruction& instruction, const Selection& rows);
  Selection Choose(const Block& block, Selection* rows);
  void Send(const Edge& edge, const Selection& rows);

  const Program program_;
  std::vector<Values> values_;
  std::vector<bool> is_computed_with_;  // By value; only what is returned as it came is not.
  BufferRef constant_texts_;
  std::vector<uint8_t> holds_;      // By row: the test at hand.
  std::vector<Selection> arrived_;  // By block.
  std::vector<Returned> returned_;
  Failures failures_;
  Texts texts_;
  std::vector<const Values*> in_;  // Of the instruction at hand.
  std::vector<Values*> out_;
};

}  // namespace glim::udf
