-- SPDX-License-Identifier: Apache-2.0
--
-- Logistic regression with the FTRL rule: one pass over LIBSVM text (`label index:value ...`), through a table.
--
--   xz -dk examples/data/a9a.xz examples/data/a9a.t.xz
--   glim run examples/a9a.lua examples/data/a9a examples/data/a9a.t [--seed N] [--mini-batch N] [--tasks N]
--
-- --seed 0 takes the rows in the order of the file, without the shuffle.
local glim = require "glim"
local metrics = require "binary_metrics"

local options = {mini_batch = 16, tasks = 4, seed = 1}
local files = {}
do
  local i = 1
  while arg[i] do
    local name = arg[i]:match("^%-%-(.+)$")
    local option = name and name:gsub("-", "_")
    if not name then files[#files + 1] = arg[i]
    elseif options[option] then
      i = i + 1
      options[option] = tonumber(arg[i]) or error("--" .. name .. " takes a number", 0)
    else error("unknown option --" .. name .. "; there are --seed N, --mini-batch N and --tasks N", 0) end
    i = i + 1
  end
end
if #files ~= 2 then error("usage: glim run examples/a9a.lua TRAIN TEST", 0) end
local train_file, test_file, mini_batch = files[1], files[2], options.mini_batch

-- 123 features, numbered from 1; key 0 is the intercept.
local model = glim.table{name = "a9a", keys = "sparse", type = "f32", rule = glim.ftrl{alpha = 0.1, beta = 1}}
-- What the tasks count together: 0 = rows, 1 = their log-loss before the model had seen them.
local progress = glim.table{name = "progress", keys = 2, type = "f64", rule = glim.add()}

-- Appends a line's keys and values to the two lists and returns its label, 0 or 1.
local function parse(line, keys, values)
  local label = tonumber(line:match("^%S+"))
  if not label then error("not `label index:value ...`: " .. line:sub(1, 60), 0) end
  local n = #keys + 1
  keys[n], values[n] = 0, 1
  for index, value in line:gmatch("(%d+):(%S+)") do
    n = n + 1
    keys[n], values[n] = tonumber(index), tonumber(value)
  end
  return label > 0 and 1 or 0
end

-- One step: pull the weights of some lines, compute the gradients of the log-loss, push them. The table applies FTRL.
local function train_on(lines, first, last)
  local keys, values, labels, ends, loss = {}, {}, {}, {}, 0
  for i = first, last do
    labels[i] = parse(lines[i], keys, values)
    ends[i] = #keys
  end
  local weights = model:Pull(keys):Get()
  local gradients, begin = {}, 1
  for i = first, last do
    local sum = 0
    for k = begin, ends[i] do sum = sum + weights[k] * values[k] end
    local p = metrics.probability(sum)
    for k = begin, ends[i] do gradients[k] = (p - labels[i]) * values[k] end
    loss = loss + metrics.log_loss(p, labels[i])
    begin = ends[i] + 1
  end
  model:Push(keys, gradients):Wait()
  return loss
end

local started = glim.seconds()
local lines = glim.flow("train"):TextFile(train_file, {offset = true})
if options.seed ~= 0 then                                    -- shuffled: in the order of the hashes of where the lines start
  lines = lines:Map(function(line, offset) return line, glim.hash(options.seed .. " " .. offset) end):Sort(2)
end
lines
  :RoundRobin(options.tasks)                                 -- that many tasks train at the same time
  :ForEachBatch(function(rows)
    local lines, loss = rows:Column(1), 0
    for first = 1, #lines, mini_batch do
      loss = loss + train_on(lines, first, math.min(first + mini_batch - 1, #lines))
    end
    progress:Push({0, 1}, {#lines, loss}):Wait()
  end)
  :Run()
local seconds = glim.seconds() - started
local rows, loss = unpack(progress:Pull({0, 1}):Get())
print(("train: %d rows in %.2f s (%.0f rows/s from text to weights), progressive log-loss %.5f"):format(
  rows, seconds, rows / seconds, loss / rows))

-- The test rows, scored in parallel, lowest score first.
local scored = {}
glim.flow("test")
  :TextFile(test_file)
  :Map(function(line)
    local keys, values, sum = {}, {}, 0
    local label = parse(line, keys, values)
    for k, weight in ipairs(model:Pull(keys):Get()) do sum = sum + weight * values[k] end
    return sum, label
  end)
  :Sort(1)
  :Collect(scored)
  :Run()

local all = metrics.measure(scored)
print(("test: %d rows  log-loss %.5f  AUC %.5f  accuracy %.4f  weights %d"):format(
  #scored, all.log_loss, all.auc, all.accuracy, model:Describe().non_zero))
