#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Glim for ARM (aarch64), compiled here and run in qemu: does it give there what it gives here? What ./dev arm runs. The libraries come from
# Debian's packages for arm64 into build/arm/root, without the machine's own packages changing, so that the release is that of this machine.
#
# Compiles all of glim (some ten minutes on two cores) and then runs the tests named below, which take a few minutes in qemu.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

here=$PWD/build/arm
root=$here/root
jobs=${GLIM_JOBS:-$(nproc)}
note() { printf 'arm: %s\n' "$*" >&2; }
fail() { note "$*"; exit 1; }

[[ $(uname -m) != aarch64 ]] || fail "this machine is one: ./dev test says it all"
cxx=$(command -v aarch64-linux-gnu-g++) || fail "no compiler for ARM here (package g++-aarch64-linux-gnu)"
qemu=$(command -v qemu-aarch64 || command -v qemu-aarch64-static) || fail "no qemu-aarch64 here (package qemu-user)"

# apt for arm64, with lists, cache and a dpkg of its own that has nothing installed; sources and keys are the machine's.
apt_for_arm() {
  apt-get -q -y -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o Dir::State="$here/apt/state" \
    -o Dir::State::status="$here/apt/status" -o Dir::Cache="$here/apt/cache" -o Debug::NoLocking=1 -o APT::Sandbox::User=root "$@" \
    </dev/null >>"$here/apt.log" 2>&1
}

# The packages of groups build and test that are libraries' headers, one name of each line that apt knows.
libraries() {
  local group entry rest name
  while read -r group entry rest; do
    [[ $group == build || $group == test ]] && [[ $entry == *-dev* ]] || continue
    for name in ${entry//|/ }; do
      ! apt_for_arm -s install --no-install-recommends "$name" || { echo "$name"; break; }
    done
  done < <(grep -v '^#' tools/packages.txt)
}

if [[ ! -e $root/complete ]]; then
  note "packages for arm64 into $root"
  mkdir -p "$here"/apt/{state/lists/partial,cache/archives/partial} "$root"
  : >"$here/apt/status"
  : >"$here/apt.log"
  apt_for_arm update || { tail -n 5 "$here/apt.log" >&2; fail "apt-get update failed (all of it: $here/apt.log)"; }
  apt_for_arm install --download-only --no-install-recommends libc6-dev libstdc++-12-dev $(libraries) ||
    { tail -n 5 "$here/apt.log" >&2; fail "the packages could not be had (all of it: $here/apt.log)"; }
  for package in "$here"/apt/cache/archives/*.deb; do dpkg -x "$package" "$root"; done
  # Links that name a place from / would lead out of the folder.
  find "$root" -type l | while read -r link; do
    target=$(readlink "$link")
    [[ $target != /* ]] || ln -sfn "$root$target" "$link"
  done
  rm -rf "$here/apt/cache"
  touch "$root/complete"
fi

cat >"$here/toolchain.cmake" <<END
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER $cxx)
set(CMAKE_FIND_ROOT_PATH $root)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(CMAKE_SYSROOT $root)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_CROSSCOMPILING_EMULATOR $qemu -L $root)
END
export PKG_CONFIG_LIBDIR=$root/usr/lib/aarch64-linux-gnu/pkgconfig:$root/usr/lib/pkgconfig:$root/usr/share/pkgconfig
export PKG_CONFIG_SYSROOT_DIR=$root QEMU_LD_PREFIX=$root
[[ -e $here/build/build.ninja ]] ||
  cmake -S . -B "$here/build" -G Ninja -DCMAKE_TOOLCHAIN_FILE="$here/toolchain.cmake" -DGLIM_TESTS=ON -DMOLD= >"$here/cmake.log" 2>&1 ||
  { tail -n 20 "$here/cmake.log" >&2; fail "not configured (all of it: $here/cmake.log)"; }
units=(base_test batch_test udf_test ops_test table_test)
note "compiling (the log: $here/build.log)"
cmake --build "$here/build" --target glim "${units[@]}" -j "$jobs" >"$here/build.log" 2>&1 ||
  { grep -A5 -E 'error|FAILED' "$here/build.log" | tail -n 20 >&2; fail "it does not compile"; }

# The tests start a program named glim; here that is a script which starts the other one.
mkdir -p "$here/bin"
printf '#!/bin/sh\nexec %s -L %s %s "$@"\n' "$qemu" "$root" "$here/build/glim" >"$here/bin/glim"
chmod +x "$here/bin/glim"
passed=0 failed=()
try() {
  local name=$1
  shift
  note "$name"
  if "$@" >"$here/$name.log" 2>&1; then passed=$((passed + 1)); else failed+=("$name"); tail -n 15 "$here/$name.log" >&2; fi
}
for unit in "${units[@]}"; do
  try "$unit" env RC_PARAMS="${RC_PARAMS:-} max_success=10" "$qemu" -L "$root" "$here/build/$unit"
done
export GLIM_BUILD=$here/bin
for script in text_cases expression script sql stats io lua_functions; do
  try "$script" python3 "tests/${script}_test.py"
done
note "$passed passed, ${#failed[@]} failed${failed[*]:+: ${failed[*]} (logs in $here)}"
((${#failed[@]} == 0))
