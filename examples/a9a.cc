// SPDX-License-Identifier: Apache-2.0
//
// Logistic regression with the FTRL rule: examples/a9a.lua in C++. One pass over LIBSVM text (`label index:value ...`).
//
//   xz -dk examples/data/a9a.xz examples/data/a9a.t.xz
//   build/release/example_a9a examples/data/a9a examples/data/a9a.t [--seed N] [--mini-batch N] [--tasks N]
//
// --seed 0 takes the rows in the order of the file, without the shuffle.
#include <charconv>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "binary_metrics.h"
#include "glim/glim.h"

namespace {

struct Options {
  std::vector<std::string> files;
  int64_t seed = 1, mini_batch = 16, tasks = 4;
};

// Some rows as one request: their keys and values back to back.
struct Examples {
  std::vector<glim::Key> keys;
  std::vector<float> values;
  std::vector<size_t> ends;  // Of each row, in `keys`.
  std::vector<bool> positive;

  void Clear() {
    keys.clear();
    values.clear();
    ends.clear();
    positive.clear();
  }

  // Appends a row; key 0 is the intercept, the indexes of the text start at 1. False when it is not LIBSVM text.
  bool Parse(std::string_view line) {
    const char* p = line.data();
    const char* const end = p + line.size();
    auto skip_blanks = [&] {
      while (p != end && (*p == ' ' || *p == '\t')) ++p;
    };
    auto number = [&](auto* out) {
      auto [next, error] = std::from_chars(p, end, *out);
      p = next;
      return error == std::errc();
    };
    if (p != end && *p == '+') ++p;
    float label = 0;
    if (!number(&label)) return false;
    keys.push_back(0);
    values.push_back(1);
    for (skip_blanks(); p != end; skip_blanks()) {
      glim::Key key = 0;
      float value = 0;
      if (!number(&key) || p == end || *p++ != ':' || !number(&value)) return false;
      keys.push_back(key);
      values.push_back(value);
    }
    ends.push_back(keys.size());
    positive.push_back(label > 0);
    return true;
  }
};

glim::Status NotLibsvm(std::string_view line) {
  return glim::Status::Invalid("not `label index:value ...`: " + std::string(line.substr(0, 60)));
}

// Pulls the weights of some rows, computes the gradients of the log-loss and pushes them; the table applies FTRL.
glim::Status Train(const glim::Table<float>& model, const Examples& rows, std::vector<float>* buffer, double* loss) {
  std::vector<float>& weights = *buffer;
  weights.resize(rows.keys.size());
  if (glim::Status pulled = model.Pull(rows.keys, std::span(weights)).Wait(); !pulled.ok()) return pulled;
  size_t k = 0;
  for (size_t i = 0; i < rows.ends.size(); ++i) {
    const size_t begin = k, end = rows.ends[i];
    double sum = 0;
    for (; k < end; ++k) sum += weights[k] * rows.values[k];
    const double probability = Probability(sum);
    *loss += LogLoss(probability, rows.positive[i]);
    const float slope = static_cast<float>(probability - rows.positive[i]);
    for (k = begin; k < end; ++k) weights[k] = slope * rows.values[k];  // From here on, the gradient.
  }
  return model.Push(rows.keys, std::span<const float>(weights)).Wait();
}

bool Parse(const std::vector<std::string>& arguments, Options* options) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    int64_t* number = arguments[i] == "--seed"         ? &options->seed
                      : arguments[i] == "--mini-batch" ? &options->mini_batch
                      : arguments[i] == "--tasks"      ? &options->tasks
                                                       : nullptr;
    if (number != nullptr && i + 1 < arguments.size()) {
      const std::string& text = arguments[++i];
      auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
      if (error != std::errc() || end != text.data() + text.size() || *number < (number == &options->seed ? 0 : 1))
        return false;
    } else if (arguments[i].starts_with("--")) {
      return false;
    } else {
      options->files.push_back(arguments[i]);
    }
  }
  return options->files.size() == 2;
}

}  // namespace

int main(int argc, char** argv) {
  glim::Session session(argc, argv);
  Options options;
  if (session.status().ok() && !Parse(session.arguments(), &options)) {
    std::fprintf(stderr, "usage: example_a9a TRAIN TEST [--seed N] [--mini-batch N] [--tasks N]\n");
    return 2;
  }

  auto model = session.CreateTable<float>("a9a", glim::SparseKeys(), glim::Ftrl{.alpha = 0.1, .beta = 1});
  // What the tasks count together: 0 = rows, 1 = their log-loss before the model had seen them.
  auto progress = session.CreateTable<double>("progress", glim::DenseKeys(2), glim::Add());

  const auto started = std::chrono::steady_clock::now();
  glim::Flow train("train");
  glim::Dataset lines = train.TextFile(options.files.empty() ? "" : options.files[0], {.offset = true});
  if (options.seed != 0) {  // Shuffled: in the order of the hashes of where the lines start.
    lines = lines
                .Map([seed = std::to_string(options.seed)](std::string_view line, int64_t offset) {
                  return std::tuple(line, static_cast<int64_t>(glim::Hash(seed + ' ' + std::to_string(offset), 53)));
                })
                .Sort(2);
  }
  lines
      .RoundRobin(static_cast<int>(options.tasks))  // That many tasks train at the same time.
      .ForEachBatch([&](const glim::Batch& batch) -> glim::Status {
        const glim::Column& text = batch.column(0);
        Examples rows;
        std::vector<float> buffer;
        double loss = 0;
        for (int64_t i = 0; i < text.length(); ++i) {
          if (!rows.Parse(text.BytesAt(i))) return NotLibsvm(text.BytesAt(i));
          if (std::ssize(rows.ends) < options.mini_batch && i + 1 < text.length()) continue;
          if (glim::Status trained = Train(model, rows, &buffer, &loss); !trained.ok()) return trained;
          rows.Clear();
        }
        const glim::Key keys[] = {0, 1};
        const double counts[] = {static_cast<double>(text.length()), loss};
        return progress.Push(keys, counts).Wait();
      });
  if (glim::Status status = train.Run(session); !status.ok()) return glim::ExitCode(status);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  const glim::Key both[] = {0, 1};
  const std::vector<double> counts = progress.Pull(both).Get().value();
  std::printf("train: %.0f rows in %.2f s (%.0f rows/s from text to weights), progressive log-loss %.5f\n", counts[0],
              seconds, counts[0] / seconds, counts[1] / counts[0]);

  // The test rows, scored in parallel.
  std::vector<glim::Row> scored;
  glim::Flow test("test");
  test.TextFile(options.files[1])
      .Map([&](std::string_view line) {
        Examples row;
        if (!row.Parse(line)) throw std::runtime_error(NotLibsvm(line).ToString());
        const std::vector<float> weights = model.Pull(row.keys).Get().value();
        double sum = 0;
        for (size_t k = 0; k < weights.size(); ++k) sum += weights[k] * row.values[k];
        return std::tuple(sum, bool(row.positive[0]));
      })
      .Collect(&scored);
  if (glim::Status status = test.Run(session); !status.ok()) return glim::ExitCode(status);
  std::vector<ScoredRow> rows;
  for (const glim::Row& row : scored) rows.push_back({row[0].as_double(), row[1].as_bool()});
  const BinaryMetrics all = Measure(std::move(rows));
  std::printf("test: %ld rows  log-loss %.5f  AUC %.5f  accuracy %.4f  weights %lu\n", static_cast<long>(all.rows),
              all.log_loss, all.auc, all.accuracy, static_cast<unsigned long>(model.client()->CountNonZero().value()));
  return 0;
}
