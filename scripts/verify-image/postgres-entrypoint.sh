#!/bin/sh
# Initialises an empty data folder behind a socket that only this container can reach, then serves: "ready to accept connections" comes twice.
set -eu
if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  user=${POSTGRES_USER:-postgres}
  [ -z "${POSTGRES_PASSWORD_FILE:-}" ] || POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
  method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
  if [ -n "${POSTGRES_PASSWORD:-}" ]; then
    umask 077
    printf '%s\n' "$POSTGRES_PASSWORD" > /tmp/password
    initdb --username "$user" --pwfile /tmp/password --auth-local trust --auth-host scram-sha-256
    rm /tmp/password
  elif [ "$method" = trust ]; then
    initdb --username "$user" --auth trust
  else
    echo 'set POSTGRES_PASSWORD, or POSTGRES_HOST_AUTH_METHOD=trust' >&2
    exit 1
  fi
  echo "host all all all $method" >> "$PGDATA/pg_hba.conf"
  pg_ctl --wait start -o '-c listen_addresses='
  database=${POSTGRES_DB:-$user}
  [ "$database" = postgres ] || createdb --username "$user" "$database"
  pg_ctl --wait --mode fast stop
fi
if [ "$1" = postgres ]; then exec "$@" -c listen_addresses='*'; fi
exec "$@"
