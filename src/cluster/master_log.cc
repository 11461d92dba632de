// SPDX-License-Identifier: Apache-2.0
#include "cluster/master_log.h"

#include <fmt/format.h>

#include <utility>

#include "base/log.h"
#include "base/try.h"
#include "param/wire.h"

namespace glim::cluster {
namespace {

std::string PathOf(const std::string& folder) { return folder + "/decisions.log"; }

std::string Encode(const Decision& decision) {
  const net::Frame frame = std::visit([](const auto& d) { return param::ToFrame(d); }, decision);
  std::string bytes = net::EncodeFrameHead(frame) + frame.body;
  for (const net::Segment& segment : frame.segments) bytes += segment.bytes;
  return bytes;
}

template <class T>
Status Decode(const net::Frame& frame, std::vector<Decision>* decisions) {
  ASSIGN_OR_RETURN(T decision, param::FromFrame<T>(frame));
  decisions->emplace_back(std::in_place_type<T>, std::move(decision));
  return Status::Ok();
}

class Collector final : public net::FrameSink {
 public:
  Status OnHead(const net::FrameHead& head) override { return Status::Ok(); }
  Status OnFrame(net::Frame frame, size_t wire_bytes) override {
    RETURN_IF_ERROR(Collect(frame));
    bytes += wire_bytes;
    return Status::Ok();
  }

  std::vector<Decision> decisions;
  size_t bytes = 0;  // Of whole frames.

 private:
  Status Collect(const net::Frame& frame) {
    switch (frame.header.type) {
      case param::kEpochBegunMessage: return Decode<param::EpochBegun>(frame, &decisions);
      case param::kTableCreatedMessage: return Decode<param::TableCreated>(frame, &decisions);
      case param::kTableDroppedMessage: return Decode<param::TableDropped>(frame, &decisions);
      case param::kNodeDrainedMessage: return Decode<param::NodeDrained>(frame, &decisions);
      case param::kViewMadeMessage: return Decode<param::ViewMade>(frame, &decisions);
      case param::kViewActivatedMessage: return Decode<param::ViewActivated>(frame, &decisions);
    }
    return Status::Corrupt(fmt::format("a frame of type {} is no decision", frame.header.type));
  }
};

}  // namespace

Result<std::vector<Decision>> ReadMasterLog(env::FileSystem& files, const std::string& folder) {
  const std::string path = PathOf(folder);
  auto file = files.OpenSequential(path);
  if (file.status().code() == Code::kNotFound) return std::vector<Decision>();
  if (!file.ok()) return file.status();
  Collector collector;
  net::FrameDecoder decoder({}, &collector);
  std::string buffer(64 << 10, '\0');
  for (;;) {
    ASSIGN_OR_RETURN(const size_t size, (*file)->Read(buffer));
    if (size == 0) break;
    const Status status = decoder.Feed(std::string_view(buffer).substr(0, size));
    if (!status.ok()) {
      return Status::Corrupt(
          fmt::format("\"{}\", at byte {} or behind it: {}", path, collector.bytes, status.message()));
    }
  }
  if (!decoder.idle()) {
    base::LogWarning("\"{}\": what was being written at byte {} when the master died is left out", path,
                     collector.bytes);
  }
  return std::move(collector.decisions);
}

Result<std::unique_ptr<MasterLog>> MasterLog::Begin(env::FileSystem& files, const std::string& folder,
                                                    std::span<const Decision> decisions) {
  const std::string path = PathOf(folder), temporary = path + ".new";
  ASSIGN_OR_RETURN(std::unique_ptr<env::WritableFile> file, files.Create(temporary));
  for (const Decision& decision : decisions) RETURN_IF_ERROR(file->Append(Encode(decision)));
  RETURN_IF_ERROR(file->Sync());
  RETURN_IF_ERROR(files.Rename(temporary, path));
  RETURN_IF_ERROR(files.SyncFolder(folder));
  return std::unique_ptr<MasterLog>(new MasterLog(std::move(file)));
}

Status MasterLog::Append(const Decision& decision) { return file_->Append(Encode(decision)); }

}  // namespace glim::cluster
