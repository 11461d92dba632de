// SPDX-License-Identifier: Apache-2.0
//
// Ends of datasets: data:WriteCsv("sales.csv"), data:Output(f). See lua_dataset.h.
#include <fmt/core.h>

#include "base/try.h"
#include "io/row_format.h"
#include "script/lua_dataset.h"
#include "script/lua_flow.h"
#include "script/lua_formats.h"
#include "udf/lua_values.h"

namespace glim::script {
namespace {

// A mistake in the format is told where the script calls, not when it runs.
Result<std::string> ToFormat(lua_State* L, int index, const char* what) {
  ASSIGN_OR_RETURN(std::string format, ToText(L, index, what));
  if (auto parsed = io::RowFormat::Parse(format); !parsed.ok()) return std::move(parsed).status().With(what);
  return format;
}

template <StepName name, Dataset (Dataset::*step)(std::string) const>
Result<int> CallPrintf(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(std::string format, ToFormat(L, 2, name.text));
  return PushDataset(L, (self->*step)(std::move(format)));
}

template <StepName name, Dataset (Dataset::*step)(FILE*, std::string) const>
Result<int> CallFprintf(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(FILE * file, ToFile(L, 2, name.text));
  ASSIGN_OR_RETURN(std::string format, ToFormat(L, 3, name.text));
  return PushDataset(L, (self->*step)(file, std::move(format)));
}

Result<int> PipeOut(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(FILE * file, ToFile(L, 2, "PipeOut"));
  return PushDataset(L, self->PipeOut(file));
}

template <StepName name, Dataset (Dataset::*step)(std::string, WriteOptions) const>
Result<int> CallWrite(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(std::string path, ToText(L, 2, name.text));
  ASSIGN_OR_RETURN(WriteOptions options, ToWriteOptions(L, 3, name.text));
  return PushDataset(L, (self->*step)(std::move(path), std::move(options)));
}

template <StepName name, Dataset (Dataset::*step)(std::string, CsvWriteOptions) const>
Result<int> CallWriteCsv(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(std::string path, ToText(L, 2, name.text));
  ASSIGN_OR_RETURN(CsvWriteOptions options, ToCsvWriteOptions(L, 3, name.text));
  return PushDataset(L, (self->*step)(std::move(path), std::move(options)));
}

Result<int> WriteJsonLines(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(std::string path, ToText(L, 2, "WriteJsonLines"));
  std::vector<std::string> names;  // Of the fields.
  if (!lua_isnoneornil(L, 3)) {
    ASSIGN_OR_RETURN(names, ToTexts(L, 3, "WriteJsonLines"));
    if (names.empty()) return Status::Invalid("WriteJsonLines needs a name for each column");
  }
  ASSIGN_OR_RETURN(WriteOptions options, ToWriteOptions(L, 4, "WriteJsonLines"));
  return PushDataset(L, self->WriteJsonLines(std::move(path), std::move(names), std::move(options)));
}

Result<int> WriteSql(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  ASSIGN_OR_RETURN(std::string database, ToText(L, 2, "WriteSql"));
  ASSIGN_OR_RETURN(std::string table, ToText(L, 3, "WriteSql"));
  ASSIGN_OR_RETURN(SqlWriteOptions options, ToSqlWriteOptions(L, 4, "WriteSql"));
  return PushDataset(L, self->WriteSql(std::move(database), std::move(table), std::move(options)));
}

// `as_list`: the function gets each row as a list, not its fields as arguments.
template <bool as_list>
Result<int> Output(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  if (!lua_isfunction(L, 2)) return WrongArgument(L, 2, as_list ? "OutputRow" : "Output", "a function");
  auto function = std::make_shared<const Kept>(L, 2);
  return PushDataset(L, self->Output([function](const Batch& batch) -> Status {
    lua_State* state = function->state();
    luaL_checkstack(state, batch.column_count() + 8, "Output");
    for (int64_t row = 0; row < batch.row_count(); ++row) {
      function->Push();
      if (as_list) {
        udf::PushList(state, batch.column_count(), [&](int64_t c) { return batch.At(row, static_cast<int>(c)); });
      } else {
        for (int c = 0; c < batch.column_count(); ++c) udf::PushCell(state, batch.At(row, c));
      }
      if (lua_pcall(state, as_list ? 1 : batch.column_count(), 0, 0) != 0) {
        const char* message = lua_tostring(state, -1);
        Status status = Status::UserCode(fmt::format(
            "{}, row {}", message != nullptr ? message : "an error that is not a string", batch.RowToDebugString(row)));
        lua_pop(state, 1);
        return status;
      }
    }
    return Status::Ok();
  }));
}

// Appends every row to the list, as a list of its fields.
Result<int> CollectRows(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  if (!lua_istable(L, 2)) return WrongArgument(L, 2, "Collect", "a table to fill");
  auto list = std::make_shared<const Kept>(L, 2);
  return PushDataset(L, self->Output([list](const Batch& batch) -> Status {
    lua_State* state = list->state();
    luaL_checkstack(state, 8, "Collect");
    list->Push();
    auto next = static_cast<int>(lua_objlen(state, -1));
    for (int64_t row = 0; row < batch.row_count(); ++row) {
      udf::PushList(state, batch.column_count(), [&](int64_t c) { return batch.At(row, static_cast<int>(c)); });
      lua_rawseti(state, -2, ++next);
    }
    lua_pop(state, 1);
    return Status::Ok();
  }));
}

Result<int> SaveFirstRowTo(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  if (!lua_istable(L, 2)) return WrongArgument(L, 2, "SaveFirstRowTo", "a table to fill");
  auto row_table = std::make_shared<const Kept>(L, 2);
  return PushDataset(L, self->Limit(1).Output([row_table](const Batch& batch) -> Status {
    lua_State* state = row_table->state();
    row_table->Push();
    for (int c = 0; c < batch.column_count(); ++c) {
      udf::PushCell(state, batch.At(0, c));
      lua_rawseti(state, -2, c + 1);
    }
    lua_pop(state, 1);
    return Status::Ok();
  }));
}

Result<int> Print(lua_State* L) {
  ASSIGN_OR_RETURN(Dataset * self, Self(L));
  PrintFormat format = PrintFormat::kAuto;
  if (!lua_isnoneornil(L, 2)) {
    ASSIGN_OR_RETURN(const std::string name, ToText(L, 2, "Print"));
    ASSIGN_OR_RETURN(format, ParsePrintFormat(name));
  }
  return PushDataset(L, self->Print(format));
}

}  // namespace

const Function kSinkMethods[] = {
    {"Print", Call<Print>, 1},
    {"Printf", Call<CallPrintf<"Printf", &Dataset::Printf>>, 1},
    {"Fprintf", Call<CallFprintf<"Fprintf", &Dataset::Fprintf>>, 2},
    {"Printlnf", Call<CallPrintf<"Printlnf", &Dataset::Printlnf>>, 1},
    {"Fprintlnf", Call<CallFprintf<"Fprintlnf", &Dataset::Fprintlnf>>, 2},
    {"PipeOut", Call<PipeOut>, 1},
    {"WriteText", Call<CallWrite<"WriteText", &Dataset::WriteText>>, 2},
    {"WriteBinary", Call<CallWrite<"WriteBinary", &Dataset::WriteBinary>>, 2},
    {"WriteCsv", Call<CallWriteCsv<"WriteCsv", &Dataset::WriteCsv>>, 2},
    {"WriteTsv", Call<CallWriteCsv<"WriteTsv", &Dataset::WriteTsv>>, 2},
    {"WriteJsonLines", Call<WriteJsonLines>, 3},
    {"WriteSql", Call<WriteSql>, 3},
    {"Output", Call<Output<false>>, 1},
    {"OutputRow", Call<Output<true>>, 1},
    {"Collect", Call<CollectRows>, 1},
    {"SaveFirstRowTo", Call<SaveFirstRowTo>, 1},
    {},
};

}  // namespace glim::script
