// SPDX-License-Identifier: Apache-2.0
//
// Asio itself, compiled once (BOOST_ASIO_SEPARATE_COMPILATION) instead of in each file that uses it.
#include <boost/asio/impl/src.hpp>
