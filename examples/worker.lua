-- SPDX-License-Identifier: Apache-2.0
--
-- One of several workers, each a process of its own, that train one model on servers: the logistic regression of a9a.lua.
--
--   glim master &
--   glim server --dir server-1 &
--   glim server --dir server-2 &
--   glim run --on standalone://127.0.0.1:45326 examples/worker.lua 1 2 train.svm &
--   glim run --on standalone://127.0.0.1:45326 examples/worker.lua 2 2 train.svm
--   glim table save worker-model model
--
-- Worker 1 of 2 takes every second line, worker 2 the others. Whoever comes first makes the tables. A worker that ends, ends; the model stays.
local glim = require "glim"
local metrics = require "binary_metrics"

local worker, workers, file = tonumber(arg[1]), tonumber(arg[2]), arg[3]
if not (worker and workers and file) or worker < 1 or worker > workers then
  error("usage: glim run --on standalone://HOST:PORT examples/worker.lua WORKER WORKERS FILE", 0)
end

-- Opens the table of that name, or makes it; when two make it at the same time, one of them finds it the second time.
local function open_or_make(spec)
  local found, model = pcall(glim.open_table, spec.name)
  if found then return model end
  local made, new = pcall(glim.table, spec)
  return made and new or glim.open_table(spec.name)
end

local model = open_or_make{name = "worker-model", keys = "sparse", type = "f32", rule = glim.ftrl{alpha = 0.1, beta = 1}}
-- What the workers count together: 0 = rows, 1 = their log-loss before the model had seen them.
local progress = open_or_make{name = "worker-progress", keys = 2, type = "f64", rule = glim.add()}

glim.flow("worker")
  :TextFile(file)
  :ZipWithIndex()
  :Filter(function(line, index) return index % workers == worker - 1 end)
  :ForEachBatch(function(rows)
    local lines, loss, mini_batch = rows:Column(1), 0, 16
    for first = 1, #lines, mini_batch do
      local keys, values, labels, ends = {}, {}, {}, {}
      for i = first, math.min(first + mini_batch - 1, #lines) do
        labels[#labels + 1] = tonumber(lines[i]:match("^%S+")) > 0 and 1 or 0
        keys[#keys + 1], values[#values + 1] = 0, 1
        for index, value in lines[i]:gmatch("(%d+):(%S+)") do
          keys[#keys + 1], values[#values + 1] = tonumber(index), tonumber(value)
        end
        ends[#ends + 1] = #keys
      end
      local weights, gradients, begin = model:Pull(keys):Get(), {}, 1
      for row, label in ipairs(labels) do
        local sum = 0
        for k = begin, ends[row] do sum = sum + weights[k] * values[k] end
        local p = metrics.probability(sum)
        for k = begin, ends[row] do gradients[k] = (p - label) * values[k] end
        loss = loss + metrics.log_loss(p, label)
        begin = ends[row] + 1
      end
      model:Push(keys, gradients):Wait()
    end
    progress:Push({0, 1}, {#lines, loss}):Wait()
  end)
  :Run()

local rows, loss = unpack(progress:Pull({0, 1}):Get())
print(("worker %d of %d: all workers together have seen %d rows, progressive log-loss %.5f"):format(worker, workers, rows, loss / rows))
