// SPDX-License-Identifier: Apache-2.0
#include "udf/kernel/reader.h"

#include <fmt/core.h>

#include <lua.hpp>
#include <map>
#include <memory>
#include <optional>

#include "udf/kernel/bytecode.h"

namespace glim::udf {
namespace {

struct Merge;

// What a register holds.
struct Held {
  enum class Kind : uint8_t { kNothing, kValue, kMerge };
  Kind kind = Kind::kNothing;
  int value = -1;
  std::shared_ptr<Merge> merge;

  static Held Of(int value) { return {Kind::kValue, value, nullptr}; }
  bool operator==(const Held& other) const = default;
};
using Registers = std::vector<Held>;

// A way into a block: number `way` of the edges of `block`.
struct Way {
  int block;
  int way;
};

// Different values on the ways that meet; `value` takes them when somebody reads it.
struct Merge {
  std::vector<std::pair<Way, Held>> ways;
  int value = -1;
};

class Reader {
 public:
  Reader(lua_State* L, FunctionRole role) : L_(L), function_(lua_gettop(L)), role_(role) {}

  Reading Run() {
    const bool read = Read();
    lua_settop(L_, function_);
    if (read) return {std::move(program_), ""};
    if (why_not_.empty()) why_not_ = "what the reader does not know";
    return {{}, line_ > 0 ? fmt::format("line {}: {}", line_, why_not_) : why_not_};
  }

 private:
  using Code = Bytecode::Instruction;

  bool Read() {
    if (role_ != FunctionRole::kMap && role_ != FunctionRole::kFilter) return No("a function of this step");
    if (!lua_isfunction(L_, function_) || lua_iscfunction(L_, function_)) return No("a function of the library");
    const std::optional<Bytecode> bytecode = ReadBytecode(L_);
    if (!bytecode.has_value()) return No("a function with ... as argument");
    registers_.resize(bytecode->registers);
    for (int i = 0; i < bytecode->parameters; ++i) {
      registers_[i] = Held::Of(NewValue({.argument = i}));
    }
    StartBlock();
    const std::vector<Code>& code = bytecode->code;
    for (int pc = 0; pc < static_cast<int>(code.size()); ++pc) {
      line_ = code[pc].line;
      if (!Arrive(pc)) return false;
      if (!open_) continue;  // Nobody comes here.
      if (IsTest(code[pc].op)) {
        if (!Branch(code[pc], pc + 2, pc + 2 + code[pc + 1].d)) return false;
        ++pc;
      } else if (code[pc].op == Opcode::kJMP) {
        if (code[pc].d < 0) return No("a loop");
        Leave(Ending::kJump);
        ways_[pc + 1 + code[pc].d].push_back({Way{block_, 0}, registers_});
      } else if (!Step(code[pc])) {
        return false;
      }
    }
    return true;
  }

  bool No(std::string why) {
    why_not_ = std::move(why);
    return false;
  }

  int NewValue(ValueSource source = {}) {
    program_.values.push_back(source);
    return static_cast<int>(program_.values.size()) - 1;
  }

  int NewConstant(Constant constant) {
    program_.constants.push_back(std::move(constant));
    return NewValue({.constant = static_cast<int>(program_.constants.size()) - 1});
  }
  int Number(double number) { return NewConstant({Tag::kNumber, number, ""}); }
  int String(const std::string& text) { return NewConstant({Tag::kText, 0, text}); }
  int Primitive(int number) {
    constexpr Tag kTags[] = {Tag::kNil, Tag::kFalse, Tag::kTrue};
    return NewConstant({kTags[number], 0, ""});
  }

  Block& block() { return program_.blocks[block_]; }

  void StartBlock() {
    program_.blocks.emplace_back();
    block_ = static_cast<int>(program_.blocks.size()) - 1;
    open_ = true;
  }

  void Leave(Ending ending) {
    block().ending = ending;
    open_ = false;
  }

