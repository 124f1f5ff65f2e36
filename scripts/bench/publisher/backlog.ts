import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { silentLogger } from '../../../services/observability/logger.ts'
import { openSqliteStore } from '../../../services/registry/store.ts'
import { RedisTransport } from '../../../services/relay/transport/redis-transport.ts'
import { Relay } from '../../../services/relay/relay.ts'
import { message } from './measure.ts'

/**
 * A process of its own, so that its memory is its own: fills a journal, carries it to the queue, and prints what that took.
 * Arguments: Redis URL, folder, messages.
 */
const [url, directory, messages] = process.argv.slice(2) as [string, string, string]
const total = Number(messages)
const QUEUE = 'bench:queue'
const ENTRIES = 100
const MEBIBYTE = 1024 ** 2

const redis = new Redis(url)
const store = await openSqliteStore({ path: join(directory, 'backlog.db'), limits: { maxRows: 1e7, maxBytes: 1e11 } })
const heapBefore = collectedHeap()

let left = total
async function fill (): Promise<void> {
  while (left > 0) {
    const count = Math.min(ENTRIES, left)
    left -= count
    await store.journal.append(Array.from({ length: count }, () => ({ key: 'model', body: message().body })))
  }
}
await Promise.all(Array.from({ length: 8 }, fill))
const heapGrowthMiB = (collectedHeap() - heapBefore) / MEBIBYTE
const rssWithBacklogMiB = process.memoryUsage.rss() / MEBIBYTE

let rssPeakMiB = 0
const watch = setInterval(() => { rssPeakMiB = Math.max(rssPeakMiB, process.memoryUsage.rss() / MEBIBYTE) }, 20)
const connection = { client: redis, connectionEpoch: 1, isHealthy: () => true, onReady: () => () => {} }
const relay = new Relay({ journal: store.journal, transport: new RedisTransport(connection, QUEUE), logger: silentLogger })
const startedAt = performance.now()
relay.start()
while (relay.stats.published < total) await delay(5)
const relaySeconds = (performance.now() - startedAt) / 1000
clearInterval(watch)
await relay.stop()

let extraBytes = 0
for (const key of await redis.keys('*')) if (key !== QUEUE) extraBytes += await redis.memory('USAGE', key, 'SAMPLES', 0) ?? 0
const queued = await redis.llen(QUEUE)
await store.close()
redis.disconnect()
process.stdout.write(JSON.stringify({
  total, queued, relaySeconds, heapGrowthMiB, rssWithBacklogMiB, rssPeakMiB, redisBytesPerMessage: extraBytes / total
}))

function collectedHeap (): number {
  globalThis.gc!()
  return process.memoryUsage().heapUsed
}
