#!/usr/bin/env bash
# Fails when the tests of the engine reach less than 95 % of the branches of src/tcp. Its own tests count, and the scripts of test/pkt,
# which say what it does packet by packet: what a transfer in simulation happens to pass through is not shown by it. BRANCHES=99 asks for
# more; arguments go to vitest, as --coverage.reporter=text, which lists the files.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT
node_modules/.bin/vitest run --config test/vitest.config.ts --project unit test/tcp test/script/corpus \
  --coverage --coverage.include='src/tcp/**' --coverage.reportsDirectory="$reports" \
  --coverage.reporter=text-summary --coverage.thresholds.branches="${BRANCHES:-95}" "$@"
