// SPDX-License-Identifier: Apache-2.0
#include "udf/kernel/standard_calls.h"

#include <fmt/core.h>

#include <cctype>
#include <lua.hpp>
#include <map>

#include "udf/lua_standard.h"

namespace glim::udf {
namespace {

constexpr std::string_view kSpecials = "^$*+?.([%-";

// Functions with as many results as arguments need no more said than this.
struct Simple {
  Operation op;
  size_t arguments_min;
  size_t arguments_max;
};

const std::map<std::string, Simple>& Simples() {
  static const std::map<std::string, Simple> kSimples = {
      {"math.floor", {Operation::kFloor, 1, 1}},       {"math.ceil", {Operation::kCeil, 1, 1}},
      {"math.abs", {Operation::kAbs, 1, 1}},           {"math.sqrt", {Operation::kSqrt, 1, 1}},
      {"math.max", {Operation::kMax, 2, 2}},           {"math.min", {Operation::kMin, 2, 2}},
      {"tonumber", {Operation::kToNumber, 1, 1}},      {"tostring", {Operation::kToText, 1, 1}},
      {"type", {Operation::kTypeName, 1, 1}},          {"string.len", {Operation::kLength, 1, 1}},
      {"string.sub", {Operation::kSub, 2, 3}},         {"string.byte", {Operation::kByte, 1, 2}},
      {"string.lower", {Operation::kLower, 1, 1}},     {"string.upper", {Operation::kUpper, 1, 1}},
      {"string.reverse", {Operation::kReverse, 1, 1}}, {"string.rep", {Operation::kRepeat, 2, 2}}};
  return kSimples;
}

class Adder {
 public:
  Adder(lua_State* L, ProgramBuilder* builder, const std::string& name, const std::vector<int>& arguments)
      : L_(L), builder_(*builder), name_(name), arguments_(arguments) {}

  bool Add(CallResults* results) {
    const auto simple = Simples().find(name_);
    if (simple != Simples().end()) return AddSimple(simple->second, results);
    if (name_ == "string.find") return AddFind(results);
    if (name_ == "string.match") return AddMatch(results);
    if (name_ == "string.gsub") return AddReplace(results);
    if (name_ == "string.format") return AddFormat(results);
    if (name_ == "string.gmatch") return AddMatches(results);
    return AddPieces(results);
  }

 private:
  const Constant* ConstantAt(size_t i) const {
    return i < arguments_.size() ? builder_.ConstantOf(arguments_[i]) : nullptr;
  }
  // The text that argument `i` always is; null when it is none.
  const std::string* TextAt(size_t i) const {
    const Constant* constant = ConstantAt(i);
    return constant != nullptr && constant->tag == Tag::kText ? &constant->text : nullptr;
  }

  bool AddSimple(const Simple& simple, CallResults* results) {
    if (arguments_.size() < simple.arguments_min || arguments_.size() > simple.arguments_max) return false;
    results->values = {builder_.Compute(simple.op, arguments_)};
    if (simple.op == Operation::kByte) results->if_nil = 0;
    return true;
  }

  // The pattern that argument 1 always is; -1: none that kernels match.
  int Pattern(bool may_be_anchored) {
    const std::string* text = TextAt(1);
    if (text == nullptr) return -1;
    TextPattern pattern;
    pattern.anchored = may_be_anchored && text->starts_with('^');
    std::optional<LuaPattern> read = LuaPattern::Read(L_, std::string_view(*text).substr(pattern.anchored ? 1 : 0));
    if (!read.has_value()) return -1;
    pattern.pattern = *std::move(read);
    builder_.program().patterns.push_back(std::move(pattern));
    return static_cast<int>(builder_.program().patterns.size()) - 1;
  }
  int CaptureCount(int pattern) { return builder_.program().patterns[pattern].pattern.capture_count(); }

  void TakeResults(int first, int count, CallResults* results) {
    for (int i = 0; i < count; ++i) results->values.push_back(first + i);
    if (count > 1) results->if_nil = 1;
  }

