-- SPDX-License-Identifier: Apache-2.0
-- Lines through a program.    glim run pipe.lua OUTPUT INPUT
local glim = require "glim"
glim.flow("pipe"):TextFile(arg[2]):Pipe("cat"):WriteText(arg[1]):Run()
