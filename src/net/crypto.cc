// SPDX-License-Identifier: Apache-2.0
#include "net/crypto.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

#include "base/check.h"

namespace glim::net {
namespace {

const unsigned char* Bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }
unsigned char* Bytes(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

}  // namespace

std::string RandomBytes(size_t size) {
  std::string bytes(size, '\0');
  CHECK_EQ(RAND_bytes(Bytes(bytes), static_cast<int>(size)), 1);
  return bytes;
}

std::string HmacSha256(std::string_view key, std::string_view text) {
  std::string digest(32, '\0');
  CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), Bytes(text), text.size(), Bytes(digest),
             nullptr) != nullptr);
  return digest;
}

bool SameSecret(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string CertificateFingerprint(const x509_st* certificate) {
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned int size = 0;
  CHECK_EQ(X509_digest(certificate, EVP_sha256(), Bytes(digest), &size), 1);
  digest.resize(size);
  return digest;
}

std::string ToHex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return text;
}

Result<std::string> FromHex(std::string_view text) {
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
  std::string bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    const int high = digit(text[i]), low = digit(text[i + 1]);
    if (high < 0 || low < 0) break;
    bytes += static_cast<char>(high * 16 + low);
  }
  if (bytes.size() * 2 != text.size()) return Status::Invalid("not hexadecimal digits");
  return bytes;
}

}  // namespace glim::net
