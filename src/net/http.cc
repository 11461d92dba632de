// SPDX-License-Identifier: Apache-2.0
#include "net/http.h"

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http.hpp>
#include <sstream>
#include <utility>

namespace glim::net {

namespace http = boost::beast::http;

HttpGuess GuessHttp(std::string_view begin) {
  for (const std::string_view method : {"GET ", "HEAD "}) {
    const size_t common = std::min(method.size(), begin.size());
    if (begin.substr(0, common) != method.substr(0, common)) continue;
    return common == method.size() ? HttpGuess::kHttp : HttpGuess::kUnknown;
  }
  return HttpGuess::kOther;
}

struct HttpExchange::Parser {
  http::request_parser<http::empty_body> parser;
  std::string waiting;  // Came, and was not parsed yet.
  size_t taken = 0;     // Bytes in all.
};

HttpExchange::HttpExchange(const HttpHandler& handler) : handler_(handler), parser_(std::make_unique<Parser>()) {
  parser_->parser.header_limit(kRequestBytesMax);
}
HttpExchange::~HttpExchange() = default;

std::string HttpExchange::Take(std::string_view bytes) {
  if (parser_ == nullptr) return {};
  auto& [parser, waiting, taken] = *parser_;
  bytes = bytes.substr(0, kRequestBytesMax + 1 - taken);
  taken += bytes.size();
  waiting += bytes;
  boost::beast::error_code error;
  waiting.erase(0, parser.put(boost::asio::buffer(waiting), error));
  const bool too_long = error == http::error::header_limit || taken > kRequestBytesMax;
  if (too_long) return Respond(11, true, {.status = 431, .body = "this request is too long\n"});
  if (error == http::error::need_more) return {};
  if (error) return Respond(11, true, {.status = 400, .body = "this is no request: " + error.message() + "\n"});
  if (!parser.is_header_done()) return {};
  const auto& request = parser.get();
  const bool is_get = request.method() == http::verb::get;
  if (!is_get && request.method() != http::verb::head) {
    return Respond(request.version(), true, {.status = 405, .body = "only GET and HEAD are answered here\n"});
  }
  const std::string_view target(request.target().data(), request.target().size());
  return Respond(request.version(), is_get, handler_(target.substr(0, target.find('?'))));
}

std::string HttpExchange::Respond(unsigned version, bool with_body, HttpResponse response) {
  http::response<http::string_body> answer(static_cast<http::status>(response.status), version);
  answer.set(http::field::content_type, response.content_type);
  answer.set(http::field::cache_control, "no-store");
  answer.keep_alive(false);
  answer.content_length(response.body.size());
  if (with_body) answer.body() = std::move(response.body);
  parser_.reset();
  std::ostringstream text;
  text << answer.base() << answer.body();
  return text.str();
}

}  // namespace glim::net
