// SPDX-License-Identifier: Apache-2.0
#include "env/url.h"

#include <algorithm>

namespace glim::env {
namespace {

constexpr std::string_view kHidden = "***";

// Where the password behind `user:` lies in `rest`, what follows "://". Without an @ there is a port behind the colon,
// or a password whose host was forgotten.
std::string_view PasswordOfUser(std::string_view rest) {
  const size_t colon = rest.find(':');
  const size_t at = rest.rfind('@');
  if (colon == std::string_view::npos) return {};
  if (at != std::string_view::npos) return colon < at ? rest.substr(colon + 1, at - colon - 1) : std::string_view();
  const std::string_view port = rest.substr(colon + 1, std::min(rest.find_first_of("/?"), rest.size()) - colon - 1);
  return rest.starts_with('[') || port.find_first_not_of("0123456789") == std::string_view::npos ? std::string_view()
                                                                                                 : port;
}

}  // namespace

std::string HidePassword(std::string_view url) {
  const size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return std::string(url);
  std::string shown(url);
  const std::string_view password = PasswordOfUser(url.substr(scheme + 3));
  if (!password.empty()) shown.replace(static_cast<size_t>(password.data() - url.data()), password.size(), kHidden);
  for (size_t at = shown.find_first_of("?&"); at != std::string::npos; at = shown.find('&', at + 1)) {
    const size_t equals = shown.find('=', at);
    const size_t end = std::min(shown.find('&', at + 1), shown.size());
    if (equals == std::string::npos || equals >= end) continue;
    if (std::string_view(shown).substr(at, equals - at).find("pass") == std::string_view::npos) continue;
    shown.replace(equals + 1, end - equals - 1, kHidden);
  }
  return shown;
}

}  // namespace glim::env
