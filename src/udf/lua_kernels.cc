// SPDX-License-Identifier: Apache-2.0
#include "udf/lua_kernels.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <lua.hpp>

#include "glim/batch_builder.h"
#include "udf/lua_values.h"
#include "udf/row_emitter.h"

namespace glim::udf {
namespace {

// Recognises functions with the help of jit.util; returns two functions. find_gmatch(f): the pattern or nil.
// is_moves(f): whether the function only moves arguments and constants to its results.
constexpr char kRecognise[] = R"lua(
local util = require "jit.util"
local band = bit.band
local gmatch = string.gmatch
local function code_of(f)
  local info = util.funcinfo(f)
  if not info.bytecodes or info.upvalues ~= 0 or info.isvararg or info.children then return nil end
  local parts = {info.params, info.bytecodes, info.gcconsts, info.nconsts}
  for pc = 0, info.bytecodes - 1 do parts[#parts + 1] = util.funcbc(f, pc) end
  for i = 1, info.gcconsts do
    local constant = util.funck(f, -i)
    if type(constant) ~= "string" then return nil end
    parts[#parts + 1] = "s" .. constant
  end
  return parts, info
end
local function equal(a, b)
  if not a or not b or #a ~= #b then return false end
  for i = 5, #a do if a[i] ~= b[i] then return false end end
  for i = 1, 4 do if a[i] ~= b[i] then return false end end
  return true
end
local function find_gmatch(f)
  local code, info = code_of(f)
  if not code or info.gcconsts < 2 or info.gcconsts > 3 then return nil end
  if ("").gmatch ~= gmatch or getfenv(f).string ~= string or string.gmatch ~= gmatch then return nil end
  for i = 1, info.gcconsts do
    local pattern = util.funck(f, -i)
    if pattern ~= "gmatch" and pattern ~= "string" then
      for _, form in ipairs {"return function(a) return a:gmatch(%q) end", "return function(a) return string.gmatch(a, %q) end"} do
        local template = loadstring(form:format(pattern))
        if template and equal(code, code_of(template())) then return pattern end
      end
    end
  end
  return nil
end
local safe
do
  safe = {}
  local probes = {
    function(a) return a end, function(a, b) return b, a end, function(a) return a, 1 end, function(a) return 1.5, a end,
    function(a) return "s", a end, function(a) return a, true, false end, function(a) return nil, a, nil end, function() return 1 end,
    function() return "s" end, function(a) return a, nil, nil, nil end, function() return true end, function() return 1.5 end,
    function() return -1e300, "x" end, function(a, b, c) return c, c, a end,
  }
  for _, probe in ipairs(probes) do
    for pc = 0, util.funcinfo(probe).bytecodes - 1 do safe[band(util.funcbc(probe, pc), 0xff)] = true end
  end
end
local function is_moves(f)
  local info = util.funcinfo(f)
  if not info.bytecodes or info.upvalues ~= 0 or info.isvararg or info.children then return false end
  for pc = 0, info.bytecodes - 1 do
    if not safe[band(util.funcbc(f, pc), 0xff)] then return false end
  end
  return true, info.params
end
-- A function header that the JIT or a debugger patched has another opcode than the probes'; then nothing is recognised, which is right, only slower.
return find_gmatch, is_moves
)lua";

// Tokens of each line as views into the line's block.
class TokenKernel : public BatchFunction {
 public:
  explicit TokenKernel(const std::bitset<256>& members) {
    for (int c = 0; c < 256; ++c) member_[c] = members[c];
  }

  Status Run(const Batch& in, BatchOutput& out) override {
    const Column& column = in.column(0);
    if (column.type() != Type::kBytes || column.may_have_nulls())
      return Status::Internal("a token kernel on a column of other values");
    const auto views = column.Views();
    for (int64_t row = 0; row < column.length() && !out.full(); ++row) {
      Scan(column, views[row]);
      if (count_ >= kRowsPerBatch) {
        if (Status status = Give(column, out); !status.ok()) return status;
      }
    }
    return Give(column, out);
  }

 private:
  void Scan(const Column& column, const BytesView& view) {
    const std::string_view line = column.Resolve(view);
    const char* const begin = line.data();
    const char* const end = begin + line.size();
    const bool is_inline = view.is_inline();
    for (const char* p = begin; p < end;) {
      while (p < end && !member_[static_cast<unsigned char>(*p)]) ++p;
      const char* const token = p;
      while (p < end && member_[static_cast<unsigned char>(*p)]) ++p;
      if (p == token) break;
      if (count_ == capacity_) Grow();
      views_->MutableAs<BytesView>()[count_++] =
          is_inline ? BytesView::Make(token, static_cast<uint32_t>(p - token), 0, 0)
                    : BytesView::Make(token, static_cast<uint32_t>(p - token), view.ref.block,
                                      view.ref.offset + static_cast<uint32_t>(token - begin));
    }
  }

  void Grow() {
    capacity_ = std::max<int64_t>(kRowsPerBatch * 2, capacity_ * 2);
    auto bigger = Buffer::Allocate(capacity_ * sizeof(BytesView));
    if (count_ > 0) std::memcpy(bigger->mutable_data(), views_->data(), count_ * sizeof(BytesView));
    views_ = std::move(bigger);
  }

  Status Give(const Column& column, BatchOutput& out) {
    if (count_ == 0) return Status::Ok();
    Column::Parts parts;
    parts.type = Type::kBytes;
    parts.length = count_;
    parts.values = std::move(views_);
    parts.blocks = column.parts().blocks;
    const int64_t count = count_;
    views_ = nullptr;
    count_ = capacity_ = 0;
    const Batch tokens({Column(std::move(parts))}, count);
    for (int64_t begin = 0; begin < count && !out.full(); begin += kRowsPerBatch) {
      const int64_t rows = std::min(kRowsPerBatch, count - begin);
      if (Status status = out.Push(tokens.Slice(begin, rows)); !status.ok()) return status;
    }
    return Status::Ok();
  }

  bool member_[256];
  std::shared_ptr<Buffer> views_;
  int64_t count_ = 0;
  int64_t capacity_ = 0;
};

// Each result column is an argument or a constant.
class MovesKernel : public BatchFunction {
 public:
  struct Source {
    int argument = -1;  // -1: the constant.
    Value constant;
  };
  explicit MovesKernel(std::vector<Source> sources) : sources_(std::move(sources)) {}

  // In slices, because the type of a column depends on the values in it.
  Status Run(const Batch& in, BatchOutput& out) override {
    if (sources_.empty()) return Status::Ok();
    for (int64_t begin = 0; begin < in.row_count() && !out.full(); begin += kRowsPerBatch) {
      const int64_t rows = std::min(kRowsPerBatch, in.row_count() - begin);
      if (Status status = out.Push(Move(in.Slice(begin, rows))); !status.ok()) return status;
    }
    return Status::Ok();
  }

 private:
  Batch Move(const Batch& in) {
    std::vector<Column> columns;
    for (const Source& source : sources_) {
      if (source.argument < 0) {
        columns.push_back(Constants(source.constant, in.row_count()));
      } else if (source.argument < in.column_count()) {
        columns.push_back(ThroughLua(in.column(source.argument)));
      } else {
        columns.push_back(Column::Nulls(in.row_count()));
      }
    }
    return Batch(std::move(columns), in.row_count());
  }

  // The same constant batch after batch shares one buffer.
  Column Constants(const Value& value, int64_t rows) {
    for (auto& [known, column] : constants_) {
      if (known.type() == value.type() && known == value) return column.Slice(0, rows);
    }
    constants_.emplace_back(value, Column::Constant(value, kRowsPerBatch));
    return constants_.back().second.Slice(0, rows);
  }

  const std::vector<Source> sources_;
  std::vector<std::pair<Value, Column>> constants_;
};

// Pushes the two recognisers; false when this LuaJIT has no jit.util.
bool PushRecognisers(lua_State* L) {
  lua_getfield(L, LUA_REGISTRYINDEX, "glim find_gmatch");
  lua_getfield(L, LUA_REGISTRYINDEX, "glim is_moves");
  if (!lua_isnil(L, -1)) return true;
  lua_pop(L, 2);
  if (luaL_loadbuffer(L, kRecognise, sizeof(kRecognise) - 1, "=recognise") != 0 || lua_pcall(L, 0, 2, 0) != 0) {
    lua_pop(L, 1);
    return false;
  }
  lua_pushvalue(L, -2);
  lua_setfield(L, LUA_REGISTRYINDEX, "glim find_gmatch");
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, "glim is_moves");
  return true;
}

std::unique_ptr<BatchFunction> FindMoves(lua_State* L, int function, int is_moves) {
  lua_pushvalue(L, is_moves);
  lua_pushvalue(L, function);
  if (lua_pcall(L, 1, 2, 0) != 0 || lua_toboolean(L, -2) == 0) return nullptr;
  const auto parameters = static_cast<int>(lua_tointeger(L, -1));
  luaL_checkstack(L, 2 * parameters + 8, "a kernel");
  // Marks: each argument is a table of its own.
  const int marks = lua_gettop(L) + 1;
  for (int i = 0; i < parameters; ++i) lua_newtable(L);
  const int results = lua_gettop(L) + 1;
  lua_pushvalue(L, function);
  for (int i = 0; i < parameters; ++i) lua_pushvalue(L, marks + i);
  if (lua_pcall(L, parameters, LUA_MULTRET, 0) != 0) return nullptr;
  std::vector<MovesKernel::Source> sources;
  for (int r = results; r <= lua_gettop(L); ++r) {
    MovesKernel::Source source;
    for (int i = 0; i < parameters; ++i) {
      if (lua_rawequal(L, r, marks + i)) source.argument = i;
    }
    if (source.argument < 0) {
      ColumnBuilder builder;
      std::string error;
      if (!AppendLuaValue(L, r, &builder, &error)) return nullptr;
      source.constant = Value(builder.Finish().At(0));
    }
    sources.push_back(std::move(source));
  }
  return std::make_unique<MovesKernel>(std::move(sources));
}

}  // namespace

std::optional<std::bitset<256>> ParseRunPattern(std::string_view pattern) {
  const auto in_class = [](char letter, int c) -> std::optional<bool> {
    bool member;
    switch (std::tolower(static_cast<unsigned char>(letter))) {
      case 'a': member = std::isalpha(c); break;
      case 'c': member = std::iscntrl(c); break;
      case 'd': member = std::isdigit(c); break;
      case 'l': member = std::islower(c); break;
      case 'p': member = std::ispunct(c); break;
      case 's': member = std::isspace(c); break;
      case 'u': member = std::isupper(c); break;
      case 'w': member = std::isalnum(c); break;
      case 'x': member = std::isxdigit(c); break;
      default: return std::nullopt;
    }
    return std::isupper(static_cast<unsigned char>(letter)) ? !member : member;
  };
  std::bitset<256> members;
  const auto add_class = [&](char letter) {
    for (int c = 0; c < 128; ++c) {
      const auto member = in_class(letter, c);
      if (!member.has_value()) return false;
      if (*member) members.set(c);
    }
    // Above ASCII no letter is in a class, whatever the locale of the process, as in LuaJIT.
    if (std::isupper(static_cast<unsigned char>(letter))) {
      for (int c = 128; c < 256; ++c) members.set(c);
    }
    return true;
  };
  if (pattern.size() == 3 && pattern[0] == '%' && pattern[2] == '+') {
    if (!std::isalpha(static_cast<unsigned char>(pattern[1]))) return std::nullopt;
    if (!add_class(pattern[1])) return std::nullopt;
    return members;
  }
  // "[set]+" of plain bytes, classes and ranges; a set with a bracket or a hyphen at its border is left to Lua.
  if (pattern.size() < 4 || pattern.front() != '[' || !pattern.ends_with("]+")) return std::nullopt;
  std::string_view set = pattern.substr(1, pattern.size() - 3);
  const bool negated = set.front() == '^';
  if (negated) set.remove_prefix(1);
  if (set.empty() || set.find('[') != set.npos || set.find(']') != set.npos || set.front() == '-' || set.back() == '-')
    return std::nullopt;
  for (size_t i = 0; i < set.size(); ++i) {
    const auto first = static_cast<unsigned char>(set[i]);
    if (first == '%') {
      if (++i == set.size()) return std::nullopt;
      if (!std::isalpha(static_cast<unsigned char>(set[i]))) {
        if (i + 1 < set.size() && set[i + 1] == '-') return std::nullopt;
        members.set(static_cast<unsigned char>(set[i]));
      } else if (!add_class(set[i])) {
        return std::nullopt;
      }
      if (i + 1 < set.size() && set[i + 1] == '-') return std::nullopt;
    } else if (i + 2 < set.size() && set[i + 1] == '-') {
      if (set[i + 2] == '%') return std::nullopt;
      for (int c = first; c <= static_cast<unsigned char>(set[i + 2]); ++c) members.set(c);
      i += 2;
    } else {
      members.set(first);
    }
  }
  return negated ? ~members : members;
}

void PrepareKernels(lua_State* L) {
  const int top = lua_gettop(L);
  PushRecognisers(L);
  lua_settop(L, top);
}

std::unique_ptr<BatchFunction> FindKernel(lua_State* L, FunctionRole role) {
  const int function = lua_gettop(L);
  std::unique_ptr<BatchFunction> kernel;
  if (lua_isfunction(L, function) && !lua_iscfunction(L, function) && PushRecognisers(L)) {
    const int find_gmatch = lua_gettop(L) - 1;
    const int is_moves = lua_gettop(L);
    if (role == FunctionRole::kFlatMap) {
      lua_pushvalue(L, find_gmatch);
      lua_pushvalue(L, function);
      if (lua_pcall(L, 1, 1, 0) == 0 && lua_type(L, -1) == LUA_TSTRING) {
        size_t size = 0;
        const char* pattern = lua_tolstring(L, -1, &size);
        if (const auto members = ParseRunPattern({pattern, size})) kernel = std::make_unique<TokenKernel>(*members);
      }
    } else if (role == FunctionRole::kMap) {
      kernel = FindMoves(L, function, is_moves);
    }
  }
  lua_settop(L, function);
  return kernel;
}

}  // namespace glim::udf
