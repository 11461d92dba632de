// SPDX-License-Identifier: Apache-2.0
#include "exec/function_facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <string>
#include <string_view>

#include "glim/table.h"
#include "udf/lua_function.h"

namespace glim::exec {
namespace {

using Kind = udf::CapturedValue::Kind;

struct Code {
  const FunctionSource* function = nullptr;
  const std::string* init = nullptr;
};

Code CodeOf(const flow::Step& step) {
  if (const auto* function = std::get_if<flow::FunctionStep>(&step.body)) return {&function->function, &function->init};
  if (const auto* reduce = std::get_if<flow::ReduceStep>(&step.body)) return {&reduce->function, &reduce->init};
  return {};
}

bool IsOfWord(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

bool HasWord(std::string_view text, std::string_view word) {
  for (size_t at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    const size_t end = at + word.size();
    if ((at == 0 || !IsOfWord(text[at - 1])) && (end == text.size() || !IsOfWord(text[end]))) return true;
  }
  return false;
}

// In bytecode a string stands behind its size, plus 5.
bool HasConstant(std::string_view bytecode, std::string_view text) {
  return bytecode.find(static_cast<char>(text.size() + 5) + std::string(text)) != std::string_view::npos;
}

// The words that a function and those that it can call use, as far as they can be seen.
class Words {
 public:
  explicit Words(const Code& code) : source_(code.function->lua), init_(*code.init) {
    if (code.function->function != nullptr) captured_ = udf::CapturedOf(*code.function->function);
    if (captured_ == nullptr) return;
    const auto name = [this](const udf::CapturedValue& value) {
      if (value.kind == Kind::kName) names_.push_back(value.text);
    };
    name(captured_->root);
    name(captured_->setup);
    name(captured_->teardown);
    for (const auto& value : captured_->variables) name(value);
    for (const auto& [_, value] : captured_->globals) name(value);
    for (const auto& table : captured_->tables) {
      for (const auto& [key, value] : table.entries) name(value);
    }
  }

  bool Has(std::string_view word) const {
    if (HasWord(source_, word) || HasWord(init_, word)) return true;
    // As "math.random".
    if (std::any_of(names_.begin(), names_.end(), [&](const std::string& name) { return HasWord(name, word); }))
      return true;
    return captured_ != nullptr &&
           std::any_of(captured_->functions.begin(), captured_->functions.end(),
                       [&](const udf::CapturedFunction& function) { return HasConstant(function.bytecode, word); });
  }
  // The first of them.
  std::string_view AnyOf(std::initializer_list<std::string_view> words) const {
    const auto* found = std::find_if(words.begin(), words.end(), [this](std::string_view word) { return Has(word); });
    return found == words.end() ? "" : *found;
  }

 private:
  const std::string& source_;
  const std::string& init_;
  const udf::Captured* captured_ = nullptr;
  std::vector<std::string> names_;
};

std::string Chance(const Words& words) {
  if (words.Has("random")) return "math.random";
  if (words.Has("os")) {
    if (const auto word = words.AnyOf({"time", "clock", "date", "tmpname"}); !word.empty())
      return fmt::format("os.{}", word);
  }
  if (words.Has("io")) {
    if (const auto word = words.AnyOf({"open", "popen", "lines", "read", "input"}); !word.empty())
      return fmt::format("io.{}", word);
  }
  return "";
}

plan::FunctionFacts FactsOf(const flow::Step& step) {
  plan::FunctionFacts facts;
  const Code code = CodeOf(step);
  if (code.function == nullptr) return facts;
  const Words words(code);
  const std::string chance = Chance(words);
  const std::string_view walk = words.AnyOf({"pairs", "next"});
  facts.has_table = CapturesTable(step);
  facts.other_rows = !chance.empty();
  facts.other_order = !walk.empty();
  if (!facts.has_table) return facts;
  if (!chance.empty()) facts.once = fmt::format("its function mentions {}, and may push other rows then", chance);
  if (facts.once.empty() && !walk.empty()) {
    facts.once =
        fmt::format("its function mentions {}, and what that goes through may come in another order then", walk);
  }
  for (const auto& object : udf::CapturedOf(*code.function->function)->shared) {
    const TableHandle table = object->table();
    if (table == nullptr || table->spec().consistency == kAsync || !facts.once.empty()) continue;
    facts.once = fmt::format("table \"{}\" counts the clocks of its workers", table->spec().name);
  }
  return facts;
}

}  // namespace

std::vector<plan::FunctionFacts> FactsOfFunctions(const flow::Graph& graph) {
  std::vector<plan::FunctionFacts> facts;
  for (const flow::Step& step : graph.steps()) facts.push_back(FactsOf(step));
  return facts;
}

bool CapturesTable(const flow::Step& step) {
  const Code code = CodeOf(step);
  const udf::Captured* captured = code.function != nullptr && code.function->function != nullptr
                                      ? udf::CapturedOf(*code.function->function)
                                      : nullptr;
  return captured != nullptr && std::any_of(captured->shared.begin(), captured->shared.end(),
                                            [](const auto& object) { return object->table() != nullptr; });
}

bool HasEffects(const plan::Plan& plan, int stage) {
  const auto has = [&](const plan::Operator& op) {
    const flow::Step& step = plan.graph->steps()[op.step];
    const auto* function = std::get_if<flow::FunctionStep>(&step.body);
    return function != nullptr && !CapturesTable(step) &&
           (function->role == FunctionRole::kForEach || function->role == FunctionRole::kForEachBatch);
  };
  const plan::Stage& s = plan.stages[stage];
  return std::any_of(s.operators.begin(), s.operators.end(), has) ||
         std::any_of(s.parts.begin(), s.parts.end(), [&](int part) { return HasEffects(plan, part); });
}

}  // namespace glim::exec
