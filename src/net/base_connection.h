// SPDX-License-Identifier: Apache-2.0
//
// What all connections have in common, whichever way they go: the bounded queue of the sender, credit, signs of life,
// and an end that comes once. A kind of connection adds how frames move (Pump) and how that stops (StopTransfer).
//
// Life: made, Joined() to its set, Opened() when the handshake is done, BeginClose() for whatever reason and
// FinishClose() when nothing touches its memory any more. The set owns it meanwhile. Users may hold it longer; then it
// is only a shell that says kUnavailable, and needs no loop.
//
// Thread: Send, Close and Release from any; all else in the loop, or under the mutex.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_set>

#include "net/transport.h"

namespace glim::net {

class BaseConnection;

// The connections of one transport. Thread: the loop's, but for the constructor and the destructor, which closes them
// all and waits until they are gone.
class ConnectionSet {
 public:
  explicit ConnectionSet(EventLoop& loop) : loop_(loop) {}
  ~ConnectionSet();
  void Add(std::shared_ptr<BaseConnection> connection);
  void Remove(const std::shared_ptr<BaseConnection>& connection);
  // `connection` was accepted and has not shown yet who it is. At most `max` do so at a time: the oldest goes.
  void AddStranger(const std::shared_ptr<BaseConnection>& connection, size_t max);
  void RemoveStranger(const BaseConnection* connection);

  // Counts an accepted connection that was turned away, and says so in the log: who and why, but not more often than
  // every ten seconds, or whoever knocks without end would fill the disk.
  void NoteRefused(const Status& why);
  // Thread: any.
  uint64_t refused_count() const { return refused_.load(std::memory_order_relaxed); }

 private:
  void TellIfEmpty();

  EventLoop& loop_;
  std::unordered_set<std::shared_ptr<BaseConnection>> connections_;
  std::deque<BaseConnection*> strangers_;  // Oldest first.
  std::function<void()> on_empty_;
  std::atomic<uint64_t> refused_{0};
  uint64_t refused_told_ = 0;  // So many of them the log knows of.
  int64_t told_nanos_ = 0;
};

class BaseConnection : public Connection, public Credit::Account, public std::enable_shared_from_this<BaseConnection> {
 public:
  BaseConnection(EventLoop& loop, ConnectionSet& set, std::shared_ptr<const TransportOptions> options);

  Status Send(Frame&& frame, SentCallback on_sent) final;
  void Close() final;
  void Release(size_t bytes) final;
  const Peer& peer() const final { return peer_; }

  // For whoever is still on the way: from now on it may end, and its end is told.
  void Join(std::shared_ptr<ConnectionHandler> handler);
  void BeginClose(CloseReason reason, Status status);
  // Runs it in the loop unless this is closed, when it is false. From any thread, and even when the loop may be gone by
  // now.
  bool PostIfOpen(std::function<void()> work);
  EventLoop& loop() { return loop_; }

 protected:
  struct Outgoing {
    Frame frame;
    SentCallback on_sent;
    std::string head;  // As encoded, where the bytes go over a wire.
    size_t bytes = 0;
  };

  // Takes from the queue what may go, and sends it.
  virtual void Pump() = 0;
  // Ends all work on the memory of frames, and then calls FinishClose, at once or later.
  virtual void StopTransfer() = 0;
  virtual void SendHeartbeat() = 0;
  // Tells the peer that it may send so many bytes in all.
  virtual void SendGrant(uint64_t bytes) = 0;
  virtual std::string EncodeHead(const Frame& frame) { return {}; }
  // Called by the sender's thread, with the mutex held, when nothing else is being written: gives what it can to the
  // wire at once and returns how many bytes that were. Else the sender would wake the loop first, which takes longer
  // than to send a short frame.
  virtual size_t WriteAtOnce(const Outgoing& outgoing) { return 0; }

  // Between these two the loop writes, and nobody else. Begin gives what a sender could write only in part: the frame,
  // and how much of it is out.
  struct Begun {
    Outgoing outgoing;
    size_t written = 0;
  };
  std::optional<Begun> BeginWriting();
  void EndWriting();
  // Something is to be written before what senders have; BeginWriting comes later.
  void HoldWriting();

  // BeginClose(kTimeout) after so long, if it is not open by then.
  void ExpectOpenWithin(int64_t nanos, std::string waiting_for);
  // `handler` unless Join got it.
  void Opened(Peer peer, uint64_t granted_bytes, std::shared_ptr<ConnectionHandler> handler);
  void FinishClose();

  // The next frame of the queue, if there is one and the peer has granted bytes.
  std::optional<Outgoing> NextOutgoing();
  // Its bytes leave the queue; calls its on_sent.
  void DoneWith(Outgoing& outgoing, const Status& status);
  void OnGrant(uint64_t bytes);

  // Something came from the peer.
  void Heard() { heard_ = true; }
  // Counts what came; false when that was more than it was granted.
  bool Received(size_t bytes);

  void set_own_role(Role role) { own_role_ = role; }
  bool open() const { return open_ && !closing_; }
  bool closing() const { return closing_.has_value(); }
  ConnectionHandler& handler() { return *handler_; }
  const TransportOptions& options() const { return *options_; }
  ConnectionSet& set() { return set_; }

  // This is the server's side. Set before anything can go wrong.
  bool accepted_ = false;
  // While frames are given to the handler, what it sends is only queued; Pump comes when all were given.
  bool dispatching_ = false;
  Peer peer_;

 private:
  Status Full(size_t bytes);
  void PumpSoon();
  void Tick();

  EventLoop& loop_;
  ConnectionSet& set_;
  const std::shared_ptr<const TransportOptions> options_;
  std::shared_ptr<ConnectionHandler> handler_;
  std::optional<Closing> closing_;
  bool open_ = false;

  std::optional<Timer> timer_;  // First that of the handshake, then the heart.
  bool heard_ = false;
  int64_t silent_ticks_ = 0;
  uint64_t received_bytes_ = 0;
  uint64_t grant_told_ = 0;  // What we allow it in all.

  std::mutex mutex_;  // Guards what follows.
  std::deque<Outgoing> queue_;
  size_t queued_frames_ = 0;  // Those that were taken but are not sent yet included.
  size_t queued_bytes_ = 0;
  uint64_t sent_bytes_ = 0;     // Of frames taken from the queue,
  uint64_t granted_bytes_ = 0;  // and what the peer allows in all; 0 until this is open.
  bool spoke_ = false;
  bool writing_ = false;  // The loop writes, or has to go on with begun_.
  std::optional<Begun> begun_;
  uint64_t released_bytes_ = 0;
  bool wants_writable_ = false;
  bool pump_posted_ = false;
  bool grant_posted_ = false;
  Role own_role_;
  std::string closed_;  // Why; empty as long as it is not.
};

}  // namespace glim::net
