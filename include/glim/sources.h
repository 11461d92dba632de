// SPDX-License-Identifier: Apache-2.0
//
// What a flow reads, in words: the formats that `flow.Input(...)` takes and the options of sources. Plain data; the
// same names are keys of option tables in Lua.
//
//   flow.TextFile("logs", {.recursive = true, .pattern = "*.log.gz"})
//   flow.Input(Csv("sales.csv", {.header = true, .null = "NULL", .columns = {"who", 3}}))
//
// Files of all formats: a path is a file, a glob (`*` `?` `[a-z]` `**`), a folder, "-" for stdin, or an address with
// http:// or https://. One that matches
// nothing fails the run, and so does a list without paths; a file without bytes gives no rows. What ends in .gz .bz2
// .xz .zst .lz4 is decompressed on the way, by one task per file; other large files are read by all cores.
//
// On a cluster a path is the same file on all machines, unless `per_host` says that each machine has files of its own
// there, its logs, say. Then each agent's are read on its machine, those of one agent after those of another in the
// order of the agents' names, and one without any fails the run. In one process and on local:N that changes nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace glim {

// What TextFile reads besides the lines.
struct TextFileOptions {
  bool recursive = false;  // Folders and all below them; those behind symbolic links only when a path names them.
  std::string pattern{};   // Of file names in folders: "*.pm". Empty: all.
  bool file_name = false;  // One more column with the path of the line's file.
  bool offset = false;     // And one with the byte in that file where the line starts, from 0: names a line for good.
                           // Of a compressed file: in the bytes that it stands for.
  bool strip_cr = false;   // The "\r" of "\r\n" is no part of the line.
  bool per_host = false;   // Above.
  bool host_name = false;  // The last column says where the line was read: with per_host on a cluster the agent, else
                           // the machine.
};

// Of ZipFile, which reads whole members of zip archives.
struct ZipFileOptions {
  std::string pattern{};                 // Of member names, with their folders: "*.txt", "logs/*". Empty: all.
  int64_t member_bytes_max = 256 << 20;  // Unpacked. A larger member fails the run, so that no archive of a few bytes
                                         // takes all memory. A task holds one member at a time, or some small ones.
  bool file_name = false;                // One more column with the path of the archive.
  bool recursive = false;                // Folders and all below them.
  bool per_host = false;                 // Above.
};

// Of Listen.
struct ListenOptions {
  int64_t connections = 1;  // So many in all, side by side; when all have ended, so do the rows. 0: any number.
  double idle_seconds = 0;  // The rows end when nothing came for so long. 0: never.
  int64_t line_bytes_max = 1 << 20;  // A line that is longer, give or take what is read at once, fails the run.
};

// A column of a file: its number, from 1, or its name in the header.
struct CsvColumn {
  CsvColumn(int number) : number(number) {}
  CsvColumn(std::string name) : name(std::move(name)) {}
  CsvColumn(const char* name) : name(name) {}
  bool operator==(const CsvColumn&) const = default;
  int number = 0;  // 0: by name.
  std::string name;
};

// Values stay bytes, save those that `null` makes nil and those that `numbers` makes numbers. A row with another number
// of columns than the first of its file is an error that names file and line.
struct CsvOptions {
  bool header = false;                // The first row of each file holds names and is not data.
  char delimiter = ',';               //
  char quote = '"';                   // 0: there are no quotes.
  std::optional<std::string> null{};  // A field of just this text, without quotes, is nil.
  // Fields without quotes that JSON would call numbers are integers (of 64 bits) or doubles; "007", "+1" and longer
  // whole numbers stay bytes. An empty field is then nil, unless `null` names another text.
  bool numbers = false;
  std::vector<CsvColumn> columns{};  // These, in this order. Empty: all.
  bool skip_bad = false;             // Rows with another number of columns are skipped; how many is said on stderr at
                                     // the end. Quotes that make no sense are an error all the same.
  bool recursive = false;            // Of folders, as in TextFile.
  std::string pattern{};
  bool per_host = false;  // Above.
};
struct Csv {
  Csv(std::string file, CsvOptions options = {}) : files{std::move(file)}, options(std::move(options)) {}
  Csv(std::vector<std::string> files, CsvOptions options = {}) : files(std::move(files)), options(std::move(options)) {}
  std::vector<std::string> files;
  CsvOptions options;
};

// Csv with tabs between the columns.
struct Tsv : Csv {
  Tsv(std::string file, CsvOptions options = {}) : Csv(std::move(file), std::move(options)) {
    Csv::options.delimiter = '\t';
  }
  Tsv(std::vector<std::string> files, CsvOptions options = {}) : Csv(std::move(files), std::move(options)) {
    Csv::options.delimiter = '\t';
  }
};

// One JSON value per line. A line that is no JSON is an error that names file and line.
//
//   flow.Input(JsonLines("events-*.jsonl.gz", {.columns = {"user.id", "tags[0]", "at"}}))
struct JsonLinesOptions {
  // Paths into the value: names with dots between them, elements of arrays from 0, `["a.b"]` for a name with dots. A
  // path that leads nowhere gives nil; whole numbers are integers where they fit into 64 bits, and their text where
  // they do not; other numbers are doubles, arrays are lists, and objects are their JSON text. Without columns a row is
  // the line itself, checked.
  std::vector<std::string> columns{};
  bool skip_bad = false;   // Lines that are no JSON are skipped; how many is said on stderr at the end.
  bool recursive = false;  // Of folders, as in TextFile.
  std::string pattern{};
  bool per_host = false;  // Above.
};
struct JsonLines {
  JsonLines(std::string file, JsonLinesOptions options = {}) : files{std::move(file)}, options(std::move(options)) {}
  JsonLines(std::vector<std::string> files, JsonLinesOptions options = {})
      : files(std::move(files)), options(std::move(options)) {}
  std::vector<std::string> files;
  JsonLinesOptions options;
};

// Records of one size without separators; a column of bytes for each of `widths`. gensort's: FixedWidth(path, {10,
// 90}).
struct FixedWidthOptions {
  bool recursive = false;  // Of folders, as in TextFile.
  std::string pattern{};
  bool per_host = false;  // Above.
};
struct FixedWidth {
  FixedWidth() = default;
  FixedWidth(std::string file, int width, FixedWidthOptions options = {})
      : FixedWidth(std::move(file), std::vector<int>{width}, std::move(options)) {}
  FixedWidth(std::string file, std::vector<int> widths, FixedWidthOptions options = {})
      : FixedWidth(std::vector<std::string>{std::move(file)}, std::move(widths), std::move(options)) {}
  FixedWidth(std::vector<std::string> files, std::vector<int> widths, FixedWidthOptions options = {})
      : files(std::move(files)), widths(std::move(widths)), options(std::move(options)) {}
  std::vector<std::string> files;
  std::vector<int> widths;
  FixedWidthOptions options;
};

// How Sql reads; see docs/book/databases.md. A database is "sqlite:shop.db" or "postgresql://ann@host/shop".
//
//   flow.Sql("sqlite:shop.db", "sales", {.split_by = "id", .splits = 4})
struct SqlOptions {
  // A column of numbers, in PostgreSQL also of dates or timestamps: the rows are read in ranges of it, side by side.
  // Those where it is null are in the first range. Empty: one query, by one task, in the order that it gives.
  std::string split_by{};
  int splits = 8;  // Ranges of split_by, 1 to 1000.
};

}  // namespace glim
