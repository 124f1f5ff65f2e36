import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { silentLogger } from '../../../services/observability/logger.ts'
import { openSqliteStore } from '../../../services/registry/store.ts'
import { RedisTransport } from '../../../services/relay/transport/redis-transport.ts'
import { Relay } from '../../../services/relay/relay.ts'
import { temporaryDirectory } from '../../../test/helpers/temporary.ts'
import { until } from '../../../test/helpers/until.ts'
import type { Cleanup } from '../service.ts'
import { message, quantile } from './measure.ts'

const QUEUE = 'bench:visible'

/** From the moment a message is durable to the moment a waiting consumer has it, in ms, at a steady rate. */
export async function commitToVisible (cleanup: Cleanup, url: string, perSecond: number, durationMs: number): Promise<{ p50: number, p99: number }> {
  const [redis, consumer] = [new Redis(url), new Redis(url)]
  const store = await openSqliteStore({ path: join(await temporaryDirectory(cleanup), 'visible.db'), limits: { maxRows: 1e7, maxBytes: 1e11 } })
  const connection = { client: redis, connectionEpoch: 1, isHealthy: () => true, onReady: () => () => {} }
  const relay = new Relay({ journal: store.journal, transport: new RedisTransport(connection, QUEUE), logger: silentLogger })
  relay.start()
  const committedAt = new Map<string, number>()
  const latencies: number[] = []
  const stop = new AbortController()
  let sent = 0

  const consume = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      const reply = await consumer.call('BLMPOP', 1, 1, QUEUE, 'RIGHT', 'COUNT', 100) as [string, string[]] | null
      const now = performance.now()
      for (const body of reply?.[1] ?? []) latencies.push(Math.max(0, now - (committedAt.get(JSON.parse(body).message_id) ?? now)))
    }
  }
  const consuming = consume()
  const publish = async (): Promise<void> => {
    const { id, body } = message()
    await store.journal.append([{ key: 'model', body }])
    committedAt.set(id, performance.now())
  }
  const startedAt = performance.now()
  for (let elapsed = 0; elapsed < durationMs; elapsed = performance.now() - startedAt) {
    for (const due = elapsed / 1000 * perSecond; sent < due; sent++) void publish()
    await delay(1)
  }
  await until(() => latencies.length >= sent)
  stop.abort()
  await consuming
  await relay.stop()
  await store.close()
  redis.disconnect()
  consumer.disconnect()
  // What comes first pays for starting threads and compiling code.
  const steady = latencies.slice(Math.floor(latencies.length / 4))
  return { p50: quantile(steady, 0.5), p99: quantile(steady, 0.99) }
}
