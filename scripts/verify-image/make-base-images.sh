#!/bin/sh
# Makes stand-ins for the public images on a machine that can reach Debian and npm but no image registry.
# Needs root, debootstrap, docker, and `npm ci` done before.
#
#   make-base-images.sh          local/debian:bookworm-slim and local/node:24-bookworm-slim, for the Dockerfile
#   make-base-images.sh all      also local/redis (8) and local/postgres (17), for compose.yaml and the tests
#
# CA=FILE is put into local/node, for a proxy with a certificate authority of its own. They hold what is used of the public
# images here, and nothing else: do not ship what is built on them.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
docker=${DOCKER:-docker}
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
work=$(mktemp -d "${TMPDIR:-/var/tmp}/base-images.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Debian's slim images leave out the same.
slim () {
  debootstrap --variant=minbase "$1" "$work/$1" "$mirror" > "$work/log" || { tail "$work/log" >&2; exit 1; }
  for folder in usr/share/doc usr/share/man usr/share/info usr/share/locale var/cache/apt var/lib/apt/lists var/log; do
    find "$work/$1/$folder" -mindepth 1 -delete
  done
  import "$1" "local/debian:$1-slim" 'CMD ["bash"]'
}

import () {
  tar -C "$work/$1" --numeric-owner -c . | "$docker" import --change "$3" - "$2"
}

node_binary=$here/../../node_modules/node/bin/node
[ -x "$node_binary" ] || { echo 'run "npm ci" first: Node 24 is one of the development dependencies' >&2; exit 1; }
slim bookworm
install -D "$node_binary" "$work/bookworm/usr/local/bin/node"
npm install --silent --global --prefix "$work/bookworm/usr/local" npm@11
if [ -n "${CA:-}" ]; then install -D -m 644 "$CA" "$work/bookworm/usr/local/share/ca.crt"; fi
import bookworm local/node:24-bookworm-slim "ENV NODE_EXTRA_CA_CERTS=${CA:+/usr/local/share/ca.crt}"

[ "${1:-}" = all ] || exit 0
slim trixie
for name in redis postgres; do
  DOCKER_BUILDKIT=1 "$docker" build --quiet --build-arg BASE=local/debian:trixie-slim --file "$here/$name.Dockerfile" --tag "local/$name" "$here"
done
