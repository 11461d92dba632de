// SPDX-License-Identifier: Apache-2.0
#include "io/sql/postgres.h"

#include <fmt/core.h>
#include <libpq-fe.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/try.h"
#include "env/library.h"
#include "env/socket.h"
#include "env/url.h"

namespace glim::io {
namespace {

constexpr int64_t kLookNanos = 200'000'000;  // How soon an interrupt is seen.
constexpr size_t kPieceBytes = 64 << 10;

// What is called of libpq, which is loaded with the first address.
struct Pq {
  decltype(&::PQcancel) cancel = nullptr;
  decltype(&::PQclear) clear = nullptr;
  decltype(&::PQconnectPoll) connectPoll = nullptr;
  decltype(&::PQconnectStartParams) connectStartParams = nullptr;
  decltype(&::PQconnectionNeedsPassword) connectionNeedsPassword = nullptr;
  decltype(&::PQconnectionUsedPassword) connectionUsedPassword = nullptr;
  decltype(&::PQconninfoFree) conninfoFree = nullptr;
  decltype(&::PQconninfoParse) conninfoParse = nullptr;
  decltype(&::PQconsumeInput) consumeInput = nullptr;
  decltype(&::PQerrorMessage) errorMessage = nullptr;
  decltype(&::PQfinish) finish = nullptr;
  decltype(&::PQflush) flush = nullptr;
  decltype(&::PQfname) fname = nullptr;
  decltype(&::PQfreeCancel) freeCancel = nullptr;
  decltype(&::PQfreemem) freemem = nullptr;
  decltype(&::PQftype) ftype = nullptr;
  decltype(&::PQgetCancel) getCancel = nullptr;
  decltype(&::PQgetCopyData) getCopyData = nullptr;
  decltype(&::PQgetResult) getResult = nullptr;
  decltype(&::PQgetisnull) getisnull = nullptr;
  decltype(&::PQgetlength) getlength = nullptr;
  decltype(&::PQgetvalue) getvalue = nullptr;
  decltype(&::PQisBusy) isBusy = nullptr;
  decltype(&::PQnfields) nfields = nullptr;
  decltype(&::PQntuples) ntuples = nullptr;
  decltype(&::PQputCopyData) putCopyData = nullptr;
  decltype(&::PQputCopyEnd) putCopyEnd = nullptr;
  decltype(&::PQresultErrorField) resultErrorField = nullptr;
  decltype(&::PQresultErrorMessage) resultErrorMessage = nullptr;
  decltype(&::PQresultStatus) resultStatus = nullptr;
  decltype(&::PQsendDescribePrepared) sendDescribePrepared = nullptr;
  decltype(&::PQsendPrepare) sendPrepare = nullptr;
  decltype(&::PQsendQuery) sendQuery = nullptr;
  decltype(&::PQsetNoticeProcessor) setNoticeProcessor = nullptr;
  decltype(&::PQsetnonblocking) setnonblocking = nullptr;
  decltype(&::PQsocket) socket = nullptr;
  decltype(&::PQstatus) status = nullptr;
};
Pq pq;

Status LoadPq() {
  static const Status status =
      env::LoadFunctions("libpq.so.5", {{"PQcancel", &pq.cancel},
                                        {"PQclear", &pq.clear},
                                        {"PQconnectPoll", &pq.connectPoll},
                                        {"PQconnectStartParams", &pq.connectStartParams},
                                        {"PQconnectionNeedsPassword", &pq.connectionNeedsPassword},
                                        {"PQconnectionUsedPassword", &pq.connectionUsedPassword},
                                        {"PQconninfoFree", &pq.conninfoFree},
                                        {"PQconninfoParse", &pq.conninfoParse},
                                        {"PQconsumeInput", &pq.consumeInput},
                                        {"PQerrorMessage", &pq.errorMessage},
                                        {"PQfinish", &pq.finish},
                                        {"PQflush", &pq.flush},
                                        {"PQfname", &pq.fname},
                                        {"PQfreeCancel", &pq.freeCancel},
                                        {"PQfreemem", &pq.freemem},
                                        {"PQftype", &pq.ftype},
                                        {"PQgetCancel", &pq.getCancel},
                                        {"PQgetCopyData", &pq.getCopyData},
                                        {"PQgetResult", &pq.getResult},
                                        {"PQgetisnull", &pq.getisnull},
                                        {"PQgetlength", &pq.getlength},
                                        {"PQgetvalue", &pq.getvalue},
                                        {"PQisBusy", &pq.isBusy},
                                        {"PQnfields", &pq.nfields},
                                        {"PQntuples", &pq.ntuples},
                                        {"PQputCopyData", &pq.putCopyData},
                                        {"PQputCopyEnd", &pq.putCopyEnd},
                                        {"PQresultErrorField", &pq.resultErrorField},
                                        {"PQresultErrorMessage", &pq.resultErrorMessage},
                                        {"PQresultStatus", &pq.resultStatus},
                                        {"PQsendDescribePrepared", &pq.sendDescribePrepared},
                                        {"PQsendPrepare", &pq.sendPrepare},
                                        {"PQsendQuery", &pq.sendQuery},
                                        {"PQsetNoticeProcessor", &pq.setNoticeProcessor},
                                        {"PQsetnonblocking", &pq.setnonblocking},
                                        {"PQsocket", &pq.socket},
                                        {"PQstatus", &pq.status}});
  return status;
}

// libpq's text as one line.
std::string OneLine(const char* text) {
  std::string line(text != nullptr ? text : "");
  while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) line.pop_back();
  for (size_t at = line.find('\n'); at != std::string::npos; at = line.find('\n', at)) {
    line.replace(at, line.find_first_not_of("\n\t ", at) - at, "; ");
  }
  return line;
}

// By the class of the SQLSTATE.
Code CodeOf(std::string_view state) {
  if (state == "42P01" || state == "3D000") return Code::kNotFound;  // No such table, no such database.
  if (state == "57014") return Code::kCancelled;
  if (state.starts_with("53") || state.starts_with("54")) return Code::kExhausted;
  if (state.starts_with("08") || state.starts_with("57P") || state.starts_with("40") || state.starts_with("55")) {
    return Code::kUnavailable;
  }
  if (state.starts_with("XX") || state.starts_with("58")) return Code::kUnavailable;
  return Code::kInvalid;
}

Status ErrorOf(const pg_result* result) {
  const auto field = [&](int code) { return OneLine(pq.resultErrorField(result, code)); };
  std::string message = field(PG_DIAG_MESSAGE_PRIMARY);
  if (message.empty()) message = OneLine(pq.resultErrorMessage(result));
  if (const std::string detail = field(PG_DIAG_MESSAGE_DETAIL); !detail.empty()) message += " (" + detail + ")";
  if (const std::string context = field(PG_DIAG_CONTEXT); !context.empty()) message += ", in " + context;
  return {CodeOf(field(PG_DIAG_SQLSTATE)), std::move(message)};
}

}  // namespace

