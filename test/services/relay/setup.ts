import { setTimeout as delay } from 'node:timers/promises'
import { resolveRedisTarget } from '../../../services/config/redis/redis-target.ts'
import type { Journal } from '../../../services/journal/journal.ts'
import { SqliteJournal } from '../../../services/journal/sqlite/journal.ts'
import { RedisGuard } from '../../../services/redis/guard.ts'
import { RedisTransport } from '../../../services/relay/transport/redis-transport.ts'
import type { Connection, TransportOptions } from '../../../services/relay/transport/redis-transport.ts'
import { Relay } from '../../../services/relay/relay.ts'
import type { RelayOptions } from '../../../services/relay/relay.ts'
import { InlineEngine } from '../../helpers/inline-engine.ts'
import { memoryLogger } from '../../helpers/memory-logger.ts'
import { plainConnection } from '../../helpers/plain-connection.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import type { RedisServer, RedisServerOptions, Teardown } from '../../helpers/redis-server.ts'
import { Switchboard } from '../../helpers/switchboard.ts'
import { until } from '../../helpers/until.ts'

export const QUEUE = 'queue'

/** What a relay has in production: a connection of its own behind a guard. */
export function guardedConnection (t: Teardown, port: number, commandTimeoutMs = 1000): RedisGuard {
  const { target } = resolveRedisTarget({ REDIS_URL: `redis://127.0.0.1:${port}` })
  const guard = new RedisGuard({ target: target!, commandTimeoutMs: 300, connectTimeoutMs: 500 })
  t.teardown(() => guard.close())
  return guard.spawn('relay', { commandTimeoutMs })
}

export interface Setup {
  server?: RedisServer
  redis?: RedisServerOptions
  /** Where the relay finds Redis, if not at the server itself. */
  port?: number
  connection?: Connection
  guarded?: boolean
  journal?: SqliteJournal
  relay?: Partial<RelayOptions>
  transport?: TransportOptions
}

/** Publishes without a pause. Returns what ends it. */
export function startTraffic (publish: (count: number) => Promise<void>): () => Promise<void> {
  const end = new AbortController()
  const done = (async () => {
    while (!end.signal.aborted) {
      await publish(5)
      await delay(1)
    }
  })()
  return async () => {
    end.abort()
    await done
  }
}

/** A relay between a journal in memory and a real Redis, and everything to ask both. */
export async function startRelay (t: Teardown, setup: Setup = {}) {
  const server = setup.server ?? await startRedis(t, setup.redis)
  const clock = { skewMs: 0 }
  const engine = new InlineEngine({ now: () => Date.now() + clock.skewMs })
  const journal: Journal = setup.journal ?? new SqliteJournal(engine, 'none')
  const port = setup.port ?? server.port
  const connection = setup.connection ?? (setup.guarded ? guardedConnection(t, port) : plainConnection(t, port))
  const transport = new RedisTransport(connection, QUEUE, setup.transport)
  const logger = memoryLogger()
  const relay = new Relay({ journal, transport, logger, idleMs: 20, checkMs: 50, ...setup.relay })
  t.teardown(() => relay.stop())
  relay.start()
  relay.start()
  let sent = 0
  const publish = async (count: number) => {
    for (let index = 0; index < count; index++) await journal.append([{ key: 'model', body: `m${++sent}` }])
  }
  const queued = async (from = server): Promise<string[]> => (await from.cli('lrange', QUEUE, 0, -1)).reverse()
  const wanted = () => Array.from({ length: sent }, (_, index) => `m${index + 1}`)
  const arrived = (from = server) => until(async () => await from.cli('llen', QUEUE).catch(() => 0) >= sent)
  const traffic = () => startTraffic(publish)
  return { server, clock, journal: journal as SqliteJournal, transport, logger, relay, publish, queued, wanted, arrived, traffic }
}

export interface Pair {
  primary: RedisServer
  replica: RedisServer
  /** Between the two. */
  replication: Switchboard
  /** Where clients find the primary. */
  address: Switchboard
  /** `kill -9` of the primary; the replica takes its place and its address. */
  failOver (): Promise<void>
}

export async function startPair (t: Teardown): Promise<Pair> {
  const prompt = ['--repl-diskless-sync-delay', '0']
  const primary = await startRedis(t, { args: prompt })
  const replication = await switchboard(t, primary.port)
  const replica = await startRedis(t, { args: [...prompt, '--replicaof', primary.host, String(replication.port)] })
  await until(async () => /master_link_status:up/.test(await replica.cli('info', 'replication')))
  // The first writes wait for the replica's first acknowledgement, up to a second after the link is up.
  await primary.cli('set', 'first', 'write')
  await until(async () => await replica.cli('get', 'first') === 'write')
  const address = await switchboard(t, primary.port)
  const failOver = async () => {
    await primary.kill()
    await replica.cli('replicaof', 'no', 'one')
    address.switchTo(replica.port)
  }
  return { primary, replica, replication, address, failOver }
}

async function switchboard (t: Teardown, port: number): Promise<Switchboard> {
  const board = new Switchboard(port)
  await board.listen()
  t.teardown(() => board.close())
  return board
}
