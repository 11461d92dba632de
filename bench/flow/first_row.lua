-- SPDX-License-Identifier: Apache-2.0
-- The smallest flow.    glim run first_row.lua
local glim = require "glim"
glim.flow("first row"):Ints{1}:Printf("%d\n"):Run()
