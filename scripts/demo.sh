#!/usr/bin/env bash
# Sets up what is missing and runs the demo; arguments go to `rawtcp demo`.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
bash "$here/setup.sh" demo
exec node "$here/../dist/cli/main.js" demo "$@"
