// SPDX-License-Identifier: Apache-2.0
//
// The few things that the handshake and the key files need of OpenSSL.
//
// Thread: any, plain functions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "glim/status.h"

struct x509_st;

namespace glim::net {

// Unpredictable; ends the process when the system has none.
std::string RandomBytes(size_t size);
std::string HmacSha256(std::string_view key, std::string_view text);
// In a time that tells nothing of where they differ.
bool SameSecret(std::string_view a, std::string_view b);

// Of a certificate as OpenSSL has it (X509): SHA-256 of its bytes.
std::string CertificateFingerprint(const x509_st* certificate);

std::string ToHex(std::string_view bytes);
Result<std::string> FromHex(std::string_view text);

}  // namespace glim::net
