#!/usr/bin/env bash
# Lint, types, every test, and the branch coverage of the engine. As root the kernel tests too; without, it says why not (and fails if
# CI=true).
#
#   scripts/test.sh [--node 20|22|24] [vitest arguments]
#
#   scripts/test.sh                                  all
#   scripts/test.sh test/wire -t checksum            the tests of a folder, of a name
#   scripts/test.sh --project kernel                 one project: unit or kernel
#   scripts/test.sh --node 24                        all, in a copy of the tree, under the newest Node 24
#
# The last line is "N passed, N failed", with ", N skipped" if any were.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

main() {
  if [[ ${1:-} == --node ]]; then
    with_node "${2:?--node needs a number: 20, 22 or 24}" "${@:3}"
  else
    run "$@"
  fi
}

run() {
  bash scripts/setup.sh test
  printf 'Node %s, %s\n' "$(node --version)" "$(uname -sr)"

  local failed=() report
  step lint npm run --silent lint || failed+=(lint)
  step types npm run --silent types || failed+=(types)

  local vitest=(node_modules/.bin/vitest run --config test/vitest.config.ts --passWithNoTests)
  local why=
  if why=$(no_kernel_tests); then
    if [[ ${CI:-} == true ]]; then failed+=("kernel tests not run"); fi
    vitest+=('--exclude=test/**/*.kernel.test.ts')
  fi
  report=$(mktemp)
  # shellcheck disable=SC2064 # The name is wanted as it is now.
  trap "rm -f '$report'" EXIT
  step tests "${vitest[@]}" --reporter=default --reporter=json --outputFile.json="$report" "$@" || failed+=(tests)

  # Of a part of the tests it would say nothing.
  if (($# == 0)); then step coverage bash scripts/coverage.sh || failed+=(coverage); fi

  local counts
  counts=$(count "$report") || failed+=("no test ran")
  if [[ $why ]]; then printf 'kernel tests NOT RUN: %s\n' "$why" >&2; fi
  if ((${#failed[@]})); then
    local IFS=,
    printf 'failed: %s\n' "${failed[*]}" >&2
  fi
  printf '%s\n' "$counts"
  ((${#failed[@]} == 0))
}

step() {
  printf '\n== %s\n' "$1"
  "${@:2}" </dev/null
}

# Says why the kernel tests cannot run here; false if they can.
no_kernel_tests() {
  local caps
  ((EUID == 0)) || { echo "they need root; run: sudo scripts/test.sh" && return; }
  # Root in a container may lack what counts: CAP_NET_ADMIN (bit 12), CAP_NET_RAW (13) and, for making network namespaces,
  # CAP_SYS_ADMIN (21).
  caps=$(sed -n 's/^CapEff:[[:space:]]*/0x/p' /proc/self/status)
  (((caps & 0x203000) == 0x203000)) || { echo "they need CAP_NET_ADMIN, CAP_NET_RAW and CAP_SYS_ADMIN; in Docker: scripts/docker-test.sh" && return; }
  return 1
}

# The closing line from vitest's JSON report; false if no test ran. A file that fails before its first test (a syntax
# error, say) has no test to count and counts as one failed.
count() {
  # shellcheck disable=SC2016 # The ${} are JavaScript's.
  node -e '
    let r = { testResults: [] };
    try { r = JSON.parse(require("node:fs").readFileSync(process.argv[1], "utf8")); } catch {}
    const n = { passed: 0, failed: 0, skipped: 0 };
    for (const file of r.testResults) {
      for (const test of file.assertionResults) n[test.status in n ? test.status : "skipped"]++;
      if (file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed")) n.failed++;
    }
    console.log(`${n.passed} passed, ${n.failed} failed` + (n.skipped ? `, ${n.skipped} skipped` : ""));
    process.exit(n.passed + n.failed > 0 ? 0 : 1);
  ' "$1"
}

# Runs this script under another Node, in a copy of the tree: the add-ons are compiled for one Node, and those of this
# tree stay as they are. Node comes from npm, with the headers that compiling needs, and is kept for the next time.
with_node() {
  local major=$1 arch package home copy status=0
  shift
  case $major in
    20 | 22 | 24) ;;
    *) echo "test: --node takes 20, 22 or 24, not '$major'" >&2 && exit 2 ;;
  esac
  case $(uname -m) in
    x86_64) arch=x64 ;;
    aarch64) arch=arm64 ;;
    *) echo "test: npm has no Node for $(uname -m); put one on the PATH and leave --node out" >&2 && exit 2 ;;
  esac
  package=node-linux-$arch
  home=$PWD/node_modules/.cache/node-$major
  if [[ ! -x $home/node_modules/$package/bin/node ]]; then
    mkdir -p "$home"
    npm install --prefix "$home" --no-save --no-audit --no-fund --loglevel=error "$package@$major" </dev/null
  fi

  copy=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "rm -rf '$copy'" EXIT
  bash scripts/list-files.sh | tar --create --null --files-from=- | tar --extract --directory="$copy"
  PATH=$home/node_modules/$package/bin:$PATH bash "$copy/scripts/test.sh" "$@" || status=$?
  exit "$status"
}

main "$@"
