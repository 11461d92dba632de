// SPDX-License-Identifier: Apache-2.0
#include "net/tls_session.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "base/check.h"
#include "net/crypto.h"

namespace glim::net {
namespace {

using Bio = std::unique_ptr<BIO, decltype(&BIO_free_all)>;

Bio MemoryBio(std::string_view text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free_all};
}

}  // namespace

TlsContext::TlsContext(const Key& key, Side side)
    : side_(side),
      context_(SSL_CTX_new(side == Side::kServer ? TLS_server_method() : TLS_client_method()), &SSL_CTX_free) {
  SSL_CTX* context = context_.get();
  CHECK(context != nullptr);
  CHECK_EQ(SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION), 1);
  // AES-128 is the fastest of those that TLS 1.3 allows.
  CHECK_EQ(
      SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"),
      1);
  SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
  // Nobody resumes a session.
  CHECK_EQ(SSL_CTX_set_num_tickets(context, 0), 1);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  if (side == Side::kClient) return;
  CHECK(key.of_cluster());
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(
      PEM_read_bio_X509(MemoryBio(key.certificate).get(), nullptr, nullptr, nullptr), &X509_free);
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> secret(
      PEM_read_bio_PrivateKey(MemoryBio(key.private_key).get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
  CHECK(certificate && secret);
  CHECK_EQ(SSL_CTX_use_certificate(context, certificate.get()), 1);
  CHECK_EQ(SSL_CTX_use_PrivateKey(context, secret.get()), 1);
}

TlsSession::TlsSession(const TlsContext& context)
    : ssl_(SSL_new(context.get())), in_(BIO_new(BIO_s_mem())), out_(BIO_new(BIO_s_mem())) {
  CHECK(ssl_ != nullptr && in_ != nullptr && out_ != nullptr);
  // An empty `in_` means that more may come, not that it ended.
  BIO_set_mem_eof_return(in_, -1);
  SSL_set_bio(ssl_, in_, out_);
  if (context.side() == TlsContext::Side::kServer) {
    SSL_set_accept_state(ssl_);
  } else {
    SSL_set_connect_state(ssl_);
  }
}

TlsSession::~TlsSession() { SSL_free(ssl_); }

void TlsSession::Take(std::string_view ciphertext) {
  if (ciphertext.empty()) return;
  CHECK_EQ(BIO_write(in_, ciphertext.data(), static_cast<int>(ciphertext.size())), static_cast<int>(ciphertext.size()));
}

Result<bool> TlsSession::Handshake() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_);
  if (result == 1) return true;
  if (SSL_get_error(ssl_, result) == SSL_ERROR_WANT_READ) return false;
  return Failure("the handshake");
}

std::string TlsSession::PeerFingerprint() const {
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(SSL_get1_peer_certificate(ssl_), &X509_free);
  return certificate ? CertificateFingerprint(certificate.get()) : std::string();
}

Result<size_t> TlsSession::Read(std::span<char> out) {
  ERR_clear_error();
  size_t bytes = 0;
  const int result = SSL_read_ex(ssl_, out.data(), out.size(), &bytes);
  if (result == 1) return bytes;
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ: return size_t{0};
    case SSL_ERROR_ZERO_RETURN: ended_ = true; return size_t{0};
    default: return Failure("reading");
  }
}

Status TlsSession::Write(std::string_view plain) {
  ERR_clear_error();
  size_t bytes = 0;
  // Memory takes all of it.
  if (SSL_write_ex(ssl_, plain.data(), plain.size(), &bytes) == 1) return {};
  return Failure("writing");
}

void TlsSession::Drain(std::string* out) {
  const size_t bytes = BIO_ctrl_pending(out_);
  if (bytes == 0) return;
  const size_t had = out->size();
  out->resize(had + bytes);
  CHECK_EQ(BIO_read(out_, out->data() + had, static_cast<int>(bytes)), static_cast<int>(bytes));
}

Status TlsSession::Failure(std::string_view doing) const {
  const char* reason = ERR_reason_error_string(ERR_peek_error());
  return Status::Unavailable(fmt::format("TLS, {}: {}", doing, reason == nullptr ? "failed" : reason));
}

}  // namespace glim::net
