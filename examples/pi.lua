-- SPDX-License-Identifier: Apache-2.0
-- Estimates pi by throwing points at a square.    glim run examples/pi.lua [MILLIONS OF POINTS]
local glim = require "glim"

local throws = tonumber(arg[1]) or 16
local points_per_throw = 1000000

local hits = {}
glim.flow("pi")
  :Range(0, throws)
  :Partition(7)
  :Map(function(throw)
    local seed = throw * 7919 + 1 -- Each throw has dice of its own, so that the answer does not depend on who throws.
    local function random()
      seed = seed * 48271 % 2147483647
      return seed / 2147483647
    end
    local inside = 0
    for _ = 1, points_per_throw do
      local x, y = random(), random()
      if x * x + y * y < 1 then inside = inside + 1 end
    end
    return inside
  end)
  :Reduce(function(x, y) return x + y end)
  :SaveFirstRowTo(hits)
  :Run()

print(string.format("pi is about %.6f (%d of %d points)", 4 * hits[1] / (throws * points_per_throw), hits[1], throws * points_per_throw))
