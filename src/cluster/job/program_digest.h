// SPDX-License-Identifier: Apache-2.0
//
// The name of a program's bytes: a hash that nobody can make other bytes for. Driver and agent work it out of pieces of
// kProgramPieceBytes, the last of which may be shorter.
//
// Thread: values.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "net/crypto.h"

namespace glim::cluster {

inline constexpr size_t kProgramPieceBytes = size_t{1} << 20;

class ProgramDigest {
 public:
  // The next piece. Expects: all before it were whole ones.
  void Add(std::string_view piece) { of_pieces_ += net::HmacSha256("glim piece of a program", piece); }
  // 64 hexadecimal digits.
  std::string Name() const { return net::ToHex(net::HmacSha256("glim program", of_pieces_)); }

 private:
  std::string of_pieces_;
};

}  // namespace glim::cluster
