// SPDX-License-Identifier: Apache-2.0
//
// Log lines on stderr: `glim: warning: ...`. stdout belongs to the user's data.
//
// A library that a program embeds should be quiet, so only warnings and errors are shown unless the level is lowered.
// Text is formatted by fmt; spdlog writes it (in log.cc alone, it is slow to compile).
//
// Thread: any.
#pragma once

#include <fmt/core.h>

#include <string_view>
#include <utility>

namespace glim::base {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };

void SetLogLevel(LogLevel level);
bool LogEnabled(LogLevel level);
void Log(LogLevel level, std::string_view text);

template <class... Args>
void LogWarning(fmt::format_string<Args...> format, Args&&... args) {
  if (LogEnabled(LogLevel::kWarning)) Log(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
void LogInfo(fmt::format_string<Args...> format, Args&&... args) {
  if (LogEnabled(LogLevel::kInfo)) Log(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace glim::base
