import { Redis } from 'ioredis'
import { startFaultProxy } from '../../helpers/fault-proxy.ts'
import { freePort, startRedis } from '../../helpers/redis-server.ts'
import type { RedisServer, Teardown } from '../../helpers/redis-server.ts'
import { startSilentServer } from '../../helpers/silent-server.ts'
import { expiredCertificate, makeCertificates } from '../../helpers/tls-certificates.ts'

/** Redis in trouble. What is expected are patterns, because what a kernel or a resolver says varies. */
export interface RedisState {
  name: string
  set (t: Teardown): Promise<Trouble>
}

export interface Trouble {
  url: string
  /** Of plugins/redis.ts. */
  options?: Record<string, unknown>
  /** The boot still finds a healthy Redis; this is what happens then. */
  begin?: () => unknown
  /** Ends the trouble; where there is none, nothing does. */
  end?: () => unknown
  command?: (string | number)[]
  code: RegExp
  kind: RegExp
  notApplied: boolean
}

/** What a configuration that was resolved from the environment is, for a topology that no URL names. */
const targetOf = (more: object) => ({
  scheme: 'redis', host: null, port: null, path: null, tls: false, db: 0, username: null, password: null, auth: 'none', topology: 'single', sources: {}, ...more
})

const refused = { code: /^FST_BRK_REDIS_NOT_CONNECTED$/, notApplied: true }
const unanswered = { code: /^FST_BRK_REDIS_TIMEOUT$/, kind: /^timeout$/, notApplied: false }
const write = ['set', 'key', 'value']

async function fillAndRestartSlowly (server: RedisServer): Promise<void> {
  const client = new Redis(server.url)
  await client.mset(Object.fromEntries(Array.from({ length: 1500 }, (_, index) => [`key:${index}`, 'x'.repeat(64)])))
  await client.save()
  client.disconnect()
  await server.kill()
  await server.restart(['--key-load-delay', '1000', '--loading-process-events-interval-bytes', '1024'])
}

