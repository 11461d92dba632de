-- SPDX-License-Identifier: Apache-2.0
-- Requests and bytes of each host of a web server's access log (as access_log.lua reads it), into a table of a
-- database; then the hosts that got most, out of it.
--    glim run examples/sql.lua 'logs/access.log*' sqlite:hosts.db
--    glim run examples/sql.lua 'logs/access.log*' postgresql://ann@localhost/shop
local glim = require "glim"
local log, database = arg[1] or "-", arg[2] or "sqlite:hosts.db"

glim.flow("into the table")
  :TextFile(log)
  :Map(function(line)
    local host, bytes = line:match('^(%S+) %S+ %S+ %[[^%]]*%] "%S+ %S+[^"]*" %d+ (%S+)')
    if host then return host, 1, tonumber(bytes) or 0 end
  end)
  :ReduceBy(function(requests, bytes, more_requests, more_bytes) return requests + more_requests, bytes + more_bytes end)
  :Sort()
  :As("host", "requests", "bytes")
  :WriteSql(database, "hosts", {mode = "replace", types = {"text primary key", "", ""}})
  :Run()

glim.flow("out of it")
  :Sql(database, "select host, requests, bytes from hosts order by bytes desc, host limit 5")
  :Printf("%s: %d requests, %d bytes\n")
  :Run()
