// SPDX-License-Identifier: Apache-2.0
#include "udf/kernel/reader.h"

#include <fmt/core.h>

#include <lua.hpp>
#include <map>
#include <memory>
#include <optional>

#include "udf/kernel/bytecode.h"
#include "udf/kernel/program_builder.h"
#include "udf/kernel/standard_calls.h"
#include "udf/lua_standard.h"

namespace glim::udf {
namespace {

struct Merge;

// What a register holds. kStandard: a part of the standard library, by name: "string", "string.lower"; kIterator: what
// gmatch or split returned, a number of Reader::iterators_.
struct Held {
  enum class Kind : uint8_t { kNothing, kValue, kMerge, kStandard, kIterator };
  Kind kind = Kind::kNothing;
  int value = -1;
  std::shared_ptr<Merge> merge = nullptr;
  std::string standard = {};

  static Held Of(int value) { return {Kind::kValue, value}; }
  static Held OfStandard(std::string name) { return {Kind::kStandard, -1, nullptr, std::move(name)}; }
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
    if (read) return {std::move(builder_.program()), ""};
    if (why_not_.empty()) why_not_ = "what the reader does not know";
    return {{}, line_ > 0 ? fmt::format("line {}: {}", line_, why_not_) : why_not_};
  }

 private:
  using Code = Bytecode::Instruction;

