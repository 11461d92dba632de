-- SPDX-License-Identifier: Apache-2.0
-- Many small flows in one process.    glim run tiny.lua COUNT
local glim = require "glim"
for i = 1, tonumber(arg[1]) do
  local rows = {}
  glim.flow("tiny"):Ints{1, 2, 3}:Map(function(n) return n % 2, n + i end):ReduceBy(function(x, y) return x + y end):Collect(rows):Run()
  if #rows ~= 2 then error("flow " .. i .. " gave " .. #rows .. " rows") end
end
