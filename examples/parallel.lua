-- SPDX-License-Identifier: Apache-2.0
-- Counts the words of many files, three at a time, read by cat.    glim run examples/parallel.lua 'texts/*.txt'
local glim = require "glim"

glim.flow("parallel")
  :Lines(glim.glob(arg[1]))
  :Partition(3)
  :PipeAsArgs("cat $1")
  :FlatMap(function(line) return line:gmatch("%w+") end)
  :Map(function(word) return word, 1 end)
  :ReduceBy(function(x, y) return x + y end)
  :Printf("%s\t%d\n")
  :Run()
