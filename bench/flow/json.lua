-- SPDX-License-Identifier: Apache-2.0
-- Some fields of some events.    glim run json.lua OUTPUT INPUT
local glim = require "glim"
glim.flow("json")
  :Input(glim.json_lines{arg[2], columns = {"id", "user.country", "price"}})
  :Filter(function(id, country, price) return price > 5000 end)
  :Select(1, 2)
  :WriteCsv(arg[1])
  :Run()
