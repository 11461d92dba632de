// SPDX-License-Identifier: Apache-2.0
//
// Shared libraries that are loaded when they are first needed.
//
// For what few programs use and all would pay for: libcurl and libpq take 4 of the 10 ms in which an empty program that
// is linked with all of Glim's libraries starts, and need to be installed only where somebody reads from a web server
// or a database. A file that uses one lists the functions it calls:
//
//   struct Zlib { decltype(&::deflate) deflate = nullptr; ... } zlib;
//   RETURN_IF_ERROR(env::LoadFunctions("libz.so.1", {{"deflate", &zlib.deflate}, ...}));
//
// Thread: any; who writes the addresses sees to it that nobody reads them meanwhile.
#pragma once

#include <initializer_list>

#include "glim/status.h"

namespace glim::env {

class LoadedFunction {
 public:
  // Where the function's address goes.
  template <class Function>
  LoadedFunction(const char* name, Function** address) : name_(name), address_(reinterpret_cast<void**>(address)) {}

  const char* name() const { return name_; }
  void Set(void* function) const { *address_ = function; }

 private:
  const char* name_;
  void** address_;
};

// Loads `library`, for good, and looks the functions up. kUnavailable: it is not installed, or lacks one of them.
Status LoadFunctions(const char* library, std::initializer_list<LoadedFunction> functions);

}  // namespace glim::env
