-- SPDX-License-Identifier: Apache-2.0
-- The words that are most particular to one file of many: tf-idf = count in the file * ln(files / files with the word).
--    glim run examples/tf_idf.lua FILE...
local glim = require "glim"

if #arg == 0 then error("usage: glim run examples/tf_idf.lua FILE...", 0) end
local file_count = #arg
local function sum(x, y) return x + y end

local flow = glim.flow("tf-idf")
local counts = flow:TextFile(arg, {file_name = true}) -- line, file
  :FlatMap(function(line, file)
    local words = line:gmatch("%a+")
    return function()
      local word = words()
      if word then return word:lower(), file, 1 end
    end
  end)
  :ReduceBy(sum, 1, 2) -- word, file, count in the file

local files_with = counts
  :Map(function(word) return word, 1 end)
  :ReduceBy(sum) -- word, number of files

counts:Join(files_with) -- word, file, count, number of files
  :Map(function(word, file, count, files) return word, file, count * math.log(file_count / files) end)
  :Top(20, glim.order_by(3, glim.descending), glim.order_by(1), glim.order_by(2))
  :Printf("%s %s %.4f\n")
  :Run()
