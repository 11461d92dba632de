// SPDX-License-Identifier: Apache-2.0
//
// Waits for descriptors, an alarm, and a call from another thread. What an event loop sleeps in.
//
// Readiness is told once each time it comes (edge-triggered), to one of the threads that wait: the one that began to
// wait last. So whoever is told reads until nothing is left, and a thread that comes to wait for an answer of its own
// gets it at first hand while the loop's own thread sleeps on.
//
// Thread: any.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace glim::env {

class Poller {
 public:
  enum class Kind : uint8_t { kDescriptor, kAlarm, kWake };
  struct Event {
    Kind kind = Kind::kDescriptor;
    uint64_t name = 0;      // As given to Add.
    bool writable = false;  // Only of those that asked for it.
    bool hung_up = false;   // The peer sends no more: what is left to read ends with its end.
  };
  enum class Interest : uint8_t { kReading, kReadingAndWriting };

  // Ends the process when the system gives no descriptors for it.
  Poller();
  ~Poller();
  Poller(const Poller&) = delete;

  // kExhausted in the form of false: the system has no room for it.
  bool Add(int descriptor, uint64_t name, Interest interest);
  void Remove(int descriptor);

  // Fills `events`; none when `timeout_nanos` passed first (negative: never) or a signal came.
  std::span<Event> Wait(std::span<Event> events, int64_t timeout_nanos);
  // One of those that wait, or the next one that comes, returns with kWake.
  void Wake();
  // An event kAlarm then. There is one alarm: this forgets the one before.
  void SetAlarm(int64_t monotonic_nanos);

  // As env::Clock's.
  static int64_t MonotonicNanos();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace glim::env
