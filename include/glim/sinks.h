// SPDX-License-Identifier: Apache-2.0
//
// How a flow writes files: the options of WriteText, WriteCsv, ... Plain data; the same names are keys of option tables
// in Lua.
//
//   sales.WriteCsv("sales.csv.gz", {.header = {"who", "what", "count"}});
//
// A file appears under its name only when all of it is written; a run that fails leaves what was there before. A name
// that ends in .gz .bz2 .xz .zst .lz4 is written compressed.
#pragma once

#include <string>
#include <vector>

namespace glim {

// Of all that write files.
struct WriteOptions {
  // The path is a folder, with a file for each partition: part-00000.csv, ... written side by side. One per partition
  // that you asked for with Partition or RoundRobin; else as many as the engine has tasks, which depends on the size of
  // the data only. Together, in the order of their names, they are what the one file would be. `.manifest.json` lists
  // them with their rows and bytes. The folder appears when all of it is written; an older one is replaced when a flow
  // wrote it.
  bool per_partition = false;
  std::string compression{};  // "gz", "bz2", "xz", "zst" or "lz4"; empty: by the extension of the path.
};

// RFC 4180: fields with a delimiter, quote or line end are quoted, quotes doubled, lines end with "\n". Read with the
// same options, the rows come back as they were, as bytes.
struct CsvWriteOptions {
  std::vector<std::string> header{};  // Names of the columns, as the first row of each file. Empty: no such row, or
  bool field_names = false;           // the names of the fields (`header = true` in Lua).
  char delimiter = ',';
  char quote = '"';    // 0: none; a field that would need one fails the run.
  std::string null{};  // What nil is written as; a value of that text is quoted. (A row of one nil is `""`, for an
                       // empty line is no row.)
  bool per_partition = false;  // As in WriteOptions.
  std::string compression{};
};

// What WriteSql does about its table. kCreate: makes it, and fails when it is there. kReplace: a new one takes the
// place of one that is there.
enum class SqlMode { kCreate, kAppend, kReplace };

// How WriteSql writes; see docs/book/databases.md. All rows become visible at once, or none.
struct SqlWriteOptions {
  SqlMode mode = SqlMode::kCreate;
  std::vector<std::string> columns{};  // Their names. Empty: those of the fields; or when appending without names, all.
  // Of a new table, in SQL: {"bigint primary key", ""}. An empty one follows the values, and so do all without this.
  std::vector<std::string> types{};
};

// Of Output and OutputRow.
struct OutputOptions {
  bool parallel = false;  // The function is called by many threads at once; it must expect that. Rows of one partition
                          // still come in order, those of different partitions come side by side.
};

// How Print shows rows. kAuto: a table on a terminal, else CSV. kJson: an array per row and line.
enum class PrintFormat { kAuto, kTable, kCsv, kTsv, kJson };

}  // namespace glim
