-- SPDX-License-Identifier: Apache-2.0
-- Sorts records of 100 bytes, a key of 10 and 90 more, as sort benchmarks do. Makes INPUT first when it is not there.
--    glim run examples/sort.lua INPUT OUTPUT [RECORDS]
local glim = require "glim"

local input, output, records = arg[1], arg[2], tonumber(arg[3]) or 1000000
if not output then error("usage: glim run examples/sort.lua INPUT OUTPUT [RECORDS]", 0) end
local letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

local file = io.open(input)
if file then
  file:close()
else
  local parts = 16
  glim.flow("make records")
    :Generate(function(part)
      local seed = part + 1
      for number = part, records - 1, parts do
        local key = {}
        for i = 1, 10 do
          seed = seed * 48271 % 2147483647
          local letter = seed % 26 + 1
          key[i] = letters:sub(letter, letter)
        end
        writeRow(table.concat(key), string.format("%89d\n", number))
      end
    end, parts)
    :WriteBinary(input)
    :Run()
end

glim.flow("sort")
  :Input(glim.fixed_width{input, widths = {10, 90}})
  :Sort()
  :WriteBinary(output)
  :Run()
