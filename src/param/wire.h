// SPDX-License-Identifier: Apache-2.0
//
// The messages of the cluster (messages.h) as frames and back. What is small is the body, field after field,
// little-endian, as docs/format/wire.md lists them; pushes, rows and snapshots are payload, sent from where they lie
// and kept where they were received.
//
// Bytes from outside are believed no further than they reach: a count is never allocated ahead of what it counts, and
// what does not end where the body ends is kCorrupt.
//
// Thread: functions and values.
#pragma once

#include <cstdint>

#include "net/frame.h"
#include "net/messages.h"
#include "param/replication/messages.h"

namespace glim::param {

enum MessageType : uint16_t {
  kPushMessage = 16,
  kPushReplyMessage = 17,
  kPullMessage = 18,
  kPullReplyMessage = 19,
  kAppendMessage = 20,
  kAppendReplyMessage = 21,
  kSnapshotPartMessage = 22,
  kSnapshotReplyMessage = 23,
  kViewUpdateMessage = 24,
  kShardReportMessage = 25,
  kBeatMessage = 26,
  kBeatReplyMessage = 27,
  kFullReportMessage = 28,
  kTableQueryMessage = 29,
  kTableChangeMessage = 30,
  kTableAnswerMessage = 31,
  kRouteQueryMessage = 32,
  kRouteAnswerMessage = 33,
  kStatusQueryMessage = 34,
  kStatusAnswerMessage = 35,
  kAgentBeatMessage = 40,
  kJobReportMessage = 41,
  kJobReportAnswerMessage = 42,
  kCancelJobMessage = 43,
  kCancelJobAnswerMessage = 44,
  kDrainChangeMessage = 46,
  kDrainAnswerMessage = 47,
  kJobLogPieceMessage = 56,
  kJobLogPieceAnswerMessage = 57,
  kJobLogQueryMessage = 58,
  kJobLogAnswerMessage = 59,
  // The decisions in a master's log are frames, too. No table of messages has them, so nobody can send one.
  kEpochBegunMessage = 64,
  kTableCreatedMessage = 65,
  kTableDroppedMessage = 66,
  kViewMadeMessage = 67,
  kViewActivatedMessage = 68,
  kNodeDrainedMessage = 69,
  // And so are the files of a server, with kSnapshotPartMessage.
  kShardFileHeadMessage = 72,
  kShardRecordsMessage = 73,
};

// Which role may send what.
const net::MessageTable& ClusterMessages();

// One for each message. The payload refers to the message's bytes and keeps their owners.
template <class Message>
net::Frame ToFrame(const Message& message);

// kCorrupt: another type, or not the fields that it has. Payload of the message shares the frame's memory.
template <class Message>
Result<Message> FromFrame(const net::Frame& frame);

}  // namespace glim::param