PostgresResult::PostgresResult(PostgresResult&& other) noexcept : result_(std::exchange(other.result_, nullptr)) {}

PostgresResult& PostgresResult::operator=(PostgresResult&& other) noexcept {
  std::swap(result_, other.result_);
  return *this;
}

PostgresResult::~PostgresResult() { pq.clear(result_); }

int PostgresResult::row_count() const { return pq.ntuples(result_); }

int PostgresResult::column_count() const { return pq.nfields(result_); }

std::string PostgresResult::ColumnName(int column) const {
  const char* name = pq.fname(result_, column);
  return name != nullptr ? name : "";
}

uint32_t PostgresResult::ColumnType(int column) const { return pq.ftype(result_, column); }

std::optional<std::string> PostgresResult::At(int row, int column) const {
  if (pq.getisnull(result_, row, column) != 0) return std::nullopt;
  return std::string(pq.getvalue(result_, row, column), static_cast<size_t>(pq.getlength(result_, row, column)));
}

Result<std::unique_ptr<PostgresConnection>> PostgresConnection::Open(env::Env& env, const std::string& address) {
  RETURN_IF_ERROR(LoadPq());
  auto opened = std::unique_ptr<PostgresConnection>(new PostgresConnection(env));
  RETURN_IF_ERROR(opened->Connect(address));
  return opened;
}

