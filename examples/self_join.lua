-- SPDX-License-Identifier: Apache-2.0
-- Whom to suggest: friends of your friends who are not yours yet, and over how many friends. A line is `someone friend`.
--    glim run examples/self_join.lua FRIENDS
local glim = require "glim"

local friends = glim.flow("friends of friends")
  :TextFile(arg[1] or "-")
  :Map(function(line) return line:match("(%S+)%s+(%S+)") end)
  :Distinct()

friends
  :Join(friends, glim.on(2), glim.on(1)) -- the friend of both, someone, a friend's friend
  :Select(2, 3)
  :Filter(function(someone, other) return someone ~= other end)
  :AntiJoin(friends, 1, 2)
  :Map(function(someone, other) return someone, other, 1 end)
  :ReduceBy(function(x, y) return x + y end, 1, 2)
  :SortBy(glim.order_by(3, glim.descending), 1, 2)
  :Printf("%s %s %d\n")
  :Run()
