import { Type } from '@sinclair/typebox'
import fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import type { Redis } from 'ioredis'
import { Client } from 'pg'
import { describe, expect, test } from 'tstyche'
import { buildApp } from '../../app.ts'
import {
  CircuitBreaker, auth, config, consumer, fromPg, health, metrics, openapi, pressure, protection, publisher, redis, store, tasks
} from '../../index.ts'
import type { ModelReadyMessage, Publisher } from '../../index.ts'
import type { Config } from '../../services/config/load.ts'
import type { RedisGuard } from '../../services/redis/guard.ts'

const app = fastify()

describe('config', () => {
  test('is decorated, complete and read-only', () => {
    expect(app.config).type.toBe<Config>()
    expect(app.config.process.port).type.toBe<number>()
    expect(app.config.redis.resolution.state).type.toBe<'configured' | 'disabled' | 'invalid'>()
  })
  test('a token is not a string', () => {
    expect(app.config.redis.resolution.target!.password).type.not.toBeAssignableTo<string | null>()
  })
  test('options', () => {
    expect(app.register).type.toBeCallableWith(config)
    expect(app.register).type.toBeCallableWith(config, { env: { REDIS_URL: 'redis://cache' } })
    expect(app.register).type.not.toBeCallableWith(config, { env: 'redis://cache' })
    expect(app.register).type.not.toBeCallableWith(config, { environment: {} })
  })
})

describe('redis', () => {
  test('a drop-in ioredis client', () => {
    expect(app.redis).type.toBeAssignableTo<Redis>()
    expect(app.redis.get('key')).type.toBe<Promise<string | null>>()
    expect(app.redis.multi().incr('a').exec).type.toBeCallableWith()
    expect(app.redis.get).type.not.toBeCallableWith(true)
  })
  test('the guard can be absent: Redis is disabled', () => {
    expect(app.redisGuard).type.toBe<RedisGuard | null>()
    expect(app.redisGuard!.isHealthy()).type.toBe<boolean>()
  })
  test('can be registered', () => {
    expect(app.register).type.toBeCallableWith(redis)
  })
})

describe('store and publisher', () => {
  const message: ModelReadyMessage = {
    model_id: 'churn/1/hok',
    token_symbol: 'hok',
    metric_name: 'auc',
    baseline_value: 0.5,
    current_value: 0.6,
    model_name: 'churn',
    model_version: '1'
  }

  test('publish takes a message and says how durable it is', async () => {
    expect(app.publisher).type.toBe<Publisher>()
    expect(app.publisher.publish).type.toBeCallableWith(message)
    expect(app.publisher.publish).type.toBeCallableWith({ ...message, tags: { team: 'a' }, mlflow_run_id: null })
    expect(app.publisher.publish).type.toBeCallableWith(message, { correlationId: 'c' })
    expect((await app.publisher.publish(message)).durability).type.toBe<'none' | 'node' | 'cluster'>()
    expect((await app.publisher.publish(message)).messageId).type.toBe<string>()
    expect((await app.publisher.publish(message)).via).type.toBe<'queue' | 'journal' | 'log'>()
  })
  test('within a transaction of the caller', () => {
    expect(app.publisher.publish).type.toBeCallableWith(message, undefined, { transaction: fromPg(new Client()) })
    expect(app.publisher.publish).type.not.toBeCallableWith(message, undefined, { transaction: 'BEGIN' })
  })
  test('what must not compile', () => {
    expect(app.publisher.publish).type.not.toBeCallableWith()
    expect(app.publisher.publish).type.not.toBeCallableWith({ model_id: 'churn/1/hok' })
    expect(app.publisher.publish).type.not.toBeCallableWith({ ...message, baseline_value: '0.5' })
    expect(app.publisher.publish).type.not.toBeCallableWith({ ...message, tags: { team: 1 } })
    expect(app.publisher.publish).type.not.toBeCallableWith(message, { traceparent: 'x' })
  })
  test('options', () => {
    expect(app.register).type.toBeCallableWith(store, { path: ':memory:', maxRows: 10 })
    expect(app.register).type.not.toBeCallableWith(store, { path: 5 })
    expect(app.register).type.toBeCallableWith(publisher, { queueName: 'q', emptyRedisPolicy: 'ignore', retentionMs: 0 })
    expect(app.register).type.not.toBeCallableWith(publisher, { emptyRedisPolicy: 'sometimes' })
    expect(app.register).type.not.toBeCallableWith(publisher, { queue: 'q' })
    expect(app.register).type.toBeCallableWith(publisher, { chain: ['queue', 'log'] })
    expect(app.register).type.not.toBeCallableWith(publisher, { chain: ['redis'] })
    expect(app.register).type.toBeCallableWith(store, { url: 'postgres://h/d', schema: 's', maxAgeMs: null })
  })
})