  // Begins a block where ways meet.
  bool Arrive(int pc) {
    const auto found = ways_.find(pc);
    if (found == ways_.end()) return true;
    auto ways = std::move(found->second);
    ways_.erase(found);
    if (open_) {
      Leave(Ending::kJump);
      ways.push_back({Way{block_, 0}, registers_});
    }
    StartBlock();
    for (const auto& [way, registers] : ways) program_.blocks[way.block].edges[way.way].to = block_;
    registers_ = ways[0].second;
    for (size_t r = 0; r < registers_.size(); ++r) {
      bool same = true;
      for (const auto& [way, registers] : ways) same &= registers[r] == registers_[r];
      if (same) continue;
      auto merge = std::make_shared<Merge>();
      for (const auto& [way, registers] : ways) merge->ways.emplace_back(way, registers[r]);
      registers_[r] = {Held::Kind::kMerge, -1, std::move(merge)};
    }
    return true;
  }

  // The value in a register; -1, with the reason, when it holds none.
  int ValueOf(const Held& held) {
    if (held.kind == Held::Kind::kValue) return held.value;
    if (held.kind == Held::Kind::kNothing) return No("a variable without a value") ? 0 : -1;
    Merge& merge = *held.merge;
    if (merge.value >= 0) return merge.value;
    std::vector<int> values;
    for (const auto& [way, before] : merge.ways) {
      values.push_back(ValueOf(before));
      if (values.back() < 0) return -1;
    }
    merge.value = NewValue();
    for (size_t i = 0; i < values.size(); ++i) {
      const Way way = merge.ways[i].first;
      program_.blocks[way.block].edges[way.way].copies.emplace_back(values[i], merge.value);
    }
    return merge.value;
  }

  bool ValueAt(int at, int* value) {
    *value = ValueOf(registers_[at]);
    return *value >= 0;
  }

  bool ValuesAt(int first, int count, std::vector<int>* values) {
    values->resize(count);
    for (int i = 0; i < count; ++i) {
      if (!ValueAt(first + i, &(*values)[i])) return false;
    }
    return true;
  }

  int Compute(Operation op, std::vector<int> in) {
    const int out = NewValue();
    block().code.push_back({op, std::move(in), {out}});
    return out;
  }

  bool Set(int at, int value) {
    registers_[at] = Held::Of(value);
    return true;
  }

  static bool IsTest(Opcode op) { return op >= Opcode::kISLT && op <= Opcode::kISF; }

  // Ends the block with the test; when it holds, it goes on at `jump`.
  bool Branch(const Code& code, int next, int jump) {
    if (jump < next) return No("a loop");
    Test test = Test::kEqual;
    bool holds = true;  // The jump is taken when the test holds, or when it does not.
    int a = -1;
    int b = -1;
    switch (code.op) {
      case Opcode::kISLT:
      case Opcode::kISGE:
        test = Test::kLess;
        holds = code.op == Opcode::kISLT;
        break;
      case Opcode::kISLE:
      case Opcode::kISGT:
        test = Test::kLessOrEqual;
        holds = code.op == Opcode::kISLE;
        break;
      case Opcode::kISEQS:
      case Opcode::kISNES:
        b = String(code.text);
        holds = code.op == Opcode::kISEQS;
        break;
      case Opcode::kISEQN:
      case Opcode::kISNEN:
        b = Number(code.number);
        holds = code.op == Opcode::kISEQN;
        break;
      case Opcode::kISEQP:
      case Opcode::kISNEP:
        b = Primitive(code.d);
        holds = code.op == Opcode::kISEQP;
        break;
      case Opcode::kISTC:
      case Opcode::kIST:
      case Opcode::kISFC:
      case Opcode::kISF:
        test = Test::kIsTrue;
        holds = code.op == Opcode::kISTC || code.op == Opcode::kIST;
        break;
      default: holds = code.op == Opcode::kISEQV; break;
    }
    const bool is_truth = test == Test::kIsTrue;
    if (!ValueAt(is_truth ? code.d : code.a, &a)) return false;
    if (!is_truth && b < 0 && !ValueAt(code.d, &b)) return false;
    block().test = test;
    block().a = a;
    block().b = b;
    Leave(Ending::kBranch);
    ways_[next].push_back({Way{block_, holds ? 1 : 0}, registers_});
    if (code.op == Opcode::kISTC || code.op == Opcode::kISFC) registers_[code.a] = registers_[code.d];
    ways_[jump].push_back({Way{block_, holds ? 0 : 1}, registers_});
    return true;
  }