export const states: RedisState[] = [
  {
    name: 'refused port',
    async set (t) {
      const port = await freePort()
      return { url: `redis://127.0.0.1:${port}`, ...refused, kind: /^transport$/, end: () => startRedis(t, { port }) }
    }
  },
  ...[{ enableOfflineQueue: false }, { maxRetriesPerRequest: null }, { retryStrategy: null }].map((redisOptions) => ({
    name: `refused port, with ${JSON.stringify(redisOptions).replaceAll('"', '')}`,
    async set (t: Teardown) {
      const port = await freePort()
      return { url: `redis://127.0.0.1:${port}`, options: { redisOptions }, ...refused, kind: /^transport$/, end: () => startRedis(t, { port }) }
    }
  })),
  {
    name: 'all nodes of a cluster refused',
    async set () {
      const nodes = await Promise.all([1, 2, 3].map(async () => ({ host: '127.0.0.1', port: await freePort() })))
      return { url: '', options: { target: targetOf({ ...nodes[0], nodes, topology: 'cluster' }) }, ...refused, kind: /^transport$/ }
    }
  },
  {
    name: 'all sentinels refused',
    async set () {
      const nodes = await Promise.all([1, 2, 3].map(async () => ({ host: '127.0.0.1', port: await freePort() })))
      return { url: '', options: { target: targetOf({ sentinel: { nodes, master: 'main', username: null, password: null }, topology: 'sentinel' }) }, ...refused, kind: /^transport$/ }
    }
  },
  {
    name: 'killed and restarted on the same port',
    async set (t) {
      const server = await startRedis(t)
      return { url: server.url, begin: () => server.kill(), end: () => server.restart(), code: /^FST_BRK_REDIS_(NOT_CONNECTED|CONNECTION_LOST)$/, kind: /^transport$/, notApplied: true }
    }
  },
  {
    name: 'frozen before the boot',
    async set (t) {
      const server = await startRedis(t)
      server.freeze()
      return { url: server.url, end: () => server.thaw(), ...refused, kind: /^timeout$/ }
    }
  },
  {
    name: 'frozen after the boot',
    async set (t) {
      const server = await startRedis(t)
      return { url: server.url, begin: () => server.freeze(), end: () => server.thaw(), ...unanswered }
    }
  },
  {
    name: 'black hole after the boot',
    async set (t) {
      const server = await startRedis(t)
      const proxy = await startFaultProxy(t, server.port)
      return { url: `redis://127.0.0.1:${proxy.port}`, begin: () => { proxy.fault = 'blackhole' }, end: () => { proxy.fault = 'pass' }, ...unanswered }
    }
  },
  {
    name: 'accepts and never answers',
    set: async (t) => ({ url: `redis://127.0.0.1:${await startSilentServer(t, 'answer-nothing')}`, ...refused, kind: /^timeout$/ })
  },
  {
    name: 'accepts and hangs up',
    set: async (t) => ({ url: `redis://127.0.0.1:${await startSilentServer(t, 'hang-up')}`, ...refused, kind: /^transport$/ })
  },
  {
    name: 'unknown host name',
    set: async () => ({ url: 'redis://redis.invalid:6379', ...refused, kind: /^(transport|timeout)$/ })
  },
  {
    name: 'wrong password, until it becomes right',
    async set (t) {
      const server = await startRedis(t, { args: ['--requirepass', 'right'], client: { password: 'right' } })
      return { url: `redis://:s3cret-wrong@127.0.0.1:${server.port}`, end: () => server.cli('config', 'set', 'requirepass', 's3cret-wrong'), ...refused, kind: /^auth$/ }
    }
  },
  {
    name: 'no password where one is needed',
    async set (t) {
      const server = await startRedis(t, { args: ['--requirepass', 'right'], client: { password: 'right' } })
      return { url: server.url, end: () => server.cli('config', 'set', 'requirepass', ''), ...refused, code: /^FST_BRK_REDIS_(NOT_CONNECTED|AUTH)$|^FST_BRK_CIRCUIT_OPEN$/, kind: /^auth$/ }
    }
  },
  {
    name: 'TLS certificate of an unknown authority',
    async set (t) {
      const { certFile, keyFile, caFile } = await makeCertificates(t)
      const server = await startRedis(t, { tls: { certFile, keyFile, caFile } })
      return { url: server.url, ...refused, kind: /^configuration$/ }
    }
  },
  {
    name: 'TLS certificate that is its own authority',
    async set (t) {
      const { caFile, caKeyFile } = await makeCertificates(t)
      const server = await startRedis(t, { tls: { certFile: caFile, keyFile: caKeyFile, caFile } })
      return { url: server.url, ...refused, kind: /^configuration$/ }
    }
  },
  {
    name: 'TLS certificate for another name',
    async set (t) {
      const { certFile, keyFile, caFile } = await makeCertificates(t)
      const server = await startRedis(t, { tls: { certFile, keyFile, caFile } })
      return { url: server.url.replace('127.0.0.1', 'localhost'), options: { tlsCaFile: caFile }, ...refused, kind: /^configuration$/ }
    }
  },
  {
    name: 'TLS certificate that has expired',
    async set (t) {
      const certificates = await makeCertificates(t)
      const server = await startRedis(t, { tls: { ...certificates, ...await expiredCertificate(t, certificates) } })
      return { url: server.url, options: { tlsCaFile: certificates.caFile }, ...refused, kind: /^configuration$/ }
    }
  },
  {
    name: 'TLS client, plain server',
    async set (t) {
      const server = await startRedis(t)
      return { url: server.url.replace('redis:', 'rediss:'), ...refused, kind: /^(configuration|timeout|transport)$/ }
    }
  },
  {
    name: 'plain client, TLS server',
    async set (t) {
      const { certFile, keyFile, caFile } = await makeCertificates(t)
      const server = await startRedis(t, { tls: { certFile, keyFile, caFile } })
      return { url: server.url.replace('rediss:', 'redis:'), ...refused, kind: /^(transport|timeout)$/ }
    }
  },
  {
    name: 'missing unix socket',
    async set (t) {
      const server = await startRedis(t)
      await server.kill()
      return { url: `unix://${server.socketPath}`, end: () => server.restart(), ...refused, kind: /^transport$/ }
    }
  },
  {
    name: 'LOADING',
    async set (t) {
      const server = await startRedis(t)
      await fillAndRestartSlowly(server)
      return { url: server.url, end: () => {}, code: /^FST_BRK_REDIS_OVERLOADED$/, kind: /^overload$/, notApplied: true }
    }
  },
  {
    name: 'READONLY replica, until it is promoted',
    async set (t) {
      const server = await startRedis(t, { args: ['--replicaof', '127.0.0.1', '1'] })
      return { url: server.url, command: write, end: () => server.cli('replicaof', 'no', 'one'), code: /^FST_BRK_REDIS_OVERLOADED$/, kind: /^overload$/, notApplied: true }
    }
  },
  {
    name: 'OOM, until there is memory',
    async set (t) {
      const server = await startRedis(t, { args: ['--maxmemory', '1', '--maxmemory-policy', 'noeviction'] })
      return { url: server.url, command: write, end: () => server.cli('config', 'set', 'maxmemory', '0'), code: /^FST_BRK_REDIS_OVERLOADED$/, kind: /^overload$/, notApplied: true }
    }
  },
  {
    name: 'NOREPLICAS, until they are not needed',
    async set (t) {
      const server = await startRedis(t, { args: ['--min-replicas-to-write', '1'] })
      return { url: server.url, command: write, end: () => server.cli('config', 'set', 'min-replicas-to-write', '0'), code: /^FST_BRK_REDIS_OVERLOADED$/, kind: /^overload$/, notApplied: true }
    }
  },
  {
    name: 'max clients, until one leaves',
    async set (t) {
      const server = await startRedis(t)
      const occupant = new Redis(server.url)
      t.teardown(() => occupant.disconnect())
      await occupant.config('SET', 'maxclients', 1)
      return { url: server.url, end: () => occupant.config('SET', 'maxclients', 100), ...refused, kind: /^(overload|transport)$/ }
    }
  }
]

/** Redis without trouble, and a caller who says goodbye before the application does. */
export const farewell: RedisState = {
  name: 'the caller has said quit',
  async set (t) {
    const server = await startRedis(t)
    return { url: server.url, command: ['quit'], code: /^$/, kind: /^$/, notApplied: true }
  }
}
