// SPDX-License-Identifier: Apache-2.0
//
// The transport within one process: a frame is handed from loop to loop, and its payload stays where it is.
//
// The same queue, credit and signs of life as over a wire: a handler that hangs or holds its frames is seen from the
// other side as it would be there. There is no handshake: in one process everybody may have the role that he wants.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>

#include "base/try.h"
#include "net/transport_base.h"

namespace glim::net {

class InprocConnection final : public BaseConnection {
 public:
  using BaseConnection::BaseConnection;

  // The client's side.
  void Connect(InprocHub::Impl& hub, const std::string& address, int64_t timeout_nanos);
  // The server's side, in its loop.
  void Accept(const std::shared_ptr<InprocConnection>& client, const Acceptor& acceptor);

  void Discard(uint64_t request) override {}  // Payload comes whole.

 private:
  std::shared_ptr<InprocConnection> Self() { return std::static_pointer_cast<InprocConnection>(shared_from_this()); }
  // Runs it in the peer's loop, as something that the peer heard.
  void Tell(std::function<void(InprocConnection&)> work);

  void Pump() override;
  void StopTransfer() override;
  void SendHeartbeat() override {
    Tell([](InprocConnection& peer) {});
  }
  void SendGrant(uint64_t bytes) override {
    Tell([bytes](InprocConnection& peer) { peer.OnGrant(bytes); });
  }
  void OnFrame(Frame frame, size_t bytes);
  // From any loop.
  void OnOtherClosed();

  std::shared_ptr<InprocConnection> other_;  // Until one of them closes.
};

class InprocListener final : public ListenerCore, public std::enable_shared_from_this<InprocListener> {
 public:
  InprocListener(EventLoop& loop, ConnectionSet& set, std::shared_ptr<const TransportOptions> options,
                 Acceptor acceptor)
      : loop_(loop), set_(set), options_(std::move(options)), acceptor_(std::move(acceptor)) {}

  Status Open(InprocHub::Impl& hub, const std::string& address);
  void Stop() override;
  // From the client's loop, while the hub is locked.
  void Connect(std::shared_ptr<InprocConnection> client) {
    loop_.Post([self = shared_from_this(), client = std::move(client)] {
      if (self->hub_ == nullptr) {
        client->PostIfOpen([client] {
          client->BeginClose(CloseReason::kUnreachable, Status::Unavailable("the listener was closed"));
        });
        return;
      }
      std::make_shared<InprocConnection>(self->loop_, self->set_, self->options_)->Accept(client, self->acceptor_);
    });
  }

