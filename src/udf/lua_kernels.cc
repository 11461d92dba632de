// SPDX-License-Identifier: Apache-2.0
#include "udf/lua_kernels.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <lua.hpp>
#include <span>

#include "glim/batch_builder.h"
#include "udf/byte_set.h"
#include "udf/kernel/function_kernel.h"
#include "udf/kernel/reader.h"
#include "udf/kernel/text_operations.h"
#include "udf/lua_pattern.h"
#include "udf/row_emitter.h"

namespace glim::udf {
namespace {

// Recognises functions with the help of jit.util; returns a function find_tokens(f), which gives the pattern, "lower"
// or "upper" or nil, whether that is done before the search, and what becomes of a token: "return", "write", or "write
// 1"; nil when f is something else.
constexpr char kRecognise[] = R"lua(
local util = require "jit.util"
local gmatch, writeRow = string.gmatch, writeRow
local cases = {lower = string.lower, upper = string.upper}
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
-- Every way to write it that we know, with CASE and PATTERN in it.
local templates = {}
for _, text in ipairs {"a", "a:CASE()", "string.CASE(a)"} do
  local case = text ~= "a" and "before" or nil
  for _, form in ipairs {"TEXT:gmatch(PATTERN)", "string.gmatch(TEXT, PATTERN)"} do
    local function add(case, use, source)
      templates[#templates + 1] = {case = case, use = use, source = "return function(a) " .. source .. " end"}
    end
    local search = form:gsub("TEXT", text)
    add(case, "return", "return " .. search)
    add(case, "return", "local s = " .. text .. " return " .. form:gsub("TEXT", "s"))
    add(case, "return", "a = " .. text .. " return " .. form:gsub("TEXT", "a"))
    for row, use in pairs {["w"] = "write", ["w, 1"] = "write 1"} do
      add(case, use, "for w in " .. search .. " do writeRow(" .. row .. ") end")
      if not case then
        add("after", use, "for w in " .. search .. " do writeRow(" .. row:gsub("w", "w:CASE()") .. ") end")
        add("after", use, "for w in " .. search .. " do writeRow(" .. row:gsub("w", "string.CASE(w)") .. ") end")
      end
    end
  end
end
local function find_tokens(f)
  local code, info = code_of(f)
  if not code or info.gcconsts > 5 then return nil end
  local environment = getfenv(f)
  if environment.string ~= string or string.gmatch ~= gmatch or ("").gmatch ~= gmatch then return nil end
  local case, searches
  for i = 1, info.gcconsts do
    local constant = util.funck(f, -i)
    if cases[constant] then case = constant end
    if constant == "gmatch" then searches = true end
    if constant == "writeRow" and environment.writeRow ~= writeRow then return nil end
  end
  if not searches then return nil end
  if case and (string[case] ~= cases[case] or ("")[case] ~= cases[case]) then return nil end
  for i = 1, info.gcconsts do
    local pattern = util.funck(f, -i)
    for _, template in ipairs(templates) do
      if (case ~= nil) == (template.case ~= nil) then
        local source = template.source:gsub("%u+", {CASE = case, PATTERN = ("%q"):format(pattern)})
        local made = loadstring(source)
        if made and equal(code, code_of(made())) then return pattern, case, template.case == "before", template.use end
      end
    end
  end
  return nil
end
return find_tokens
)lua";

// Tokens of each line as views into the line's block, or into a block with the text in the other case.
class TokenKernel : public LuaKernel {
 public:
  struct Options {
    LuaPattern::Set members;
    Case to = Case::kKept;
    bool search_transformed = false;  // Tokens are looked for in the text as it is afterwards.
    bool with_one = false;            // A second column of ones.
  };
  explicit TokenKernel(const Options& options)
      : member_(options.members),
        to_(options.to),
        search_transformed_(options.search_transformed),
        with_one_(options.with_one) {}

  // nil or a number would go through Lua's own rules.
  bool Fits(const Batch& in) const override {
    return in.column_count() > 0 && in.column(0).type() == Type::kBytes && !in.column(0).may_have_nulls();
  }

  Status Run(const Batch& in, BatchOutput& out, const RowInLua&) override {
    const Column& column = in.column(0);
    const std::span<const BytesView> views = column.Views();
    for (size_t i = 0; i < views.size() && !out.full();) {
      if (to_ == Case::kKept) {
        i = ScanTogether(column, i);
      } else {
        if (Status status = ScanChanged(column, views[i++], out); !status.ok()) return status;
      }
      if (count_ >= kRowsPerBatch) {
        if (Status status = Give(column, out); !status.ok()) return status;
      }
    }
    return Give(column, out);
  }

