// SPDX-License-Identifier: Apache-2.0
#include "io/http_file.h"

#include <curl/curl.h>
#include <fmt/core.h>

#include <algorithm>

#include "base/try.h"
#include "env/library.h"
#include "env/path.h"

namespace glim::io {
namespace {

constexpr long kConnectSecondsMax = 30;
constexpr long kStandStillSecondsMax = 60;
constexpr int kPollMillis = 200;  // How soon an interrupt is seen.
// What is taken in ahead of the reader: then the connection waits.
constexpr size_t kAheadBytesMax = 1 << 20;

// What is called of libcurl, which is loaded with the first address.
struct Curl {
  decltype(&::curl_easy_cleanup) easy_cleanup = nullptr;
  decltype(&::curl_easy_getinfo) easy_getinfo = nullptr;
  decltype(&::curl_easy_init) easy_init = nullptr;
  decltype(&::curl_easy_pause) easy_pause = nullptr;
  decltype(&::curl_easy_setopt) easy_setopt = nullptr;
  decltype(&::curl_easy_strerror) easy_strerror = nullptr;
  decltype(&::curl_global_init) global_init = nullptr;
  decltype(&::curl_multi_add_handle) multi_add_handle = nullptr;
  decltype(&::curl_multi_cleanup) multi_cleanup = nullptr;
  decltype(&::curl_multi_info_read) multi_info_read = nullptr;
  decltype(&::curl_multi_init) multi_init = nullptr;
  decltype(&::curl_multi_perform) multi_perform = nullptr;
  decltype(&::curl_multi_poll) multi_poll = nullptr;
  decltype(&::curl_multi_remove_handle) multi_remove_handle = nullptr;
};
Curl curl;

Status LoadCurl() {
  static const Status status = [] {
    RETURN_IF_ERROR(env::LoadFunctions("libcurl.so.4", {{"curl_easy_cleanup", &curl.easy_cleanup},
                                                        {"curl_easy_getinfo", &curl.easy_getinfo},
                                                        {"curl_easy_init", &curl.easy_init},
                                                        {"curl_easy_pause", &curl.easy_pause},
                                                        {"curl_easy_setopt", &curl.easy_setopt},
                                                        {"curl_easy_strerror", &curl.easy_strerror},
                                                        {"curl_global_init", &curl.global_init},
                                                        {"curl_multi_add_handle", &curl.multi_add_handle},
                                                        {"curl_multi_cleanup", &curl.multi_cleanup},
                                                        {"curl_multi_info_read", &curl.multi_info_read},
                                                        {"curl_multi_init", &curl.multi_init},
                                                        {"curl_multi_perform", &curl.multi_perform},
                                                        {"curl_multi_poll", &curl.multi_poll},
                                                        {"curl_multi_remove_handle", &curl.multi_remove_handle}}));
    return curl.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? Status::Ok() : Status::Internal("libcurl cannot start");
  }();
  return status;
}

class HttpFile : public env::SequentialFile {
 public:
  HttpFile(env::Env& env, std::string address) : env_(env), address_(std::move(address)) {}
  HttpFile(const HttpFile&) = delete;
  ~HttpFile() override {
    if (multi_ != nullptr && easy_ != nullptr) curl.multi_remove_handle(multi_, easy_);
    if (easy_ != nullptr) curl.easy_cleanup(easy_);
    if (multi_ != nullptr) curl.multi_cleanup(multi_);
  }

