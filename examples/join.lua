-- SPDX-License-Identifier: Apache-2.0
-- The words that two files have in common, and how often each has them.    glim run examples/join.lua FILE FILE
local glim = require "glim"

if #arg ~= 2 then error("usage: glim run examples/join.lua FILE FILE", 0) end
local flow = glim.flow("join")

local function word_counts(file)
  return flow:TextFile(file)
    :FlatMap(function(line) return line:gmatch("%w+") end)
    :Map(function(word) return word, 1 end)
    :ReduceBy(function(x, y) return x + y end)
end

word_counts(arg[1]):Join(word_counts(arg[2])):Sort():Printf("%s %d %d\n"):Run()
