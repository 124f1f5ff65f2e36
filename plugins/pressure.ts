import { getHeapStatistics } from 'node:v8'
import underPressure from '@fastify/under-pressure'
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import type { CheckResult } from '../services/health/check.ts'
import type {} from './health.ts'
import { parsePluginOptions } from './options.ts'

export const PressureOptionsSchema = Type.Object({
  maxEventLoopDelayMs: Type.Number({ minimum: 0, description: 'Mean delay of the event loop over one sample. 0 = off. Default 1000.' }),
  maxHeapUsedBytes: Type.Integer({ minimum: 0, description: '0 = off. Default: nine tenths of V8\'s heap limit.' }),
  maxRssBytes: Type.Integer({ minimum: 0, description: '0 = off. Default: nine tenths of the container\'s memory limit, where there is one.' }),
  maxEventLoopUtilization: Type.Number({
    minimum: 0, maximum: 1, description: 'Share of the last sample that the event loop was busy. 0 = off, the default: busy is not yet slow.'
  }),
  sampleIntervalMs: Type.Integer({ minimum: 10, description: 'How often the figures are taken. Default 1000.' }),
  healthIntervalMs: Type.Integer({ minimum: 10, description: 'How soon a critical check that fails or recovers is noticed. Default 250.' }),
  retryAfterSeconds: Type.Integer({ minimum: 1, description: 'Default 5.' })
}, { additionalProperties: false })

/** Every option has a default; docs/health.md explains the figures. */
export type PressureOptions = Partial<Static<typeof PressureOptionsSchema>>

type Limits = Required<PressureOptions>

/**
 * Sheds load with 503 and `Retry-After`: under local pressure, and while a critical dependency fails. A soft dependency
 * can never shed: what decides is our own snapshot, read synchronously, so it can neither hang nor delay the boot.
 */
const plugin: FastifyPluginAsync<PressureOptions> = async (fastify, options) => {
  const limits = resolveLimits(parsePluginOptions('pressure', PressureOptionsSchema, options))
  await fastify.register(underPressure, {
    maxEventLoopDelay: limits.maxEventLoopDelayMs,
    maxHeapUsedBytes: limits.maxHeapUsedBytes,
    maxRssBytes: limits.maxRssBytes,
    maxEventLoopUtilization: limits.maxEventLoopUtilization,
    // The default mode averages since boot, and forgets neither idle nor busy hours.
    eventLoopUtilizationMode: 'interval',
    sampleInterval: limits.sampleIntervalMs,
    retryAfter: limits.retryAfterSeconds,
    healthCheck: async () => !fastify.health.snapshot().shedding,
    healthCheckInterval: limits.healthIntervalMs
  })
  fastify.health.register({
    name: 'pressure',
    critical: false,
    notReadyReason: 'overloaded',
    read: () => readPressure(fastify, limits)
  })
}

function resolveLimits (options: PressureOptions): Limits {
  return {
    maxEventLoopDelayMs: options.maxEventLoopDelayMs ?? 1000,
    maxHeapUsedBytes: options.maxHeapUsedBytes ?? Math.floor(getHeapStatistics().heap_size_limit * 0.9),
    maxRssBytes: options.maxRssBytes ?? containerLimit(),
    maxEventLoopUtilization: options.maxEventLoopUtilization ?? 0,
    sampleIntervalMs: options.sampleIntervalMs ?? 1000,
    healthIntervalMs: options.healthIntervalMs ?? 250,
    retryAfterSeconds: options.retryAfterSeconds ?? 5
  }
}

/** Without a limit Node reports 0 or a number beyond any machine. */
function containerLimit (): number {
  const limit = process.constrainedMemory()
  return limit > 0 && limit < Number.MAX_SAFE_INTEGER ? Math.floor(limit * 0.9) : 0
}

/**
 * Judges the figures by the same limits as under-pressure. Its own `isUnderPressure()` counts our health check in: asking it
 * here would let one failure keep itself alive.
 */
function readPressure (fastify: FastifyInstance, limits: Limits): CheckResult {
  const { eventLoopDelay, heapUsed, rssBytes, eventLoopUtilized } = fastify.memoryUsage()
  const details = { eventLoopDelay, heapUsed, rssBytes, eventLoopUtilized }
  const exceeded = isOver(eventLoopDelay, limits.maxEventLoopDelayMs) || isOver(heapUsed, limits.maxHeapUsedBytes) ||
    isOver(rssBytes, limits.maxRssBytes) || isOver(eventLoopUtilized, limits.maxEventLoopUtilization)
  return exceeded ? { status: 'failed', kind: 'overload', details } : { status: 'ok', details }
}

function isOver (value: number, limit: number): boolean {
  return limit > 0 && value > limit
}

export default fp(plugin, {
  name: 'breakwater-pressure',
  fastify: '5.x',
  dependencies: ['breakwater-health'],
  decorators: { fastify: ['health'] }
})
