// SPDX-License-Identifier: Apache-2.0
#include "param/wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace glim::param {
namespace {

using testing::HasSubstr;

uint64_t AnyNumber() { return *rc::gen::arbitrary<uint64_t>(); }
bool AnyBool() { return *rc::gen::arbitrary<bool>(); }
Member AnyMember() { return {*rc::gen::arbitrary<uint32_t>(), AnyNumber()}; }
ShardId AnyShard() { return {AnyNumber(), *rc::gen::arbitrary<uint32_t>()}; }
Producer AnyProducer() { return {AnyNumber(), AnyNumber()}; }
SharedBytes AnyBytes() { return SharedBytes::Of(*rc::gen::container<std::string>(rc::gen::arbitrary<char>())); }
std::optional<Member> PerhapsAMember() { return AnyBool() ? std::optional(AnyMember()) : std::nullopt; }

View AnyView() {
  View view{AnyNumber(), AnyMember(), {}, PerhapsAMember()};
  for (int i = *rc::gen::inRange(0, 3); i > 0; --i) view.backups.push_back(AnyMember());
  return view;
}

Append AnyAppend() {
  Append append{AnyShard(), AnyNumber(), AnyMember(), AnyNumber(), AnyNumber(), {}, AnyNumber(), AnyNumber()};
  for (int i = *rc::gen::inRange(0, 40); i > 0; --i) {
    append.records.push_back({AnyNumber(), AnyNumber(), *rc::gen::element(RecordKind::kPush, RecordKind::kClose),
                              AnyProducer(), AnyNumber(), AnyNumber(), AnyBytes()});
  }
  return append;
}

std::string Payload(const net::Frame& frame) {
  std::string all;
  for (const net::Segment& segment : frame.segments) all += segment.bytes;
  return all;
}

// As it comes out of a connection: whole, in memory of its own.
net::Frame Received(const net::Frame& sent) {
  net::Frame frame{sent.header, sent.body, {}};
  for (const net::Segment& segment : sent.segments) frame.segments.push_back(net::Segment::Copy(segment.bytes));
  return frame;
}

template <class Message>
void ComesBack(const Message& message) {
  const net::Frame frame = ToFrame(message);
  RC_ASSERT(net::CheckFrame(frame, {}).ok());
  const auto back = FromFrame<Message>(Received(frame));
  RC_ASSERT(back.ok());
  const net::Frame again = ToFrame(*back);
  RC_ASSERT(again.body == frame.body);
  RC_ASSERT(Payload(again) == Payload(frame));
}

RC_GTEST_PROP(Wire, EveryMessageComesBack, ()) {
  ComesBack(
      PushRequest{AnyShard(), AnyProducer(), AnyNumber(), AnyNumber(), RecordKind::kOpen, AnyBytes(), AnyNumber()});
  ComesBack(PushReply{AnyShard(), AnyProducer(), AnyNumber(), PushOutcome::kOpened, AnyNumber(), AnyNumber(), "why"});
  ComesBack(PullRequest{AnyShard(), AnyNumber(), AnyProducer(), AnyNumber(), AnyNumber(), AnyBytes()});
  ComesBack(PullReply{AnyShard(), AnyNumber(), PullOutcome::kBusy, AnyNumber(), AnyNumber(), AnyNumber(), AnyNumber(),
                      AnyBytes(), "why"});
  ComesBack(AnyAppend());
  ComesBack(AppendReply{AnyShard(), AnyNumber(), AnyMember(), AnyBool(), AnyNumber(), AnyNumber(), AnyBool()});
  ComesBack(SnapshotPart{AnyShard(), AnyNumber(), AnyMember(), AnyNumber(), AnyNumber(), AnyNumber(), AnyNumber(),
                         AnyBytes()});
  ComesBack(SnapshotReply{AnyShard(), AnyNumber(), AnyMember(), AnyNumber(), AnyNumber(), AnyBool()});
  ComesBack(ViewUpdate{AnyShard(), AnyView(), AnyBool(), AnyBool(), AnyBytes(), {{AnyMember(), "host:2"}}});
  const TableEntry entry{AnyNumber(), "t", 3, 2, AnyBool(), AnyBytes()};
  ComesBack(TableQuery{AnyNumber(), "t"});
  ComesBack(TableChange{AnyNumber(), TableAction::kDrop, entry});
  ComesBack(TableAnswer{AnyNumber(), Code::kInvalid, "why", {entry, entry}});
  ComesBack(RouteQuery{AnyNumber()});
  ComesBack(RouteAnswer{AnyNumber(), {{AnyShard(), AnyView(), AnyBool(), "host:3"}}});
  ComesBack(StatusQuery{AnyNumber()});
  const AgentBeat agent{"a", "host:5", "0.1", AnyNumber(), 2, 1, AnyNumber(), AnyNumber(), {"ssd", ""}};
  const JobStatus job{"0a", "flow", "host 7", JobState::kFailed, -1, 2, 3, 4, 5, 6, 7, "no"};
  ComesBack(StatusAnswer{AnyNumber(),
                         AnyNumber(),
                         {{AnyMember(), "host:4", AnyBool(), AnyBool(), 5, 6}},
                         {{entry, 7, 8}, {entry, 9, 0}},
                         {{agent, AnyBool()}},
                         {job, {}},
                         {{1, 2}, {1, 7}}});
  ComesBack(agent);
  ComesBack(JobReport{AnyNumber(), job});
  ComesBack(JobReportAnswer{AnyNumber(), AnyBool()});
  ComesBack(CancelJob{AnyNumber(), "0a"});
  ComesBack(CancelJobAnswer{AnyNumber(), Code::kNotFound, "none"});
  ComesBack(JobLogPiece{AnyNumber(), "0a", AnyNumber(), SharedBytes::Of("a line\n")});
  ComesBack(JobLogPieceAnswer{AnyNumber(), Code::kInvalid, "no id", AnyNumber()});
  ComesBack(JobLogQuery{AnyNumber(), "0a", AnyNumber()});
  ComesBack(JobLogAnswer{AnyNumber(), Code::kOk, "", true, AnyNumber(), SharedBytes::Of("a line\n")});
  ComesBack(EpochBegun{AnyNumber()});
  ComesBack(TableCreated{entry});
  ComesBack(TableDropped{AnyNumber()});
  ComesBack(ViewMade{AnyShard(), AnyView()});
  ComesBack(NodeDrained{7, AnyBool()});
  ComesBack(DrainChange{AnyNumber(), 7, AnyBool()});
  ComesBack(DrainAnswer{AnyNumber(), Code::kNotFound, "why", DrainState::kNobody, 3});
  ComesBack(ViewActivated{AnyShard(), AnyNumber()});
  ComesBack(
      ShardReport{AnyShard(), AnyNumber(), AnyBool(), PerhapsAMember(), AnyBool(), AnyBool(), {{AnyMember(), 17}}});
  ComesBack(Beat{AnyMember(), 77, "host:1", AnyNumber(), AnyBool(), AnyBool()});
  ComesBack(BeatReply{AnyNumber(), -5, AnyBool(), AnyBool(), AnyNumber(), AnyNumber(), DrainState::kDone, 4});
  ComesBack(FullReport{AnyMember(),
                       AnyNumber(),
                       {{AnyShard(), AnyNumber(), AnyBool(), PerhapsAMember(), AnyBool()}},
                       {AnyNumber(), AnyNumber()}});
}

RC_GTEST_PROP(Wire, RecordsKeepWhatTheySay, ()) {
  const Append append = AnyAppend();
  const auto back = FromFrame<Append>(Received(ToFrame(append)));
  RC_ASSERT(back.ok());
  RC_ASSERT(back->records.size() == append.records.size());
  for (size_t i = 0; i < append.records.size(); ++i) {
    const Record &was = append.records[i], &is = back->records[i];
    RC_ASSERT(is.lsn == was.lsn && is.view == was.view && is.kind == was.kind && is.producer == was.producer);
    RC_ASSERT(is.attempt == was.attempt && is.seq == was.seq);
    RC_ASSERT(std::equal(is.op.bytes.begin(), is.op.bytes.end(), was.op.bytes.begin(), was.op.bytes.end()));
  }
}

// A body that is cut or longer is no message; one that is changed is none, or another one.
RC_GTEST_PROP(Wire, WhatIsDamagedIsRefusedOrAnotherMessage, ()) {
  net::Frame frame = Received(ToFrame(AnyAppend()));
  const std::string body = frame.body;
  frame.body.resize(*rc::gen::inRange<size_t>(0, body.size()));
  RC_ASSERT(!FromFrame<Append>(frame).ok());
  frame.body = body + "x";
  RC_ASSERT(!FromFrame<Append>(frame).ok());
  frame.body = body;
  frame.body[*rc::gen::inRange<size_t>(0, body.size())] = *rc::gen::arbitrary<char>();
  (void)FromFrame<Append>(frame);
  frame.body = body;
  frame.segments.push_back(net::Segment::Copy("more"));
  RC_ASSERT(!FromFrame<Append>(frame).ok());
}

TEST(Wire, AnotherTypeAndValuesBeyondTheirRangeAreNamed) {
  net::Frame frame = ToFrame(BeatReply{});
  EXPECT_THAT(FromFrame<Beat>(frame).status().message(), HasSubstr("a frame of type 27 is no Beat"));
  frame.body[17] = 2;
  EXPECT_THAT(FromFrame<BeatReply>(frame).status().message(), HasSubstr("BeatReply of 39 bytes"));
}

// What reads may be sent by who may only read, what changes by clients, all else by processes of the cluster.
TEST(Wire, OnlyNodesSpeakOfViews) {
  for (const auto& [type, entry] : ClusterMessages().entries()) {
    const bool reads = type == kPullMessage || type == kTableQueryMessage || type == kRouteQueryMessage ||
                       type == kStatusQueryMessage || type == kJobLogQueryMessage;
    const bool changes = type == kPushMessage || type == kTableChangeMessage || type == kDrainChangeMessage ||
                         type == kJobReportMessage || type == kCancelJobMessage || type == kJobLogPieceMessage;
    const net::Role least = reads ? net::Role::kReadOnly : changes ? net::Role::kClient : net::Role::kNode;
    for (const net::Role role : {net::Role::kNone, net::Role::kReadOnly, net::Role::kClient, net::Role::kNode}) {
      EXPECT_EQ(ClusterMessages().Check(type, role).ok(), role >= least) << entry.name;
    }
  }
}

}  // namespace
}  // namespace glim::param