 private:
  static constexpr size_t kBlockBytes = 64 << 10;

  // Text to look for tokens in.
  struct Place {
    const char* search;
    const char* text;  // Where a token's bytes are; search itself, or as it is in the other case.
    size_t size;
    size_t readable;  // So many bytes may be read in both.
    uint32_t block;   // Of `text`, for tokens that are longer than a view holds itself.
    uint32_t offset;
  };

  // Lines that lie one behind the other, as those of a file do, are searched as one text, if no token would reach over
  // their ends: most are shorter than what is looked at in one step. Gives the first row that is not among them.
  size_t ScanTogether(const Column& column, size_t row) {
    constexpr size_t kTogetherMax = 16 << 10;
    const std::span<const BytesView> views = column.Views();
    const BytesView& first = views[row++];
    if (first.is_inline()) {
      Scan({first.inlined, first.inlined, first.size, sizeof(first.inlined), 0, 0});
      return row;
    }
    const Buffer& block = *(*column.parts().blocks)[first.ref.block];
    const char* const data = block.data();
    const size_t begin = first.ref.offset;
    size_t end = begin + first.size;
    for (; row < views.size() && end - begin < kTogetherMax && end < block.size() && !member_.Has(data[end]); ++row) {
      const BytesView& next = views[row];
      const size_t at = end + 1;  // Behind the end of a line.
      if (next.is_inline()) {     // It does not say where it was; a line with its bytes has its tokens.
        if (next.size > block.size() - at || std::memcmp(data + at, next.inlined, next.size) != 0) break;
      } else if (next.ref.block != first.ref.block || next.ref.offset != at) {
        break;
      }
      end = at + next.size;
    }
    Scan({data + begin, data + begin, end - begin, block.size() - begin, first.ref.block, first.ref.offset});
    return row;
  }

  Status ScanChanged(const Column& column, const BytesView& view, BatchOutput& out) {
    const std::string_view line = column.Resolve(view);
    if (block_ == nullptr || used_ + line.size() > block_->size()) {
      if (Status status = Give(column, out); !status.ok()) return status;
      block_ = Buffer::Allocate(std::max(kBlockBytes, line.size()));
      used_ = 0;
    }
    char* const text = block_->mutable_data() + used_;
    ChangeCase(to_, line, text);
    const char* const search = search_transformed_ ? text : line.data();
    Scan({search, text, line.size(), line.size(), 0, static_cast<uint32_t>(used_)});
    used_ += line.size();
    return Status::Ok();
  }

  void Scan(const Place& place) {
    bool in_token = false;
    size_t token = 0;
    uint64_t masks[ByteSet::kBlocksMax];
    for (size_t begin = 0; begin < place.size;) {
      const size_t blocks = member_.Masks(place.search + begin, place.size - begin, place.readable - begin, masks);
      for (size_t block = 0; block < blocks; ++block, begin += 64) {
        const uint64_t members = masks[block];
        // A bit for each place where a token begins or ends.
        for (uint64_t turns = members ^ (members << 1 | static_cast<uint64_t>(in_token)); turns != 0;
             turns &= turns - 1) {
          const size_t here = begin + static_cast<size_t>(std::countr_zero(turns));
          if (in_token) Add(place, token, here);
          token = here;
          in_token = !in_token;
        }
      }
    }
    if (in_token) Add(place, token, place.size);
  }

  void Add(const Place& place, size_t begin, size_t end) {
    if (count_ == capacity_) Grow();
    const char* const at = place.text + begin;
    const auto size = static_cast<uint32_t>(end - begin);
    const uint32_t offset = place.offset + static_cast<uint32_t>(begin);
    views_->MutableAs<BytesView>()[count_++] = place.readable - begin >= sizeof(BytesView)
                                                   ? BytesView::MakeReadable(at, size, place.block, offset)
                                                   : BytesView::Make(at, size, place.block, offset);
  }

  void Grow() {
    capacity_ = std::max<int64_t>(kRowsPerBatch * 2, capacity_ * 2);
    auto bigger = Buffer::Allocate(capacity_ * sizeof(BytesView));
    if (count_ > 0) std::memcpy(bigger->mutable_data(), views_->data(), count_ * sizeof(BytesView));
    views_ = std::move(bigger);
  }

