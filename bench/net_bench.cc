// SPDX-License-Identifier: Apache-2.0
//
// Frames over the transports of net/, beside a loop of plain blocking sends and receives on a loopback socket, and a
// loop of copies through a ring of memory, in the same process and the same run:
//
//   stream      1 MB of payload in each frame, received into one buffer; GB/s. Credit and checksums are on, as always.
//               The ring of the probe is as large as ours; its threads never sleep.
//   ping-pong   a frame with 64 bytes there and back; microseconds. "in the loop": the handler of the answer sends the
//               next question. "by a thread": a thread sends and helps the loop until the answer is there, as a
//               blocking call does.
//   small       frames with 64 bytes, answered, 64 of them under way; thousands a second.
//
//   net_bench [--rounds R] [--only WORDS]
//
// With WORDS, only the lines that begin with them.
//
// Each round runs all of them once, so that a noisy neighbour disturbs all alike; shown are medians, lowest and
// highest.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "lib/probes.h"
#include "net/transport.h"

namespace {

using namespace glim;
using namespace glim::net;
using bench::Fail;
using bench::kPayloadBytes;
using bench::kPings;
using bench::kStreamFrames;
using bench::Seconds;
using bench::SocketPingPong;
using bench::SocketStream;

constexpr int kSmall = 200'000;
constexpr int kUnderWay = 64;
constexpr uint16_t kMessage = 16;

// ---------------------------------------------------------------------------------------------------------- transports

struct Handler : ConnectionHandler {
  void OnOpen(Connection&) override { opened.set_value(); }
  void OnBody(const FrameHead&, std::string_view, std::span<std::span<char>> targets) override {
    if (!place.empty()) targets[0] = std::span(place);
  }
  void OnFrame(Frame frame, Credit) override { on_frame(std::move(frame)); }
  void OnWritable() override {
    const std::lock_guard lock(mutex);
    writable = true;
    changed.notify_one();
  }
  void OnClosed(const Closing& closing) override {
    if (closing.reason != CloseReason::kShutdown && closing.reason != CloseReason::kClosedThere) {
      Fail(closing.status.message());
    }
  }
  void AwaitWritable() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return writable; });
    writable = false;
  }
  std::promise<void> opened;
  std::string place;
  std::function<void(Frame)> on_frame = [](Frame) {};
  std::mutex mutex;
  std::condition_variable changed;
  bool writable = false;
};

using Maker = std::function<std::unique_ptr<Transport>(EventLoop&, InprocHub&)>;

struct Bench {
  Bench(const Maker& make, const std::string& address) {
    server = make(server_loop, hub);
    client = make(client_loop, hub);
    listener = server
                   ->Listen(address,
                            [this](const std::shared_ptr<Connection>& connection) {
                              far = connection;
                              return far_handler;
                            })
                   .value();
  }
  void Open() {
    near = client->Connect(listener->address(), 5'000'000'000, near_handler);
    near_handler->opened.get_future().wait();
    far_handler->opened.get_future().wait();
  }
  static void Check(const Status& status) {
    if (!status.ok()) Fail(status.message());
  }

  InprocHub hub;
  EventLoop server_loop, client_loop;
  std::shared_ptr<Handler> near_handler = std::make_shared<Handler>(), far_handler = std::make_shared<Handler>();
  std::shared_ptr<Connection> near, far;
  std::unique_ptr<Transport> server, client;
  std::unique_ptr<Listener> listener;
};

Frame SmallFrame() { return {.header = {.type = kMessage}, .body = std::string(64, 'x'), .segments = {}}; }

double Stream(const Maker& make, const std::string& address) {
  Bench bench(make, address);
  std::promise<void> done;
  int received = 0;
  bench.far_handler->place.resize(kPayloadBytes);
  bench.far_handler->on_frame = [&](Frame) {
    if (++received == kStreamFrames) done.set_value();
  };
  bench.Open();
  const auto payload = Segment::Copy(std::string(kPayloadBytes, 'x'));
  return kStreamFrames * double{kPayloadBytes} / 1e9 / Seconds([&] {
           for (int i = 0; i < kStreamFrames;) {
             const Status status = bench.near->Send({.header = {.type = kMessage}, .body = {}, .segments = {payload}});
             if (status.ok()) {
               ++i;
             } else if (status.code() == Code::kExhausted) {
               bench.near_handler->AwaitWritable();
             } else {
               Fail(status.message());
             }
           }
           done.get_future().wait();
         });
}

// `under_way` questions at a time, `count` in all, each asked when an answer has come: seconds.
double Questions(const Maker& make, const std::string& address, int under_way, int count) {
  Bench bench(make, address);
  std::promise<void> done;
  int asked = 0, answered = 0;
  bench.far_handler->on_frame = [&](Frame frame) { Bench::Check(bench.far->Send(std::move(frame))); };
  bench.near_handler->on_frame = [&](Frame frame) {
    if (asked < count) {
      ++asked;
      Bench::Check(bench.near->Send(std::move(frame)));
    }
    if (++answered == count) done.set_value();
  };
  bench.Open();
  return Seconds([&] {
    bench.client_loop.Post([&] {
      for (; asked < under_way; ++asked) Bench::Check(bench.near->Send(SmallFrame()));
    });
    done.get_future().wait();
  });
}

double PingPongByThread(const Maker& make, const std::string& address) {
  Bench bench(make, address);
  int answered = 0;  // The loop's.
  bench.far_handler->on_frame = [&](Frame frame) { Bench::Check(bench.far->Send(std::move(frame))); };
  bench.near_handler->on_frame = [&](Frame) { ++answered; };
  bench.Open();
  return 1e6 / kPings * Seconds([&] {
           for (int i = 0; i < kPings; ++i) {
             Bench::Check(bench.near->Send(SmallFrame()));
             if (!bench.client_loop.HelpUntil([&] { return answered > i; }, -1)) Fail("somebody else helps");
           }
         });
}

}  // namespace

