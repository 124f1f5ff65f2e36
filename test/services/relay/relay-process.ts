import { SqliteEngine } from '../../../services/journal/sqlite/engine.ts'
import { SqliteJournal } from '../../../services/journal/sqlite/journal.ts'
import type { Logger } from '../../../services/observability/logger.ts'
import { RedisTransport } from '../../../services/relay/transport/redis-transport.ts'
import { Relay } from '../../../services/relay/relay.ts'
import { QUEUE, guardedConnection } from './setup.ts'

/**
 * One process of a fleet: a relay on a journal that others have open too. Tells on standard output, a JSON line for each, what its
 * logger is told; SIGTERM stops it cleanly.
 *
 * node relay-process.ts <journal> <Redis port> <lease in ms, or "default">
 */
const [path, port, leaseMs] = process.argv.slice(2) as [string, string, string]
const say = (level: string) => (details: object, message: string) => {
  process.stdout.write(`${JSON.stringify({ level, message, at: Date.now(), ...stats() })}\n`)
}
const logger: Logger = { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') }
const closing: (() => unknown)[] = []
const connection = guardedConnection({ teardown: (fn) => { closing.push(fn) } }, Number(port))
const engine = new SqliteEngine({ path, limits: { maxRows: 1e6, maxBytes: 1e9 }, modules: [] })
const relay = new Relay({
  journal: new SqliteJournal(engine, 'node'),
  transport: new RedisTransport(connection, QUEUE),
  logger,
  idleMs: 20,
  ...(leaseMs === 'default' ? {} : { leaseMs: Number(leaseMs) })
})

function stats () {
  return { leader: relay.stats.leader, published: relay.stats.published }
}

process.once('SIGTERM', async () => {
  await relay.stop()
  logger.info({}, 'stopped')
  for (const close of closing) await close()
  await engine.close()
})

// Whoever started it is gone: a test that was cut short leaves nothing behind.
process.stdin.on('close', () => process.exit()).resume().unref()

relay.start()
logger.info({}, 'started')