  Status Give(const Column& column, BatchOutput& out) {
    const std::shared_ptr<Buffer> block = std::move(block_);
    block_ = nullptr;
    if (count_ == 0) return Status::Ok();
    Column::Parts parts;
    parts.type = Type::kBytes;
    parts.length = count_;
    parts.values = std::move(views_);
    parts.blocks =
        to_ == Case::kKept ? column.parts().blocks : std::make_shared<const std::vector<BufferRef>>(1, block);
    const int64_t count = count_;
    views_ = nullptr;
    count_ = capacity_ = 0;
    std::vector<Column> columns = {Column(std::move(parts))};
    if (with_one_) columns.push_back(Column::Constant(Value(1), count));
    const Batch tokens(std::move(columns), count);
    for (int64_t begin = 0; begin < count && !out.full(); begin += kRowsPerBatch) {
      const int64_t rows = std::min(kRowsPerBatch, count - begin);
      if (Status status = out.Push(tokens.Slice(begin, rows)); !status.ok()) return status;
    }
    return Status::Ok();
  }

  const ByteSet member_;
  const Case to_;
  const bool search_transformed_;
  const bool with_one_;
  std::shared_ptr<Buffer> views_;
  int64_t count_ = 0;
  int64_t capacity_ = 0;
  std::shared_ptr<Buffer> block_;  // Of transformed text, for the tokens at hand.
  size_t used_ = 0;
};

// Pushes the recogniser; false when this LuaJIT has no jit.util.
bool PushFindTokens(lua_State* L) {
  constexpr char kKey[] = "glim find_tokens";
  lua_getfield(L, LUA_REGISTRYINDEX, kKey);
  if (!lua_isnil(L, -1)) return true;
  lua_pop(L, 1);
  if (luaL_loadbuffer(L, kRecognise, sizeof(kRecognise) - 1, "=recognise") != 0 || lua_pcall(L, 0, 1, 0) != 0) {
    lua_pop(L, 1);
    return false;
  }
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, kKey);
  return true;
}

std::unique_ptr<LuaKernel> FindTokens(lua_State* L, int function, FunctionRole role) {
  if (role != FunctionRole::kFlatMap && role != FunctionRole::kMap && role != FunctionRole::kForEach) return nullptr;
  if (!lua_isfunction(L, function) || lua_iscfunction(L, function) || !PushFindTokens(L)) return nullptr;
  lua_pushvalue(L, function);
  if (lua_pcall(L, 1, 4, 0) != 0 || lua_type(L, -4) != LUA_TSTRING) return nullptr;
  size_t size = 0;
  const char* pattern = lua_tolstring(L, -4, &size);
  const auto read = LuaPattern::Read(L, {pattern, size});
  if (!read.has_value() || read->run() == nullptr) return nullptr;
  const std::string_view use = lua_tostring(L, -1);
  if (use == "return" && role != FunctionRole::kFlatMap) return nullptr;
  TokenKernel::Options options{.members = *read->run()};
  if (!lua_isnil(L, -3)) options.to = std::strcmp(lua_tostring(L, -3), "lower") == 0 ? Case::kLower : Case::kUpper;
  options.search_transformed = lua_toboolean(L, -2) != 0;
  options.with_one = use == "write 1";
  return std::make_unique<TokenKernel>(options);
}

}  // namespace

void PrepareKernels(lua_State* L) {
  const int top = lua_gettop(L);
  PushFindTokens(L);
  lua_settop(L, top);
}

FoundKernel FindKernel(lua_State* L, FunctionRole role) {
  const int function = lua_gettop(L);
  FoundKernel found{FindTokens(L, function, role), ""};
  lua_settop(L, function);
  if (found.kernel != nullptr) return found;
  Reading reading = ReadFunction(L, role);
  if (!reading.why_not.empty()) return {nullptr, std::move(reading.why_not)};
  return {std::make_unique<FunctionKernel>(std::move(reading.program), role), ""};
}

std::string WhyNoSum(lua_State* L) {
  const Reading reading = ReadFunction(L, FunctionRole::kMap);
  if (!reading.why_not.empty()) return reading.why_not;
  const Program& program = reading.program;
  const auto is_sum = [&] {
    if (program.blocks.size() != 1 || program.blocks[0].code.size() != 1) return false;
    const Block& block = program.blocks[0];
    const Instruction& add = block.code[0];
    if (add.op != Operation::kAdd || block.ending != Ending::kReturn || block.results != add.out) return false;
    const int first = program.values[static_cast<size_t>(add.in[0])].argument;
    const int second = program.values[static_cast<size_t>(add.in[1])].argument;
    return (first == 0 && second == 1) || (first == 1 && second == 0);
  };
  return is_sum() ? "" : "a fold that is no sum";
}

}  // namespace glim::udf
