#!/usr/bin/env bash
# Makes a Debian machine or container ready: system packages, npm packages, dist/. Each only if missing or out of date,
# so that a second run costs next to nothing.
#
#   scripts/setup.sh [demo|test] [--no-build]     default test; a demo needs fewer system packages
#
# Needs Node >= 20.19; root only if a system package is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PATH:/usr/sbin:/sbin

die() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}
say() { printf 'setup: %s\n' "$*" >&2; }

kind="test"
with_build=true
for argument; do
  case $argument in
    demo | test) kind=$argument ;;
    --no-build) with_build=false ;;
    *) die "unknown argument '$argument'; usage: scripts/setup.sh [demo|test] [--no-build]" ;;
  esac
done

main() {
  # One set-up at a time in a tree; the lock on this folder goes with the process.
  exec 9<.
  flock 9
  need_node
  install_system_packages
  install_npm_packages
  if $with_build; then build; fi
}

need_node() {
  command -v node >/dev/null || die "no 'node' on the PATH; install Node.js 20.19 or newer, up to 24 (https://nodejs.org)"
  local version major minor
  # One start of Node tells all that is asked of it below.
  # shellcheck disable=SC2016 # The ${} are JavaScript's.
  read -r version node_abi node_prefix < <(node -p '
    const { dirname } = require("node:path");
    [process.versions.node, `${process.arch}-${process.versions.modules}`, dirname(dirname(process.execPath))].join(" ")')
  IFS=. read -r major minor _ <<<"$version"
  if ((major < 20 || (major == 20 && minor < 19))); then die "Node $version is too old; install 20.19 or newer, up to 24"; fi
  if ((major > 24)); then say "Node $version is newer than 24, the newest that rawtcp is tested on"; fi
}

# What must be there (a command, or a file by its absolute path) and the Debian package that brings it.
needed() {
  # To compile raw-socket and cap. libpcap-dev also brings the name libpcap.so, which cap's immediate mode needs.
  printf '%s\n' 'python3 python3' 'make make' 'g++ g++' '/usr/include/pcap/pcap.h libpcap-dev'
  if [[ $kind == test ]]; then
    printf '%s\n' 'tshark tshark' 'tcpdump tcpdump' 'ncat ncat' 'curl curl' 'ip iproute2' 'nft nftables' \
      'iptables iptables' 'ps procps' 'ping iputils-ping' 'hping3 hping3' 'nmap nmap' 'traceroute traceroute' \
      'redis-server redis-server' 'pg_ctlcluster postgresql' 'wrk wrk' 'openssl openssl'
  fi
}

install_system_packages() {
  local thing package missing=()
  while read -r thing package; do
    if [[ $thing == /* ]]; then [[ -e $thing ]]; else command -v "$thing" >/dev/null; fi || missing+=("$package")
  done < <(needed)
  ((${#missing[@]})) || return 0

  local install="apt-get update && apt-get install -y ${missing[*]}"
  command -v apt-get >/dev/null || die "missing: ${missing[*]}; there is no apt-get here: install them your system's way"
  ((EUID == 0)) || die "missing: ${missing[*]}; run this once as root, or: sudo sh -c '$install'"
  say "installing ${missing[*]}"
  # Noninteractive also answers tshark's question (may users capture?) with its default, no.
  export DEBIAN_FRONTEND=noninteractive
  # One broken source among several fails the update, but need not matter here.
  quietly apt-get -o DPkg::Lock::Timeout=300 update || say "apt-get update failed; trying with the lists that there are"
  quietly apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${missing[@]}" ||
    die "apt-get could not install: ${missing[*]}"
}

install_npm_packages() {
  local stamp=node_modules/.setup-stamp want
  want="$node_abi $(sha256sum <package-lock.json)"
  [[ -e $stamp && $(<"$stamp") == "$want" ]] && return
  command -v npm >/dev/null || die "no 'npm' on the PATH; it comes with Node.js (on Debian: apt-get install npm)"
  say "npm ci"
  use_local_headers
  # Compilers and types are devDependencies, and dist/ is built from them: also with NODE_ENV=production.
  quietly npm ci --include=dev --include=optional --no-audit --no-fund || die "npm ci failed (above is why)"
  # A failed add-on does not fail `npm ci`, for they are optional; for who develops or tests here it should be loud.
  local addon
  for addon in raw-socket cap; do
    node -e "require('$addon')" 2>/dev/null ||
      say "warning: the add-on $addon was not built or does not load; for the reason: npm ci --foreground-scripts"
  done
  printf '%s' "$want" >"$stamp"
}

# If Node's headers lie beside it (nodejs.org's archives, the Docker images and NodeSource bring them), node-gyp takes
# them and downloads none: faster, and works without a network. Elsewhere it downloads what it needs.
use_local_headers() {
  [[ -e $node_prefix/include/node/node_version.h ]] || return 0
  export npm_package_config_node_gyp_nodedir=$node_prefix
  # The node-gyp of npm 10 and older knows only this name, about which newer ones warn.
  if (($(npm --version | cut -d. -f1) < 11)); then export npm_config_nodedir=$node_prefix; fi
}

# Compiles src/ to dist/ when a source is newer, came or went.
build() {
  local stamp=dist/.setup-stamp sources
  sources=$(find src tsconfig.json package-lock.json -type f | LC_ALL=C sort)
  if [[ -e $stamp && $(<"$stamp") == "$sources" && -z $(find src tsconfig.json package-lock.json -newer "$stamp" -print -quit) ]]; then
    return
  fi
  say "npm run build"
  # What came of a source that is gone must go too. The time is taken before: a change made meanwhile builds again.
  rm -rf dist
  local begun
  begun=$(mktemp)
  quietly npm run build || {
    rm -f "$begun"
    die "the build failed (above is why)"
  }
  printf '%s' "$sources" >"$stamp"
  touch -r "$begun" "$stamp"
  rm -f "$begun"
}

# Runs a command; shows what it printed only if it fails.
quietly() {
  local log status=0
  log=$(mktemp)
  "$@" >"$log" 2>&1 </dev/null || status=$?
  if ((status)); then cat "$log" >&2; fi
  rm -f "$log"
  return "$status"
}

main
