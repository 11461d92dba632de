-- SPDX-License-Identifier: Apache-2.0
--
-- Glim's main job in one script: a flow prepares real text and trains a model that lives in a table.
--
--   ./dev quickstart                 or    glim run examples/quickstart.lua [--ask] [--bsp] [--sources N] [--model FOLDER]
--
-- With --bsp the four tasks that train keep in step, and the model is the same in every bit each time and on any engine
-- (--on local:3); they must run at the same time, so all executors together need four threads (--threads).
--
-- The text is what every machine with a compiler has: C and C++ headers and Perl modules.
local glim = require "glim"
local metrics = require "binary_metrics"

local options = {files = 600, model = (os.getenv("TMPDIR") or "/tmp") .. "/glim-quickstart-" .. (os.getenv("USER") or "model")}
do
  local i = 1
  while arg[i] do
    if arg[i] == "--ask" then options.ask = true
    elseif arg[i] == "--bsp" then options.bsp = true
    elseif arg[i] == "--sources" then i = i + 1; options.files = tonumber(arg[i]) or error("--sources takes a number")
    elseif arg[i] == "--model" then i = i + 1; options.model = arg[i] or error("--model takes a folder")
    else error("unknown option " .. arg[i] .. "; there are --ask, --bsp, --sources N and --model FOLDER", 0) end
    i = i + 1
  end
end

-- ---- The files: as many of each language, every tenth held out ----
local function shuffled(list, seed)
  math.randomseed(seed)
  for i = #list, 2, -1 do
    local j = math.random(i)
    list[i], list[j] = list[j], list[i]
  end
  return list
end

