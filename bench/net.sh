#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Messages between two threads over each transport, beside plain sockets in the same run. Arguments go to net_bench, as in:
# ./dev bench net --rounds 3
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec "${GLIM_BUILD:-build/release}/net_bench" "$@"
