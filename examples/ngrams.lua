-- SPDX-License-Identifier: Apache-2.0
-- The twenty runs of N words that come most often. They do not go beyond a line.
--    glim run examples/ngrams.lua [N [FILE OR FOLDER...]]
local glim = require "glim"

local n = tonumber(arg[1]) or 3
local files = #arg > 1 and {unpack(arg, 2)} or "/usr/share/perl"

glim.flow("n-grams")
  :TextFile(files, {recursive = true})
  :FlatMap(function(line)
    local next_word = line:lower():gmatch("%a+")
    local window = {}
    return function()
      if #window == n then table.remove(window, 1) end
      while #window < n do
        local word = next_word()
        if not word then return nil end
        window[#window + 1] = word
      end
      return table.concat(window, " ")
    end
  end)
  :Map(function(words) return words, 1 end)
  :ReduceBy(function(x, y) return x + y end)
  :Top(20, glim.order_by(2, glim.descending), glim.order_by(1))
  :Printf("%s: %d\n")
  :Run()
