#!/bin/sh
set -eu
case "${1:-}" in -* | *.conf) set -- redis-server "$@" ;; esac
if [ "$1" = redis-server ]; then exec "$@" --protected-mode no; fi
exec "$@"
