#!/usr/bin/env bash
# Sets up what is missing and measures how often our stack does what this kernel does; arguments go to scripts/agreement/main.mjs.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
bash "$here/setup.sh" demo
exec node "$here/agreement/main.mjs" "$@"
