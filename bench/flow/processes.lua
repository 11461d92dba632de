-- SPDX-License-Identifier: Apache-2.0
-- A process for each of some rows.    glim run processes.lua COUNT
local glim = require "glim"
glim.flow("processes"):Range(1, arg[1] + 1):PipeAsArgs("echo $1", {parallel = 2}):Printf("%s\n"):Run()
