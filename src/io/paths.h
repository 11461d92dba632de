// SPDX-License-Identifier: Apache-2.0
//
// From paths as the user writes them to files, and from files to splits: what all file sources have in common.
//
// A path is a file, a glob (`*`, `?`, `[a-z]`; `**` for folders of any depth), a folder (its regular files), "-" for
// stdin, or an address with http:// or https://. A path that matches nothing is an error that names it; a file without
// bytes gives no rows. Names with a leading dot are left out of globs and folders, unless the glob spells the dot.
// Folders behind symbolic links are not entered by `recursive` and `**`, or what is in them might be read twice; where
// a path names the link, they are.
//
// What is compressed (io/compression.h), behind http (io/http_file.h) or no regular file (a pipe, a terminal, "-") is
// read in sequence, as one split.
//
// Thread: any, plain functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/source.h"

namespace glim::io {

struct PathOptions {
  bool recursive = false;    // Folders and all below them.
  std::string pattern = {};  // Of file names in folders: "*.pm". Empty: all.
  bool per_host = false;     // Only files: neither "-" nor http is something that each machine has of its own.
};

// The files that `paths` stand for, in the order of the paths, those of one path sorted by name. "-" stays as it is.
Result<std::vector<std::string>> ExpandPaths(env::Env& env, const std::vector<std::string>& paths,
                                             const PathOptions& options);

// Does the whole of `name` match `pattern` (`*`, `?`, `[..]`, `[!..]`, `\` before a character that means itself)? No
// slash is special here.
bool MatchesName(std::string_view pattern, std::string_view name);

// Those files cut into byte ranges as `how` says, of about one size and whole multiples of `unit`. Compressed files
// share the threads. Expects: split_bytes_max > 0, unit > 0.
Result<std::vector<Split>> CutFiles(env::Env& env, const std::vector<std::string>& paths, const PathOptions& options,
                                    const SplitOptions& how, int64_t unit = 1);

// The bytes of what CutFiles would give, for Explain; not known when one of the files is read in sequence, or missing.
Estimate EstimateFiles(env::Env& env, const std::vector<std::string>& paths, const PathOptions& options);

}  // namespace glim::io
