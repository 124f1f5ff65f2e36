#!/bin/sh
# Random secrets and a certificate for Redis, made once for each volume. For one machine and its developer: in production
# they come from a secret store, and the certificate from an authority that others know.
set -eu
directory=$1
cd "$directory"
[ ! -e complete ] || exit 0
authority_key=$(mktemp)
# With it gone, nobody can sign another certificate.
trap 'rm -f "$authority_key"' EXIT

certificate () {
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -x509 "$@" 2> log || { cat log >&2; exit 1; }
  rm log
}
certificate -subj '/CN=breakwater development authority' -keyout "$authority_key" -out ca.crt
certificate -subj /CN=redis -addext subjectAltName=DNS:redis,DNS:localhost -addext basicConstraints=critical,CA:FALSE \
  -CA ca.crt -CAkey "$authority_key" -keyout redis.key -out redis.crt

redis_token=$(openssl rand -hex 32)
postgres_password=$(openssl rand -hex 32)
api_key=brk_$(openssl rand -hex 32)
digest=$(printf %s "$api_key" | openssl dgst -sha256 -r | cut -d ' ' -f 1)

cat > redis.conf <<END
port 0
tls-port 6379
tls-cert-file $directory/redis.crt
tls-key-file $directory/redis.key
tls-ca-cert-file $directory/ca.crt
tls-auth-clients no
requirepass $redis_token
appendonly yes
save ""
END
printf %s "$postgres_password" > postgres-password
printf 'REDIS_AUTH_TOKEN=%s\n' "$redis_token" > consumer.env
cat > service.env <<END
REDIS_AUTH_TOKEN=$redis_token
DATABASE_URL=postgres://breakwater:$postgres_password@postgres:5432/breakwater
API_KEYS=demo:write:$digest
END
printf 'API_KEY=%s\n' "$api_key" > demo.env

# Every image has a user of its own, so those who mount this volume, and only they, may read all of it.
chmod 444 ./*
touch complete
