// SPDX-License-Identifier: Apache-2.0
#include "udf/hosts.h"

#include <utility>

#include "base/try.h"
#include "udf/lua_state.h"

namespace glim::udf {

Hosts::Hosts(HostOptions options) : options_(std::move(options)) {}

Hosts::~Hosts() = default;

Result<LuaState*> Hosts::Lua() {
  if (lua_ == nullptr || (lua_->spoiled() && lua_->instances == 0)) {
    ASSIGN_OR_RETURN(lua_, LuaState::Make(options_));
  }
  return lua_.get();
}

int64_t Hosts::uncounted_bytes() const {
  if (lua_ == nullptr) return 0;
  return lua_->memory()->used_bytes() - lua_->memory()->counted_elsewhere();
}

}  // namespace glim::udf