describe('consumer and tasks', () => {
  test('a handler is needed, and knows its message', () => {
    expect(app.register).type.toBeCallableWith(consumer, { handler: async ({ message_id: id }: { message_id: string }) => id, concurrency: 5 })
    expect(app.register).type.not.toBeCallableWith(consumer, {})
    expect(app.register).type.not.toBeCallableWith(consumer, { handler: async () => {}, transport: 'kafka' })
  })
  test('a task is enqueued with what its schema says', () => {
    const task = app.tasks.define('send-mail', async () => {}, { schema: Type.Object({ to: Type.String() }) })
    expect(task.enqueue).type.toBeCallableWith({ to: 'a@b' })
    expect(task.enqueue).type.not.toBeCallableWith({ to: 5 })
    expect(app.register).type.toBeCallableWith(tasks, { concurrency: 2, work: false })
  })
})

describe('access and operation', () => {
  test('options', () => {
    expect(app.register).type.toBeCallableWith(auth, { keys: [{ name: 'ci', scope: 'read', sha256: '' }] })
    expect(app.register).type.not.toBeCallableWith(auth, { keys: [{ name: 'ci', scope: 'root', sha256: '' }] })
    expect(app.register).type.toBeCallableWith(protection, { rateLimitMax: 5, corsOrigins: ['https://a'] })
    expect(app.register).type.not.toBeCallableWith(protection, { rateLimit: 5 })
    expect(app.register).type.toBeCallableWith(metrics, { mode: 'emf', intervalMs: 1000 })
    expect(app.register).type.not.toBeCallableWith(metrics, { mode: 'statsd' })
    expect(app.register).type.toBeCallableWith(openapi, { title: 'Mine', prefix: '/reference' })
  })
  test('a route chooses its scope', () => {
    expect(app.get).type.toBeCallableWith('/', { config: { scope: 'admin' } }, async () => 'x')
    expect(app.get).type.not.toBeCallableWith('/', { config: { scope: 'root' } }, async () => 'x')
  })
})

describe('health and pressure', () => {
  test('siblings add a check', () => {
    expect(app.health.register).type.toBeCallableWith({ name: 'search', critical: false, check: async () => {} })
    expect(app.health.register).type.not.toBeCallableWith({ name: 'search', check: 'https://search' })
    expect(app.health.register).type.not.toBeCallableWith({ critical: true, check: async () => {} })
  })
  test('the snapshot is read without waiting', () => {
    expect(app.health.snapshot().status).type.toBe<'healthy' | 'degraded' | 'unhealthy'>()
    expect(app.health.snapshot()).type.not.toBeAssignableTo<Promise<unknown>>()
  })
  test('options', () => {
    expect(app.register).type.toBeCallableWith(health)
    expect(app.register).type.toBeCallableWith(pressure, { maxEventLoopDelayMs: 0, retryAfterSeconds: 1 })
    expect(app.register).type.not.toBeCallableWith(pressure, { maxEventLoopDelay: 5 })
  })
})

describe('circuit breaker', () => {
  const breaker = new CircuitBreaker({ consecutiveFailures: 3, openMs: 100 })

  test('run keeps the type of what it runs', () => {
    expect(breaker.run(async () => 5)).type.toBe<Promise<number>>()
    expect(breaker.allow()).type.toBe<boolean>()
    expect(breaker.state).type.toBe<'closed' | 'open' | 'half-open' | 'isolated'>()
  })
  test('what must not compile', () => {
    expect(breaker.run).type.not.toBeCallableWith(5)
    expect(breaker.fail).type.not.toBeCallableWith('whatever', 1)
    expect(CircuitBreaker).type.not.toBeConstructableWith({ threshold: 3 })
    expect(CircuitBreaker).type.not.toBeConstructableWith({ openMs: '1s' })
  })
})

test('the application', () => {
  expect(buildApp()).type.toBe<Promise<FastifyInstance>>()
  expect(buildApp).type.toBeCallableWith({ env: {}, logger: false })
  expect(buildApp).type.not.toBeCallableWith({ port: 3000 })
})
