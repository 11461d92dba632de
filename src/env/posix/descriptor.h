// SPDX-License-Identifier: Apache-2.0
//
// Descriptor: owns one file descriptor and closes it.
//
// Thread: one at a time.
#pragma once

#include <unistd.h>

#include <utility>

namespace glim::env {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      Reset();
      number_ = std::exchange(other.number_, -1);
    }
    return *this;
  }
  ~Descriptor() { Reset(); }

  int get() const { return number_; }
  bool valid() const { return number_ >= 0; }
  // Gives up ownership.
  int Release() { return std::exchange(number_, -1); }
  void Reset() {
    if (number_ >= 0) ::close(std::exchange(number_, -1));
  }

 private:
  int number_ = -1;
};

}  // namespace glim::env
