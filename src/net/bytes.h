// SPDX-License-Identifier: Apache-2.0
//
// Numbers and short texts as little-endian bytes, for heads and handshakes. A ByteReader never reads beyond its bytes:
// after the first that was not there it gives zeros, and ok() is false.
//
// Thread: plain functions and values.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace glim::net {

static_assert(std::endian::native == std::endian::little);

template <class T>
void PutNumber(T value, std::string* out) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}
// At most 65,535 bytes, behind their number.
inline void PutText(std::string_view text, std::string* out) {
  PutNumber(static_cast<uint16_t>(text.size()), out);
  out->append(text);
}
template <class T>
T NumberAt(const char* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}
  std::string_view Bytes(size_t size) {
    if (size > rest_.size()) {
      ok_ = false;
      rest_ = {};
      return {};
    }
    const auto bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }
  template <class T>
  T Number() {
    const auto bytes = Bytes(sizeof(T));
    return ok_ ? NumberAt<T>(bytes.data()) : T{};
  }
  std::string_view Text() { return Bytes(Number<uint16_t>()); }
  bool ok() const { return ok_; }
  // Everything was there and nothing is left.
  bool complete() const { return ok_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace glim::net
