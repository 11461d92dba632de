// SPDX-License-Identifier: Apache-2.0
//
// Sources of flows: flow:TextFile("*.log"). See lua_dataset.h.
#include <fmt/core.h>

#include <cmath>

#include "base/try.h"
#include "script/lua_dataset.h"
#include "script/lua_formats.h"
#include "script/lua_functions.h"
#include "udf/lua_values.h"

namespace glim::script {
namespace {

Result<int> TextFile(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  ASSIGN_OR_RETURN(std::vector<std::string> paths, ToTexts(L, 2, "TextFile"));
  ASSIGN_OR_RETURN(TextFileOptions options, ToTextOptions(L, 3, "TextFile"));
  return PushDataset(L, flow->TextFile(std::move(paths), std::move(options)));
}

Result<int> ZipFile(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  ASSIGN_OR_RETURN(std::vector<std::string> paths, ToTexts(L, 2, "ZipFile"));
  ASSIGN_OR_RETURN(ZipFileOptions options, ToZipOptions(L, 3, "ZipFile"));
  return PushDataset(L, flow->ZipFile(std::move(paths), std::move(options)));
}

Result<int> Stdin(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  return PushDataset(L, flow->Stdin());
}

Result<int> Strings(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  ASSIGN_OR_RETURN(std::vector<std::string> values, ToTexts(L, 2, "Strings"));
  return PushDataset(L, flow->Strings(std::move(values)));
}

Result<int> Ints(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  ASSIGN_OR_RETURN(std::vector<int64_t> values, ToIntegers(L, 2, "Ints"));
  return PushDataset(L, flow->Ints(std::move(values)));
}

Result<int> Range(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  ASSIGN_OR_RETURN(const int64_t begin, ToInteger(L, 2, "Range"));
  ASSIGN_OR_RETURN(const int64_t end, ToInteger(L, 3, "Range"));
  return PushDataset(L, flow->Range(begin, end));
}

// The largest key of the table on top of the stack: nils within a row count, and `n` says so where they end it.
Result<int> RowWidth(lua_State* L, int row) {
  constexpr int kMax = 1 << 20;
  int width = 0;
  for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
    const bool is_count = lua_type(L, -2) == LUA_TSTRING && std::string_view(lua_tostring(L, -2)) == "n";
    const double key = is_count ? lua_tonumber(L, -1) : lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : 0;
    if (key < (is_count ? 0 : 1) || key > kMax || key != std::floor(key)) {
      const std::string shown = lua_type(L, -2) == LUA_TSTRING   ? Cell::Bytes(lua_tostring(L, -2)).ToDebugString()
                                : lua_type(L, -2) == LUA_TNUMBER ? fmt::format("{}", lua_tonumber(L, -2))
                                                                 : "a " + std::string(luaL_typename(L, -2));
      return Status::Invalid(
          fmt::format("Rows: row {} is a list of values, like {{\"ann\", 3}}; it has the key {}", row, shown));
    }
    width = std::max(width, static_cast<int>(key));
  }
  return width;
}

// A list of rows, each a list of values.
Result<int> Rows(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  if (!lua_istable(L, 2)) return WrongArgument(L, 2, "Rows", "a list of lists");
  RETURN_IF_ERROR(IsList(L, 2, "Rows"));
  std::vector<Row> rows;
  for (int r = 1; r <= static_cast<int>(lua_objlen(L, 2)); ++r) {
    lua_rawgeti(L, 2, r);
    if (!lua_istable(L, -1)) {
      return WrongArgument(L, lua_gettop(L), "Rows", fmt::format("a list as row {}", r).c_str());
    }
    ASSIGN_OR_RETURN(const int width, RowWidth(L, r));
    BatchBuilder builder(width);
    for (int c = 0; c < builder.column_count(); ++c) {
      lua_rawgeti(L, -1, c + 1);
      std::string error;
      if (!udf::AppendLuaValue(L, lua_gettop(L), &builder.column(c), &error)) {
        return Status::Invalid(fmt::format("Rows: row {}: {}", r, error));
      }
      lua_pop(L, 1);
    }
    builder.EndRow();
    rows.push_back(builder.Finish().RowAt(0));
    lua_pop(L, 1);
  }
  return PushDataset(L, flow->Rows(std::move(rows)));
}

Result<int> Input(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  ASSIGN_OR_RETURN(Dataset data, InputFormat(L, 2, flow));
  return PushDataset(L, std::move(data));
}

Result<int> Sql(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  ASSIGN_OR_RETURN(std::string database, ToText(L, 2, "Sql"));
  ASSIGN_OR_RETURN(std::string query, ToText(L, 3, "Sql"));
  ASSIGN_OR_RETURN(SqlOptions options, ToSqlOptions(L, 4, "Sql"));
  return PushDataset(L, flow->Sql(std::move(database), std::move(query), std::move(options)));
}

Result<int> Generate(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  ASSIGN_OR_RETURN(FunctionSource function, ToFunction(L, 2, "Generate"));
  int parts = 1;
  if (!lua_isnoneornil(L, 3)) {
    ASSIGN_OR_RETURN(parts, ToInt(L, 3, "Generate"));
  }
  return PushDataset(L, flow->Generate(std::move(function), parts));
}

// flow:Read(file), of an open file or io.popen. The script may close it before the flow runs.
Result<int> Read(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  RETURN_IF_ERROR(ToFile(L, 2, "Read").status());
  auto kept = std::make_shared<const Kept>(L, 2);
  auto* const file = static_cast<FILE* const*>(lua_touserdata(L, 2));
  return PushDataset(L, flow->Read([kept, file](std::span<char> out) -> Result<size_t> {
    if (*file == nullptr) return Status::Invalid("the file is closed");
    const size_t size = std::fread(out.data(), 1, out.size(), *file);
    if (size == 0 && std::ferror(*file) != 0) return Status::Unavailable("the file cannot be read");
    return size;
  }));
}

Result<int> Listen(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  ASSIGN_OR_RETURN(std::string network, ToText(L, 2, "Listen"));
  ASSIGN_OR_RETURN(std::string address, ToText(L, 3, "Listen"));
  ASSIGN_OR_RETURN(ListenOptions options, ToListenOptions(L, 4, "Listen"));
  return PushDataset(L, flow->Listen(std::move(network), std::move(address), options));
}

Result<int> Source(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  ASSIGN_OR_RETURN(FunctionSource function, ToFunction(L, 2, "Source"));
  return PushDataset(L, flow->Source(std::move(function)));
}

Result<int> FromDisk(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  ASSIGN_OR_RETURN(std::string name, ToText(L, 2, "FromDisk"));
  return PushDataset(L, flow->FromDisk(std::move(name)));
}

Result<int> Init(lua_State* L) {
  ASSIGN_OR_RETURN(Flow * flow, SelfFlow(L));
  ASSIGN_OR_RETURN(std::string code, ToText(L, 2, "Init"));
  flow->Init(std::move(code));
  lua_settop(L, 1);
  return 1;
}

}  // namespace

const Function kSourceMethods[] = {
    {"TextFile", Call<TextFile>, 2},
    {"Stdin", Call<Stdin>, 0},
    {"Strings", Call<Strings>, 1},
    {"Lines", Call<Strings>, 1},
    {"Ints", Call<Ints>, 1},
    {"Range", Call<Range>, 2},
    {"Rows", Call<Rows>, 1},
    {"Input", Call<Input>, 1},
    {"Sql", Call<Sql>, 3},
    {"Generate", Call<Generate>, 2},
    {"Init", Call<Init>, 1},
    {"ZipFile", Call<ZipFile>, 2},
    {"Read", Call<Read>, 1},
    {"Listen", Call<Listen>, 3},
    {"Source", Call<Source>, 1},
    {"FromDisk", Call<FromDisk>, 1},
    {},
};

}  // namespace glim::script
