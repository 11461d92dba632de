// SPDX-License-Identifier: Apache-2.0
#include "io/sinks.h"

#include <fmt/core.h>

#include <cerrno>
#include <exception>

#include "env/path.h"

namespace glim::io {
namespace {

// To what is open already. What a batch gave is written at once: it is large enough to be worth a call, and whoever
// watches sees it.
class StreamSink : public Sink {
 public:
  StreamSink(std::unique_ptr<RowEncoder> encoder, std::string description)
      : encoder_(std::move(encoder)), description_(std::move(description)) {}

  std::string Describe() const override { return description_; }
  Status Open(env::Env&) override { return Status::Ok(); }
  bool wants_bytes() const override { return true; }
  Status Encode(const Batch& batch, std::string* out) const override { return encoder_->Append(batch, out); }
  Status Finish() override { return Status::Ok(); }
  void Abort() override {}

 private:
  const std::unique_ptr<RowEncoder> encoder_;
  const std::string description_;
};

class WriterSink : public StreamSink {
 public:
  WriterSink(std::unique_ptr<RowEncoder> encoder, std::function<Status(std::string_view)> write,
             std::string description)
      : StreamSink(std::move(encoder), std::move(description)), write_(std::move(write)) {}
  Status WriteBytes(std::string_view bytes) override { return bytes.empty() ? Status::Ok() : write_(bytes); }

 private:
  const std::function<Status(std::string_view)> write_;
};

class CFileSink : public StreamSink {
 public:
  CFileSink(std::unique_ptr<RowEncoder> encoder, FILE* file, std::string description)
      : StreamSink(std::move(encoder), std::move(description)), file_(file) {}

  Status WriteBytes(std::string_view bytes) override {
    return std::fwrite(bytes.data(), 1, bytes.size(), file_) == bytes.size() ? Status::Ok() : WriteError();
  }
  Status Finish() override { return std::fflush(file_) == 0 ? Status::Ok() : WriteError(); }

 private:
  static Status WriteError() {
    return Status::Unavailable(fmt::format("writing to the file: {}", env::ErrorWords(errno)));
  }

  FILE* const file_;
};

// A sink that takes rows as they are and has nothing to close.
class BatchSink : public Sink {
 public:
  Status Open(env::Env&) override { return Status::Ok(); }
  bool wants_bytes() const override { return false; }
  Status Finish() override { return Status::Ok(); }
  void Abort() override {}
};

class CallbackSink : public BatchSink {
 public:
  CallbackSink(std::function<Status(const Batch&)> take, bool parallel) : take_(std::move(take)), parallel_(parallel) {}
  std::string Describe() const override { return "Output()"; }
  bool in_parts() const override { return parallel_; }
  Result<std::unique_ptr<SinkPart>> OpenPart(int) override {
    return std::unique_ptr<SinkPart>(std::make_unique<Part>(*this));
  }
  Status WriteBatch(const Batch& batch) override { return Call(batch); }

 private:
  class Part : public SinkPart {
   public:
    explicit Part(const CallbackSink& sink) : sink_(sink) {}
    Status Write(const Batch& batch) override { return sink_.Call(batch); }
    Status Finish() override { return Status::Ok(); }

   private:
    const CallbackSink& sink_;
  };

  Status Call(const Batch& batch) const {
    // The user's code: what it throws ends here.
    try {
      return take_(batch);
    } catch (const std::exception& e) {
      return Status::UserCode(fmt::format("the function threw: {}", e.what()));
    } catch (...) {
      return Status::UserCode("the function threw: an exception that is not a std::exception");
    }
  }

  const std::function<Status(const Batch&)> take_;
  const bool parallel_;
};

class CollectSink : public BatchSink {
 public:
  explicit CollectSink(std::vector<Row>* rows) : rows_(rows) {}
  std::string Describe() const override { return "Collect()"; }
  Status WriteBatch(const Batch& batch) override {
    for (int64_t row = 0; row < batch.row_count(); ++row) rows_->push_back(batch.RowAt(row));
    return Status::Ok();
  }

 private:
  std::vector<Row>* const rows_;
};

class FirstRowSink : public BatchSink {
 public:
  explicit FirstRowSink(std::function<Status(const Row&)> save) : save_(std::move(save)) {}
  std::string Describe() const override { return "SaveFirstRowTo()"; }
  bool full() const override { return full_; }
  Status WriteBatch(const Batch& batch) override {
    if (full_ || batch.row_count() == 0) return Status::Ok();
    full_ = true;
    return save_(batch.RowAt(0));
  }

 private:
  const std::function<Status(const Row&)> save_;
  bool full_ = false;
};

}  // namespace

std::unique_ptr<Sink> MakeWriterSink(std::unique_ptr<RowEncoder> encoder, std::function<Status(std::string_view)> write,
                                     std::string description) {
  return std::make_unique<WriterSink>(std::move(encoder), std::move(write), std::move(description));
}

std::unique_ptr<Sink> MakeCFileSink(std::unique_ptr<RowEncoder> encoder, FILE* file, std::string description) {
  return std::make_unique<CFileSink>(std::move(encoder), file, std::move(description));
}

std::unique_ptr<Sink> MakeCallbackSink(std::function<Status(const Batch&)> take, bool parallel) {
  return std::make_unique<CallbackSink>(std::move(take), parallel);
}

std::unique_ptr<Sink> MakeCollectSink(std::vector<Row>* rows) { return std::make_unique<CollectSink>(rows); }

std::unique_ptr<Sink> MakeFirstRowSink(std::function<Status(const Row&)> save) {
  return std::make_unique<FirstRowSink>(std::move(save));
}

}  // namespace glim::io
