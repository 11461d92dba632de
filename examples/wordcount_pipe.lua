-- SPDX-License-Identifier: Apache-2.0
-- Counts words with Unix programs.    glim run examples/wordcount_pipe.lua FILE...
local glim = require "glim"

glim.flow("word count by pipes")
  :TextFile(#arg > 0 and arg or "/etc/passwd")
  :FlatMap(function(line) return line:gmatch("%w+") end)
  :Pipe("sort")
  :Pipe("uniq -c")
  :Printf("%s\n")
  :Run()
