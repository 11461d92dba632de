// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace glim::cluster {

Schedule::Schedule(std::vector<std::vector<int>> inputs, int attempts_max)
    : attempts_max_(attempts_max), stages_(inputs.size()) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    for (const int input : inputs[i]) CHECK(input >= 0 && input < static_cast<int>(i));
    stages_[i].inputs = std::move(inputs[i]);
  }
}

void Schedule::AddPlace(int place, int slots) {
  CHECK(slots > 0 && !places_.contains(place));
  places_[place].slots = slots;
}

int Schedule::slot_count() const {
  int slots = 0;
  for (const auto& [number, place] : places_) slots += number == kDriver ? 0 : place.slots;
  return slots;
}

void Schedule::LosePlace(int place) {
  CHECK(place != kDriver && places_.erase(place) == 1);
  for (size_t s = 0; s < stages_.size(); ++s) {
    Stage& stage = stages_[s];
    bool moved = false;
    for (size_t t = 0; t < stage.tasks.size(); ++t) {
      Task& task = stage.tasks[t];
      if (task.state == Task::kWaiting || task.place != place) continue;
      if (task.state == Task::kRunning) {
        const Step step{.place = place, .stage = static_cast<int>(s), .task = static_cast<int>(t)};
        KeepFailure(TriedOften(step));
        task.state = Task::kWaiting;
      } else if (!stage.released && stage.gives_rows) {
        MarkWaiting(static_cast<int>(s), static_cast<int>(t));
        moved = true;
      }
    }
    if (moved) Moved(static_cast<int>(s));
  }
}

void Schedule::SetTasks(int stage, std::vector<bool> at_driver) {
  Stage& s = stages_[stage];
  s.tasks.resize(at_driver.size());
  for (size_t t = 0; t < at_driver.size(); ++t) s.tasks[t].at_driver = at_driver[t];
}

bool Schedule::Done(int stage) const { return stages_[stage].done == static_cast<int>(stages_[stage].tasks.size()); }

void Schedule::Release(int stage) { stages_[stage].released = true; }

void Schedule::MarkWaiting(int stage, int task) {
  Task& t = stages_[stage].tasks[task];
  if (t.state == Task::kDone) --stages_[stage].done;
  if (const std::string& once = stages_[stage].once; !once.empty()) {
    KeepFailure(Status::Unavailable(fmt::format(
        "rows of stage {} were lost, whose tasks push to a table and are not run again: {}", stage + 1, once)));
  }
  t.state = Task::kWaiting;
  t.place = -1;
}

void Schedule::Moved(int stage) {
  for (Stage& reader : stages_) {
    if (std::find(reader.inputs.begin(), reader.inputs.end(), stage) != reader.inputs.end()) ++reader.version;
  }
}

int Schedule::Missing(int stage) {
  for (const int input : stages_[stage].inputs) {
    Stage& s = stages_[input];
    if (s.released) {
      // Gone everywhere. Where a task of it is still at work, that one's rows will do.
      s.released = false;
      for (size_t t = 0; t < s.tasks.size(); ++t) {
        if (s.tasks[t].state == Task::kDone) MarkWaiting(input, static_cast<int>(t));
      }
      Moved(input);
    }
    if (!Done(input)) return Missing(input);
  }
  return stage;
}

std::optional<int> Schedule::PlaceFor(int stage, int task) const {
  const Stage& s = stages_[stage];
  const Task& t = s.tasks[task];
  const auto free = [&](int number, const Place& place) {
    if (place.running >= place.slots || place.telling) return false;
    const auto told = place.told.find(stage);
    if (told != place.told.end() && told->second == s.version) return true;
    // To be told first, for which it has none of the stage at work.
    const auto running = place.running_of_stage.find(stage);
    return running == place.running_of_stage.end() || running->second == 0;
  };
  if (t.at_driver) {
    const Place& driver = places_.at(kDriver);
    return free(kDriver, driver) ? std::optional(kDriver) : std::nullopt;
  }
  if (s.beside >= 0 && task < static_cast<int>(stages_[s.beside].tasks.size())) {
    const int beside = stages_[s.beside].tasks[task].place;
    const auto place = places_.find(beside);
    if (beside != kDriver && beside != t.avoid && place != places_.end() && free(beside, place->second)) return beside;
  }
  std::optional<int> best;
  int best_free = 0;
  const bool choice = place_count() > 2;
  for (const auto& [number, place] : places_) {
    if (number == kDriver || !free(number, place) || (choice && number == t.avoid)) continue;
    const int unused = place.slots - place.running;
    if (unused > best_free) {
      best = number;
      best_free = unused;
    }
  }
  return best;
}

