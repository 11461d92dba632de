// SPDX-License-Identifier: Apache-2.0
#include "mutants.h"

namespace glim::param {

Mutant g_mutant = Mutant::kNone;

}  // namespace glim::param

namespace glim::sim {

std::span<const MutantEntry> Mutants() {
  using enum param::Mutant;
  static constexpr MutantEntry kMutants[] = {
      {kAckBeforeBackup, "ack-before-backup", 200},
      {kSnapshotWithoutSessions, "snapshot-without-sessions", 200},
      {kPrimaryDropsBackup, "primary-drops-backup", 200},
      {kNoDuplicateTable, "no-duplicate-table", 200},
      {kWindowOfFive, "window-of-five", 200},
      {kAckAppendedDuplicate, "ack-appended-duplicate", 200},
      {kHeldWithHoles, "held-with-holes", 200},
      {kSyncedWithoutTail, "synced-without-tail", 2000},
      {kSyncedBeforeCaughtUp, "synced-before-caught-up", 60000},
      {kAckWithoutJoiner, "ack-without-joiner", 2000},
      {kDropStateOnRemoval, "drop-state-on-removal", 2000},
      {kAckBeforeActive, "ack-before-active", 20000},
      {kDuplicateBeforeActive, "duplicate-before-active", 20000},
      {kIgnoreViewNumber, "ignore-view-number", 20000},
      {kReadBeforeCaughtUp, "read-before-caught-up", 20000},
      {kReadWithoutLease, "read-without-lease", 20000},
      {kCommitBeforeActive, "commit-before-active", 20000},
      {kKeepTail, "keep-tail", 2000},
      {kForgetFence, "forget-fence", 2000},
      {kActiveBeforeWritten, "active-before-written", 20000},
      {kRestartWithoutGrace, "restart-without-grace", 60000},
      {kSnapshotWithoutAnswers, "snapshot-without-answers", 2000},
      {kAnswerWhenAsked, "answer-when-asked", 200},
      {kApplyAtOnce, "apply-at-once", 200},
      {kPullBeforeClock, "pull-before-clock", 200},
      {kOneClockTooStale, "one-clock-too-stale", 2000},
      {kApplyAgainInClock, "apply-again-in-clock", 2000},
      {kKeepUnfinishedClock, "keep-unfinished-clock", 2000},
      {kNoWorkerFence, "no-worker-fence", 2000},
      {kClockBeforePushes, "clock-before-pushes", 2000},
      {kSnapshotWithoutClocks, "snapshot-without-clocks", 2000},
      {kSnapshotWithoutHeld, "snapshot-without-held", 2000},
      {kNeverTakenOut, "never-taken-out", 200},
      {kTakenOutUnlogged, "taken-out-unlogged", 2000},
      {kHeldBeforeWritten, "held-before-written", 2000},
      {kAckBeforeOwnDisk, "ack-before-own-disk", 2000},
      {kInstalledBeforeWritten, "installed-before-written", 20000},
      {kForgetKept, "forget-kept", 2000},
      {kAnyDisk, "any-disk", 20000},
      {kIncarnationAgain, "incarnation-again", 20000},
      {kSyncAgain, "sync-again", 20000},
      {kBelieveDisk, "believe-disk", 2000},
      {kCutTooMuch, "cut-too-much", 2000},
      {kIgnoreFull, "ignore-full", 2000},
      {kTakeAnySession, "take-any-session", 2000},
      {kNeverForgotten, "never-forgotten", 200},
      {kForgetUnlogged, "forget-unlogged", 2000},
      {kNeverMoved, "never-moved", 200},
      {kMoveForOne, "move-for-one", 200},
      {kLeaveAtOnce, "leave-at-once", 2000},
      {kMoveBeforeComplete, "move-before-complete", 200},
      {kReportOfOneOwner, "report-of-one-owner", 2000},
      {kForgetOwner, "forget-owner", 200},
      {kSilentForEver, "silent-for-ever", 2000},
      {kAskSilentAgain, "ask-silent-again", 2000},
  };
  return kMutants;
}

}  // namespace glim::sim
