// SPDX-License-Identifier: Apache-2.0
//
// What a web server's access log says: examples/access_log.lua in C++.
#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "glim/glim.h"

namespace {

struct Request {
  std::string_view host, method, page;
  int64_t status = 0, bytes = 0;
};

// Cuts `text` after the first `end`, which goes with it. False when there is none.
bool Take(std::string_view* text, char end, std::string_view* taken) {
  const size_t at = text->find(end);
  if (at == std::string_view::npos) return false;
  *taken = text->substr(0, at);
  text->remove_prefix(at + 1);
  return true;
}

// host ident user [time] "method page?query protocol" status bytes ...
bool Parse(std::string_view line, Request* request) {
  std::string_view skipped, asked, status;
  if (!Take(&line, ' ', &request->host) || !Take(&line, '[', &skipped) || !Take(&line, ']', &skipped) ||
      !Take(&line, '"', &skipped) || !Take(&line, '"', &asked) || !Take(&line, ' ', &skipped) ||
      !Take(&line, ' ', &status) || !Take(&asked, ' ', &request->method)) {
    return false;
  }
  request->page = asked.substr(0, asked.find_first_of(" ?"));
  const auto number = [](std::string_view text, int64_t* value) {
    return std::from_chars(text.data(), text.data() + text.size(), *value).ec == std::errc();
  };
  if (!number(line, &request->bytes)) request->bytes = 0;  // A size of "-" means that nothing was sent.
  return number(status, &request->status);
}

int64_t Sum(int64_t x, int64_t y) { return x + y; }

}  // namespace

int main(int argc, char** argv) {
  glim::Session session(argc, argv);
  glim::Flow flow("access log");
  const glim::Dataset lines =
      flow.TextFile(session.arguments().empty() ? std::vector<std::string>{"-"} : session.arguments());
  const glim::Dataset requests = lines.FlatMap([](std::string_view line, glim::Emitter& out) {
    Request request;
    if (Parse(line, &request)) out(request.host, request.method, request.page, request.status, request.bytes);
  });
  const auto count_by = [&requests](int field) {
    return requests.Select(field).Map([](glim::Value key) { return std::tuple(key, int64_t{1}); }).ReduceBy(Sum);
  };

  int64_t other = 0;
  lines
      .Filter([](std::string_view line) {
        Request request;
        return !Parse(line, &request);
      })
      .Map([](std::string_view) { return int64_t{1}; })
      .Reduce(Sum)
      .SaveFirstRowTo(&other);
  count_by(4).Sort().Printf("status %d: %d\n");
  count_by(3).Top(10, {glim::OrderBy(2, glim::Descending), glim::OrderBy(1)}).Printf("page %s: %d\n");
  requests.Select(1, 5)
      .ReduceBy(Sum)
      .SortBy({glim::OrderBy(2, glim::Descending), glim::OrderBy(1)})
      .Printf("host %s: %d bytes\n");
  const glim::Status status = flow.Run(session);
  if (other > 0) std::printf("%" PRId64 " lines are of another format\n", other);
  return glim::ExitCode(status);
}
