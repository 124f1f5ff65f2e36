import rateLimit from '@fastify/rate-limit'
import { RedisStore } from '@mgcrea/fastify-session-redis-store'
import { createCache } from 'async-cache-dedupe'
import { Queue } from 'bullmq'
import fastify from 'fastify'
import { Cluster, Redis } from 'ioredis'
import type { Callback, ChainableCommander, Result } from 'ioredis'
import { RateLimiterRedis } from 'rate-limiter-flexible'
import { describe, expect, test } from 'tstyche'
import { redis } from '../../index.ts'

declare module 'ioredis' {
  interface RedisCommander<Context> {
    plus (key: string, by: number, callback?: Callback<number>): Result<number, Context>
  }
}

const app = fastify()

describe('fastify.redis is typed as ioredis', () => {
  test('commands, replies, callbacks and bytes', () => {
    expect(app.redis).type.toBeAssignableTo<Redis>()
    expect(app.redis.get('key')).type.toBe<Promise<string | null>>()
    expect(app.redis.getBuffer('key')).type.toBe<Promise<Buffer | null>>()
    expect(app.redis.hgetall('key')).type.toBe<Promise<Record<string, string>>>()
    expect(app.redis.get).type.toBeCallableWith('key', (_error?: Error | null, _value?: string | null) => {})
    expect(app.redis.set).type.toBeCallableWith('key', 'value', 'PX', 5, 'NX')
    expect(app.redis.set).type.not.toBeCallableWith('key')
    expect(app.redis.set).type.not.toBeCallableWith('key', 'value', 'SOON', 5)
  })
  test('pipelines, transactions and own commands', async () => {
    expect(app.redis.pipeline()).type.toBeAssignableTo<ChainableCommander>()
    expect(await app.redis.multi().incr('a').exec()).type.toBe<[error: Error | null, result: unknown][] | null>()
    expect(app.redis.plus('a', 1)).type.toBe<Promise<number>>()
    expect(app.redis.pipeline().plus).type.toBeCallableWith('a', 1)
    expect(app.redis.plus).type.not.toBeCallableWith('a', 'b')
  })
  test('other connections', () => {
    expect(app.redis.duplicate()).type.toBeAssignableTo<Redis>()
    expect(app.redis.duplicate).type.toBeCallableWith({ keyPrefix: 'mine:' })
    expect(app.redis.duplicate).type.not.toBeCallableWith({ keyPrefix: 5 })
    expect(app.redis.subscribe).type.toBeCallableWith('one', 'two')
    expect(app.redis.on).type.toBeCallableWith('message', (_channel: string, _message: string) => {})
  })
  test('namespaces', () => {
    expect(app.redis['session']!.get('key')).type.toBe<Promise<string | null>>()
    expect(app.redisGuards['session']!.client).type.toBe<Redis>()
  })
  test('of a cluster, where it is one', () => {
    expect(app.redisGuard!.cluster).type.toBe<Cluster | null>()
  })
})

describe('registration', () => {
  test('options', () => {
    expect(app.register).type.toBeCallableWith(redis, { target: 'redis://cache', namespace: 'session', redisOptions: { keyPrefix: 'a:', family: 6 } })
    expect(app.register).type.toBeCallableWith(redis, { client: new Redis() })
    expect(app.register).type.toBeCallableWith(redis, { client: new Cluster([]) })
    expect(app.register).type.not.toBeCallableWith(redis, { client: 'redis://cache' })
    expect(app.register).type.not.toBeCallableWith(redis, { redisOptions: { keyPrefix: 5 } })
    expect(app.register).type.not.toBeCallableWith(redis, { url: 'redis://cache' })
  })
})

describe('other libraries take it', () => {
  test('as it is', () => {
    expect(app.register).type.toBeCallableWith(rateLimit, { redis: app.redis })
    expect(RedisStore).type.toBeConstructableWith({ client: app.redis })
    expect(RateLimiterRedis).type.toBeConstructableWith({ storeClient: app.redis, points: 1, duration: 1 })
    expect(Queue).type.toBeConstructableWith('mail', { connection: app.redis.duplicate() })
    expect(createCache).type.toBeCallableWith({ ttl: 1, storage: { type: 'redis', options: { client: app.redis } } })
  })
})
