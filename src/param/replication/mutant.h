// SPDX-License-Identifier: Apache-2.0
//
// Planted bugs, to test the test: `GLIM_MUTANT(kAckBeforeBackup)` is `false` in every program but one, the simulation
// that was built to look whether it catches them (sim/mutants.cc). Each stands beside the rule that it breaks.
#pragma once

#ifdef GLIM_WITH_MUTANTS

namespace glim::param {

enum class Mutant {
  kNone,
  kAckBeforeBackup,          // A push is acknowledged when only the primary has it.
  kSnapshotWithoutSessions,  // A snapshot carries the rows and not who pushed what.
  kPrimaryDropsBackup,       // The primary goes on without a backup that is silent.
  kNoDuplicateTable,         // A push that comes again is applied again.
  kWindowOfFive,             // Duplicates are known among the last five only, in any order.
  kAckAppendedDuplicate,     // A push that is logged, and not yet everywhere, is acknowledged when it comes again.
  kHeldWithHoles,            // A backup says that it holds what it has seen, although records before are missing.
  kSyncedWithoutTail,        // A joiner counts as complete when it has the snapshot, without what was pushed meanwhile.
  kSyncedBeforeCaughtUp,     // ... without what the primary took over and has not applied yet.
  kAckWithoutJoiner,         // Acknowledged without the joiner that was reported complete.
  kDropStateOnRemoval,       // A member that is removed forgets, although the view without it is not active.
  kAckBeforeActive,          // A new primary acknowledges before the master has written its view down.
  kDuplicateBeforeActive,    // ... only what it knows to be applied.
  kIgnoreViewNumber,         // A backup takes records of a primary of an older view.
  kReadBeforeCaughtUp,       // A new primary answers pulls before all that it took over is applied.
  kReadWithoutLease,         // A primary that the master cannot reach answers pulls for ever.
  kCommitBeforeActive,       // A new primary applies what it took over before its view is active.
  kKeepTail,                 // A backup keeps records that the primary's log has not.
  kForgetFence,              // An attempt fences older ones only once it has pushed something new.
  kActiveBeforeWritten,      // The master says that a view is active before it is on its disk.
  kRestartWithoutGrace,      // A master that has just started takes members it has not heard of for dead.
  kSnapshotWithoutAnswers,   // A snapshot carries who pushed what and not what they were answered.
  kAnswerWhenAsked,          // A push is answered with the state of the moment when its client asks.
  kApplyAtOnce,              // Bulk-synchronous pushes are applied when they come.
  kPullBeforeClock,          // A bulk-synchronous pull does not wait for those that are behind.
  kOneClockTooStale,         // A pull waits for one clock less than the staleness says.
  kApplyAgainInClock,        // A worker that is run again pushes again what it had pushed in its clock.
  kKeepUnfinishedClock,      // ... and what was held of that clock stays.
  kNoWorkerFence,            // An older attempt of a worker still pushes and ends clocks.
  kClockBeforePushes,        // A clock is ended before its pushes are acknowledged by all shards.
  kSnapshotWithoutClocks,    // A snapshot carries the rows and not the clocks of workers.
  kSnapshotWithoutHeld,      // ... the clocks, and not what is held for them.
  kNeverTakenOut,            // A worker that is dead counts for ever.
  kTakenOutUnlogged,         // The primary takes it out without a record in the log.
  kHeldBeforeWritten,        // R11: what is in memory counts as held, on disk or not.
  kAckBeforeOwnDisk,         // ... on the primary only.
  kInstalledBeforeWritten,   // A joiner says that its snapshot is installed before it is on the disk.
  kForgetKept,               // R12: a process forgets what it took up when a view names its earlier incarnation.
  kAnyDisk,                  // The master takes a process for the heir of any earlier one of its node.
  kIncarnationAgain,         // A master that starts anew gives incarnations that it has given before.
  kSyncAgain,                // R13: a sync that failed is tried again, and believed.
  kBelieveDisk,              // What a disk gives is taken for what was written, without a look at checksums.
  kCutTooMuch,               // With a snapshot the log is cut up to its end, and not up to the snapshot.
  kIgnoreFull,               // R14: a full disk loses what is written, and says nothing.
  kTakeAnySession,           // R15: a push counts whatever the number of its session.
  kNeverForgotten,           // R16: sessions that are silent stay for ever.
  kForgetUnlogged,           // ... are forgotten by the primary, without a record.
  kNeverMoved,               // Servers that come later get no shards.
  kMoveForOne,               // A shard is moved for a difference of one, and so there and back.
  kLeaveAtOnce,              // A server that is to hand over its shards is told at once that it has.
  kMoveBeforeComplete,       // The old holder is left out before the new one has all.
  kReportOfOneOwner,         // A server's full report is what the first of its owners says.
  kForgetOwner,              // A server that hears anew of a shard gives it to another owner.
  kSilentForEver,            // R17: the primary waits for a member that it does not reach, and does not say so.
  kAskSilentAgain,           // ... says so, and the master makes it a joiner of the same primary again at once.
};
extern Mutant g_mutant;

}  // namespace glim::param

#define GLIM_MUTANT(name) (::glim::param::g_mutant == ::glim::param::Mutant::name)
#else
#define GLIM_MUTANT(name) false
#endif
