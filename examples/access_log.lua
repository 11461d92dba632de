-- SPDX-License-Identifier: Apache-2.0
-- What a web server's access log says (Apache's and nginx's "combined" format): answers by status, the ten pages asked
-- for most, bytes by host.
--    glim run examples/access_log.lua 'logs/access.log*'
local glim = require "glim"

local flow = glim.flow("access log")
local lines = flow:TextFile(#arg > 0 and arg or "-")
local pattern = '^(%S+) %S+ %S+ %[[^%]]*%] "(%S+) (%S+)[^"]*" (%d+) (%S+)'

-- host, method, page, status, bytes. A size of "-" means that nothing was sent.
local requests = lines
  :Filter(function(line) return line:find(pattern) ~= nil end)
  :Map(function(line)
    local host, method, target, status, size = line:match(pattern)
    return host, method, target:match("^[^?]*"), tonumber(status), tonumber(size) or 0
  end)

local function count_by(field)
  return requests:Select(field):Map(function(key) return key, 1 end):ReduceBy(function(x, y) return x + y end)
end

local other = {}
lines:Filter(function(line) return line:find(pattern) == nil end):Map(function() return 1 end)
  :Reduce(function(x, y) return x + y end):SaveFirstRowTo(other)
count_by(4):Sort():Printf("status %d: %d\n")
count_by(3):Top(10, glim.order_by(2, glim.descending), glim.order_by(1)):Printf("page %s: %d\n")
requests:Select(1, 5):ReduceBy(function(x, y) return x + y end)
  :SortBy(glim.order_by(2, glim.descending), glim.order_by(1))
  :Printf("host %s: %d bytes\n")
flow:Run()
if other[1] then print(other[1] .. " lines are of another format") end
