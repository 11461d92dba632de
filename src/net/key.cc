// SPDX-License-Identifier: Apache-2.0
#include "net/key.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>

#include "base/check.h"
#include "base/try.h"
#include "env/path.h"
#include "net/crypto.h"

namespace glim::net {
namespace {

constexpr std::string_view kClusterTitle = "glim cluster key 1";
constexpr std::string_view kClientTitle = "glim client key 1";
constexpr std::string_view kCertificateBegin = "-----BEGIN CERTIFICATE-----\n";
constexpr std::string_view kCertificateEnd = "-----END CERTIFICATE-----\n";
constexpr size_t kSecretBytes = 32;
constexpr size_t kFileBytesMax = 64 * 1024;
// Nobody checks its dates: it is recognised by its fingerprint, and replaced by a new key.
constexpr long kCertificateSeconds = 100L * 365 * 24 * 3600;

using EvpKey = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Bio = std::unique_ptr<BIO, decltype(&BIO_free_all)>;

Bio MemoryBio(std::string_view text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free_all};
}

std::string TextOf(const Bio& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<size_t>(size)};
}

// The next line of `text`, which loses it.
std::string_view NextLine(std::string_view* text) {
  const auto line = text->substr(0, text->find('\n'));
  text->remove_prefix(std::min(text->size(), line.size() + 1));
  return line;
}

// The rest of the next line when it begins with `word` and a space.
Result<std::string_view> Field(std::string_view* text, std::string_view word) {
  const auto line = NextLine(text);
  if (line.starts_with(word) && line.substr(word.size()).starts_with(' ')) return line.substr(word.size() + 1);
  return Status::Invalid(fmt::format("has no line \"{} ...\" where it should be", word));
}

Result<std::string> Secret(std::string_view hex) {
  auto bytes = FromHex(hex);
  if (!bytes.ok() || bytes->size() != kSecretBytes)
    return Status::Invalid("has a number that is not 64 hexadecimal digits");
  return bytes;
}

Status ParseCertificate(std::string_view text, Key* key) {
  const size_t end = text.find(kCertificateEnd);
  if (!text.starts_with(kCertificateBegin) || end == std::string_view::npos)
    return Status::Invalid("has no certificate");
  key->certificate = text.substr(0, end + kCertificateEnd.size());
  key->private_key = text.substr(end + kCertificateEnd.size());
  const Certificate certificate(PEM_read_bio_X509(MemoryBio(key->certificate).get(), nullptr, nullptr, nullptr),
                                &X509_free);
  const EvpKey secret(PEM_read_bio_PrivateKey(MemoryBio(key->private_key).get(), nullptr, nullptr, nullptr),
                      &EVP_PKEY_free);
  if (!certificate || CertificateFingerprint(certificate.get()) != key->fingerprint) {
    return Status::Invalid("has a certificate that does not fit its fingerprint");
  }
  if (!secret || X509_check_private_key(certificate.get(), secret.get()) != 1) {
    return Status::Invalid("has a private key that does not fit its certificate");
  }
  return {};
}

}  // namespace

Result<Key> MakeClusterKey(const std::string& cluster) {
  RETURN_IF_ERROR(CheckName("cluster", cluster));
  const EvpKey secret(EVP_EC_gen("P-256"), &EVP_PKEY_free);
  const Certificate certificate(X509_new(), &X509_free);
  CHECK(secret && certificate);
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), kCertificateSeconds);
  X509_set_pubkey(certificate.get(), secret.get());
  X509_NAME* name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(cluster.c_str()), -1, -1,
                             0);
  X509_set_issuer_name(certificate.get(), name);
  CHECK_GT(X509_sign(certificate.get(), secret.get(), EVP_sha256()), 0);

  Key key{.cluster = cluster,
          .fingerprint = CertificateFingerprint(certificate.get()),
          .tokens = {},
          .certificate = {},
          .private_key = {}};
  for (const Role role : {Role::kReadOnly, Role::kClient, Role::kNode}) key.tokens[role] = RandomBytes(kSecretBytes);
  const Bio text(BIO_new(BIO_s_mem()), &BIO_free_all);
  CHECK_EQ(PEM_write_bio_X509(text.get(), certificate.get()), 1);
  key.certificate = TextOf(text);
  CHECK_EQ(PEM_write_bio_PrivateKey(text.get(), secret.get(), nullptr, nullptr, 0, nullptr, nullptr), 1);
  key.private_key = TextOf(text).substr(key.certificate.size());
  return key;
}