  bool AddFind(CallResults* results) {
    if (arguments_.size() < 2 || arguments_.size() > 4) return false;
    const std::string* pattern_text = TextAt(1);
    bool plain = pattern_text != nullptr && pattern_text->find_first_of(kSpecials) == std::string::npos;
    if (arguments_.size() == 4) {
      const Constant* flag = ConstantAt(3);
      if (flag == nullptr) return false;
      plain |= flag->tag != Tag::kNil && flag->tag != Tag::kFalse;
    }
    std::vector<int> in(arguments_.begin(), arguments_.begin() + std::min<size_t>(arguments_.size(), 3));
    if (plain) {
      TakeResults(builder_.Compute(Operation::kFindPlain, std::move(in), 2), 2, results);
      return true;
    }
    const int pattern = Pattern(true);
    if (pattern < 0) return false;
    const int count = 2 + CaptureCount(pattern);
    TakeResults(builder_.Compute(Operation::kFind, std::move(in), count, pattern), count, results);
    return true;
  }

  bool AddMatch(CallResults* results) {
    if (arguments_.size() < 2 || arguments_.size() > 3) return false;
    const int pattern = Pattern(true);
    if (pattern < 0) return false;
    const int count = std::max(1, CaptureCount(pattern));
    TakeResults(builder_.Compute(Operation::kMatch, arguments_, count, pattern), count, results);
    return true;
  }

  bool AddReplace(CallResults* results) {
    const std::string* text = TextAt(2);
    if (arguments_.size() != 3 || text == nullptr) return false;
    const int pattern = Pattern(true);
    if (pattern < 0) return false;
    std::vector<ReplacementPiece> pieces(1);
    for (size_t i = 0; i < text->size(); ++i) {
      if ((*text)[i] != '%') {
        pieces.back().text += (*text)[i];
        continue;
      }
      const char next = ++i < text->size() ? (*text)[i] : '\0';
      if (next == '%') {
        pieces.back().text += next;
      } else if (next >= '0' && next <= '9' && next - '0' <= std::max(1, CaptureCount(pattern))) {
        pieces.push_back({next - '0', ""});
        pieces.emplace_back();
      } else {
        return false;
      }
    }
    builder_.program().replacements.push_back(std::move(pieces));
    const int number = static_cast<int>(builder_.program().replacements.size()) - 1;
    const int first = builder_.Compute(Operation::kReplace, {arguments_[0]}, 2, pattern, number);
    results->values = {first, first + 1};
    return true;
  }

  bool AddFormat(CallResults* results) {
    const std::string* format = TextAt(0);
    if (format == nullptr || format->find('\0') != std::string::npos) return false;
    std::vector<FormatPiece> pieces(1);
    size_t verbs = 0;
    for (size_t i = 0; i < format->size(); ++i) {
      if ((*format)[i] != '%') {
        pieces.back().text += (*format)[i];
        continue;
      }
      if (i + 1 < format->size() && (*format)[i + 1] == '%') {
        pieces.back().text += (*format)[++i];
        continue;
      }
      FormatPiece piece;
      if (!ReadVerb(*format, &i, &piece)) return false;
      ++verbs;
      pieces.push_back(std::move(piece));
      pieces.emplace_back();
    }
    if (verbs + 1 > arguments_.size()) return false;
    builder_.program().formats.push_back(std::move(pieces));
    const int number = static_cast<int>(builder_.program().formats.size()) - 1;
    std::vector<int> in(arguments_.begin() + 1, arguments_.begin() + 1 + static_cast<std::ptrdiff_t>(verbs));
    results->values = {builder_.Compute(Operation::kFormat, std::move(in), 1, -1, number)};
    return true;
  }

  // From the % at *i on; leaves *i at its last character.
  static bool ReadVerb(const std::string& format, size_t* i, FormatPiece* piece) {
    const auto at = [&](size_t k) { return k < format.size() ? format[k] : '\0'; };
    const auto digits = [&](size_t* k) {
      const size_t begin = *k;
      while (std::isdigit(static_cast<unsigned char>(at(*k))) != 0) ++*k;
      return *k - begin;
    };
    size_t end = *i + 1;
    while (at(end) != '\0' && std::string_view("-+ #0").find(at(end)) != std::string_view::npos) ++end;
    if (end - *i > 5 || digits(&end) > 2) return false;
    if (at(end) == '.' && digits(&++end) > 2) return false;
    const std::string flags = format.substr(*i, end - *i);
    switch (at(end)) {
      case 's':
        if (flags != "%") return false;
        piece->verb = 's';
        break;
      case 'd':
      case 'i':
        piece->verb = 'd';
        piece->text = flags + "lld";
        break;
      case 'x':
      case 'X':
      case 'o':
        piece->verb = 'x';
        piece->text = flags + "ll" + at(end);
        break;
      case 'f':
        piece->verb = 'f';
        piece->text = flags + "f";
        if (const size_t point = flags.find('.'); point != std::string::npos) {
          piece->digits = std::atoi(flags.c_str() + point + 1);
        }
        break;
      default: return false;
    }
    *i = end;
    return true;
  }

