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

void Schedule::AddPlace(int place, int slots, int host) {
  CHECK(slots > 0 && !places_.contains(place));
  places_[place].slots = slots;
  places_[place].host = host;
  List(place);
}

void Schedule::List(int number) {
  if (number == kDriver) return;
  Place& place = places_.at(number);
  const int unused = place.telling ? 0 : place.slots - place.running;
  if (unused == place.listed) return;
  if (place.listed > 0) free_.erase({-place.listed, number});
  if (unused > 0) free_.insert({-unused, number});
  place.listed = unused;
}

void Schedule::LosePlace(int place) {
  CHECK(place != kDriver && places_.contains(place));
  if (const int listed = places_.at(place).listed; listed > 0) free_.erase({-listed, place});
  places_.erase(place);
  for (size_t s = 0; s < stages_.size(); ++s) {
    Stage& stage = stages_[s];
    bool moved = false;
    for (size_t t = 0; t < stage.tasks.size(); ++t) {
      Task& task = stage.tasks[t];
      if (GoesOn(stage, static_cast<int>(t), place)) continue;
      if (task.state == Task::kWaiting || task.place != place) continue;
      if (task.state == Task::kRunning) {
        const Step step{.place = place, .stage = static_cast<int>(s), .task = static_cast<int>(t)};
        KeepFailure(TriedOften(step));
        stage.since.erase({task.begun, step.task});
        Wait(static_cast<int>(s), static_cast<int>(t));
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
  for (size_t t = 0; t < at_driver.size(); ++t) {
    s.tasks[t].at_driver = at_driver[t];
    Wait(stage, static_cast<int>(t));
  }
}

void Schedule::BindToHosts(int stage, std::vector<int> hosts) {
  Stage& s = stages_[stage];
  CHECK(hosts.size() == s.tasks.size() && s.preferred.empty());
  for (size_t t = 0; t < hosts.size(); ++t) {
    if (hosts[t] == kNoHost) continue;
    CHECK(!s.tasks[t].at_driver && s.waiting.erase(static_cast<int>(t)) == 1);
    s.tasks[t].host = hosts[t];
    Wait(stage, static_cast<int>(t));
  }
}

std::set<int>& Schedule::WaitingLike(Stage& stage, const Task& task) {
  if (task.host != kNoHost) return stage.waiting_at_host[task.host];
  return task.at_driver ? stage.waiting_at_driver : stage.waiting;
}

void Schedule::Wait(int stage, int task) {
  Stage& s = stages_[stage];
  std::set<int>& waiting = WaitingLike(s, s.tasks[task]);
  s.tasks[task].state = Task::kWaiting;
  waiting.insert(task);
  if (!s.preferred.empty() && &waiting == &s.waiting) s.waiting_for[s.preferred[task]].insert(task);
}

int Schedule::HostAwaited() const {
  if (at_work_on_ < 0) return kNoHost;
  for (const auto& [host, waiting] : stages_[at_work_on_].waiting_at_host) {
    if (!waiting.empty() &&
        std::none_of(places_.begin(), places_.end(), [&](const auto& place) { return place.second.host == host; }))
      return host;
  }
  return kNoHost;
}

void Schedule::Prefer(int stage, std::vector<int> places) {
  Stage& s = stages_[stage];
  CHECK(places.size() == s.tasks.size());
  s.preferred = std::move(places);
  s.waiting_for.clear();
  for (const int task : s.waiting) s.waiting_for[s.preferred[task]].insert(task);
}

void Schedule::MayRace(int stage, int64_t after, int medians) {
  CHECK(stages_[stage].once.empty());
  stages_[stage].race_after = after;
  stages_[stage].race_medians = medians;
}

void Schedule::Hold(int stage) {
  Stage& s = stages_[stage];
  std::vector<std::set<int>*> all = {&s.waiting, &s.waiting_at_driver};
  for (auto& [host, waiting] : s.waiting_at_host) all.push_back(&waiting);
  for (std::set<int>* waiting : all) {
    for (auto task = waiting->begin(); task != waiting->end();) {
      if (s.tasks[*task].attempts > 0) {
        ++task;
        continue;
      }
      if (!s.preferred.empty()) s.waiting_for[s.preferred[*task]].erase(*task);
      s.held.insert(*task);
      task = waiting->erase(task);
    }
  }
}

void Schedule::GoOn(int stage) {
  for (const int task : std::exchange(stages_[stage].held, {})) Wait(stage, task);
}

bool Schedule::IsAtRest(int stage) const {
  const std::vector<Task>& tasks = stages_[stage].tasks;
  return stages_[stage].others.empty() && std::all_of(tasks.begin(), tasks.end(), [](const Task& task) {
           return task.state == Task::kDone || (task.state == Task::kWaiting && task.attempts == 0);
         });
}

bool Schedule::Done(int stage) const { return stages_[stage].done == static_cast<int>(stages_[stage].tasks.size()); }

bool Schedule::IsAtWork(int stage) const {
  const std::vector<Task>& tasks = stages_[stage].tasks;
  return !stages_[stage].others.empty() ||
         std::any_of(tasks.begin(), tasks.end(), [](const Task& task) { return task.state == Task::kRunning; }) ||
         std::any_of(places_.begin(), places_.end(),
                     [&](const auto& place) { return place.second.telling && place.second.telling_of == stage; });
}

void Schedule::Release(int stage) {
  CHECK(!IsAtWork(stage));
  stages_[stage].released = true;
}

void Schedule::MarkWaiting(int stage, int task) {
  Task& t = stages_[stage].tasks[task];
  if (t.state == Task::kDone) --stages_[stage].done;
  if (const std::string& once = stages_[stage].once; !once.empty()) {
    KeepFailure(Status::Unavailable(fmt::format(
        "rows of stage {} were lost, whose tasks push to a table and are not run again: {}", stage + 1, once)));
  }
  if (const auto other = stages_[stage].others.extract(task); !other.empty()) {
    t.state = Task::kRunning;
    t.place = other.mapped();
    return;
  }
  Wait(stage, task);
  t.place = -1;
}

bool Schedule::GoesOn(Stage& stage, int task, int place) {
  const auto other = stage.others.find(task);
  if (other == stage.others.end()) return false;
  Task& t = stage.tasks[task];
  if (other->second != place) {
    // A winner is not at work; what it gave is another matter.
    if (t.state != Task::kRunning || t.place != place) return false;
    t.place = other->second;
  }
  stage.others.erase(other);
  return true;
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
      // Gone everywhere; places are told of the stage again.
      s.released = false;
      ++s.version;
      for (size_t t = 0; t < s.tasks.size(); ++t) {
        if (s.tasks[t].state == Task::kDone) MarkWaiting(input, static_cast<int>(t));
      }
      Moved(input);
    }
    if (!Done(input)) return Missing(input);
  }
  return stage;
}

bool Schedule::IsFree(const Stage& stage, int stage_number, const Place& place) const {
  if (place.running >= place.slots || place.telling) return false;
  const auto told = place.told.find(stage_number);
  if (told != place.told.end() && told->second == stage.version) return true;
  // To be told first, for which it has none of the stage at work, and of its inputs none that is left over.
  const auto works_on = [&](int number) {
    const auto running = place.running_of_stage.find(number);
    return running != place.running_of_stage.end() && running->second > 0;
  };
  return !works_on(stage_number) && std::none_of(stage.inputs.begin(), stage.inputs.end(), works_on);
}

std::optional<int> Schedule::PlaceFor(int stage, int task) const {
  const Stage& s = stages_[stage];
  const Task& t = s.tasks[task];
  if (s.beside >= 0 && task < static_cast<int>(stages_[s.beside].tasks.size())) {
    const int beside = stages_[s.beside].tasks[task].place;
    const auto place = places_.find(beside);
    if (beside != kDriver && beside != t.avoid && place != places_.end() && IsFree(s, stage, place->second))
      return beside;
  }
  const bool choice = place_count() > 2;
  for (const auto& [unused, number] : free_) {
    if (IsFree(s, stage, places_.at(number)) && (!choice || number != t.avoid)) return number;
  }
  return std::nullopt;
}

std::optional<std::pair<int, int>> Schedule::Preferred(int stage) const {
  const Stage& s = stages_[stage];
  if (s.waiting_for.empty()) return std::nullopt;
  for (const auto& [unused, number] : free_) {
    const auto waiting = s.waiting_for.find(number);
    if (waiting == s.waiting_for.end() || !IsFree(s, stage, places_.at(number))) continue;
    for (const int task : waiting->second) {
      if (s.tasks[task].avoid != number) return std::pair(task, number);
    }
  }
  return std::nullopt;
}

std::optional<std::pair<int, int>> Schedule::AtItsHost(int stage) const {
  const Stage& s = stages_[stage];
  if (s.waiting_at_host.empty()) return std::nullopt;
  for (const auto& [unused, number] : free_) {
    const Place& place = places_.at(number);
    const auto waiting = s.waiting_at_host.find(place.host);
    if (waiting != s.waiting_at_host.end() && !waiting->second.empty() && IsFree(s, stage, place))
      return std::pair(*waiting->second.begin(), number);
  }
  return std::nullopt;
}

Schedule::Step Schedule::Begin(int stage, int task, int number) {
  Stage& s = stages_[stage];
  Place& place = places_.at(number);
  const auto told = place.told.find(stage);
  if (told == place.told.end() || told->second != s.version) {
    place.telling = true;
    place.telling_of = stage;
    place.told[stage] = s.version;
    List(number);
    return {.kind = Step::kTell, .place = number, .stage = stage};
  }
  Task& t = s.tasks[task];
  const bool second = t.state == Task::kRunning;
  if (second) {
    t.raced = true;
    s.since.erase({t.begun, task});
    CHECK(t.place != number && s.others.emplace(task, number).second);
  } else {
    t.state = Task::kRunning;
    t.place = number;
    t.begun = now_;
    if (s.race_after && !t.raced && !t.at_driver) s.since.emplace(now_, task);
  }
  WaitingLike(s, t).erase(task);
  if (!s.preferred.empty()) s.waiting_for[s.preferred[task]].erase(task);
  ++place.running;
  ++place.running_of_stage[stage];
  List(number);
  return {.kind = Step::kRun, .place = number, .stage = stage, .task = task, .attempt = t.attempts++, .second = second};
}

std::optional<Schedule::Step> Schedule::Next() {
  if (aim_ < 0 || Done(aim_)) return std::nullopt;
  const int stage = at_work_on_ = Missing(aim_);
  const Stage& s = stages_[stage];
  if (!s.waiting_at_driver.empty() && IsFree(s, stage, places_.at(kDriver))) {
    return Begin(stage, *s.waiting_at_driver.begin(), kDriver);
  }
  if (free_.empty()) return std::nullopt;
  if (const auto bound = AtItsHost(stage)) return Begin(stage, bound->first, bound->second);
  if (const auto preferred = Preferred(stage)) return Begin(stage, preferred->first, preferred->second);
  for (const int task : s.waiting) {
    if (const std::optional<int> place = PlaceFor(stage, task)) return Begin(stage, task, *place);
    // Where it could not run, those who avoid a place cannot either.
    if (s.tasks[task].avoid == -1) break;
  }
  return s.waiting.empty() ? Race(stage) : std::nullopt;
}

std::optional<Schedule::Step> Schedule::Race(int stage) {
  Stage& s = stages_[stage];
  if (!s.race_after || s.took.size() < s.since.size()) return std::nullopt;
  for (const auto& [begun, task] : s.since) {  // Those at work for longest first.
    if (now_ - begun <= *s.race_after || now_ - begun <= s.race_medians * MedianOf(s)) break;
    for (const auto& [unused, number] : free_) {
      const Task& t = s.tasks[task];
      if (number == t.place || number == t.avoid || !IsFree(s, stage, places_.at(number))) continue;
      if (t.host != kNoHost && t.host != places_.at(number).host) continue;
      return Begin(stage, task, number);
    }
  }
  return std::nullopt;
}

int64_t Schedule::MedianOf(Stage& stage) {
  if (stage.took.empty()) return 0;
  if (stage.median.first != stage.took.size()) {
    const auto middle = stage.took.begin() + static_cast<std::ptrdiff_t>(stage.took.size() / 2);
    std::nth_element(stage.took.begin(), middle, stage.took.end());
    stage.median = {stage.took.size(), *middle};
  }
  return stage.median.second;
}

void Schedule::Told(const Step& step) {
  const auto place = places_.find(step.place);
  if (place == places_.end()) return;
  place->second.telling = false;
  List(step.place);
}

Status Schedule::NotTold(const Step& step) {
  const auto place = places_.find(step.place);
  if (place == places_.end()) return Status::Ok();
  place->second.telling = false;
  place->second.told.erase(step.stage);
  List(step.place);
  Stage& stage = stages_[step.stage];
  if (++stage.not_told < attempts_max_ * place_count()) return Status::Ok();
  return Status::Unavailable(
      fmt::format("what stage {} reads was lost {} times before it could begin", step.stage + 1, stage.not_told));
}

void Schedule::EndRun(const Step& step) {
  Place& place = places_.at(step.place);
  --place.running;
  --place.running_of_stage[step.stage];
  List(step.place);
}

void Schedule::Succeeded(const Step& step) {
  EndRun(step);
  Stage& stage = stages_[step.stage];
  Task& task = stage.tasks[step.task];
  CHECK(task.state == Task::kRunning);
  if (task.place != step.place) {
    const auto other = stage.others.find(step.task);
    CHECK(other != stage.others.end() && other->second == step.place);
    std::swap(other->second, task.place);
  }
  if (stage.race_after) stage.took.push_back(now_ - task.begun);
  stage.since.erase({task.begun, step.task});
  task.state = Task::kDone;
  ++stage.done;
}

bool Schedule::Skip(int stage, int task) {
  Stage& s = stages_[stage];
  Task& t = s.tasks[task];
  CHECK(t.state != Task::kDone && !t.at_driver);
  if (t.state == Task::kRunning) {
    if (!s.others.emplace(task, t.place).second) return false;
    s.since.erase({t.begun, task});
  } else {
    WaitingLike(s, t).erase(task);
    s.held.erase(task);
    if (!s.preferred.empty()) s.waiting_for[s.preferred[task]].erase(task);
  }
  t.state = Task::kDone;
  t.place = kDriver;
  ++s.done;
  return true;
}

std::optional<int> Schedule::LeftOverOf(int stage, int task) const {
  const auto other = stages_[stage].others.find(task);
  if (other == stages_[stage].others.end() || !HasRun(stage, task)) return std::nullopt;
  return other->second;
}

bool Schedule::IsLeftOver(const Step& step) const { return LeftOverOf(step.stage, step.task) == step.place; }

bool Schedule::IsRace(const Step& step) const {
  return !HasRun(step.stage, step.task) && stages_[step.stage].others.contains(step.task);
}

void Schedule::Dropped(const Step& step) {
  CHECK(IsLeftOver(step));
  EndRun(step);
  stages_[step.stage].others.erase(step.task);
}

void Schedule::KeepFailure(Status status) {
  if (failure_.ok()) failure_ = std::move(status);
}

Status Schedule::TriedOften(const Step& step) const {
  const Task& task = stages_[step.stage].tasks[step.task];
  const int attempts = task.attempts - (task.raced ? 1 : 0);
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
  Stage& stage = stages_[step.stage];
  Task& task = stage.tasks[step.task];
  CHECK(task.state == Task::kRunning);
  if (GoesOn(stage, step.task, step.place)) return Status::Ok();
  CHECK(task.place == step.place);
  stage.since.erase({task.begun, step.task});
  Wait(step.stage, step.task);
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

}  // namespace glim::cluster
