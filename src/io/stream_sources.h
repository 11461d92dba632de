// SPDX-License-Identifier: Apache-2.0
//
// Sources whose rows come while the flow runs: Read (a function of the program gives bytes), Channel (a thread of the
// program gives rows), Listen (whoever connects to a socket sends bytes). Bytes are lines of fields with tabs between
// them, as Pipe reads them (io/tsv.h).
//
// Each is one split, read by one task. A reader that has nothing to give comes back with an empty batch now and then
// (io/source.h), so that a run that was cancelled, or has rows enough, ends without another row. What the program's own
// function does meanwhile cannot be stopped.
//
// Thread: as io/source.h says. They are read once: what a run has taken is gone.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "glim/channel.h"
#include "glim/sources.h"
#include "io/source.h"

namespace glim::io {

// `read` fills some of the span and says how much; 0 is the end.
std::unique_ptr<Source> MakeReadSource(std::function<Result<size_t>(std::span<char>)> read);
std::unique_ptr<Source> MakeChannelSource(std::shared_ptr<Channel> channel);
// Listens from MakeSplits on, so that a port that is taken is told before work starts, and says on stderr where.
std::unique_ptr<Source> MakeListenSource(std::string network, std::string address, ListenOptions options);

}  // namespace glim::io
