// SPDX-License-Identifier: Apache-2.0
#include "script/lua_formats.h"

#include <fmt/core.h>

#include <variant>

#include "base/try.h"
#include "script/lua_support.h"

namespace glim::script {
namespace {

constexpr const char* kFormat = "glim format";

using Format = std::variant<Csv, JsonLines, FixedWidth>;

// The options stand beside the files in one table, glim.csv{"a.csv", header = true}, or in a second argument.
int OptionsIndex(lua_State* L) { return lua_istable(L, 1) && lua_isnoneornil(L, 2) ? 1 : 2; }

// The files of a format, in argument 1.
Result<std::vector<std::string>> ToFiles(lua_State* L, const char* what) {
  return ToTexts(L, 1, what, OptionsIndex(L) == 1);
}

// No table at `index`: the defaults.
template <class Options, class Read>
Result<Options> ToOptions(lua_State* L, int index, const char* what, std::initializer_list<const char*> names,
                          Read read, bool beside_files = false) {
  Options options;
  if (lua_isnoneornil(L, index)) return options;
  if (!lua_istable(L, index)) return WrongArgument(L, index, what, "a table of options");
  RETURN_IF_ERROR(AllowOnly(L, index, what, names, beside_files));
  if (Status status = read(L, index, &options); !status.ok()) return std::move(status).With(what);
  return options;
}

Status ReadByte(lua_State* L, int index, const char* name, bool may_be_empty, char* out) {
  std::string text(1, *out);
  RETURN_IF_ERROR(ReadField(L, index, name, &text));
  if (text.size() > 1 || (text.empty() && !may_be_empty)) {
    return Status::Invalid(fmt::format("option \"{}\" must be one byte, got \"{}\"", name, text));
  }
  *out = text.empty() ? 0 : text[0];
  return Status::Ok();
}

// Calls `read` with the field on top of the stack unless it is nil.
template <class Read>
Status WithField(lua_State* L, int index, const char* name, Read read) {
  lua_getfield(L, index, name);
  Status status = lua_isnil(L, -1) ? Status::Ok() : read(lua_gettop(L));
  lua_pop(L, 1);
  return status;
}

Status ReadTexts(lua_State* L, int index, const char* name, std::vector<std::string>* out) {
  return WithField(L, index, name, [&](int field) -> Status {
    ASSIGN_OR_RETURN(*out, ToTexts(L, field, name));
    return Status::Ok();
  });
}

// A list of numbers and names, or one.
Status ReadColumns(lua_State* L, int index, std::vector<CsvColumn>* out) {
  return WithField(L, index, "columns", [&](int field) -> Status {
    const bool list = lua_istable(L, field);
    const int count = list ? static_cast<int>(lua_objlen(L, field)) : 1;
    for (int i = 1; i <= count; ++i) {
      if (list) {
        lua_rawgeti(L, field, i);
      } else {
        lua_pushvalue(L, field);
      }
      if (lua_type(L, -1) == LUA_TSTRING) {
        out->emplace_back(std::string(lua_tostring(L, -1)));
      } else {
        ASSIGN_OR_RETURN(const int64_t number, ToInteger(L, lua_gettop(L), "columns"));
        out->emplace_back(static_cast<int>(number));
      }
      lua_pop(L, 1);
    }
    return Status::Ok();
  });
}

Status ReadCsvOptions(lua_State* L, int table, CsvOptions* options) {
  RETURN_IF_ERROR(ReadField(L, table, "header", &options->header));
  RETURN_IF_ERROR(ReadByte(L, table, "delimiter", false, &options->delimiter));
  RETURN_IF_ERROR(ReadByte(L, table, "quote", true, &options->quote));
  RETURN_IF_ERROR(WithField(L, table, "null", [&](int field) -> Status {
    ASSIGN_OR_RETURN(options->null, ToText(L, field, "option \"null\""));
    return Status::Ok();
  }));
  RETURN_IF_ERROR(ReadField(L, table, "numbers", &options->numbers));
  RETURN_IF_ERROR(ReadColumns(L, table, &options->columns));
  RETURN_IF_ERROR(ReadField(L, table, "skip_bad", &options->skip_bad));
  RETURN_IF_ERROR(ReadField(L, table, "recursive", &options->recursive));
  RETURN_IF_ERROR(ReadField(L, table, "per_host", &options->per_host));
  return ReadField(L, table, "pattern", &options->pattern);
}

Result<Csv> ToCsv(lua_State* L, const char* what) {
  ASSIGN_OR_RETURN(std::vector<std::string> files, ToFiles(L, what));
  const int table = OptionsIndex(L);
  ASSIGN_OR_RETURN(const CsvOptions options,
                   ToOptions<CsvOptions>(L, table, what,
                                         {"header", "delimiter", "quote", "null", "numbers", "columns", "skip_bad",
                                          "recursive", "pattern", "per_host"},
                                         ReadCsvOptions, table == 1));
  return Csv(std::move(files), options);
}

Result<int> NewCsv(lua_State* L) {
  ASSIGN_OR_RETURN(Csv csv, ToCsv(L, "glim.csv"));
  PushObject(L, kFormat, Format(std::move(csv)));
  return 1;
}

Result<int> NewTsv(lua_State* L) {
  ASSIGN_OR_RETURN(Csv csv, ToCsv(L, "glim.tsv"));
  PushObject(L, kFormat, Format(Tsv(std::move(csv.files), std::move(csv.options))));
  return 1;
}

Result<int> NewJsonLines(lua_State* L) {
  constexpr const char* kName = "glim.json_lines";
  ASSIGN_OR_RETURN(std::vector<std::string> files, ToFiles(L, kName));
  ASSIGN_OR_RETURN(const JsonLinesOptions options,
                   ToOptions<JsonLinesOptions>(
                       L, OptionsIndex(L), kName, {"columns", "skip_bad", "recursive", "pattern", "per_host"},
                       [](lua_State* L, int table, JsonLinesOptions* options) -> Status {
                         RETURN_IF_ERROR(ReadTexts(L, table, "columns", &options->columns));
                         RETURN_IF_ERROR(ReadField(L, table, "skip_bad", &options->skip_bad));
                         RETURN_IF_ERROR(ReadField(L, table, "recursive", &options->recursive));
                         RETURN_IF_ERROR(ReadField(L, table, "per_host", &options->per_host));
                         return ReadField(L, table, "pattern", &options->pattern);
                       },
                       OptionsIndex(L) == 1));
  PushObject(L, kFormat, Format(JsonLines(std::move(files), options)));
  return 1;
}

// glim.fixed_width{"data", widths = {10, 90}}
Result<int> NewFixedWidth(lua_State* L) {
  constexpr const char* kName = "glim.fixed_width";
  ASSIGN_OR_RETURN(std::vector<std::string> files, ToFiles(L, kName));
  ASSIGN_OR_RETURN(const FixedWidth format,
                   ToOptions<FixedWidth>(
                       L, OptionsIndex(L), kName, {"widths", "recursive", "pattern", "per_host"},
                       [](lua_State* L, int table, FixedWidth* format) -> Status {
                         RETURN_IF_ERROR(WithField(L, table, "widths", [&](int field) -> Status {
                           ASSIGN_OR_RETURN(const std::vector<int64_t> widths, ToIntegers(L, field, "widths"));
                           format->widths.assign(widths.begin(), widths.end());
                           return Status::Ok();
                         }));
                         RETURN_IF_ERROR(ReadField(L, table, "recursive", &format->options.recursive));
                         RETURN_IF_ERROR(ReadField(L, table, "per_host", &format->options.per_host));
                         return ReadField(L, table, "pattern", &format->options.pattern);
                       },
                       OptionsIndex(L) == 1));
  PushObject(L, kFormat, Format(FixedWidth(std::move(files), format.widths, format.options)));
  return 1;
}

constexpr Function kFormats[] = {{"csv", Call<NewCsv>, 2},
                                 {"tsv", Call<NewTsv>, 2},
                                 {"json_lines", Call<NewJsonLines>, 2},
                                 {"fixed_width", Call<NewFixedWidth>, 2},
                                 {}};

}  // namespace

void OpenFormats(lua_State* L) {
  RegisterType(L, kFormat, kNoFunctions, Collect<Format>);
  SetFunctions(L, kFormats, CalledWith::kDot);
}

Result<Dataset> InputFormat(lua_State* L, int index, Flow* flow) {
  void* format = TestObject(L, index, kFormat);
  if (format == nullptr) return WrongArgument(L, index, "Input", "a format, like glim.csv(\"a.csv\")");
  return std::visit([&](const auto& input) { return flow->Input(input); }, *static_cast<Format*>(format));
}

Result<TextFileOptions> ToTextOptions(lua_State* L, int index, const char* what) {
  return ToOptions<TextFileOptions>(
      L, index, what, {"recursive", "pattern", "file_name", "offset", "strip_cr", "per_host", "host_name"},
      [](lua_State* L, int table, TextFileOptions* options) -> Status {
        RETURN_IF_ERROR(ReadField(L, table, "recursive", &options->recursive));
        RETURN_IF_ERROR(ReadField(L, table, "pattern", &options->pattern));
        RETURN_IF_ERROR(ReadField(L, table, "file_name", &options->file_name));
        RETURN_IF_ERROR(ReadField(L, table, "offset", &options->offset));
        RETURN_IF_ERROR(ReadField(L, table, "strip_cr", &options->strip_cr));
        RETURN_IF_ERROR(ReadField(L, table, "per_host", &options->per_host));
        return ReadField(L, table, "host_name", &options->host_name);
      });
}

Result<ListenOptions> ToListenOptions(lua_State* L, int index, const char* what) {
  return ToOptions<ListenOptions>(L, index, what, {"connections", "idle_seconds", "line_bytes_max"},
                                  [](lua_State* L, int table, ListenOptions* options) -> Status {
                                    RETURN_IF_ERROR(ReadField(L, table, "connections", &options->connections));
                                    RETURN_IF_ERROR(ReadField(L, table, "idle_seconds", &options->idle_seconds));
                                    return ReadField(L, table, "line_bytes_max", &options->line_bytes_max);
                                  });
}

Result<PipeOptions> ToPipeOptions(lua_State* L, int index, const char* what) {
  return ToOptions<PipeOptions>(L, index, what, {"lines"}, [](lua_State* L, int table, PipeOptions* options) -> Status {
    return ReadField(L, table, "lines", &options->lines);
  });
}

Result<PipeAsArgsOptions> ToPipeAsArgsOptions(lua_State* L, int index, const char* what) {
  return ToOptions<PipeAsArgsOptions>(L, index, what, {"parallel", "lines"},
                                      [](lua_State* L, int table, PipeAsArgsOptions* options) -> Status {
                                        RETURN_IF_ERROR(ReadField(L, table, "lines", &options->lines));
                                        return WithField(L, table, "parallel", [&](int field) -> Status {
                                          ASSIGN_OR_RETURN(options->parallel, ToInt(L, field, "parallel"));
                                          return Status::Ok();
                                        });
                                      });
}

Result<ZipFileOptions> ToZipOptions(lua_State* L, int index, const char* what) {
  return ToOptions<ZipFileOptions>(
      L, index, what, {"pattern", "member_bytes_max", "file_name", "recursive", "per_host"},
      [](lua_State* L, int table, ZipFileOptions* options) -> Status {
        RETURN_IF_ERROR(ReadField(L, table, "pattern", &options->pattern));
        RETURN_IF_ERROR(ReadField(L, table, "member_bytes_max", &options->member_bytes_max));
        RETURN_IF_ERROR(ReadField(L, table, "file_name", &options->file_name));
        RETURN_IF_ERROR(ReadField(L, table, "per_host", &options->per_host));
        return ReadField(L, table, "recursive", &options->recursive);
      });
}

Result<SqlOptions> ToSqlOptions(lua_State* L, int index, const char* what) {
  return ToOptions<SqlOptions>(L, index, what, {"split_by", "splits"},
                               [](lua_State* L, int table, SqlOptions* options) -> Status {
                                 RETURN_IF_ERROR(ReadField(L, table, "split_by", &options->split_by));
                                 return WithField(L, table, "splits", [&](int field) -> Status {
                                   ASSIGN_OR_RETURN(options->splits, ToInt(L, field, "splits"));
                                   return Status::Ok();
                                 });
                               });
}

Result<SqlWriteOptions> ToSqlWriteOptions(lua_State* L, int index, const char* what) {
  return ToOptions<SqlWriteOptions>(
      L, index, what, {"mode", "columns", "types"}, [](lua_State* L, int table, SqlWriteOptions* options) -> Status {
        std::string mode = "create";
        RETURN_IF_ERROR(ReadField(L, table, "mode", &mode));
        if (mode == "append") {
          options->mode = SqlMode::kAppend;
        } else if (mode == "replace") {
          options->mode = SqlMode::kReplace;
        } else if (mode != "create") {
          return Status::Invalid(fmt::format("option \"mode\" is create, append or replace, not \"{}\"", mode));
        }
        RETURN_IF_ERROR(ReadTexts(L, table, "columns", &options->columns));
        return ReadTexts(L, table, "types", &options->types);
      });
}

Result<WriteOptions> ToWriteOptions(lua_State* L, int index, const char* what) {
  return ToOptions<WriteOptions>(L, index, what, {"per_partition", "compression"},
                                 [](lua_State* L, int table, WriteOptions* options) -> Status {
                                   RETURN_IF_ERROR(ReadField(L, table, "per_partition", &options->per_partition));
                                   return ReadField(L, table, "compression", &options->compression);
                                 });
}

Result<CsvWriteOptions> ToCsvWriteOptions(lua_State* L, int index, const char* what) {
  return ToOptions<CsvWriteOptions>(L, index, what,
                                    {"header", "delimiter", "quote", "null", "per_partition", "compression"},
                                    [](lua_State* L, int table, CsvWriteOptions* options) -> Status {
                                      RETURN_IF_ERROR(WithField(L, table, "header", [&](int field) -> Status {
                                        // True: the names of the fields.
                                        options->field_names = lua_toboolean(L, field) != 0;
                                        if (lua_isboolean(L, field)) return Status::Ok();
                                        ASSIGN_OR_RETURN(options->header, ToTexts(L, field, "header"));
                                        return Status::Ok();
                                      }));
                                      RETURN_IF_ERROR(ReadByte(L, table, "delimiter", false, &options->delimiter));
                                      RETURN_IF_ERROR(ReadByte(L, table, "quote", true, &options->quote));
                                      RETURN_IF_ERROR(ReadField(L, table, "null", &options->null));
                                      RETURN_IF_ERROR(ReadField(L, table, "per_partition", &options->per_partition));
                                      return ReadField(L, table, "compression", &options->compression);
                                    });
}

}  // namespace glim::script
