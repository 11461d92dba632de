// SPDX-License-Identifier: Apache-2.0
#include "table/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/crc32c.h"
#include "base/try.h"

namespace glim::table {
namespace {

constexpr std::string_view kFirstLine = "glim table model 1";
constexpr size_t kFilesMax = 1 << 20;

// "word rest" -> rest, when the next line begins with `word`.
class Lines {
 public:
  explicit Lines(std::string_view text) : left_(text) {}

  bool empty() const { return left_.empty(); }
  bool NextIs(std::string_view word) const {
    return left_.starts_with(word) && left_.size() > word.size() && left_[word.size()] == ' ';
  }
  Result<std::string_view> Take(std::string_view word) {
    std::string_view line = left_.substr(0, left_.find('\n'));
    if (left_.size() == line.size()) return Status::Corrupt("its last line has no end");
    if (line.substr(0, word.size()) != word || line.size() <= word.size() || line[word.size()] != ' ') {
      return Status::Corrupt(fmt::format("it says \"{:.60}\" where \"{}\" should be", line, word));
    }
    left_.remove_prefix(line.size() + 1);
    return line.substr(word.size() + 1);
  }

 private:
  std::string_view left_;
};

template <class T>
Result<T> Number(std::string_view text, int base = 10) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) {
    return Status::Corrupt(fmt::format("\"{:.60}\" is not a number", text));
  }
  return value;
}

template <class T>
Result<T> TakeNumber(Lines* lines, std::string_view word, int base = 10) {
  ASSIGN_OR_RETURN(std::string_view text, lines->Take(word));
  return Number<T>(text, base);
}

// The words of "file NAME ROWS BYTES CRC" behind the first.
Result<RowsFileInfo> ParseFile(std::string_view text) {
  std::string_view words[4];
  for (int i = 0; i < 4; ++i) {
    size_t space = std::min(text.find(' '), text.size());
    words[i] = text.substr(0, space);
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  RowsFileInfo info;
  info.name = words[0];
  if (info.name.empty() || info.name.find('/') != std::string::npos || info.name[0] == '.') {
    return Status::Corrupt(fmt::format("\"{:.60}\" is not the name of a file of rows", info.name));
  }
  ASSIGN_OR_RETURN(info.rows, Number<uint64_t>(words[1]));
  ASSIGN_OR_RETURN(info.bytes, Number<uint64_t>(words[2]));
  ASSIGN_OR_RETURN(info.crc, Number<uint32_t>(words[3], 16));
  return info;
}

// "hash", or "by NAME PRINT" of a function.
constexpr std::string_view kBy = "by ";

std::string PartitionerLine(const TableSpec& spec) {
  if (spec.partitioner != Partitioner::kFunction) return PartitionText(spec);
  return fmt::format("{} {:016x}", PartitionText(spec), spec.partition_print);
}

Status ParsePartitionerLine(std::string_view text, TableSpec* spec) {
  if (!text.starts_with(kBy)) {
    ASSIGN_OR_RETURN(spec->partitioner, ParsePartitioner(text));
    return Status::Ok();
  }
  text.remove_prefix(kBy.size());
  const size_t space = std::min(text.find(' '), text.size());
  spec->partitioner = Partitioner::kFunction;
  spec->partition_by = text.substr(0, space);
  ASSIGN_OR_RETURN(spec->partition_print, Number<uint64_t>(text.substr(std::min(space + 1, text.size())), 16));
  return Status::Ok();
}

Result<Manifest> Parse(std::string_view text) {
  Lines lines(text);
  ASSIGN_OR_RETURN(std::string_view version, lines.Take("glim"));
  if (version != kFirstLine.substr(5)) {
    return Status::Corrupt(
        fmt::format("it begins with \"glim {:.60}\"; this program reads \"{}\"", version, kFirstLine));
  }
  Manifest manifest;
  TableSpec& spec = manifest.spec;
  ASSIGN_OR_RETURN(std::string_view name, lines.Take("name"));
  spec.name = name;
  ASSIGN_OR_RETURN(std::string_view keys, lines.Take("keys"));
  ASSIGN_OR_RETURN(spec.keys, ParseKeySpace(keys));
  ASSIGN_OR_RETURN(std::string_view type, lines.Take("type"));
  ASSIGN_OR_RETURN(spec.value_type, ParseValueType(type));
  ASSIGN_OR_RETURN(std::string_view width, lines.Take("width"));
  if (width == "variable") {
    spec.width = kVariableWidth;
  } else {
    ASSIGN_OR_RETURN(spec.width, Number<uint32_t>(width));
  }
  ASSIGN_OR_RETURN(std::string_view initial, lines.Take("initial"));
  ASSIGN_OR_RETURN(spec.initial, ParseInitial(initial));
  ASSIGN_OR_RETURN(std::string_view rule, lines.Take("rule"));
  ASSIGN_OR_RETURN(spec.rule, ParseUpdateRule(rule));
  ASSIGN_OR_RETURN(std::string_view partitioner, lines.Take("partitioner"));
  RETURN_IF_ERROR(ParsePartitionerLine(partitioner, &spec));
  ASSIGN_OR_RETURN(spec.shards, TakeNumber<uint32_t>(&lines, "shards"));
  if (lines.NextIs("replicas")) {
    ASSIGN_OR_RETURN(spec.replicas, TakeNumber<uint32_t>(&lines, "replicas"));
    if (spec.replicas == 1) return Status::Corrupt("it says replicas 1, which goes without saying");
  }
  if (lines.NextIs("consistency")) {
    ASSIGN_OR_RETURN(std::string_view consistency, lines.Take("consistency"));
    ASSIGN_OR_RETURN(spec.consistency, ParseConsistency(consistency));
  }
  if (lines.NextIs("durability")) {
    ASSIGN_OR_RETURN(std::string_view durability, lines.Take("durability"));
    ASSIGN_OR_RETURN(spec.durability, ParseDurability(durability));
    if (spec.durability == Durability::kMemory) return Status::Corrupt("it says what goes without saying: memory");
  }
  ASSIGN_OR_RETURN(std::string_view state, lines.Take("state"));
  if (state != "yes" && state != "no") return Status::Corrupt("state is neither yes nor no");
  manifest.has_state = state == "yes";
  ASSIGN_OR_RETURN(manifest.slots, TakeNumber<uint32_t>(&lines, "slots"));
  ASSIGN_OR_RETURN(manifest.extras, TakeNumber<uint32_t>(&lines, "extras"));
  ASSIGN_OR_RETURN(manifest.model_id, TakeNumber<uint64_t>(&lines, "model", 16));
  ASSIGN_OR_RETURN(uint64_t rows, TakeNumber<uint64_t>(&lines, "rows"));
  ASSIGN_OR_RETURN(uint64_t files, TakeNumber<uint64_t>(&lines, "files"));
  if (files > kFilesMax) return Status::Corrupt("it names too many files");
  for (uint64_t i = 0; i < files; ++i) {
    ASSIGN_OR_RETURN(std::string_view file, lines.Take("file"));
    ASSIGN_OR_RETURN(RowsFileInfo info, ParseFile(file));
    manifest.files.push_back(std::move(info));
  }
  if (!lines.empty()) return Status::Corrupt("something follows its end");
  if (manifest.rows() != rows) return Status::Corrupt("the number of rows is not that of its files");
  ASSIGN_OR_RETURN(spec, CheckTableSpec(std::move(spec)));
  return manifest;
}

}  // namespace

