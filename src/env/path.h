// SPDX-License-Identifier: Apache-2.0
//
// Paths as text: joining, cutting, and how a path is shown in a message. Nothing here looks at the disk.
//
// A path is bytes separated by '/'; we change none of them. Messages show it in double quotes with control bytes
// escaped, so that a message stays one line whatever the file is called.
//
// Thread: any, plain functions.
#pragma once

#include <string>
#include <string_view>

namespace glim::env {

// `"a.csv"`; control bytes, quotes and backslashes escaped.
std::string QuotePath(std::string_view path);

// "a" and "b" -> "a/b"; "a/" and "b" -> "a/b"; "" and "b" -> "b". An absolute `name` stays alone.
std::string JoinPath(std::string_view folder, std::string_view name);

// What stands before the last '/': "a/b" -> "a", "b" -> ".", "/b" -> "/".
std::string_view ParentFolder(std::string_view path);

// What stands after the last '/': "a/b" -> "b".
std::string_view FileName(std::string_view path);

// Without "." and doubled slashes: "./a//b" and "a/b" are one file. ".." stays, it may follow a link.
std::string PlainPath(std::string_view path);

}  // namespace glim::env
