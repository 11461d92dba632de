-- SPDX-License-Identifier: Apache-2.0
-- Sorts lines.    glim run sort.lua OUTPUT INPUT
local glim = require "glim"
glim.flow("sort"):TextFile(arg[2]):Sort():WriteText(arg[1]):Run()