  bool Step(const Code& code) {
    int value = -1;
    switch (code.op) {
      case Opcode::kMOV: registers_[code.a] = registers_[code.d]; return true;
      case Opcode::kKSTR: return Set(code.a, String(code.text));
      case Opcode::kKSHORT: return Set(code.a, Number(code.d));
      case Opcode::kKNUM: return Set(code.a, Number(code.number));
      case Opcode::kKPRI: return Set(code.a, Primitive(code.d));
      case Opcode::kKNIL:
        for (int at = code.a; at <= code.d; ++at) Set(at, Primitive(0));
        return true;
      case Opcode::kUGET: return Captured(code);
      case Opcode::kNOT:
      case Opcode::kUNM:
        if (!ValueAt(code.d, &value)) return false;
        return Set(code.a, Compute(code.op == Opcode::kNOT ? Operation::kNot : Operation::kNegate, {value}));
      case Opcode::kRET0:
      case Opcode::kRET1:
      case Opcode::kRET: return Return(code.a, code.op == Opcode::kRET0 ? 0 : code.d - 1);
      case Opcode::kGGET: return No(fmt::format("the global \"{}\"", code.text));
      case Opcode::kTGETS: return No(fmt::format("the field \"{}\"", code.text));
      case Opcode::kCALL:
      case Opcode::kCALLM:
      case Opcode::kCALLT:
      case Opcode::kCALLMT: return No("a call");
      case Opcode::kPOW: return No("the operator ^");
      case Opcode::kCAT: return No("the operator ..");
      case Opcode::kLEN: return No("the operator #");
      default:
        if (code.op >= Opcode::kADDVN && code.op <= Opcode::kMODVV) return Arithmetic(code);
        return No(code.name);
    }
  }

  bool Arithmetic(const Code& code) {
    constexpr Operation kOperations[] = {Operation::kAdd, Operation::kSubtract, Operation::kMultiply,
                                         Operation::kDivide, Operation::kModulo};
    const auto index = static_cast<int>(code.op) - static_cast<int>(Opcode::kADDVN);
    int left = -1;
    int right = -1;
    if (!ValueAt(code.b, &left)) return false;
    if (index >= 10) {
      if (!ValueAt(code.c, &right)) return false;
    } else {
      right = Number(code.number);
      if (index >= 5) std::swap(left, right);
    }
    return Set(code.a, Compute(kOperations[index % 5], {left, right}));
  }

  // A captured variable: nobody assigns it. The functions that could, which share it with this one, run in none of the
  // steps but in setup and teardown; who asks for a kernel sees that there are none.
  bool Captured(const Code& code) {
    const char* name = lua_getupvalue(L_, function_, code.d + 1);
    if (name == nullptr) return false;
    const int at = lua_gettop(L_);
    Constant constant;
    const int type = lua_type(L_, at);
    if (type == LUA_TBOOLEAN) constant.tag = lua_toboolean(L_, at) != 0 ? Tag::kTrue : Tag::kFalse;
    if (type == LUA_TNUMBER) constant = {Tag::kNumber, lua_tonumber(L_, at), ""};
    if (type == LUA_TSTRING) {
      size_t size = 0;
      const char* text = lua_tolstring(L_, at, &size);
      constant = {Tag::kText, 0, std::string(text, size)};
    }
    const std::string what = luaL_typename(L_, at);
    lua_pop(L_, 1);
    if (type != LUA_TNIL && type != LUA_TBOOLEAN && type != LUA_TNUMBER && type != LUA_TSTRING) {
      return No(fmt::format("the captured \"{}\", a {}", name, what));
    }
    return Set(code.a, NewConstant(std::move(constant)));
  }

  bool Return(int first, int count) {
    std::vector<int> results;
    if (!ValuesAt(first, count, &results)) return false;
    if (role_ == FunctionRole::kFilter) {
      block().a = results.empty() ? -1 : results[0];
    } else {
      block().results = std::move(results);
    }
    Leave(Ending::kReturn);
    return true;
  }

  lua_State* const L_;
  const int function_;
  const FunctionRole role_;
  Program program_;
  std::string why_not_;
  int line_ = 0;
  Registers registers_;
  int block_ = -1;                                              // The one at work,
  bool open_ = false;                                           // if there is one.
  std::map<int, std::vector<std::pair<Way, Registers>>> ways_;  // To the instructions further on.
};

}  // namespace

Reading ReadFunction(lua_State* L, FunctionRole role) { return Reader(L, role).Run(); }

}  // namespace glim::udf
