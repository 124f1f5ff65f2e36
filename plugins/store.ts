import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { openSqliteStore } from '../services/registry/store.ts'
import type { Store } from '../services/registry/store.ts'
import { parsePluginOptions } from './options.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Registrations and journal in one database. */
    store: Store
  }
}

const StoreOptionsSchema = Type.Object({
  path: Type.String({ minLength: 1, description: 'SQLite file, or `:memory:`. Default: the file of DATABASE_URL.' }),
  maxRows: Type.Integer({ minimum: 1, description: 'Unpublished messages at which new ones are refused. Default: JOURNAL_MAX_ROWS.' }),
  maxBytes: Type.Integer({ minimum: 1, description: 'Bytes of unpublished messages at which new ones are refused. Default: JOURNAL_MAX_BYTES.' })
}, { additionalProperties: false })

/** Each defaults to `fastify.config`; without that plugin, to `:memory:`, 1 000 000 messages and 1 GiB. */
export type StoreOptions = Partial<Static<typeof StoreOptionsSchema>>

const plugin: FastifyPluginAsync<StoreOptions> = async (fastify, options) => {
  const given = parsePluginOptions('store', StoreOptionsSchema, options)
  const config = fastify.hasDecorator('config') ? fastify.config : null
  const store = await openSqliteStore({
    path: given.path ?? config?.database.path ?? ':memory:',
    limits: {
      maxRows: given.maxRows ?? config?.publisher.maxRows ?? 1_000_000,
      maxBytes: given.maxBytes ?? config?.publisher.maxBytes ?? 1024 ** 3
    }
  })
  fastify.decorate('store', store)
  fastify.addHook('onClose', () => store.close())
}

export default fp(plugin, { name: 'breakwater-store', fastify: '5.x' })
