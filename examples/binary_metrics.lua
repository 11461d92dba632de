-- SPDX-License-Identifier: Apache-2.0
--
-- How good are scores of rows that are positive or negative? For the examples, as binary_metrics.h is for those in C++.
local metrics = {}

function metrics.probability(score) return 1 / (1 + math.exp(-score)) end

function metrics.log_loss(probability, label)
  probability = math.min(math.max(probability, 1e-15), 1 - 1e-15)
  return -math.log(label == 1 and probability or 1 - probability)
end

-- `scored`: rows {score, label}, lowest score first; a score is the log of the odds that the label is 1, not 0. Gives the mean log-loss in nats,
-- the accuracy, the AUC (the chance that a positive row scores above a negative one; equal scores count half) and the number of positives.
function metrics.measure(scored)
  local loss, right, positives, negatives, wins = 0, 0, 0, 0, 0
  local i = 1
  while i <= #scored do
    local j, p, n = i, 0, 0
    while scored[j] and scored[j][1] == scored[i][1] do
      if scored[j][2] == 1 then p = p + 1 else n = n + 1 end
      j = j + 1
    end
    wins = wins + p * (negatives + n / 2)
    positives, negatives = positives + p, negatives + n
    i = j
  end
  for _, row in ipairs(scored) do
    loss = loss + metrics.log_loss(metrics.probability(row[1]), row[2])
    if (row[1] >= 0) == (row[2] == 1) then right = right + 1 end
  end
  return {log_loss = loss / #scored, accuracy = right / #scored, auc = wins / (positives * negatives), positives = positives}
end

return metrics
