// SPDX-License-Identifier: Apache-2.0
//
// What a master, a server and an agent tell whoever looks at them from outside: /metrics in the text format of
// Prometheus, and /healthz. docs/book/deployment.md lists the names, which are for good.
//
// No secrets are in it: counts, and the names of agents.
//
// Thread: any.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "glim/status.h"
#include "net/http.h"
#include "param/replication/messages.h"

namespace glim::cluster {

// Text of metrics, one after the other.
class Metrics {
 public:
  using Labels = std::vector<std::pair<std::string_view, std::string_view>>;

  // Begins a metric: `name` as it is in the text, `type` "gauge" or "counter"; `help` is one line.
  void Begin(std::string_view name, std::string_view type, std::string_view help);
  // A value of the metric that was begun last.
  void Add(double value, const Labels& labels = {});
  // A metric of one value.
  void Gauge(std::string_view name, std::string_view help, double value);
  void Counter(std::string_view name, std::string_view help, double value);

  const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::string name_;
};

// The version, and what this process takes of its machine. `role`: "master", "server", "agent".
void AddProcessMetrics(std::string_view role, Metrics* metrics);
// The cluster as its master sees it.
void AddClusterMetrics(const param::StatusAnswer& status, Metrics* metrics);

// Answers /healthz with 200, or with 503 and the reason when `health` is not ok, and /metrics with what `metrics` adds.
net::HttpHandler MakeHttpHandler(std::string role, std::function<Status()> health,
                                 std::function<void(Metrics*)> metrics);

}  // namespace glim::cluster
