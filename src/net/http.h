// SPDX-License-Identifier: Apache-2.0
//
// A little HTTP at a port that otherwise speaks frames: a GET is answered, once, and the connection closed. It is for
// what looks at a process from outside: probes that ask whether it lives (/healthz), Prometheus (/metrics).
//
// No I/O here: bytes in, bytes out. Requests are parsed and answers written by Boost.Beast.
//
// Thread: that of its connection.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace glim::net {

struct HttpResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// Answers a GET. `path` begins with / and has no query. Called in the transport's loop, so it should be quick.
using HttpHandler = std::function<HttpResponse(std::string_view path)>;

enum class HttpGuess { kHttp, kUnknown, kOther };
// What a connection speaks that begins so. kUnknown: more bytes will tell.
HttpGuess GuessHttp(std::string_view begin);

class HttpExchange {
 public:
  static constexpr size_t kRequestBytesMax = 8192;

  // `handler` outlives this.
  explicit HttpExchange(const HttpHandler& handler);
  ~HttpExchange();

  // Takes what came. The answer, when the request is whole or wrong; empty until then, and after it.
  std::string Take(std::string_view bytes);

 private:
  struct Parser;
  std::string Respond(unsigned version, bool with_body, HttpResponse response);

  const HttpHandler& handler_;
  std::unique_ptr<Parser> parser_;  // Null once it has answered.
};

}  // namespace glim::net
