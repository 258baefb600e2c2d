#!/usr/bin/env bash
# Sets up what is missing and runs the benchmarks; arguments go to scripts/bench/main.mjs.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
bash "$here/setup.sh" demo
exec node "$here/bench/main.mjs" "$@"