PostgresConnection::~PostgresConnection() {
  pq.freemem(row_);
  if (busy_ && pq.status(connection_) == CONNECTION_OK) {
    // A server notices only when it sends something that nobody is there, and a sort may take long.
    char why[256];
    PGcancel* cancel = pq.getCancel(connection_);
    pq.cancel(cancel, why, sizeof(why));
    pq.freeCancel(cancel);
  }
  pq.finish(connection_);
}

Status PostgresConnection::Connect(const std::string& address) {
  // libpq would take the password for a port, and tell it.
  const std::string host = address.substr(0, address.find('?'));
  if (host.find('@') == std::string::npos && env::HidePassword(host) != host) {
    return Status::Invalid("there is no @HOST behind the password");
  }
  char* why = nullptr;
  PQconninfoOption* options = pq.conninfoParse(address.c_str(), &why);
  if (options == nullptr) {
    // What libpq says may hold the part that it does not understand.
    std::string message = env::HidePassword(address) == address ? OneLine(why) : "libpq cannot read that address";
    pq.freemem(why);
    return Status::Invalid(std::move(message));
  }
  std::string seconds_text = env_.Variable("PGCONNECT_TIMEOUT").value_or("");
  for (const PQconninfoOption* option = options; option->keyword != nullptr; ++option) {
    if (std::string_view(option->keyword) == "connect_timeout" && option->val != nullptr) seconds_text = option->val;
  }
  pq.conninfoFree(options);
  int seconds = 0;
  std::from_chars(seconds_text.data(), seconds_text.data() + seconds_text.size(), seconds);

  // What stands before the address may be set otherwise there.
  constexpr const char* kNames[] = {"keepalives_idle",           "keepalives_interval",
                                    "keepalives_count",          "tcp_user_timeout",
                                    "fallback_application_name", "dbname",
                                    "client_encoding",           nullptr};
  const char* values[] = {"30", "10", "3", "60000", "glim", address.c_str(), "UTF8", nullptr};
  connection_ = pq.connectStartParams(kNames, values, 1);
  if (connection_ == nullptr) return Status::Exhausted("no memory for a connection");
  RETURN_IF_ERROR(WaitForConnection(seconds > 0 ? seconds : kConnectSecondsMax));
  pq.setnonblocking(connection_, 1);
  // Notices ("there is no such table, skipping") are for a person at a prompt.
  pq.setNoticeProcessor(connection_, [](void*, const char*) {}, nullptr);
  return Status::Ok();
}

Status PostgresConnection::WaitForConnection(int64_t seconds) {
  const int64_t end = env_.clock().MonotonicNanos() + seconds * 1'000'000'000;
  PostgresPollingStatusType state = PGRES_POLLING_WRITING;
  while (pq.status(connection_) != CONNECTION_BAD && state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED) {
    const int64_t left = end - env_.clock().MonotonicNanos();
    if (env_.interrupted()) return Status::Cancelled("interrupted");
    if (left <= 0) return Status::Timeout(fmt::format("no connection within {} s", seconds));
    const bool writing = state == PGRES_POLLING_WRITING;
    if (env::WaitForSocket(pq.socket(connection_), writing, std::min(left, kLookNanos))) {
      state = pq.connectPoll(connection_);
    }
  }
  if (state == PGRES_POLLING_OK) return Status::Ok();
  const bool password = pq.connectionNeedsPassword(connection_) == 1 || pq.connectionUsedPassword(connection_) == 1;
  return {password ? Code::kInvalid : Code::kUnavailable, OneLine(pq.errorMessage(connection_))};
}

