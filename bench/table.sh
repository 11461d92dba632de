#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The table's push and pull on random keys, beside std::unordered_map and Boost's flat map, at 1 M and 10 M keys. Arguments go to
# table_bench, as in: ./dev bench table --keys 1000000 --rounds 3
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec "${GLIM_BUILD:-build/release}/table_bench" "$@"