uint64_t Manifest::rows() const {
  uint64_t rows = 0;
  for (const RowsFileInfo& file : files) rows += file.rows;
  return rows;
}

std::string EncodeManifest(const Manifest& manifest) {
  const TableSpec& spec = manifest.spec;
  std::string text =
      fmt::format("{}\nname {}\nkeys {}\ntype {}\nwidth {}\n", kFirstLine, spec.name, ToString(spec.keys),
                  ValueTypeName(spec.value_type), spec.is_variable() ? "variable" : std::to_string(spec.width));
  text += fmt::format("initial {}\nrule {}\npartitioner {}\nshards {}\n", ToString(spec.initial), ToString(spec.rule),
                      PartitionerLine(spec), spec.shards);
  if (spec.replicas != 1) text += fmt::format("replicas {}\n", spec.replicas);
  if (spec.consistency != kAsync) text += fmt::format("consistency {}\n", ToString(spec.consistency));
  // Left out when it is memory, as before there was another.
  if (spec.durability != Durability::kMemory) text += fmt::format("durability {}\n", ToString(spec.durability));
  text += fmt::format("state {}\nslots {}\nextras {}\nmodel {:016x}\nrows {}\nfiles {}\n",
                      manifest.has_state ? "yes" : "no", manifest.slots, manifest.extras, manifest.model_id,
                      manifest.rows(), manifest.files.size());
  for (const RowsFileInfo& file : manifest.files) {
    text += fmt::format("file {} {} {} {:08x}\n", file.name, file.rows, file.bytes, file.crc);
  }
  return text + fmt::format("crc32c {:08x}\n", base::Crc32c(text));
}

Result<Manifest> DecodeManifest(std::string_view text) {
  constexpr size_t kLastLine = sizeof("crc32c 00000000\n") - 1;
  if (text.substr(0, 5) != kFirstLine.substr(0, 5)) return Status::Corrupt("it is not the manifest of a table");
  if (text.size() < kLastLine) return Status::Corrupt("it ends too early");
  std::string_view body = text.substr(0, text.size() - kLastLine);
  if (text.substr(body.size()) != fmt::format("crc32c {:08x}\n", base::Crc32c(body))) {
    return Status::Corrupt("it fails its checksum");
  }
  Result<Manifest> manifest = Parse(body);
  // With a good checksum it was written so, by a program that is newer or not ours.
  if (!manifest.ok()) return Status::Corrupt(manifest.status().message());
  return manifest;
}

}  // namespace glim::table
