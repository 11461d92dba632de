// SPDX-License-Identifier: Apache-2.0
#include "cluster/job/driver_answers.h"

#include <utility>

#include "cluster/job/messages.h"
#include "udf/modules.h"

namespace glim::cluster {

void DriverAnswers::SetLuaPath(std::string path) {
  const std::lock_guard lock(mutex_);
  lua_path_ = std::move(path);
}

void DriverAnswers::SetFiles(std::vector<ListedFile> files) {
  const std::lock_guard lock(mutex_);
  files_ = std::make_shared<const std::vector<ListedFile>>(std::move(files));
}

void DriverAnswers::SetLog(std::shared_ptr<JobLog> log) {
  const std::lock_guard lock(mutex_);
  log_ = std::move(log);
}

bool DriverAnswers::Take(const std::shared_ptr<Peer>& peer, const net::Frame& frame) {
  switch (frame.header.type) {
    case kOutputMessage: printer_.Add([this, peer, frame] { Print(*peer, frame); }); return true;
    case kFindModuleMessage: finder_.Add([this, peer, frame] { peer->Answer(FindModule(frame)); }); return true;
    case kFetchFileMessage: finder_.Add([this, peer, frame] { peer->Answer(FindPiece(frame)); }); return true;
    default: return false;
  }
}

Status DriverAnswers::print_failure() const {
  const std::lock_guard lock(mutex_);
  return print_failure_;
}

void DriverAnswers::Print(Peer& peer, const net::Frame& frame) {
  printing_.store(true);
  auto output = FromFrame<Output>(frame);
  Status status = output.status();
  if (status.ok()) status = (output->to_stderr ? env_.standard_error() : env_.standard_output()).Append(output->bytes);
  printing_.store(false);
  if (output.ok()) {
    std::shared_ptr<JobLog> log;
    {
      const std::lock_guard lock(mutex_);
      log = log_;
    }
    if (log != nullptr) log->AddOutput(output->bytes);
  }
  // The executor is not told: its functions have nobody to tell either.
  peer.Answer(MakeAnswer(frame.header.request, Status::Ok()));
  if (status.ok()) return;
  const std::lock_guard lock(mutex_);
  print_failure_ = std::move(status);
}

net::Frame DriverAnswers::FindModule(const net::Frame& frame) {
  const auto find = FromFrame<cluster::FindModule>(frame);
  if (!find.ok()) return MakeAnswer(frame.header.request, find.status());
  std::string path = find->path;
  if (path.empty()) {
    const std::lock_guard lock(mutex_);
    path = lua_path_;
  }
  auto found = udf::FindModuleFile(env_.files(), find->name, path);
  if (!found.ok()) return MakeAnswer(frame.header.request, found.status());
  return MakeAnswer(frame.header.request, Status::Ok(),
                    Encode(FindModuleAnswer{found->found, std::move(found->file), std::move(found->source)}));
}

net::Frame DriverAnswers::FindPiece(const net::Frame& frame) {
  const uint64_t request = frame.header.request;
  const auto fetch = FromFrame<FetchFile>(frame);
  if (!fetch.ok()) return MakeAnswer(request, fetch.status());
  std::shared_ptr<const std::vector<ListedFile>> files;
  {
    const std::lock_guard lock(mutex_);
    files = files_;
  }
  if (files == nullptr) return MakeAnswer(request, Status::Stale("the driver has no such run"));
  const auto piece = PieceOf(env_.files(), *files, *fetch);
  if (!piece.ok()) return MakeAnswer(request, piece.status());
  std::vector<net::Segment> segments;
  segments.push_back(net::Segment::Copy(*piece));
  return MakeAnswer(request, Status::Ok(), {}, std::move(segments));
}

}  // namespace glim::cluster