std::optional<Schedule::Step> Schedule::Next() {
  if (aim_ < 0 || Done(aim_)) return std::nullopt;
  const int stage = Missing(aim_);
  Stage& s = stages_[stage];
  for (size_t i = 0; i < s.tasks.size(); ++i) {
    Task& task = s.tasks[i];
    if (task.state != Task::kWaiting) continue;
    const std::optional<int> number = PlaceFor(stage, static_cast<int>(i));
    if (!number.has_value()) continue;
    Place& place = places_.at(*number);
    const auto told = place.told.find(stage);
    if (told == place.told.end() || told->second != s.version) {
      place.telling = true;
      place.told[stage] = s.version;
      return Step{.kind = Step::kTell, .place = *number, .stage = stage};
    }
    task.state = Task::kRunning;
    task.place = *number;
    ++place.running;
    ++place.running_of_stage[stage];
    return Step{
        .kind = Step::kRun, .place = *number, .stage = stage, .task = static_cast<int>(i), .attempt = task.attempts++};
  }
  return std::nullopt;
}

void Schedule::Told(const Step& step) {
  if (const auto place = places_.find(step.place); place != places_.end()) place->second.telling = false;
}

Status Schedule::NotTold(const Step& step) {
  const auto place = places_.find(step.place);
  if (place == places_.end()) return Status::Ok();
  place->second.telling = false;
  place->second.told.erase(step.stage);
  Stage& stage = stages_[step.stage];
  if (++stage.not_told < attempts_max_ * place_count()) return Status::Ok();
  return Status::Unavailable(
      fmt::format("what stage {} reads was lost {} times before it could begin", step.stage + 1, stage.not_told));
}

void Schedule::EndRun(const Step& step) {
  Place& place = places_.at(step.place);
  --place.running;
  --place.running_of_stage[step.stage];
}

void Schedule::Succeeded(const Step& step) {
  EndRun(step);
  Task& task = stages_[step.stage].tasks[step.task];
  CHECK(task.state == Task::kRunning && task.place == step.place);
  task.state = Task::kDone;
  ++stages_[step.stage].done;
}

void Schedule::KeepFailure(Status status) {
  if (failure_.ok()) failure_ = std::move(status);
}

Status Schedule::TriedOften(const Step& step) const {
  const int attempts = stages_[step.stage].tasks[step.task].attempts;
  if (const std::string& once = stages_[step.stage].once; !once.empty()) {
    return Status::Unavailable(
        fmt::format("task {} of stage {} pushes to a table and was lost with its executor; a part of its pushes may "
                    "have been applied, and it is not tried again: {}",
                    step.task + 1, step.stage + 1, once));
  }
  if (attempts < attempts_max_) return Status::Ok();
  return Status::Unavailable(
      fmt::format("task {} of stage {} was tried {} times, and each time its executor or another "
                  "one that it read from was lost",
                  step.task + 1, step.stage + 1, attempts));
}

bool Schedule::InputsMovedSince(const Step& step) const {
  const auto& told = places_.at(step.place).told;
  const auto version = told.find(step.stage);
  return version == told.end() || version->second != stages_[step.stage].version;
}

Status Schedule::RowsLost(const Step& step) {
  EndRun(step);
  Task& task = stages_[step.stage].tasks[step.task];
  CHECK(task.state == Task::kRunning && task.place == step.place);
  task.state = Task::kWaiting;
  task.place = -1;
  task.avoid = step.place;
  return TriedOften(step);
}

void Schedule::Move(int stage, int task, int place) {
  Task& t = stages_[stage].tasks[task];
  CHECK(t.state == Task::kDone);
  t.place = place;
  Moved(stage);
}

void Schedule::LoseRows(int stage, int task) {
  MarkWaiting(stage, task);
  Moved(stage);
}

int Schedule::running_count() const {
  int count = 0;
  for (const auto& [number, place] : places_) count += place.running + (place.telling ? 1 : 0);
  return count;
}

}  // namespace glim::cluster
