# The service and its command line. How to build, pin, run and debug it: docs/container.md
# BuildKit builds it (the default since Docker 23). No "# syntax=" line: the builder's own frontend knows everything used here.

# Pinned by major version; a release pins by digest: --build-arg NODE_IMAGE=node:24-bookworm-slim@sha256:…
ARG NODE_IMAGE=node:24-bookworm-slim
ARG RUNTIME_IMAGE=debian:bookworm-slim

# Node for the platform that the image is for. Nothing runs in this stage, so no emulator is needed.
FROM ${NODE_IMAGE} AS node

# What is the same for every platform, or only downloaded for it, is made on the platform of the builder.
FROM --platform=${BUILDPLATFORM} ${NODE_IMAGE} AS init
ARG TARGETARCH
WORKDIR /download
# tini as Debian ships it, without libraries. Debian and Docker have the same names for architectures.
RUN dpkg --add-architecture "${TARGETARCH}" \
  && apt-get update -qq \
  && apt-get download -qq "tini:${TARGETARCH}" \
  && dpkg --extract tini_*.deb /download \
  && mkdir -p /root-of-image/usr/bin /root-of-image/usr/local/bin /root-of-image/usr/share/doc/tini /data \
  && mv usr/bin/tini-static /root-of-image/usr/bin/tini \
  && mv usr/share/doc/tini/copyright /root-of-image/usr/share/doc/tini/ \
  && ln -s /app/scripts/breakwater.ts /root-of-image/usr/local/bin/breakwater

FROM --platform=${BUILDPLATFORM} ${NODE_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY service/package.json service/
# No package's own script runs, and a native module ends the build: it would fit one platform only.
# Behind a proxy with a certificate authority of its own: --secret id=ca,src=FILE. It leaves no trace in the image.
RUN --mount=type=cache,target=/root/.npm --mount=type=secret,id=ca \
  if [ -f /run/secrets/ca ]; then export NODE_EXTRA_CA_CERTS=/run/secrets/ca; fi \
  && npm ci --omit=dev --ignore-scripts --no-audit --no-fund \
  && if find node_modules -name '*.node' | grep .; then echo 'native modules: install them for the target platform' >&2; exit 1; fi \
  # The link to the workspace, commands, and what only compilers and debuggers read.
  && rm -r node_modules/breakwater-service node_modules/.bin \
  && find node_modules -type f \( -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.map' \) -delete

# Only COPY from here on: any base with glibc and libstdc++ will do, also one without a shell.
FROM ${RUNTIME_IMAGE}
WORKDIR /app
COPY --from=init /root-of-image/ /
COPY --from=init --chown=10001:10001 /data /data
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=dependencies /app/node_modules node_modules
# The modes are stated, or a checkout made under umask 077 would be unreadable to the user below.
COPY --chmod=755 package.json LICENSE app.ts server.ts ./
COPY --chmod=755 plugins plugins
COPY --chmod=755 routes routes
COPY --chmod=755 services services
# Of these two only what .dockerignore lets through: the commands and the health check.
COPY --chmod=755 scripts scripts
COPY --chmod=755 deploy/image deploy/image

ENV NODE_ENV=production \
  HOST=0.0.0.0 \
  PORT=3000 \
  DATABASE_URL=sqlite:/data/breakwater.db
VOLUME /data
EXPOSE 3000
# A number, so that Kubernetes' runAsNonRoot can tell; no entry in /etc/passwd is needed.
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 \
  CMD ["node", "/app/deploy/image/health-check.ts"]
# As PID 1 a process ignores every signal that it has no handler for: Node while it starts, and every command that has none.
# tini takes that place, and a signal means what it always means.
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["node", "--max-semi-space-size=4", "server.ts"]

ARG SOURCE=https://github.com/OWNER/REPOSITORY
ARG VERSION=0.0.0-local
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="breakwater" \
  org.opencontainers.image.description="Model registration that stays up, healthy and lossless through a Redis outage" \
  org.opencontainers.image.licenses="MIT" \
  org.opencontainers.image.source="${SOURCE}" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.created="${CREATED}"
