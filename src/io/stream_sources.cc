// SPDX-License-Identifier: Apache-2.0
#include "io/stream_sources.h"

#include <fmt/core.h>

#include <exception>
#include <map>
#include <mutex>

#include "base/try.h"
#include "env/path.h"
#include "glim/batch_builder.h"
#include "io/tsv.h"

namespace glim::io {
namespace {

constexpr size_t kPieceBytes = 64 << 10;
constexpr size_t kRowsMax = 4096;
// How soon a run notices that it was cancelled.
constexpr int64_t kWaitNanos = 100'000'000;

class StreamSource : public Source {
 public:
  Result<std::vector<Split>> MakeSplits(env::Env& env, const SplitOptions&) const override {
    RETURN_IF_ERROR(Start(env));
    return std::vector<Split>{{Describe(), 0, 0, 0}};
  }

 protected:
  virtual Status Start(env::Env& env) const { return Status::Ok(); }
};

using ReadBytes = std::function<Result<size_t>(std::span<char>)>;

class ReadReader : public Reader {
 public:
  explicit ReadReader(const ReadBytes& read) : read_(read) {}

  Result<std::optional<Batch>> Next() override {
    if (std::optional<Batch> batch = lines_.Next()) return batch;
    if (ended_) return std::optional<Batch>();
    const auto buffer = Buffer::Allocate(kPieceBytes);
    ASSIGN_OR_RETURN(const size_t size, Call({buffer->mutable_data(), buffer->size()}));
    ended_ = size == 0;
    RETURN_IF_ERROR(ended_ ? lines_.Finish() : lines_.Feed(buffer, size));
    std::optional<Batch> batch = lines_.Next();
    return batch.has_value() || ended_ ? std::move(batch) : std::optional(Batch());
  }

 private:
  // The user's code: what it throws ends here.
  Result<size_t> Call(std::span<char> out) const {
    try {
      ASSIGN_OR_RETURN(const size_t size, read_(out));
      if (size <= out.size()) return size;
      return Status::UserCode(fmt::format("the function says {} bytes where there is room for {}", size, out.size()));
    } catch (const std::exception& e) {
      return Status::UserCode(fmt::format("the function threw: {}", e.what()));
    } catch (...) {
      return Status::UserCode("the function threw: an exception that is not a std::exception");
    }
  }

  const ReadBytes& read_;
  TsvReader lines_;
  bool ended_ = false;
};

class ReadSource : public StreamSource {
 public:
  explicit ReadSource(ReadBytes read) : read_(std::move(read)) {}
  std::string Describe() const override { return "Read()"; }
  Result<std::unique_ptr<Reader>> Open(env::Env&, const Split&) const override {
    return std::unique_ptr<Reader>(std::make_unique<ReadReader>(read_));
  }

 private:
  const ReadBytes read_;
};

class ChannelReader : public Reader {
 public:
  explicit ChannelReader(Channel& channel) : channel_(channel) {}

  Result<std::optional<Batch>> Next() override {
    if (next_ == rows_.size()) {
      next_ = 0;
      rows_.clear();
      ASSIGN_OR_RETURN(const std::optional<bool> taken, channel_.Take(kWaitNanos, &rows_));
      if (!taken.has_value()) return std::optional(Batch());
      if (!*taken) return std::optional<Batch>();
    }
    const size_t width = rows_[next_].size();
    BatchBuilder batch(static_cast<int>(width));
    for (; next_ < rows_.size() && rows_[next_].size() == width && batch.row_count() < static_cast<int64_t>(kRowsMax);
         ++next_) {
      batch.AppendRow(rows_[next_]);
    }
    return std::optional(batch.Finish());
  }

 private:
  Channel& channel_;
  std::vector<Row> rows_;
  size_t next_ = 0;
};

class ChannelSource : public StreamSource {
 public:
  explicit ChannelSource(std::shared_ptr<Channel> channel) : channel_(std::move(channel)) {}
  std::string Describe() const override { return "Channel()"; }
  Result<std::unique_ptr<Reader>> Open(env::Env&, const Split&) const override {
    return std::unique_ptr<Reader>(std::make_unique<ChannelReader>(*channel_));
  }

 private:
  Status Start(env::Env&) const override { return channel_->StartRun(); }

  const std::shared_ptr<Channel> channel_;
};

class ListenReader : public Reader {
 public:
  ListenReader(env::Env& env, std::unique_ptr<env::Listener> listener, const ListenOptions& options)
      : env_(env), listener_(std::move(listener)), options_(options), last_news_(Now()) {}

