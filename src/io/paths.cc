// SPDX-License-Identifier: Apache-2.0
//
#include "io/paths.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/try.h"
#include "env/path.h"
#include "io/block_reader.h"
#include "io/compression.h"
#include "io/http_file.h"

namespace glim::io {
namespace {

constexpr int kFolderDepthMax = 64;

bool HasMagic(std::string_view part) { return part.find_first_of("*?[") != std::string_view::npos; }

bool IsHidden(std::string_view name) { return name.starts_with('.'); }

std::vector<std::string> SplitPath(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    if (slash > 0) parts.emplace_back(path.substr(0, slash));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return parts;
}

// Does `c` belong to the class that starts at pattern[0] == '['? Sets `length` to the bytes of the class, 0 when it has
// no end and so is a plain '['.
bool MatchesClass(std::string_view pattern, char c, size_t* length) {
  size_t at = 1;
  const bool negated = at < pattern.size() && (pattern[at] == '!' || pattern[at] == '^');
  if (negated) ++at;
  const auto byte = static_cast<unsigned char>(c);
  bool found = false;
  for (bool first = true; at < pattern.size(); first = false) {
    if (pattern[at] == ']' && !first) {
      *length = at + 1;
      return found != negated;
    }
    const auto low = static_cast<unsigned char>(pattern[at]);
    auto high = low;
    if (at + 2 < pattern.size() && pattern[at + 1] == '-' && pattern[at + 2] != ']') {
      high = static_cast<unsigned char>(pattern[at + 2]);
      at += 2;
    }
    found = found || (low <= byte && byte <= high);
    ++at;
  }
  *length = 0;
  return false;
}

// Does the first element of `pattern` (not a star) match `c`? Sets `length` to its bytes.
bool MatchesOne(std::string_view pattern, char c, size_t* length) {
  *length = 1;
  if (pattern[0] == '?') return true;
  if (pattern[0] == '[') {
    const bool matches = MatchesClass(pattern, c, length);
    if (*length > 0) return matches;
    *length = 1;
  } else if (pattern[0] == '\\' && pattern.size() > 1) {
    *length = 2;
    return pattern[1] == c;
  }
  return pattern[0] == c;
}

class Globber {
 public:
  Globber(env::FileSystem& files, std::vector<std::string> parts) : files_(files), parts_(std::move(parts)) {}

  Status Walk(const std::string& folder, size_t part, int depth) {
    if (depth > kFolderDepthMax)
      return Status::Invalid(fmt::format("{}: folders are nested too deeply", env::QuotePath(folder)));
    const std::string& pattern = parts_[part];
    const bool last = part + 1 == parts_.size();
    if (pattern == "**") {
      if (!last) RETURN_IF_ERROR(Walk(folder, part + 1, depth));
      return WalkEntries(folder, "*", [&](const std::string& path, bool is_folder, bool is_link) {
        if (is_folder) return is_link ? Status::Ok() : Walk(path, part, depth + 1);
        if (last) found.push_back(path);
        return Status::Ok();
      });
    }
    if (!HasMagic(pattern)) return WalkPlain(env::JoinPath(folder, pattern), part, depth);
    return WalkEntries(folder, pattern, [&](const std::string& path, bool is_folder, bool) {
      if (last && !is_folder) found.push_back(path);
      return !last && is_folder ? Walk(path, part + 1, depth + 1) : Status::Ok();
    });
  }

  std::vector<std::string> found;

 private:
  Status WalkPlain(const std::string& path, size_t part, int depth) {
    if (part + 1 < parts_.size()) return Walk(path, part + 1, depth + 1);
    auto stat = files_.Stat(path);
    if (stat.ok() && stat->kind != env::FileKind::kFolder) found.push_back(path);
    return stat.ok() || stat.status().code() == Code::kNotFound ? Status::Ok() : stat.status();
  }

