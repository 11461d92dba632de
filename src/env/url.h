// SPDX-License-Identifier: Apache-2.0
//
// Addresses like "postgresql://ann:secret@host/shop" as they may be shown: in messages, plans and reports.
//
// Thread: any, plain functions.
#pragma once

#include <string>
#include <string_view>

namespace glim::env {

// `url` with *** for its password: behind the user's name, and in parameters such as `?password=`. In doubt (a slash or
// an @ within it, a host that was forgotten) rather too much is hidden than too little.
std::string HidePassword(std::string_view url);

}  // namespace glim::env
