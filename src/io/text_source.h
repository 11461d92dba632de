// SPDX-License-Identifier: Apache-2.0
//
// Lines of text files, one row per line: TextFile and Stdin of a flow.
//
// A path is a file, a glob (`*`, `?`, `[a-z]`; `**` for folders of any depth), a folder (its regular files), or "-" for
// stdin. A path that matches nothing is an error that names it. Names with a leading dot are left out of globs and
// folders, unless the glob spells the dot.
//
// A big file is cut into byte ranges. A split owns the lines that *start* in its range, so its reader looks for the
// first newline from `begin - 1` on and reads past `end` up to the end of its last line: each line is read once,
// wherever the cuts fall.
//
// The reader reads blocks of 1 MB into buffers and hands out columns of views into them. The partial line at the end of
// a block is copied to the head of the next one: some hundred bytes per MB. A line longer than a block makes the block
// grow. Bytes are kept as they are ("\r" too unless asked, zero bytes, empty lines); only the newline goes. The last
// line needs none. An empty file has no rows.
//
// What is not a regular file (a pipe, a terminal, "-") is read in sequence as one split.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/source.h"

namespace glim::io {

struct TextOptions {
  bool recursive = false;    // Folders and all below them.
  std::string pattern = {};  // Of file names in folders: "*.pm". Empty: all.
  bool file_name = false;    // One more column with the path of the line's file.
  bool offset = false;       // One more with the byte in that file where the line starts.
  bool strip_cr = false;     // The "\r" of "\r\n" is no part of the line.
};

std::unique_ptr<Source> MakeTextSource(std::vector<std::string> paths, TextOptions options);

// The files that `paths` stand for, in the order of the paths, those of one path sorted by name. "-" stays as it is.
Result<std::vector<std::string>> ExpandPaths(env::Env& env, const std::vector<std::string>& paths,
                                             const TextOptions& options);

// Does the whole of `name` match `pattern` (`*`, `?`, `[..]`, `[!..]`, `\` before a character that means itself)? No
// slash is special here.
bool MatchesName(std::string_view pattern, std::string_view name);

}  // namespace glim::io