Key MakeClientKey(const Key& cluster_key, Role role) {
  CHECK(cluster_key.of_cluster());
  return {.cluster = cluster_key.cluster,
          .fingerprint = cluster_key.fingerprint,
          .tokens = {{role, cluster_key.tokens.at(role)}},
          .certificate = {},
          .private_key = {}};
}

std::string FormatKey(const Key& key) {
  std::string text(key.of_cluster() ? kClusterTitle : kClientTitle);
  text += fmt::format("\ncluster {}\nfingerprint {}\n", key.cluster, ToHex(key.fingerprint));
  for (const auto& [role, token] : key.tokens) text += fmt::format("token {} {}\n", RoleName(role), ToHex(token));
  return text + key.certificate + key.private_key;
}

Result<Key> ParseKey(std::string_view text) {
  Key key;
  const auto title = NextLine(&text);
  if (title != kClusterTitle && title != kClientTitle) return Status::Invalid("is not a key of Glim");
  ASSIGN_OR_RETURN(const auto cluster, Field(&text, "cluster"));
  RETURN_IF_ERROR(CheckName("cluster", cluster));
  key.cluster = cluster;
  ASSIGN_OR_RETURN(const auto fingerprint, Field(&text, "fingerprint"));
  ASSIGN_OR_RETURN(key.fingerprint, Secret(fingerprint));
  while (text.starts_with("token ")) {
    ASSIGN_OR_RETURN(const auto token, Field(&text, "token"));
    const size_t space = std::min(token.find(' '), token.size() - 1);
    const auto role = RoleNamed(token.substr(0, space));
    if (!role) return Status::Invalid("has a token of no role");
    ASSIGN_OR_RETURN(key.tokens[*role], Secret(token.substr(space + 1)));
  }
  const bool of_cluster = title == kClusterTitle;
  if (key.tokens.size() != (of_cluster ? 3 : 1)) return Status::Invalid("has not the tokens that it should");
  if (of_cluster) {
    RETURN_IF_ERROR(ParseCertificate(text, &key));
  } else if (!text.empty()) {
    return Status::Invalid("has lines behind its token");
  }
  return key;
}

Status WriteKey(env::FileSystem& files, const std::string& path, const Key& key) {
  ASSIGN_OR_RETURN(const auto file, files.CreateSecret(path));
  RETURN_IF_ERROR(file->Append(FormatKey(key)));
  RETURN_IF_ERROR(file->Sync());
  return file->Close();
}

Result<Key> ReadKey(env::FileSystem& files, const std::string& path) {
  ASSIGN_OR_RETURN(const env::FileStat stat, files.Stat(path));
  if ((stat.permissions & 077) != 0) {
    return Status::Invalid(
        fmt::format("{}: others than its owner can read or write this key (mode {:04o}); chmod 600 it",
                    env::QuotePath(path), stat.permissions));
  }
  ASSIGN_OR_RETURN(const auto file, files.OpenRandom(path));
  std::string text(std::min<uint64_t>(file->size(), kFileBytesMax), '\0');
  ASSIGN_OR_RETURN(const size_t size, file->ReadAt(0, text));
  text.resize(size);
  auto key = ParseKey(text);
  if (!key.ok()) return Status::Invalid(fmt::format("{}: {}", env::QuotePath(path), key.status().message()));
  return key;
}

}  // namespace glim::net
