// SPDX-License-Identifier: Apache-2.0
//
// A server as a process: it dials the master, listens for clients and other servers, and feeds the state machines of
// server_node.h and shard_owner.h, whose shards are those of src/table. `glim server` is this and an address on stdout.
//
// Some threads, beside the one that writes to the disk (server_disk.h). The network's has the connections and the node:
// it reads, decodes and sends frames, and beats, so that a large snapshot or pull is no reason to take the server for
// dead. Each of the others owns some of the shards: replicas, update rules. What is short is done where it was read
// when its owner has nothing to do. Nothing grows between the threads: a frame that waits for an owner is not granted
// anew to its sender, and a client with some pulls there is not heard until one of them is done.
//
// Members find each other by the addresses that come with a view; each sends over a connection that it dialled itself.
// A connection that breaks is dialled again when there is something to send; what was lost meanwhile is sent again by
// the rules of the protocol.
//
// Thread: Start and the destructor by one; the rest from any.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "cluster/server_disk.h"
#include "cluster/server_node.h"
#include "env/env.h"
#include "net/key.h"

namespace glim::cluster {

struct ServerProcessOptions {
  std::string master;                   // host:port
  std::string address = "127.0.0.1:0";  // Where it listens; port 0: a free one.
  std::string advertised_host;          // What others are told instead of its own host; empty: that.
  uint32_t node = 0;                    // Its number in the cluster; 0: that of its folder, or a new one.
  std::string folder;                   // Its own; empty: none, and no tables of durability disk.
  ServerDiskOptions disk;
  uint64_t memory_max = uint64_t{1} << 30;
  size_t owners = 0;                    // Threads that own shards, 64 at most; 0: as many as there are cores.
  std::shared_ptr<const net::Key> key;  // Null: this machine only.
  bool open_metrics = false;            // As a master's.
  bool shared_memory = true;            // With peers on this machine, see net/transport.h.
  ServerNodeOptions node_options;
  // For tests: what is put around the rows of each shard. Called in the thread of its owner.
  std::function<std::unique_ptr<param::ShardState>(std::unique_ptr<param::ShardState>)> around_rows = {};
};

class ServerProcess {
 public:
  // `stopped` is called once, from the network's thread, when it has to stop by itself: another one has taken its
  // place, or its disk fails.
  ServerProcess(env::Env& env, ServerProcessOptions options, std::function<void(Status)> stopped);
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;

  Status Start();
  // Where it listens, and its number. Expects: Start was ok.
  std::string address() const;
  uint32_t node() const;
  // Before it ends: asks the master to give its shards to others, and waits until it holds none. Else says why it ends
  // with some: nobody can take them, the master is silent for the dead time, or it has taken `nanos_max`.
  Status HandOver(int64_t nanos_max);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace glim::cluster
