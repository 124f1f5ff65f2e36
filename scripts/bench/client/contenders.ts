import { createRequire } from 'node:module'
import { TimeoutStrategy, circuitBreaker, handleAll, ConsecutiveBreaker, timeout, wrap } from 'cockatiel'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { resolveRedisTarget } from '../../../services/config/redis/redis-target.ts'
import { RedisGuard } from '../../../services/redis/guard.ts'
import { until } from '../../../test/helpers/until.ts'

export interface Contender {
  get (key: string): Promise<unknown>
  set (key: string, value: string): Promise<unknown>
  /** GETs of one key in one pipeline. */
  pipeline (size: number): Promise<unknown>
  close (): unknown
}

const TIMEOUT_MS = 500
// It has no types of its own.
const OpossumBreaker = createRequire(import.meta.url)('opossum') as new (fn: (call: () => Promise<unknown>) => Promise<unknown>, options: object) => {
  fire (call: () => Promise<unknown>): Promise<unknown>
  shutdown (): void
}

type Protect = (call: () => Promise<unknown>) => Promise<unknown>

function over (client: Redis, protect: Protect = (call) => call(), close: () => unknown = () => client.disconnect()): Contender {
  return {
    get: (key) => protect(() => client.get(key)),
    set: (key, value) => protect(() => client.set(key, value)),
    pipeline: (size) => protect(() => {
      const pipeline = client.pipeline()
      for (let n = 0; n < size; n++) pipeline.get('key')
      return pipeline.exec()
    }),
    close
  }
}

/** Each client with what makes it bounded; the first is what the others are measured against. */
export const contenders: Record<string, (url: string) => Promise<Contender>> = {
  ioredis: async (url) => over(new Redis(url)),
  breakwater: async (url) => {
    const guard = new RedisGuard({ target: resolveRedisTarget({ REDIS_URL: url }).target! })
    await until(() => guard.isHealthy())
    return over(guard.client, undefined, () => guard.close())
  },
  'breakwater, auto-pipelining': async (url) => {
    const guard = new RedisGuard({ target: resolveRedisTarget({ REDIS_URL: url }).target!, redisOptions: { enableAutoPipelining: true } })
    await until(() => guard.isHealthy())
    return over(guard.client, undefined, () => guard.close())
  },
  'ioredis, auto-pipelining': async (url) => over(new Redis(url, { enableAutoPipelining: true })),
  'ioredis + commandTimeout': async (url) => over(new Redis(url, { commandTimeout: TIMEOUT_MS })),
  'ioredis + opossum': async (url) => {
    const client = new Redis(url)
    const breaker = new OpossumBreaker((call) => call(), { timeout: TIMEOUT_MS })
    return over(client, (call) => breaker.fire(call), () => { breaker.shutdown(); client.disconnect() })
  },
  'ioredis + cockatiel': async (url) => {
    const breaker = circuitBreaker(handleAll, { halfOpenAfter: 1000, breaker: new ConsecutiveBreaker(5) })
    const policy = wrap(breaker, timeout(TIMEOUT_MS, TimeoutStrategy.Aggressive))
    return over(new Redis(url), (call) => policy.execute(call))
  },
  'node-redis': async (url) => {
    const client = await createClient({ url }).on('error', () => {}).connect()
    return {
      get: (key) => client.get(key),
      set: (key, value) => client.set(key, value),
      pipeline: (size) => {
        const batch = client.multi()
        for (let n = 0; n < size; n++) batch.get('key')
        return batch.execAsPipeline()
      },
      close: () => client.destroy()
    }
  }
}
