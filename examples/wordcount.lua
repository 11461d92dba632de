-- SPDX-License-Identifier: Apache-2.0
-- Counts words.    glim run examples/wordcount.lua FILE...
local glim = require "glim"

glim.flow("word count")
  :TextFile(#arg > 0 and arg or "/etc/passwd")
  :FlatMap(function(line) return line:gmatch("%w+") end)
  :Map(function(word) return word, 1 end)
  :ReduceBy(function(x, y) return x + y end)
  :Printf("%s,%d\n")
  :Run()
