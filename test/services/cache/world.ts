import { setTimeout as delay } from 'node:timers/promises'
import { resolveRedisTarget } from '../../../services/config/redis/redis-target.ts'
import { Cache } from '../../../services/cache/cache.ts'
import type { CacheOptions } from '../../../services/cache/cache.ts'
import { RedisGuard } from '../../../services/redis/guard.ts'
import type { Teardown } from '../../helpers/redis-server.ts'
import { until } from '../../helpers/until.ts'

/** Where a test is not about patience, a busy machine must not decide it. */
export const patient = { minPatienceMs: 5000, maxPatienceMs: 5000 }

export interface World {
  guard: RedisGuard
  cache: Cache
  /** Moves the wall clock of the cache, not that of Redis. */
  travel (ms: number): void
}

/** A cache on a guarded connection of its own, as an application has it. */
export async function world (t: Teardown, url: string, options: Partial<CacheOptions> = {}, commandTimeoutMs = 500): Promise<World> {
  const guard = new RedisGuard({ target: resolveRedisTarget({ REDIS_URL: url }).target!, commandTimeoutMs })
  t.teardown(() => guard.close())
  await until(() => guard.isHealthy())
  let ahead = 0
  const cache = new Cache({
    client: guard.client,
    available: () => guard.isHealthy(),
    onAvailable: (listener) => guard.onReady(listener),
    now: () => Date.now() + ahead,
    ...patient,
    ...options
  })
  t.teardown(() => cache.close())
  return { guard, cache, travel: (ms) => { ahead += ms } }
}

/** Counts its calls; each takes a while and returns the next number, or fails with what is set. */
export function counting (ms = 0) {
  const origin = async (): Promise<number> => {
    origin.calls++
    const { calls } = origin
    if (ms > 0) await delay(ms)
    if (origin.failure !== null) throw origin.failure
    return calls
  }
  origin.calls = 0
  origin.failure = null as Error | null
  return origin
}

export const quantile = (values: number[], share: number) => values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))]!
