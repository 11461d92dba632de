// SPDX-License-Identifier: Apache-2.0
//
// How good are scores of rows that are positive or negative? Log-loss, accuracy, AUC; for the examples.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

struct ScoredRow {
  double score = 0;  // The log of the odds that the row is positive; above 0 means "rather yes".
  bool positive = false;
};

struct BinaryMetrics {
  int64_t rows = 0, positives = 0;
  double log_loss = 0;  // Mean, in nats.
  double accuracy = 0;
  double auc = 0;  // The chance that a positive row scores above a negative one; equal scores count half.
};

inline double Probability(double score) { return 1 / (1 + std::exp(-score)); }

inline double LogLoss(double probability, bool positive) {
  probability = std::clamp(probability, 1e-15, 1 - 1e-15);
  return -std::log(positive ? probability : 1 - probability);
}

inline BinaryMetrics Measure(std::vector<ScoredRow> rows) {
  std::sort(rows.begin(), rows.end(), [](const ScoredRow& a, const ScoredRow& b) { return a.score < b.score; });
  BinaryMetrics all;
  all.rows = static_cast<int64_t>(rows.size());
  int64_t right = 0, negatives = 0;
  double loss = 0, wins = 0;
  for (size_t i = 0; i < rows.size();) {
    int64_t equal_positives = 0, equal_negatives = 0;
    for (const double score = rows[i].score; i < rows.size() && rows[i].score == score; ++i) {
      ++(rows[i].positive ? equal_positives : equal_negatives);
      right += (score > 0) == rows[i].positive;
      loss += LogLoss(Probability(score), rows[i].positive);
    }
    wins += static_cast<double>(equal_positives) *
            (static_cast<double>(negatives) + static_cast<double>(equal_negatives) / 2);
    all.positives += equal_positives;
    negatives += equal_negatives;
  }
  const double count = static_cast<double>(all.rows);
  all.log_loss = loss / count;
  all.accuracy = static_cast<double>(right) / count;
  all.auc = wins / (static_cast<double>(all.positives) * static_cast<double>(negatives));
  return all;
}
