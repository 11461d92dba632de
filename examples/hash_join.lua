-- SPDX-License-Identifier: Apache-2.0
-- Counts kinds of words. A small list of words and their kinds is handed to every task; the words do not move.
--    glim run examples/hash_join.lua FILE...
--    glim explain examples/hash_join.lua FILE...    shows the stages
local glim = require "glim"

local flow = glim.flow("kinds of words")
local kinds = flow:Rows{
  {"a", "article"}, {"an", "article"}, {"the", "article"},
  {"he", "pronoun"}, {"she", "pronoun"}, {"it", "pronoun"}, {"they", "pronoun"}, {"that", "pronoun"},
  {"and", "conjunction"}, {"or", "conjunction"}, {"but", "conjunction"}, {"that", "conjunction"},
}

flow:TextFile(#arg > 0 and arg or "-")
  :FlatMap(function(line) return line:lower():gmatch("%a+") end)
  :RoundRobin(7)
  :HashJoin(kinds) -- word, kind
  :Map(function(word, kind) return kind, 1 end)
  :ReduceBy(function(x, y) return x + y end)
  :Sort()
  :Printf("%s %d\n")
  :Run()
