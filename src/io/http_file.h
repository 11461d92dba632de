// SPDX-License-Identifier: Apache-2.0
//
// Files behind http:// and https://, read from their beginning while they arrive (libcurl). Redirects are followed;
// certificates are checked. An answer other than 2xx, a connection that breaks and a transfer that stands still for a
// minute are kUnavailable (404 and 410: kNotFound) and name the address.
//
// Thread: one per file.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "env/env.h"

namespace glim::io {

bool IsHttp(std::string_view path);

Result<std::unique_ptr<env::SequentialFile>> OpenHttp(env::Env& env, const std::string& address);

}  // namespace glim::io
