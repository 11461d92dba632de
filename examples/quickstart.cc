// SPDX-License-Identifier: Apache-2.0
//
// Glim's main job in one program: examples/quickstart.lua in C++. A flow prepares real text and trains a model that
// lives in a table.
//
//   build/release/example_quickstart [--ask] [--sources N] [--model FOLDER]
//
// The text is what every machine with a compiler has: C and C++ headers and Perl modules.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "binary_metrics.h"
#include "glim/glim.h"

namespace {

struct Options {
  bool ask = false;
  size_t files = 600;  // Of each language.
  std::string model;
};

bool Parse(const std::vector<std::string>& arguments, Options* options) {
  const char* user = std::getenv("USER");
  options->model = std::filesystem::temp_directory_path() / ("glim-quickstart-" + std::string(user ? user : "model"));
  for (size_t i = 0; i < arguments.size(); ++i) {
    const bool has_value = i + 1 < arguments.size();
    if (arguments[i] == "--ask") {
      options->ask = true;
    } else if (arguments[i] == "--sources" && has_value) {
      options->files = std::strtoul(arguments[++i].c_str(), nullptr, 10);
      if (options->files < 10) return false;
    } else if (arguments[i] == "--model" && has_value) {
      options->model = arguments[++i];
    } else {
      return false;
    }
  }
  return true;
}

// All files below `folder` that end so, in an order that is the same in each run and mixes them.
std::vector<std::string> Shuffled(const std::string& folder, const std::vector<std::string>& endings) {
  namespace fs = std::filesystem;
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder, fs::directory_options::skip_permission_denied)) {
    if (entry.is_regular_file() && std::ranges::count(endings, entry.path().extension().string()) > 0)
      files.push_back(entry.path());
  }
  std::ranges::sort(files);
  std::ranges::shuffle(files, std::mt19937_64(42));
  return files;
}

bool IsLetterOrDigit(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }
bool IsWord(char c) { return IsLetterOrDigit(c) || c == '_'; }
bool IsBlank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Calls visit(token) for the longest pieces of characters that belong.
template <class Belongs, class Visit>
void ForEachToken(std::string_view line, Belongs belongs, Visit visit) {
  for (size_t i = 0; i < line.size();) {
    size_t end = i;
    while (end < line.size() && belongs(line[end])) ++end;
    if (end > i) visit(line.substr(i, end - i));
    i = end + (end == i);
  }
}

bool HasLetterOrDigit(std::string_view line) { return std::ranges::any_of(line, IsLetterOrDigit); }
bool IsC(std::string_view file) { return file.starts_with("/usr/include"); }

// A line's features are its tokens, hashed to 2^22 numbers; number 0 is in every line. Appends them.
glim::Key Feature(std::string_view token) { return glim::Hash(token, 22) + 1; }
void AppendFeatures(std::string_view line, std::vector<glim::Key>* keys) {
  const auto begin = std::ssize(*keys);
  keys->push_back(0);
  auto add = [&](std::string_view token) { keys->push_back(Feature(token)); };
  ForEachToken(line, IsWord, add);
  ForEachToken(line, [](char c) { return !IsWord(c) && !IsBlank(c); }, add);
  std::sort(keys->begin() + begin, keys->end());
  keys->erase(std::unique(keys->begin() + begin, keys->end()), keys->end());
}

// Pulls the weights of some lines, computes the gradients of the log-loss and pushes them; the table applies FTRL.
glim::Status TrainOn(const glim::Table<float>& model, const glim::Column& lines, const glim::Column& labels,
                     int64_t first, int64_t last) {
  std::vector<glim::Key> keys;
  std::vector<size_t> ends;
  for (int64_t i = first; i < last; ++i) {
    AppendFeatures(lines.BytesAt(i), &keys);
    ends.push_back(keys.size());
  }
  std::vector<float> weights(keys.size());
  if (glim::Status pulled = model.Pull(keys, std::span(weights)).Wait(); !pulled.ok()) return pulled;
  auto weight = weights.begin();
  for (int64_t i = first; i < last; ++i) {
    const auto begin = weight,
               end = weights.begin() + static_cast<std::ptrdiff_t>(ends[static_cast<size_t>(i - first)]);
    double sum = 0;
    for (; weight != end; ++weight) sum += *weight;
    const double gradient = Probability(sum) - (labels.BoolAt(i) ? 1 : 0);
    std::fill(begin, end, static_cast<float>(gradient));
  }
  return model.Push(keys, std::span<const float>(weights)).Wait();
}

// The log of the odds that the line is C.
double Score(const glim::Table<float>& model, std::string_view line) {
  std::vector<glim::Key> keys;
  AppendFeatures(line, &keys);
  double sum = 0;
  for (float weight : model.Pull(keys).Get().value()) sum += weight;
  return sum;
}

// The ten features with the highest or lowest weights: every token once, joined with its weight.
glim::Status PrintStrongest(glim::Session& session, const glim::Table<float>& model,
                            const std::vector<std::string>& files, glim::SortOrder order) {
  glim::Flow flow("features");
  flow.TextFile(files)
      .FlatMap([](std::string_view line, glim::Emitter& out) {
        ForEachToken(line, IsWord, [&](std::string_view token) { out(token, 1); });
      })
      .ReduceBy([](int64_t x, int64_t y) { return x + y; })
      .Filter([](std::string_view, int64_t count) { return count >= 20; })
      .Map([](std::string_view token) { return std::tuple(static_cast<int64_t>(Feature(token)), token); })
      .Lookup(model.client())
      .Top(10, {glim::OrderBy(3, order)})
      .Select(2, 3)
      .Printf("  %-20s %7.3f\n");
  return flow.Run(session);
}

