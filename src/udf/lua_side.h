// SPDX-License-Identifier: Apache-2.0
//
// Side data as functions see it: the rows of Dataset::AsTable behind an object that is read like a Lua table, names[id]
// and #names, and with `for key, value in glim.pairs(names) do`. All states read the same rows, so a table costs a
// state nothing however large it is; a value is made when it is asked for.
//
// Thread: each object that of its state; the rows are shared.
#pragma once

#include <memory>

#include "batch/keyed_rows.h"
#include "udf/lua_capture.h"

namespace glim::udf {

class LuaSide : public SharedObject {
 public:
  explicit LuaSide(std::shared_ptr<batch::KeyedRows> rows) : rows_(std::move(rows)) {}
  void Push(lua_State* L) const override;
  const std::shared_ptr<batch::KeyedRows>& rows() const { return rows_; }

 private:
  std::shared_ptr<batch::KeyedRows> rows_;
};

// glim.pairs: for side data, and for tables what pairs does.
int SidePairs(lua_State* L);

}  // namespace glim::udf