  bool Read() {
    if (role_ == FunctionRole::kForEach || role_ == FunctionRole::kForEachBatch) return No("a step without results");
    if (!lua_isfunction(L_, function_) || lua_iscfunction(L_, function_)) return No("a function of the library");
    const std::optional<Bytecode> bytecode = ReadBytecode(L_);
    if (!bytecode.has_value()) return No("a function with ... as argument");
    registers_.resize(bytecode->registers);
    for (int i = 0; i < bytecode->parameters; ++i) {
      ValueSource source;
      source.argument = i;
      registers_[i] = Held::Of(builder_.NewValue(source));
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
        ways_[pc + 1 + code[pc].d].push_back({Here(0), registers_});
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

  int Primitive(int number) {
    constexpr Tag kTags[] = {Tag::kNil, Tag::kFalse, Tag::kTrue};
    return builder_.NewConstant({kTags[number], 0, ""});
  }

  Block& block() { return builder_.block(); }
  Way Here(int way) const { return {builder_.block_number(), way}; }

  void StartBlock() {
    builder_.StartBlock();
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
      ways.push_back({Here(0), registers_});
    }
    StartBlock();
    for (const auto& [way, registers] : ways)
      builder_.program().blocks[way.block].edges[way.way].to = builder_.block_number();
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
    if (held.kind != Held::Kind::kMerge) {
      why_not_ = held.kind == Held::Kind::kStandard   ? fmt::format("{} as a value", held.standard)
                 : held.kind == Held::Kind::kIterator ? "an iterator that is not only returned"
                                                      : "a variable without a value";
      return -1;
    }
    Merge& merge = *held.merge;
    if (merge.value >= 0) return merge.value;
    std::vector<int> values;
    for (const auto& [way, before] : merge.ways) {
      values.push_back(ValueOf(before));
      if (values.back() < 0) return -1;
    }
    merge.value = builder_.NewValue();
    for (size_t i = 0; i < values.size(); ++i) {
      const Way way = merge.ways[i].first;
      builder_.program().blocks[way.block].edges[way.way].copies.emplace_back(values[i], merge.value);
    }
    return merge.value;
  }

  bool ValueAt(int at, int* value) {
    *value = ValueOf(registers_[at]);
    return *value >= 0;
  }

  std::vector<Held> Registered(int first, int count) const {
    return {registers_.begin() + first, registers_.begin() + first + count};
  }

  bool ValuesOf(const std::vector<Held>& held, std::vector<int>* values) {
    for (const Held& one : held) {
      values->push_back(ValueOf(one));
      if (values->back() < 0) return false;
    }
    return true;
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
        b = builder_.NewText(code.text);
        holds = code.op == Opcode::kISEQS;
        break;
      case Opcode::kISEQN:
      case Opcode::kISNEN:
        b = builder_.NewNumber(code.number);
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
    ways_[next].push_back({Here(holds ? 1 : 0), registers_});
    if (code.op == Opcode::kISTC || code.op == Opcode::kISFC) registers_[code.a] = registers_[code.d];
    ways_[jump].push_back({Here(holds ? 0 : 1), registers_});
    return true;
  }

  bool Step(const Code& code) {
    int value = -1;
    switch (code.op) {
      case Opcode::kMOV: registers_[code.a] = registers_[code.d]; return true;
      case Opcode::kKSTR: return Set(code.a, builder_.NewText(code.text));
      case Opcode::kKSHORT: return Set(code.a, builder_.NewNumber(code.d));
      case Opcode::kKNUM: return Set(code.a, builder_.NewNumber(code.number));
      case Opcode::kKPRI: return Set(code.a, Primitive(code.d));
      case Opcode::kKNIL:
        for (int at = code.a; at <= code.d; ++at) Set(at, Primitive(0));
        return true;
      case Opcode::kUGET: return Captured(code);
      case Opcode::kNOT: return ValueAt(code.d, &value) && Set(code.a, builder_.Compute(Operation::kNot, {value}));
      case Opcode::kUNM: return ValueAt(code.d, &value) && Set(code.a, builder_.Compute(Operation::kNegate, {value}));
      case Opcode::kLEN: return ValueAt(code.d, &value) && Set(code.a, builder_.Compute(Operation::kLength, {value}));
      case Opcode::kRET0: return Return({});
      case Opcode::kRET1:
      case Opcode::kRET: return Return(Registered(code.a, code.d - 1));
      case Opcode::kRETM: return ReturnWithCall(Registered(code.a, code.d));
      case Opcode::kGGET: return Global(code);
      case Opcode::kTGETS: return Field(code);
      case Opcode::kCALL: return Call(code, Registered(code.a + kArgumentsFrom, code.c - 1), code.b - 1);
      case Opcode::kCALLM: return CallWithCall(code, Registered(code.a + kArgumentsFrom, code.c), code.b - 1);
      case Opcode::kCALLT: return Call(code, Registered(code.a + kArgumentsFrom, code.d - 1), -1) && ReturnWithCall({});
      case Opcode::kCALLMT:
        return CallWithCall(code, Registered(code.a + kArgumentsFrom, code.d), -1) && ReturnWithCall({});
      case Opcode::kPOW: return No("the operator ^");
      case Opcode::kCAT: {
        std::vector<int> values;
        if (!ValuesOf(Registered(code.b, code.c - code.b + 1), &values)) return false;
        return Set(code.a, builder_.Compute(Operation::kConcatenate, std::move(values)));
      }
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
      right = builder_.NewNumber(code.number);
      if (index >= 5) std::swap(left, right);
    }
    return Set(code.a, builder_.Compute(kOperations[index % 5], {left, right}));
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
    const std::string standard = StandardName(L_, at);
    lua_pop(L_, 1);
    if (IsLibrary(standard) || IsKnownFunction(standard)) {
      registers_[code.a] = Held::OfStandard(standard);
      return true;
    }
    if (type != LUA_TNIL && type != LUA_TBOOLEAN && type != LUA_TNUMBER && type != LUA_TSTRING) {
      return No(fmt::format("the captured \"{}\", a {}", name, what));
    }
    return Set(code.a, builder_.NewConstant(std::move(constant)));
  }

  static bool IsLibrary(const std::string& name) { return name == "string" || name == "math"; }

  // A part of the library that is what it was; written down, so that it is looked at again.
  bool Holds(const std::string& use) {
    if (!UsesHold(L_, {use})) return false;
    builder_.program().uses.insert(use);
    return true;
  }

  bool Global(const Code& code) {
    if (!(IsLibrary(code.text) || IsKnownFunction(code.text)) || !Holds("_G." + code.text)) {
      return No(fmt::format("the global \"{}\"", code.text));
    }
    registers_[code.a] = Held::OfStandard(code.text);
    return true;
  }

  // A function of a library, or a method of a text.
  bool Field(const Code& code) {
    const Held from = registers_[code.b];
    const bool is_library = from.kind == Held::Kind::kStandard && IsLibrary(from.standard);
    const std::string name = (is_library ? from.standard : "string") + "." + code.text;
    if (!IsKnownFunction(name) || !Holds(name)) {
      return No(is_library ? fmt::format("the function {}", name) : fmt::format("the field \"{}\"", code.text));
    }
    if (!is_library) {
      const int text = ValueOf(from);
      if (text < 0) return false;
      if (!Holds("string metatable")) return No("methods of texts that are not those of the library");
      builder_.Compute(Operation::kRequireText, {text}, 0);
    }
    registers_[code.a] = Held::OfStandard(name);
    return true;
  }

  // `wanted`: how many results go into registers; -1: all go to the instruction behind it.
  bool Call(const Code& code, const std::vector<Held>& arguments, int wanted) {
    const Held& callee = registers_[code.a];
    if (callee.kind != Held::Kind::kStandard || !IsKnownFunction(callee.standard)) return No("a call");
    std::vector<int> values;
    CallResults results;
    if (!ValuesOf(arguments, &values)) return false;
    if (!AddCall(L_, &builder_, callee.standard, values, &results, &why_not_)) return false;
    if (results.is_iterator && role_ != FunctionRole::kFlatMap) return No("an iterator");
    if (wanted < 0) {
      open_call_ = std::move(results);
      return true;
    }
    for (int i = 0; i < wanted; ++i) {
      if (i == 0 && results.is_iterator) {
        registers_[code.a] = {Held::Kind::kIterator, static_cast<int>(iterators_.size())};
        iterators_.push_back(results);
      } else if (i < static_cast<int>(results.values.size())) {
        Set(code.a + i, results.values[i]);
      } else {
        Set(code.a + i, builder_.NewNil());
      }
    }
    return true;
  }

  // All results of the call before are the last arguments.
  bool CallWithCall(const Code& code, std::vector<Held> arguments, int wanted) {
    if (open_call_->is_iterator || open_call_->if_nil == 0 ||
        (open_call_->if_nil == 1 && open_call_->values.size() > 1)) {
      return No("a call with all results of another one");
    }
    for (const int value : open_call_->values) arguments.push_back(Held::Of(value));
    return Call(code, arguments, wanted);
  }

  bool ReturnWithCall(std::vector<Held> results) {
    const CallResults call = *std::move(open_call_);
    if (call.is_iterator) {
      results.push_back({Held::Kind::kIterator, static_cast<int>(iterators_.size())});
      iterators_.push_back(call);
      return Return(results);
    }
    if (call.if_nil >= 0) {  // Nil, and then there are fewer of them.
      Block& before = block();
      before.test = Test::kIsNil;
      before.a = call.values[0];
      before.edges[0].to = builder_.block_number() + 1;
      before.edges[1].to = builder_.block_number() + 2;
      Leave(Ending::kBranch);
      std::vector<Held> fewer = results;
      for (int i = 0; i < call.if_nil; ++i) fewer.push_back(Held::Of(call.values[i]));
      StartBlock();
      if (!Return(fewer)) return false;
      StartBlock();
    }
    for (const int value : call.values) results.push_back(Held::Of(value));
    return Return(results);
  }

  bool Return(const std::vector<Held>& results) {
    if (role_ == FunctionRole::kFlatMap && !results.empty() && results[0].kind == Held::Kind::kIterator) {
      const CallResults& iterator = iterators_[results[0].value];
      block().a = iterator.a;
      block().b = iterator.b;
      block().pattern = iterator.pattern;
      Leave(iterator.ending);
      return true;
    }
    std::vector<int> values;
    if (!ValuesOf(results, &values)) return false;
    if (role_ == FunctionRole::kMap) {
      block().results = std::move(values);
    } else {
      block().a = values.empty() ? -1 : values[0];
    }
    Leave(Ending::kReturn);
    return true;
  }

  // A call's arguments do not follow the function at once: LuaJIT keeps a slot for the frame. The probes say so, too.
  static constexpr int kArgumentsFrom = 2;

  lua_State* const L_;
  const int function_;
  const FunctionRole role_;
  ProgramBuilder builder_;
  std::string why_not_;
  int line_ = 0;
  Registers registers_;
  bool open_ = false;                     // Is there a block at work?
  std::optional<CallResults> open_call_;  // All results of a call, for the instruction behind it.
  std::vector<CallResults> iterators_;
  std::map<int, std::vector<std::pair<Way, Registers>>> ways_;  // To the instructions further on.
};

}  // namespace

Reading ReadFunction(lua_State* L, FunctionRole role) { return Reader(L, role).Run(); }

}  // namespace glim::udf
