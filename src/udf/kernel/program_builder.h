// SPDX-License-Identifier: Apache-2.0
//
// Puts a Program together, value by value, in the block that was started last.
//
// Thread: one.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "udf/kernel/program.h"

namespace glim::udf {

class ProgramBuilder {
 public:
  int NewValue(ValueSource source = {}) {
    program_.values.push_back(source);
    return static_cast<int>(program_.values.size()) - 1;
  }
  int NewConstant(Constant constant) {
    program_.constants.push_back(std::move(constant));
    ValueSource source;
    source.constant = static_cast<int>(program_.constants.size()) - 1;
    return NewValue(source);
  }
  int NewNumber(double number) { return NewConstant({Tag::kNumber, number, ""}); }
  int NewText(std::string text) { return NewConstant({Tag::kText, 0, std::move(text)}); }
  int NewNil() { return NewConstant({Tag::kNil, 0, ""}); }

  void StartBlock() { program_.blocks.emplace_back(); }
  Block& block() { return program_.blocks.back(); }
  int block_number() const { return static_cast<int>(program_.blocks.size()) - 1; }

  // Adds an instruction with `results` new values; the first of these.
  int Compute(Operation op, std::vector<int> in, int results = 1, int pattern = -1, int pieces = -1) {
    Instruction instruction{op, std::move(in), {}, pattern, pieces};
    for (int i = 0; i < results; ++i) instruction.out.push_back(NewValue());
    const int first = results > 0 ? instruction.out[0] : -1;
    block().code.push_back(std::move(instruction));
    return first;
  }

  // Null when the value is none.
  const Constant* ConstantOf(int value) const {
    const int constant = program_.values[value].constant;
    return constant < 0 ? nullptr : &program_.constants[constant];
  }

  Program& program() { return program_; }

 private:
  Program program_;
};

}  // namespace glim::udf
