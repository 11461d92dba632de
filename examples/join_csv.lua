-- SPDX-License-Identifier: Apache-2.0
-- Joins two CSV files where a1 = b2 and prints a1, a4, b3.    glim run examples/join_csv.lua a.csv b.csv
local glim = require "glim"

local flow = glim.flow("join")
local a = flow:Input(glim.csv(arg[1])):Select(1, 4) -- a1, a4
local b = flow:Input(glim.csv(arg[2])):Select(2, 3) -- b2, b3
a:Join(b):Printf("%s,%s,%s\n"):Run()