local train, held_out = {}, {}
for language, pattern in pairs {c = {"/usr/include", "*.h"}, perl = {"/usr/share/perl", "*.p[ml]"}} do
  local files = shuffled(glim.glob(pattern[1], {recursive = true, pattern = pattern[2]}), 42)
  for i = 1, math.min(#files, options.files) do
    local list = i % 10 == 0 and held_out or train
    list[#list + 1] = files[i]
  end
end
print(("%d files to learn from, %d held out"):format(#train, #held_out))

-- ---- (a) Count words ----
print("\nThe ten most frequent words:")
glim.flow("words")
  :TextFile(train)
  :FlatMap(function(line) return line:gmatch("%w+") end)
  :Map(function(word) return word, 1 end)
  :ReduceBy(function(x, y) return x + y end)
  :Top(10, glim.order_by(2, glim.descending))
  :Printf("  %-12s %8d\n")
  :Run()

-- ---- (b) Train: is a line C or Perl? ----
-- A line's features are its tokens, hashed to 2^22 numbers; number 0 is in every line.
local function features(line)
  local keys, seen = {0}, {}
  for token in line:gmatch("[%w_]+") do
    local key = glim.hash(token, 22) + 1
    if not seen[key] then
      seen[key] = true
      keys[#keys + 1] = key
    end
  end
  for token in line:gmatch("[^%w%s_]+") do
    local key = glim.hash(token, 22) + 1
    if not seen[key] then
      seen[key] = true
      keys[#keys + 1] = key
    end
  end
  return keys
end

local function label_of(file) return file:find("^/usr/include") and 1 or 0 end

local model = glim.table{name = "language", keys = "sparse", type = "f32", rule = glim.ftrl{alpha = 0.1, beta = 1, l1 = 0.5},
                         consistency = options.bsp and "bsp" or "async"}
local counts = glim.table{name = "counts", keys = 2, type = "i64"}

-- With --bsp: who pulls and pushes for this task, and nobody sees a push before all have ended the round.
local workers, worker = 4, nil
local bsp = options.bsp

-- Pulls the weights of some lines, computes the gradient of the log-loss, pushes it.
local function train_on(lines, labels, first, last)
  local keys, ends = {}, {}
  for i = first, last do
    for _, key in ipairs(features(lines[i])) do keys[#keys + 1] = key end
    ends[#ends + 1] = #keys
  end
  local weights = (worker or model):Pull(keys):Get()
  local gradients, k = {}, 1
  for i = first, last do
    local sum, stop = 0, ends[i - first + 1]
    for j = k, stop do sum = sum + weights[j] end
    local gradient = metrics.probability(sum) - labels[i]
    for j = k, stop do gradients[j] = gradient end
    k = stop + 1
  end
  (worker or model):Push(keys, gradients):Wait()
  if worker then worker:Clock() end
end

local mini_batch = 64
local started = glim.seconds()
glim.flow("train")
  :TextFile(train, {file_name = true, offset = true})
  :Filter(function(line) return line:find("%w") ~= nil end)
  :Map(function(line, file, offset) return glim.hash(file .. " " .. offset), line, label_of(file) end)
  :Sort(1)                                                   -- the hash of where they stand mixes the lines of all files
  :RoundRobin(workers)                                       -- four tasks train at the same time
  :ForEachBatch(function(rows)
    local lines, labels = rows:Column(2), rows:Column(3)
    for first = 1, #lines, mini_batch do train_on(lines, labels, first, math.min(first + mini_batch - 1, #lines)) end
    counts:Push({0}, {#lines}):Wait()
  end, {
    setup = function() if bsp then worker = model:Join{worker = glim.partition() - 1, workers = workers} end end,
    teardown = function() if worker then worker:Leave() end end,
  })
  :Run()
local trained = counts:Pull({0}):Get()[1]
local seconds = glim.seconds() - started
print(("\ntrained on %d lines in %.1f s: %.0f examples/s, reading and mixing included"):format(trained, seconds, trained / seconds))

-- ---- (c) How good is it on the files it has not seen? ----
local function score(line)                                   -- the log of the odds that the line is C
  local sum = 0
  for _, weight in ipairs(model:Pull(features(line)):Get()) do sum = sum + weight end
  return sum
end

local scored = {}
glim.flow("test")
  :TextFile(held_out, {file_name = true})
  :Filter(function(line) return line:find("%w") ~= nil end)
  :Map(function(line, file) return score(line), label_of(file) end)
  :Sort(1)
  :Collect(scored)
  :Run()

local all = metrics.measure(scored)
print(("held out: %d lines (%d C, %d Perl)  log-loss %.4f  accuracy %.4f  AUC %.4f"):format(
  #scored, all.positives, #scored - all.positives, all.log_loss, all.accuracy, all.auc))

-- The strongest features: every token once, joined with its weight.
local function strongest(title, order)
  print(title)
  glim.flow("features")
    :TextFile(train)
    :FlatMap(function(line) return line:gmatch("[%w_]+") end)
    :Map(function(token) return token, 1 end)
    :ReduceBy(function(x, y) return x + y end)
    :Map(function(token, count) return glim.hash(token, 22) + 1, token, count end)
    :Filter(function(_, _, count) return count >= 20 end)
    :Lookup(model)
    :Top(10, glim.order_by(4, order))
    :Select(2, 4)
    :Printf("  %-20s %7.3f\n")
    :Run()
end
strongest("\nmost like C:", glim.descending)
strongest("most like Perl:", glim.ascending)
local about = model:Describe()
print(("weights: %d stored, %d of them not zero"):format(about.keys, about.non_zero))

-- ---- (d) Save, open again, ask ----
model:Save(options.model)
model:Drop()
model = glim.load_table(options.model)
print("\nsaved as " .. options.model .. " and opened again")
local function answer(line) print(("  %5.1f %% C   %s"):format(100 * metrics.probability(score(line)), line)) end
for _, line in ipairs {"#include <stdio.h>", "my $count = shift @_;", "static inline int add(int a, int b);", "use strict; use warnings;"} do
  answer(line)
end
if options.ask then
  io.write("type lines, end with Ctrl-D\n")
  for line in io.lines() do answer(line) end
end
