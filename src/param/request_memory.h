// SPDX-License-Identifier: Apache-2.0
//
// Memory of large requests, used again. Pages that are asked for anew with each push of a megabyte cost more than the
// copy into them: the system clears each and gives it out one by one (measured: 0.25 ms of faults for 0.1 ms of copy).
//
// Cost: up to kKeptBytes that nobody uses.
// Thread: any; what was shared may outlive everybody else.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "param/replication/messages.h"

namespace glim::param {

class RequestMemory : public std::enable_shared_from_this<RequestMemory> {
 public:
  static constexpr size_t kLargeBytes = 128 << 10;
  static constexpr size_t kKeptBytes = 16 << 20;

  // Empty, with room for so many bytes.
  std::string Take(size_t bytes) {
    std::string text;
    if (bytes >= kLargeBytes) {
      const std::lock_guard lock(mutex_);
      for (size_t i = kept_.size(); i-- > 0;) {
        if (kept_[i].capacity() < bytes) continue;
        text = std::move(kept_[i]);
        kept_.erase(kept_.begin() + static_cast<ptrdiff_t>(i));
        kept_bytes_ -= text.capacity();
        break;
      }
    }
    text.reserve(bytes);
    return text;
  }

  // Its memory is taken again when nobody holds the bytes any more.
  SharedBytes Share(std::string text) {
    if (text.capacity() < kLargeBytes) return SharedBytes::Of(std::move(text));
    struct Held {
      Held(std::shared_ptr<RequestMemory> memory, std::string text)
          : memory(std::move(memory)), text(std::move(text)) {}
      ~Held() { memory->GiveBack(std::move(text)); }
      const std::shared_ptr<RequestMemory> memory;
      std::string text;
    };
    const auto held = std::make_shared<Held>(shared_from_this(), std::move(text));
    return {held, std::as_bytes(std::span(held->text))};
  }

  size_t kept_bytes() const {
    const std::lock_guard lock(mutex_);
    return kept_bytes_;
  }

 private:
  void GiveBack(std::string text) {
    text.clear();
    const std::lock_guard lock(mutex_);
    kept_bytes_ += text.capacity();
    kept_.push_back(std::move(text));
    while (kept_bytes_ > kKeptBytes) {
      kept_bytes_ -= kept_.front().capacity();
      kept_.erase(kept_.begin());
    }
  }

  mutable std::mutex mutex_;  // Guards the next lines.
  std::vector<std::string> kept_;
  size_t kept_bytes_ = 0;
};

}  // namespace glim::param
