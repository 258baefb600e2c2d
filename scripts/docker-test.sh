#!/usr/bin/env bash
# Builds the test image and runs the kernel tests in it, on the running Docker engine (DOCKER_HOST is heeded).
#
#   scripts/docker-test.sh [--privileged] [--make-base] [--demo] [arguments of scripts/test.sh, or of the demo]
#
#   --privileged   instead of the few privileges that suffice (see below)
#   --demo         run the demo instead of the tests
#   --make-base    first make a base image without any registry of images, from Debian's and npm's packages; needs root
#                  and mmdebstrap. NODE=24 chooses its Node (22), SUITE=trixie its Debian (bookworm).
#   BASE_IMAGE=…   the image to build on, in place of the Dockerfile's default
#
# Without further arguments it runs the tests of the project `kernel`; `--project '*'` runs all. The container has no
# network but its own loopback. The image stays, as rawtcp-test, so that the next build is quick.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

die() {
  printf 'docker-test: %s\n' "$*" >&2
  exit 1
}

main() {
  # rawtcp itself needs NET_RAW for raw sockets and NET_ADMIN for the port guard, TUN, routes and rules. The tests need
  # SYS_ADMIN besides, to make the network namespaces that they play in, and a /proc/sys that can be written, to set those up.
  local privileges=(--cap-add NET_ADMIN --cap-add NET_RAW)
  local tests_privileges=(--cap-add SYS_ADMIN --security-opt systempaths=unconfined)
  local base=${BASE_IMAGE:-} make_base=false command=()
  while (($#)); do
    case $1 in
      --privileged) privileges=(--privileged) tests_privileges=() ;;
      --demo) command=(--entrypoint bash rawtcp-test scripts/demo.sh) ;;
      --make-base) make_base=true ;;
      *) break ;;
    esac
    shift
  done
  command -v docker >/dev/null || die "no 'docker' on the PATH (on Debian: apt-get install docker.io)"
  docker version >/dev/null 2>&1 || die "no Docker engine answers; start one, or set DOCKER_HOST"
  if $make_base; then
    base=rawtcp-base
    make_base "$base"
  fi

  # The host's network, so that the build reaches what the host reaches (name servers and proxies on it included).
  bash scripts/list-files.sh | tar --create --null --files-from=- |
    docker build --network host --tag rawtcp-test --file test/docker/Dockerfile ${base:+--build-arg BASE_IMAGE="$base"} -

  # With --privileged all devices are there already. A host without TUN runs what needs none.
  if [[ ${privileges[*]} != --privileged && -e /dev/net/tun ]]; then privileges+=(--device /dev/net/tun); fi
  if ((${#command[@]} == 0)); then command=("${tests_privileges[@]}" rawtcp-test); fi
  exec docker run --rm --init --network none "${privileges[@]}" "${command[@]}" "$@"
}

# A minimal Debian with Node under /usr/local, both through the package managers of this machine. Its bundle of
# certificates goes in too: behind a proxy that signs anew, npm needs it.
make_base() {
  local arch stage suite=${SUITE:-bookworm} node=${NODE:-22} bundle=/etc/ssl/certs/ca-certificates.crt
  command -v mmdebstrap >/dev/null || die "--make-base needs mmdebstrap (on Debian: apt-get install mmdebstrap)"
  case $(uname -m) in
    x86_64) arch=x64 ;;
    aarch64) arch=arm64 ;;
    *) die "npm has no Node for $(uname -m); make a base image otherwise and give it as BASE_IMAGE" ;;
  esac
  stage=$(mktemp -d)
  # shellcheck disable=SC2064 # The name is wanted as it is now.
  trap "rm -rf '$stage'" RETURN
  npm install --global --prefix "$stage/local" --no-audit --no-fund --loglevel=error "node-linux-$arch@$node" npm@11
  mmdebstrap --quiet --variant=minbase --include=ca-certificates --customize-hook="sync-in '$stage/local' /usr/local" \
    --customize-hook="upload '$bundle' $bundle" "$suite" - |
    docker import --change "ENV NODE_EXTRA_CA_CERTS=$bundle" --change 'CMD ["bash"]' - "$1"
}

main "$@"