glim::Status Quickstart(glim::Session& session, const Options& options) {
  // ---- The files: as many of each language, every tenth held out ----
  std::vector<std::string> train, held_out;
  for (const auto& files : {Shuffled("/usr/include", {".h"}), Shuffled("/usr/share/perl", {".pm", ".pl"})}) {
    for (size_t i = 1; i <= std::min(files.size(), options.files); ++i) {
      (i % 10 == 0 ? held_out : train).push_back(files[i - 1]);
    }
  }
  std::printf("%zu files to learn from, %zu held out\n", train.size(), held_out.size());

  // ---- (a) Count words ----
  std::printf("\nThe ten most frequent words:\n");
  glim::Flow words("words");
  words.TextFile(train)
      .FlatMap([](std::string_view line, glim::Emitter& out) {
        ForEachToken(line, IsLetterOrDigit, [&](std::string_view word) { out(word, 1); });
      })
      .ReduceBy([](int64_t x, int64_t y) { return x + y; })
      .Top(10, {glim::OrderBy(2, glim::Descending)})
      .Printf("  %-12s %8d\n");
  if (glim::Status status = words.Run(session); !status.ok()) return status;

  // ---- (b) Train: is a line C or Perl? ----
  auto model =
      session.CreateTable<float>("language", glim::SparseKeys(), glim::Ftrl{.alpha = 0.1, .beta = 1, .l1 = 0.5});
  auto counts = session.CreateTable<int64_t>("counts", glim::DenseKeys(1), glim::Add());
  const glim::Key trained[] = {0};
  constexpr int64_t kMiniBatch = 64;

  const auto started = std::chrono::steady_clock::now();
  glim::Flow training("train");
  training.TextFile(train, {.file_name = true, .offset = true})
      .Filter(HasLetterOrDigit)
      .Map([](std::string_view line, std::string_view file, int64_t offset) {
        const uint64_t place = glim::Hash(std::string(file) + ' ' + std::to_string(offset), 53);
        return std::tuple(static_cast<int64_t>(place), line, IsC(file));
      })
      .Sort(1)        // The hash of where they stand mixes the lines of all files.
      .RoundRobin(4)  // Four tasks train at the same time.
      .ForEachBatch([&](const glim::Batch& rows) {
        const int64_t count = rows.row_count();
        for (int64_t first = 0; first < count; first += kMiniBatch) {
          const int64_t last = std::min(first + kMiniBatch, count);
          glim::Status status = TrainOn(model, rows.column(1), rows.column(2), first, last);
          if (!status.ok()) return status;
        }
        return counts.Push(trained, std::span(&count, 1)).Wait();
      });
  if (glim::Status status = training.Run(session); !status.ok()) return status;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  const auto lines = static_cast<double>(counts.Pull(trained).Get().value()[0]);
  std::printf("\ntrained on %.0f lines in %.1f s: %.0f examples/s, reading and mixing included\n", lines, seconds,
              lines / seconds);

  // ---- (c) How good is it on the files it has not seen? ----
  std::vector<glim::Row> scored;
  glim::Flow test("test");
  test.TextFile(held_out, {.file_name = true})
      .Filter(HasLetterOrDigit)
      .Map([&](std::string_view line, std::string_view file) { return std::tuple(Score(model, line), IsC(file)); })
      .Collect(&scored);
  if (glim::Status status = test.Run(session); !status.ok()) return status;
  std::vector<ScoredRow> rows;
  for (const glim::Row& row : scored) rows.push_back({row[0].as_double(), row[1].as_bool()});
  const BinaryMetrics all = Measure(std::move(rows));
  std::printf("held out: %ld lines (%ld C, %ld Perl)  log-loss %.4f  accuracy %.4f  AUC %.4f\n",
              static_cast<long>(all.rows), static_cast<long>(all.positives),
              static_cast<long>(all.rows - all.positives), all.log_loss, all.accuracy, all.auc);

  std::printf("\nmost like C:\n");
  if (glim::Status status = PrintStrongest(session, model, train, glim::Descending); !status.ok()) return status;
  std::printf("most like Perl:\n");
  if (glim::Status status = PrintStrongest(session, model, train, glim::Ascending); !status.ok()) return status;
  std::printf("weights: %lu stored, %lu of them not zero\n",
              static_cast<unsigned long>(model.Describe().value().keys_stored),
              static_cast<unsigned long>(model.client()->CountNonZero().value()));

  // ---- (d) Save, open again, ask ----
  if (glim::Status status = model.Save(options.model); !status.ok()) return status;
  if (glim::Status status = model.Drop(); !status.ok()) return status;
  model = glim::Table<float>(session.LoadTable(options.model));
  if (!model.ok()) return model.status();
  std::printf("\nsaved as %s and opened again\n", options.model.c_str());
  auto answer = [&](const std::string& line) {
    std::printf("  %5.1f %% C   %s\n", 100 * Probability(Score(model, line)), line.c_str());
  };
  for (const char* line : {"#include <stdio.h>", "my $count = shift @_;", "static inline int add(int a, int b);",
                           "use strict; use warnings;"}) {
    answer(line);
  }
  if (options.ask) {
    std::printf("type lines, end with Ctrl-D\n");
    for (std::string line; std::getline(std::cin, line);) answer(line);
  }
  return glim::Status::Ok();
}

}  // namespace

int main(int argc, char** argv) {
  glim::Session session(argc, argv);
  Options options;
  if (!session.status().ok()) return glim::ExitCode(session.status());
  if (!Parse(session.arguments(), &options)) {
    std::fprintf(stderr, "usage: example_quickstart [--ask] [--sources N] [--model FOLDER]\n");
    return 2;
  }
  return glim::ExitCode(Quickstart(session, options));
}