  Result<std::optional<Batch>> Next() override {
    if (!ready_.empty()) return TakeBatch();
    if (options_.connections > 0 && ended_ == options_.connections) return std::optional<Batch>();
    const auto buffer = Buffer::Allocate(kPieceBytes);
    ASSIGN_OR_RETURN(const auto event, listener_->Next({buffer->mutable_data(), buffer->size()}, kWaitNanos));
    if (!event.has_value()) {
      const bool idle =
          options_.idle_seconds > 0 && static_cast<double>(Now() - last_news_) > options_.idle_seconds * 1e9;
      return idle ? std::optional<Batch>() : std::optional(Batch());
    }
    last_news_ = Now();
    if (Status status = Take(*event, buffer); !status.ok()) return std::move(status).With(event->peer);
    return ready_.empty() ? std::optional(Batch()) : TakeBatch();
  }

 private:
  int64_t Now() const { return env_.clock().MonotonicNanos(); }

  std::optional<Batch> TakeBatch() {
    Batch batch = std::move(ready_.front());
    ready_.pop_front();
    return batch;
  }

  Status Take(const env::Listener::Event& event, const std::shared_ptr<Buffer>& buffer) {
    using Kind = env::Listener::Event::Kind;
    TsvReader& lines = lines_[event.connection];
    switch (event.kind) {
      case Kind::kOpened:
        if (++opened_ == options_.connections) listener_->StopAccepting();
        return Status::Ok();
      case Kind::kBytes:
        RETURN_IF_ERROR(lines.Feed(buffer, event.size));
        if (lines.partial_bytes() > static_cast<size_t>(options_.line_bytes_max)) {
          return Status::Exhausted(
              fmt::format("a line of more than line_bytes_max = {} bytes", options_.line_bytes_max));
        }
        break;
      case Kind::kEnded:
        RETURN_IF_ERROR(event.status);
        RETURN_IF_ERROR(lines.Finish());
        ++ended_;
        break;
    }
    while (std::optional<Batch> batch = lines.Next()) ready_.push_back(*std::move(batch));
    if (event.kind == Kind::kEnded) lines_.erase(event.connection);
    return Status::Ok();
  }

  env::Env& env_;
  const std::unique_ptr<env::Listener> listener_;
  const ListenOptions& options_;
  std::map<uint64_t, TsvReader> lines_;  // Of the connections that are open.
  std::deque<Batch> ready_;
  int64_t opened_ = 0, ended_ = 0;  // Connections.
  int64_t last_news_;
};

class ListenSource : public StreamSource {
 public:
  ListenSource(std::string network, std::string address, ListenOptions options)
      : network_(std::move(network)), address_(std::move(address)), options_(options) {}
  std::string Describe() const override { return fmt::format("Listen({}, {})", network_, env::QuotePath(address_)); }

  Result<std::unique_ptr<Reader>> Open(env::Env& env, const Split&) const override {
    std::lock_guard lock(mutex_);
    if (listener_ == nullptr) return Status::Internal("Listen is read twice");
    return std::unique_ptr<Reader>(std::make_unique<ListenReader>(env, std::move(listener_), options_));
  }

 private:
  Status Start(env::Env& env) const override {
    if (options_.connections < 0 || options_.line_bytes_max < 1 || options_.idle_seconds < 0) {
      return Status::Invalid("connections and idle_seconds may not be negative, and line_bytes_max is at least 1");
    }
    ASSIGN_OR_RETURN(auto listener, env.Listen(network_, address_));
    RETURN_IF_ERROR(env.standard_error().Append(fmt::format("glim: listening on {}\n", listener->address())));
    std::lock_guard lock(mutex_);
    listener_ = std::move(listener);
    return Status::Ok();
  }

  const std::string network_, address_;
  const ListenOptions options_;
  mutable std::mutex mutex_;
  mutable std::unique_ptr<env::Listener> listener_;  // Between MakeSplits and Open. Guarded by mutex_.
};

}  // namespace

std::unique_ptr<Source> MakeReadSource(ReadBytes read) { return std::make_unique<ReadSource>(std::move(read)); }

std::unique_ptr<Source> MakeChannelSource(std::shared_ptr<Channel> channel) {
  return std::make_unique<ChannelSource>(std::move(channel));
}

std::unique_ptr<Source> MakeListenSource(std::string network, std::string address, ListenOptions options) {
  return std::make_unique<ListenSource>(std::move(network), std::move(address), options);
}

}  // namespace glim::io
