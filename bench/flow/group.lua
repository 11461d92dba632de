-- SPDX-License-Identifier: Apache-2.0
-- Sums the second field of a CSV file by the first.    glim run group.lua OUTPUT INPUT
local glim = require "glim"
glim.flow("group"):Input(glim.csv{arg[2], numbers = true}):ReduceBy(glim.sum):WriteCsv(arg[1]):Run()
