# A stand-in for the public image "redis", as far as compose.yaml and the tests use it.
ARG BASE
FROM ${BASE}
RUN useradd --system --uid 999 --home-dir /data redis \
  && apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-server \
  && rm -rf /var/lib/apt/lists/* \
  && mkdir -p /data && chown redis /data
VOLUME /data
WORKDIR /data
USER redis
EXPOSE 6379
# As in the public image, a command that begins with an option is redis-server's, and others can reach the server.
COPY --chmod=755 redis-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["redis-server"]
