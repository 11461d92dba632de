// SPDX-License-Identifier: Apache-2.0
//
// Rows on their way to another machine, compressed where that is faster: an encoded batch becomes a block of LZ4 when
// that takes at least an eighth off, and goes as it is otherwise. Who gives the rows decides, since he knows where the
// connection leads, and how fast it is: never within one machine, and not where the network takes bytes faster than we
// compress them. Who reads takes both. docs/design/jobs.md has the numbers.
//
// Thread: one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "cluster/job/peer.h"
#include "env/env.h"
#include "glim/batch.h"
#include "glim/status.h"

namespace glim::cluster {

class RowPacking {
 public:
  // For tests of one machine: "1" has all rows packed, wherever they go.
  static constexpr const char* kAlwaysVariable = "GLIM_PACK_ALWAYS";

  // `env` outlives this.
  explicit RowPacking(env::Env& env);

  bool Pays(const PeerWay& way);

  // What is sent for `plain`, which may be that itself. `plain_bytes`: its size when it was packed, else 0.
  std::shared_ptr<const std::string> Pack(std::shared_ptr<const std::string> plain, uint32_t* plain_bytes);

 private:
  double BytesPerSecond() const;

  env::Clock& clock_;
  const bool always_;
  std::string scratch_;
  // What packing took lately.
  double bytes_ = 0;
  double nanos_ = 0;
  int declined_ = 0;  // Times in a row that the network was faster.
};

// The bytes that were packed. Whatever `packed` is: kCorrupt when it is not what Pack made of `plain_bytes` bytes, as
// far as that can be seen; allocates no more than LZ4 can make of it.
Result<std::shared_ptr<Buffer>> UnpackRows(std::string_view packed, uint32_t plain_bytes);

}  // namespace glim::cluster