  bool AddMatches(CallResults* results) {
    if (arguments_.size() != 2) return false;
    results->pattern = Pattern(false);
    if (results->pattern < 0) return false;
    builder_.Compute(Operation::kRequireText, {arguments_[0]}, 0);
    results->is_iterator = true;
    results->ending = Ending::kMatches;
    results->a = arguments_[0];
    return true;
  }

  // The helper split(text, separator).
  bool AddPieces(CallResults* results) {
    if (arguments_.size() != 2) return false;
    for (const char* use : {"string metatable", "string.find", "string.sub"}) builder_.program().uses.insert(use);
    for (const int argument : arguments_) builder_.Compute(Operation::kRequireText, {argument}, 0);
    results->is_iterator = true;
    results->ending = Ending::kPieces;
    results->a = arguments_[0];
    results->b = arguments_[1];
    return true;
  }

  lua_State* const L_;
  ProgramBuilder& builder_;
  const std::string& name_;
  const std::vector<int>& arguments_;
};

// Texts have methods of the library and nothing else, other values without fields have no metatable.
bool MetatablesHold(lua_State* L) {
  const int top = lua_gettop(L);
  lua_pushliteral(L, "");
  bool holds = lua_getmetatable(L, -1) != 0;
  if (holds) {
    PushStandard(L, "string");
    lua_pushnil(L);
    int fields = 0;
    while (lua_next(L, top + 2) != 0) {
      holds = holds && lua_type(L, -2) == LUA_TSTRING && std::string_view(lua_tostring(L, -2)) == "__index" &&
              lua_rawequal(L, -1, top + 3) != 0;
      ++fields;
      lua_pop(L, 1);
    }
    holds = holds && fields == 1;
  }
  lua_settop(L, top);
  lua_pushnumber(L, 0);
  lua_pushboolean(L, 0);
  lua_pushnil(L);
  for (int i = 1; i <= 3; ++i) holds = holds && lua_getmetatable(L, top + i) == 0;
  lua_settop(L, top);
  return holds;
}

}  // namespace

bool IsKnownFunction(const std::string& name) {
  return Simples().contains(name) || name == "string.find" || name == "string.match" || name == "string.gsub" ||
         name == "string.format" || name == "string.gmatch" || name == "split";
}

bool AddCall(lua_State* L, ProgramBuilder* builder, const std::string& name, const std::vector<int>& arguments,
             CallResults* results, std::string* why_not) {
  if (name == "tostring" || name == "string.format") builder->program().uses.insert("string metatable");
  if (Adder(L, builder, name, arguments).Add(results)) return true;
  *why_not = fmt::format("{} with such arguments", name);
  return false;
}

bool UsesHold(lua_State* L, const std::set<std::string>& uses) {
  const int function = lua_gettop(L);
  bool holds = true;
  for (const std::string& use : uses) {
    if (use == "string metatable") {
      holds = MetatablesHold(L);
    } else {
      const size_t dot = use.find('.');
      const std::string name = use.substr(dot + 1);
      if (use.starts_with("_G.")) {
        lua_getfenv(L, function);
        lua_pushlstring(L, name.data(), name.size());
        lua_rawget(L, -2);
        if (lua_isnil(L, -1)) {
          lua_pushlstring(L, name.data(), name.size());
          lua_rawget(L, LUA_GLOBALSINDEX);
        }
        holds = StandardName(L, lua_gettop(L)) == name;
      } else {
        PushStandard(L, use.substr(0, dot));
        lua_pushlstring(L, name.data(), name.size());
        lua_rawget(L, -2);
        holds = StandardName(L, lua_gettop(L)) == use;
      }
    }
    lua_settop(L, function);
    if (!holds) break;
  }
  return holds;
}

}  // namespace glim::udf
