// TypeScript, strict: options, decorators, messages and errors are typed. The command below compiles it without anything optional installed:
// tsc --strict --noUncheckedIndexedAccess --exactOptionalPropertyTypes --module nodenext --target es2024 --noEmit strict-types.ts
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { CircuitBreaker, publisher, redis } from 'fastify-breakwater'
import type { ModelReadyMessage, Published, Publisher, RedisPluginOptions } from 'fastify-breakwater'

const options: RedisPluginOptions = { target: process.env.REDIS_URL ?? 'redis://127.0.0.1:6379', commandTimeoutMs: 250 }

async function build (): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(redis, options)
  // Without a database: straight to the queue.
  await app.register(publisher, { chain: ['queue'], queueName: 'example:strict' })
  return app
}

async function announce (publisher: Publisher, message: ModelReadyMessage): Promise<Published> {
  return await publisher.publish(message)
}

const app = await build()
const { messageId, durability, via } = await announce(app.publisher, {
  model_id: 'churn/1/hok', model_name: 'churn', model_version: '1', token_symbol: 'hok', metric_name: 'auc', baseline_value: 0.8, current_value: 0.9
})
const depth: number = await app.redis.llen('example:strict')
// @ts-expect-error a key is text
const wrong = (): Promise<string | null> => app.redis.get(true)

// The breaker guards anything else, too.
const breaker = new CircuitBreaker({ consecutiveFailures: 3 })
const answer = await breaker.run(async () => 42)
console.log(JSON.stringify({ messageId, durability, via, depth, answer, state: breaker.state, wrong: typeof wrong }))
await app.close()
