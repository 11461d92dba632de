-- SPDX-License-Identifier: Apache-2.0
-- Joins two CSV files by their first field.    glim run join.lua OUTPUT LEFT RIGHT
local glim = require "glim"
local flow = glim.flow("join")
flow:Input(glim.csv{arg[2]}):Join(flow:Input(glim.csv{arg[3]})):WriteCsv(arg[1]):Run()
