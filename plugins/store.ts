import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { readDatabaseUrl } from '../services/config/database.ts'
import type { DatabaseTarget } from '../services/config/database.ts'
import type { Config } from '../services/config/load.ts'
import { Problems } from '../services/config/problems.ts'
import type { JournalLimits } from '../services/journal/journal.ts'
import { QueueTracing } from '../services/observability/tracing/queue-tracing.ts'
import type { Tracing } from '../services/observability/tracing/tracing.ts'
import { openStore } from '../services/registry/store.ts'
import type { Store } from '../services/registry/store.ts'
import { tracedStore } from '../services/registry/traced-store.ts'
import { OptionInvalid, parsePluginOptions } from './options.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Registrations and journal in one database. */
    store: Store
  }
}

export const StoreOptionsSchema = Type.Object({
  url: Type.String({ minLength: 1, description: 'In one of the forms of DATABASE_URL, which is the default.' }),
  path: Type.String({ minLength: 1, description: 'SQLite file, or `:memory:`; instead of `url`.' }),
  schema: Type.String({ pattern: '^[a-z_][a-z0-9_]{0,62}$', description: 'Schema of a PostgreSQL database that holds our tables. Default `breakwater`.' }),
  poolMax: Type.Integer({ minimum: 2, description: 'Connections to PostgreSQL. Default: DATABASE_POOL_MAX.' }),
  maxRows: Type.Integer({ minimum: 1, description: 'Unpublished messages at which new ones are refused. Default: JOURNAL_MAX_ROWS.' }),
  maxBytes: Type.Integer({ minimum: 1, description: 'Bytes of unpublished messages at which new ones are refused. Default: JOURNAL_MAX_BYTES.' }),
  maxAgeMs: Type.Union([Type.Integer({ minimum: 1 }), Type.Null()], {
    description: 'New messages are refused while the oldest one waits longer than this; null: no such limit. Default: JOURNAL_MAX_AGE_MS.'
  }),
  highRatio: Type.Number({ exclusiveMinimum: 0, maximum: 1, description: 'Share of a limit from which health is degraded. Default: JOURNAL_HIGH_PERCENT.' })
}, { additionalProperties: false })

/** Each defaults to `fastify.config`; without that plugin, to `:memory:` and the defaults of the variables. */
export type StoreOptions = Partial<Static<typeof StoreOptionsSchema>>

/** @throws FST_BRK_STORE_UNAVAILABLE, FST_BRK_OPTION_INVALID */
const plugin: FastifyPluginAsync<StoreOptions> = async (fastify, options) => {
  const given = parsePluginOptions('store', StoreOptionsSchema, options)
  const config: Partial<Config> = fastify.hasDecorator('config') ? fastify.config : {}
  const target = readTarget(given) ?? config.database ?? readTarget({ path: ':memory:' })!
  const store = await openStore({
    database: { ...target, poolMax: given.poolMax ?? config.database?.poolMax, schema: given.schema },
    limits: readLimits(given, config.publisher),
    logger: fastify.log.child({ component: 'store' })
  })
  const { tracing } = fastify as { tracing?: Tracing | null }
  const queue = config.publisher?.queueName ?? 'hokusai:model_ready_queue'
  fastify.decorate('store', tracing ? tracedStore(store, new QueueTracing(tracing, queue)) : store)
  fastify.addHook('onClose', () => store.close())
}

function readTarget ({ url, path }: StoreOptions): DatabaseTarget | null {
  if (url !== undefined && path !== undefined) throw new OptionInvalid('store', 'options "url" and "path" name two databases, give one of them')
  const text = path === undefined ? url : `sqlite:${path}`
  if (text === undefined) return null
  const problems = new Problems()
  const target = readDatabaseUrl(text, problems)
  const [problem] = problems.errors
  if (problem !== undefined) throw new OptionInvalid('store', `option "url": ${problem.remedy}`)
  return target
}

function readLimits (given: StoreOptions, config: Partial<Config['publisher']> = {}): JournalLimits {
  return {
    maxRows: given.maxRows ?? config.maxRows ?? 1_000_000,
    maxBytes: given.maxBytes ?? config.maxBytes ?? 1024 ** 3,
    maxAgeMs: given.maxAgeMs === undefined ? config.maxAgeMs ?? null : given.maxAgeMs,
    highRatio: given.highRatio ?? config.highRatio ?? 0.8
  }
}

export default fp(plugin, { name: 'breakwater-store', fastify: '5.x' })