Status PostgresConnection::Lost() const { return Status::Unavailable(OneLine(pq.errorMessage(connection_))); }

// Until something has come, or may be sent.
Result<bool> PostgresConnection::Wait(bool for_writing, int64_t nanos) {
  if (env_.interrupted()) return Status::Cancelled("interrupted");
  if (pq.socket(connection_) < 0) return Lost();
  if (!env::WaitForSocket(pq.socket(connection_), for_writing, std::min(nanos, kLookNanos))) return false;
  // While writing, too: a server that has much to say would wait for us to listen.
  if (pq.consumeInput(connection_) != 1) return Lost();
  return true;
}

Status PostgresConnection::Flush() {
  while (true) {
    const int left = pq.flush(connection_);
    if (left == 0) return Status::Ok();
    if (left < 0) return Lost();
    RETURN_IF_ERROR(Wait(true, kLookNanos).status());
  }
}

// What all statements that were sent give: the last result, or the first error. Ends early where rows are to be copied.
Result<PostgresResult> PostgresConnection::TakeResult() {
  PostgresResult last(nullptr);
  Status error;
  while (true) {
    RETURN_IF_ERROR(Flush());
    while (pq.isBusy(connection_) == 1) {
      RETURN_IF_ERROR(Wait(false, kLookNanos).status());
    }
    PostgresResult result(pq.getResult(connection_));
    if (result.result_ == nullptr) break;
    const ExecStatusType status = pq.resultStatus(result.result_);
    if ((status == PGRES_FATAL_ERROR || status == PGRES_BAD_RESPONSE) && error.ok()) error = ErrorOf(result.result_);
    last = std::move(result);
    if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT) return last;
  }
  busy_ = false;
  RETURN_IF_ERROR(error);
  if (last.result_ == nullptr) return Lost();
  return last;
}

Result<PostgresResult> PostgresConnection::Run(const std::string& sql) {
  busy_ = true;
  if (pq.sendQuery(connection_, sql.c_str()) != 1) return Lost();
  return TakeResult();
}

Result<PostgresResult> PostgresConnection::Describe(const std::string& query) {
  busy_ = true;
  if (pq.sendPrepare(connection_, "", query.c_str(), 0, nullptr) != 1) return Lost();
  RETURN_IF_ERROR(TakeResult().status());
  busy_ = true;
  if (pq.sendDescribePrepared(connection_, "") != 1) return Lost();
  return TakeResult();
}

Result<PostgresConnection::Next> PostgresConnection::NextRow(int64_t wait_nanos, std::string_view* row) {
  pq.freemem(row_);
  row_ = nullptr;
  while (true) {
    const int size = pq.getCopyData(connection_, &row_, 1);
    if (size > 0) {
      *row = std::string_view(row_, static_cast<size_t>(size) - 1);
      return Next::kRow;
    }
    if (size < 0) {
      RETURN_IF_ERROR(TakeResult().status());
      return Next::kEnd;
    }
    ASSIGN_OR_RETURN(const bool came, Wait(false, wait_nanos));
    if (!came) return Next::kLater;
  }
}

Status PostgresConnection::GiveRows(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, kPieceBytes);
    bytes.remove_prefix(piece.size());
    if (pq.putCopyData(connection_, piece.data(), static_cast<int>(piece.size())) < 0) return Lost();
    RETURN_IF_ERROR(Flush());
  }
  return Status::Ok();
}

Status PostgresConnection::EndRows() {
  if (pq.putCopyEnd(connection_, nullptr) < 0) return Lost();
  return TakeResult().status();
}

}  // namespace glim::io