int main(int argc, char** argv) {
  int rounds = 5;
  std::string only;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view option = argv[i];
    if (i + 1 == argc || (option != "--rounds" && option != "--only")) {
      Fail("usage: net_bench [--rounds R] [--only WORDS]");
    }
    if (option == "--only") {
      only = argv[i + 1];
    } else {
      rounds = std::max(1, std::atoi(argv[i + 1]));
    }
  }
  MessageTable messages;
  messages.Add(kMessage, "message", Role::kReadOnly);
  TransportOptions options;
  options.messages = &messages;
  options.node = "bench";
  TransportOptions tcp_options = options;
  tcp_options.shared_memory = false;
  TransportOptions tls_options = options;
  tls_options.key = std::make_shared<Key>(MakeClusterKey("local").value());
  tls_options.tls_on_loopback = true;

  struct Kind {
    std::string name, address;
    Maker make;
  };
  const std::vector<Kind> kinds = {
      {"tcp", "127.0.0.1:0", [&](EventLoop& loop, InprocHub&) { return MakeTcpTransport(loop, tcp_options); }},
      {"shm", "127.0.0.1:0", [&](EventLoop& loop, InprocHub&) { return MakeTcpTransport(loop, options); }},
      {"tls", "127.0.0.1:0", [&](EventLoop& loop, InprocHub&) { return MakeTcpTransport(loop, tls_options); }},
      {"inproc", "bench", [&](EventLoop& loop, InprocHub& hub) { return MakeInprocTransport(loop, hub, options); }},
  };
  std::vector<std::string> order;
  std::map<std::string, std::vector<double>> values;
  const auto note = [&](const std::string& what, const std::string& who, const std::string& unit,
                        const std::function<double()>& measure) {
    const std::string name = fmt::format("{:<10} {:<{}} {}", what, who, 30 - unit.size(), unit);
    if (!name.starts_with(only)) return;
    if (!values.contains(name)) order.push_back(name);
    values[name].push_back(measure());
  };
  for (int round = 0; round < rounds; ++round) {
    note("stream", "plain sockets", "GB/s", SocketStream);
    note("stream", "plain ring", "GB/s", bench::RingStream);
    for (const Kind& kind : kinds) note("stream", kind.name, "GB/s", [&] { return Stream(kind.make, kind.address); });
    note("ping-pong", "plain sockets", "us", SocketPingPong);
    for (const Kind& kind : kinds) {
      note("ping-pong", kind.name + ", in the loop", "us",
           [&] { return 1e6 / kPings * Questions(kind.make, kind.address, 1, kPings); });
      note("ping-pong", kind.name + ", by a thread", "us", [&] { return PingPongByThread(kind.make, kind.address); });
    }
    for (const Kind& kind : kinds) {
      note("small", kind.name, "1000/s",
           [&] { return kSmall / 1e3 / Questions(kind.make, kind.address, kUnderWay, kSmall); });
    }
  }
  fmt::print("{:<42} {:>9} {:>9} {:>9}\n", "", "median", "lowest", "highest");
  for (const std::string& name : order) {
    auto sorted = values[name];
    std::sort(sorted.begin(), sorted.end());
    fmt::print("{:<42} {:>9.2f} {:>9.2f} {:>9.2f}\n", name, sorted[sorted.size() / 2], sorted.front(), sorted.back());
  }
}