 private:
  EventLoop& loop_;
  ConnectionSet& set_;
  const std::shared_ptr<const TransportOptions> options_;
  const Acceptor acceptor_;
  InprocHub::Impl* hub_ = nullptr;  // While it listens.
  std::string address_;
};

struct InprocHub::Impl {
  std::mutex mutex;
  std::map<std::string, InprocListener*> listeners;
};

InprocHub::InprocHub() : impl_(std::make_unique<Impl>()) {}
InprocHub::~InprocHub() = default;

Status InprocListener::Open(InprocHub::Impl& hub, const std::string& address) {
  const std::lock_guard lock(hub.mutex);
  if (!hub.listeners.try_emplace(address, this).second) {
    return Status::Unavailable(fmt::format("cannot listen at {}: somebody does already", address));
  }
  hub_ = &hub;
  address_ = address;
  return {};
}

void InprocListener::Stop() {
  if (hub_ == nullptr) return;
  const std::lock_guard lock(hub_->mutex);
  hub_->listeners.erase(address_);
  hub_ = nullptr;
}

void InprocConnection::Connect(InprocHub::Impl& hub, const std::string& address, int64_t timeout_nanos) {
  peer_.address = address;
  ExpectOpenWithin(timeout_nanos, "connecting to " + address);
  const std::lock_guard lock(hub.mutex);
  const auto found = hub.listeners.find(address);
  if (found != hub.listeners.end()) return found->second->Connect(Self());
  BeginClose(CloseReason::kUnreachable,
             Status::Unavailable(fmt::format("cannot connect to {}: nobody listens there", address)));
}

void InprocConnection::Accept(const std::shared_ptr<InprocConnection>& client, const Acceptor& acceptor) {
  const auto close_client = [&](CloseReason reason, Status status) {
    client->PostIfOpen([client, reason, status = std::move(status)] { client->BeginClose(reason, status); });
  };
  Join(nullptr);
  accepted_ = true;
  set_own_role(Role::kNode);
  const auto check = [&]() -> Status {
    RETURN_IF_ERROR(CheckName("node", client->options().node));
    if (client->options().cluster == options().cluster) return {};
    return Status::Invalid(
        fmt::format("this is cluster \"{}\", not \"{}\"", options().cluster, client->options().cluster));
  };
  if (Status status = check(); !status.ok()) {
    close_client(CloseReason::kRefused, Status(status).With("refused by the server"));
    return BeginClose(CloseReason::kRefused, std::move(status).With("refused \"" + client->options().node + "\""));
  }
  peer_ = {.address = "inproc", .node = client->options().node, .role = client->options().role};
  auto handler = acceptor(shared_from_this());
  if (!handler) {
    close_client(CloseReason::kClosedThere, Status::Unavailable("closed by the server"));
    return BeginClose(CloseReason::kClosedHere, Status::Cancelled("nobody wanted this connection"));
  }
  Join(std::move(handler));
  // Before our own Opened, whose handler may send.
  const bool told = client->PostIfOpen([client, server = Self()] {
    if (client->closing()) return server->OnOtherClosed();
    client->other_ = server;
    client->Heard();
    client->Opened({.address = client->peer_.address, .node = server->options().node, .role = Role::kNode},
                   server->options().receive_window_bytes, nullptr);
  });
  if (!told) return OnOtherClosed();
  other_ = client;
  Opened(peer_, client->options().receive_window_bytes, nullptr);
}

void InprocConnection::Tell(std::function<void(InprocConnection&)> work) {
  if (!other_) return;
  other_->PostIfOpen([other = other_, work = std::move(work)] {
    if (!other->open()) return;
    other->Heard();
    work(*other);
  });
}

void InprocConnection::Pump() {
  while (auto next = NextOutgoing()) {
    for (Segment& segment : next->frame.segments) {
      if (!segment.owner || !segment.more.empty()) segment = Segment::Copy(segment.bytes, segment.more);
    }
    Tell([frame = std::make_shared<Frame>(std::move(next->frame)), bytes = next->bytes](InprocConnection& peer) {
      peer.OnFrame(std::move(*frame), bytes);
    });
    DoneWith(*next, Status::Ok());
  }
}

void InprocConnection::OnFrame(Frame frame, size_t bytes) {
  const auto refuse = [&](CloseReason reason, Status status) {
    BeginClose(reason, std::move(status).With(fmt::format("\"{}\" at {}", peer_.node, peer_.address)));
  };
  if (Status status = options().messages->Check(frame.header.type, peer_.role); !status.ok()) {
    return refuse(CloseReason::kRefused, std::move(status));
  }
  if (Status status = CheckFrame(frame, options().limits); !status.ok()) {
    return refuse(CloseReason::kBadFrame, std::move(status));
  }
  if (!frame.segments.empty()) {
    FrameHead head{.header = frame.header,
                   .body_bytes = static_cast<uint32_t>(frame.body.size()),
                   .segment_bytes = {},
                   .wire_bytes = bytes};
    for (const Segment& segment : frame.segments) {
      head.segment_bytes.push_back(static_cast<uint32_t>(segment.bytes.size()));
    }
    std::vector<std::span<char>> targets(frame.segments.size());
    handler().OnBody(head, frame.body, targets);
    for (size_t i = 0; i < targets.size(); ++i) {
      Segment& segment = frame.segments[i];
      if (targets[i].data() == nullptr) continue;
      if (!segment.bytes.empty()) std::memcpy(targets[i].data(), segment.bytes.data(), segment.bytes.size());
      segment = {{targets[i].data(), segment.bytes.size()}, nullptr};
    }
  }
  if (open()) handler().OnFrame(std::move(frame), Credit(shared_from_this(), bytes));
}

void InprocConnection::OnOtherClosed() {
  PostIfOpen([self = Self()] {
    self->BeginClose(CloseReason::kClosedThere, Status::Unavailable(self->peer_.address + " closed the connection"));
  });
}

void InprocConnection::StopTransfer() {
  if (other_) other_->OnOtherClosed();
  loop().Post([self = Self()] {
    self->other_.reset();
    self->FinishClose();
  });
}

namespace {

class InprocTransport final : public Transport {
 public:
  InprocTransport(EventLoop& loop, InprocHub& hub, TransportOptions options)
      : loop_(loop),
        hub_(hub.impl()),
        options_(std::make_shared<const TransportOptions>(std::move(options))),
        set_(loop),
        listeners_(loop) {}

  Result<std::unique_ptr<Listener>> Listen(const std::string& address, Acceptor acceptor) override {
    const auto core = std::make_shared<InprocListener>(loop_, set_, options_, std::move(acceptor));
    Status status;
    loop_.Call([&] {
      status = core->Open(hub_, address);
      if (status.ok()) listeners_.Add(core);
    });
    RETURN_IF_ERROR(status);
    return std::unique_ptr<Listener>(std::make_unique<ListenerHandle>(loop_, core, address));
  }

  std::shared_ptr<Connection> Connect(const std::string& address, int64_t timeout_nanos,
                                      std::shared_ptr<ConnectionHandler> handler) override {
    auto connection = std::make_shared<InprocConnection>(loop_, set_, options_);
    loop_.Post([this, connection, address, timeout_nanos, handler = std::move(handler)] {
      connection->Join(handler);
      connection->Connect(hub_, address, timeout_nanos);
    });
    return connection;
  }

  uint64_t refused_count() const override { return set_.refused_count(); }

 private:
  EventLoop& loop_;
  InprocHub::Impl& hub_;
  const std::shared_ptr<const TransportOptions> options_;
  ConnectionSet set_;
  ListenerCores listeners_;
};

}  // namespace

std::unique_ptr<Transport> MakeInprocTransport(EventLoop& loop, InprocHub& hub, TransportOptions options) {
  return std::make_unique<InprocTransport>(loop, hub, std::move(options));
}

}  // namespace glim::net