  Status Start() {
    RETURN_IF_ERROR(LoadCurl().With(env::QuotePath(address_)));
    easy_ = curl.easy_init();
    multi_ = curl.multi_init();
    if (easy_ == nullptr || multi_ == nullptr) return Fail(Code::kExhausted, "no memory");
    curl.easy_setopt(easy_, CURLOPT_URL, address_.c_str());
    curl.easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, "http,https");
    curl.easy_setopt(easy_, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl.easy_setopt(easy_, CURLOPT_FOLLOWLOCATION, 1L);
    curl.easy_setopt(easy_, CURLOPT_FAILONERROR, 1L);
    curl.easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
    curl.easy_setopt(easy_, CURLOPT_CONNECTTIMEOUT, kConnectSecondsMax);
    curl.easy_setopt(easy_, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl.easy_setopt(easy_, CURLOPT_LOW_SPEED_TIME, kStandStillSecondsMax);
    curl.easy_setopt(easy_, CURLOPT_ERRORBUFFER, error_);
    curl.easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &HttpFile::Take);
    curl.easy_setopt(easy_, CURLOPT_WRITEDATA, this);
    if (curl.multi_add_handle(multi_, easy_) != CURLM_OK) return Fail(Code::kInternal, "curl_multi_add_handle failed");
    return Status::Ok();
  }

  Result<size_t> Read(std::span<char> out) override {
    while (taken_ == bytes_.size() && !ended_) RETURN_IF_ERROR(Fill());
    const size_t size = std::min(out.size(), bytes_.size() - taken_);
    std::copy_n(bytes_.data() + taken_, size, out.data());
    taken_ += size;
    return size;
  }

 private:
  // Called by curl with what has arrived.
  static size_t Take(char* data, size_t, size_t size, void* self) {
    auto* file = static_cast<HttpFile*>(self);
    if (file->bytes_.size() >= kAheadBytesMax) {
      file->paused_ = true;
      return CURL_WRITEFUNC_PAUSE;
    }
    file->bytes_.append(data, size);
    return size;
  }

  // Waits until something has arrived or all has.
  Status Fill() {
    bytes_.clear();
    taken_ = 0;
    if (paused_) {
      paused_ = false;
      curl.easy_pause(easy_, CURLPAUSE_CONT);
    }
    while (bytes_.empty()) {
      if (env_.interrupted()) return Status::Cancelled("interrupted");
      int running = 0;
      if (curl.multi_perform(multi_, &running) != CURLM_OK) return Fail(Code::kInternal, "curl_multi_perform failed");
      int left = 0;
      while (const CURLMsg* message = curl.multi_info_read(multi_, &left)) {
        if (message->msg == CURLMSG_DONE) return End(message->data.result);
      }
      if (bytes_.empty()) curl.multi_poll(multi_, nullptr, 0, kPollMillis, nullptr);
    }
    return Status::Ok();
  }

  Status End(CURLcode result) {
    ended_ = true;
    if (result == CURLE_OK) return Status::Ok();
    long answer = 0;
    curl.easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &answer);
    if (result == CURLE_HTTP_RETURNED_ERROR) {
      return Fail(answer == 404 || answer == 410 ? Code::kNotFound : Code::kUnavailable,
                  fmt::format("the server answers {}", answer));
    }
    return Fail(Code::kUnavailable, error_[0] != 0 ? error_ : curl.easy_strerror(result));
  }

  Status Fail(Code code, std::string_view what) const {
    return {code, fmt::format("{}: {}", env::QuotePath(address_), what)};
  }

  env::Env& env_;
  const std::string address_;
  CURL* easy_ = nullptr;
  CURLM* multi_ = nullptr;
  char error_[CURL_ERROR_SIZE] = {};
  std::string bytes_;  // Arrived, the first taken_ of them given.
  size_t taken_ = 0;
  bool paused_ = false;
  bool ended_ = false;
};

}  // namespace

bool IsHttp(std::string_view path) { return path.starts_with("http://") || path.starts_with("https://"); }

Result<std::unique_ptr<env::SequentialFile>> OpenHttp(env::Env& env, const std::string& address) {
  auto file = std::make_unique<HttpFile>(env, address);
  RETURN_IF_ERROR(file->Start());
  return std::unique_ptr<env::SequentialFile>(std::move(file));
}

}  // namespace glim::io