  template <class Visit>
  Status WalkEntries(const std::string& folder, std::string_view pattern, Visit&& visit) {
    const std::string listed = folder.empty() ? "." : folder;
    auto stat = files_.Stat(listed);
    if (!stat.ok() || stat->kind != env::FileKind::kFolder) return Status::Ok();  // Simply no match.
    ASSIGN_OR_RETURN(const auto entries, files_.List(listed));
    for (const env::DirectoryEntry& entry : entries) {
      if (IsHidden(entry.name) && !IsHidden(pattern)) continue;
      if (!MatchesName(pattern, entry.name)) continue;
      RETURN_IF_ERROR(visit(env::JoinPath(folder, entry.name), entry.kind == env::FileKind::kFolder, entry.is_link));
    }
    return Status::Ok();
  }

  env::FileSystem& files_;
  const std::vector<std::string> parts_;
};

Result<std::vector<std::string>> ExpandGlob(env::FileSystem& files, const std::string& path) {
  Globber globber(files, SplitPath(path));
  RETURN_IF_ERROR(globber.Walk(path.starts_with('/') ? "/" : "", 0, 0));
  if (globber.found.empty()) return Status::NotFound(fmt::format("{}: no file matches", env::QuotePath(path)));
  return std::move(globber.found);
}

Status AddFolder(env::FileSystem& files, const std::string& folder, const PathOptions& options, int depth,
                 std::vector<std::string>* found) {
  if (depth > kFolderDepthMax)
    return Status::Invalid(fmt::format("{}: folders are nested too deeply", env::QuotePath(folder)));
  ASSIGN_OR_RETURN(const auto entries, files.List(folder));
  for (const env::DirectoryEntry& entry : entries) {
    if (IsHidden(entry.name)) continue;
    const std::string path = env::JoinPath(folder, entry.name);
    if (entry.kind == env::FileKind::kFolder) {
      if (options.recursive && !entry.is_link) RETURN_IF_ERROR(AddFolder(files, path, options, depth + 1, found));
    } else if (entry.kind == env::FileKind::kFile) {
      if (options.pattern.empty() || MatchesName(options.pattern, entry.name)) found->push_back(path);
    }
  }
  return Status::Ok();
}

Result<std::vector<std::string>> ExpandFolder(env::FileSystem& files, const std::string& path,
                                              const PathOptions& options) {
  std::vector<std::string> found;
  RETURN_IF_ERROR(AddFolder(files, path, options, 0, &found));
  if (!found.empty()) return found;
  if (options.pattern.empty()) return Status::NotFound(fmt::format("{}: no file in this folder", env::QuotePath(path)));
  return Status::NotFound(
      fmt::format("{}: no file in this folder matches {}", env::QuotePath(path), env::QuotePath(options.pattern)));
}

// Sorted, each file once.
Result<std::vector<std::string>> ExpandPath(env::FileSystem& files, const std::string& path,
                                            const PathOptions& options) {
  if (path == "-" || IsHttp(path)) return std::vector<std::string>{path};
  auto stat = files.Stat(path);
  if (!stat.ok() && (stat.status().code() != Code::kNotFound || !HasMagic(path))) return std::move(stat).status();
  if (stat.ok() && stat->kind != env::FileKind::kFolder) return std::vector<std::string>{path};
  // A file whose name looks like a glob is taken as it is, above.
  auto found = stat.ok() ? ExpandFolder(files, path, options) : ExpandGlob(files, path);
  if (found.ok()) {
    std::sort(found->begin(), found->end());
    found->erase(std::unique(found->begin(), found->end()), found->end());
  }
  return found;
}

}  // namespace

Result<std::vector<std::string>> ExpandPaths(env::Env& env, const std::vector<std::string>& paths,
                                             const PathOptions& options) {
  std::vector<std::string> all;
  for (const std::string& path : paths) {
    if (options.per_host && (path == "-" || IsHttp(path)))
      return Status::Invalid(fmt::format("{}: per_host is for files that each machine has", env::QuotePath(path)));
    ASSIGN_OR_RETURN(std::vector<std::string> found, ExpandPath(env.files(), path, options));
    all.insert(all.end(), found.begin(), found.end());
  }
  return all;
}

bool MatchesName(std::string_view pattern, std::string_view name) {
  // On a mismatch the last star takes one byte more; earlier stars need no second look.
  size_t p = 0, n = 0, star = std::string_view::npos, star_name = 0;
  while (n < name.size()) {
    size_t length = 0;
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_name = n;
    } else if (p < pattern.size() && MatchesOne(pattern.substr(p), name[n], &length)) {
      p += length;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++star_name;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

Result<std::vector<Split>> CutFiles(env::Env& env, const std::vector<std::string>& paths, const PathOptions& options,
                                    const SplitOptions& how, int64_t unit) {
  // Of compressed bytes; only balances tasks.
  constexpr int64_t kExpansionGuess = 3;
  ASSIGN_OR_RETURN(const std::vector<std::string> files, ExpandPaths(env, paths, options));
  const auto compressed_files = std::count_if(
      files.begin(), files.end(), [](const std::string& file) { return CompressionOf(file) != Compression::kNone; });
  std::vector<env::FileStat> stats;
  uint64_t total_bytes = 0;
  for (const std::string& file : files) {
    stats.push_back({.kind = env::FileKind::kOther});
    if (file == "-" || IsHttp(file)) continue;
    ASSIGN_OR_RETURN(stats.back(), env.files().Stat(file));
    total_bytes += stats.back().size_bytes;
  }
  // Little is cut smaller, so that all threads have some of it.
  constexpr int64_t kPieces = 8, kLittle = 256 << 10;
  const int64_t piece_units =
      (static_cast<int64_t>(total_bytes) - 1) / (kPieces * unit) + 1;  // Not a ninth of the rest.
  const int64_t bytes_max = std::min(how.split_bytes_max, std::max(piece_units * unit, kLittle));
  std::vector<Split> splits;
  for (size_t i = 0; i < files.size(); ++i) {
    const std::string& file = files[i];
    const env::FileStat& stat = stats[i];
    const bool compressed = CompressionOf(file) != Compression::kNone;
    if (stat.kind != env::FileKind::kFile || stat.size_bytes == 0 || compressed) {
      splits.push_back(SequentialSplit(file));
      if (compressed) {
        splits.back().estimated_bytes = kExpansionGuess * static_cast<int64_t>(stat.size_bytes);
        splits.back().threads = std::max(1, how.threads / static_cast<int>(compressed_files));
      }
      continue;
    }
    // Pieces of one size, rather than a small one at the end.
    const uint64_t units = (stat.size_bytes - 1) / static_cast<uint64_t>(unit) + 1;
    const auto units_max = static_cast<uint64_t>(std::max<int64_t>(1, bytes_max / unit));
    const uint64_t count = (units - 1) / units_max + 1;
    const uint64_t piece = ((units - 1) / count + 1) * static_cast<uint64_t>(unit);
    for (uint64_t begin = 0; begin < stat.size_bytes; begin += piece) {
      const uint64_t end = std::min(stat.size_bytes, begin + piece);
      splits.push_back({file, begin, end, static_cast<int64_t>(end - begin)});
    }
  }
  return splits;
}

Estimate EstimateFiles(env::Env& env, const std::vector<std::string>& paths, const PathOptions& options) {
  const auto splits = CutFiles(env, paths, options, {.split_bytes_max = INT64_MAX});
  if (!splits.ok()) return {};
  int64_t bytes = 0;
  for (const Split& split : *splits) {
    if (split.end == kSequentialEnd && split.estimated_bytes == 0) return {};
    bytes += split.estimated_bytes;
  }
  return {{}, bytes};
}

}  // namespace glim::io
