import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import errors, { problemServerOptions } from '../../plugins/errors.ts'
import store from '../../plugins/store.ts'
import modelRoutes from '../../routes/models/index.ts'

/** What a test needs of tap's `t`. */
interface Teardown { teardown (fn: () => unknown): void }

export interface Answer { statusCode: number, headers: Record<string, string | undefined>, body: string, json (): any }

type Query = Record<string, unknown>

/** The registration API as its callers know it, whatever carries the requests. */
export interface ModelCalls {
  register (request: unknown, headers?: Record<string, string>): Promise<Answer>
  list (query?: Query): Promise<Answer>
  versions (name: string, query?: Query): Promise<Answer>
  find (name: string, version: string): Promise<Answer>
  /** What a `Location` names. */
  at (location: string | undefined): Promise<Answer>
}

export interface ModelApi extends ModelCalls {
  /** Envelopes that registrations led to, oldest first, parsed. */
  events (): Promise<any[]>
  /** The database is gone. */
  loseStore (): Promise<void>
}

export interface ModelApiOptions { maxRows?: number }
export type StartModelApi = (t: Teardown, options?: ModelApiOptions) => Promise<ModelApi>

/** The registration API on a real SQLite store; nothing relays, so every event stays to be looked at. */
export async function startModelApi (t: Teardown, { maxRows = 10_000 }: ModelApiOptions = {}): Promise<ModelApi & { app: FastifyInstance }> {
  const app = Fastify(problemServerOptions)
  await app.register(errors)
  await app.register(store, { path: ':memory:', maxRows })
  await app.register(modelRoutes)
  await app.ready()
  t.teardown(() => app.close())

  const { journal } = app.store
  const events = async () => {
    const lease = await journal.acquireLease('test', 60_000) ?? ''
    const batch = await journal.advance({
      lease, leaseUntil: Date.now() + 60_000, published: null, after: null, maxRows: 1000, maxBytes: 1e9
    })
    return batch === null ? [] : batch.bodies.map(body => JSON.parse(body))
  }
  return { app, ...injectedCalls(app), events, loseStore: () => app.store.close() }
}

function injectedCalls (app: FastifyInstance): ModelCalls {
  const get = async (url: string, query: Query = {}) => {
    const given = Object.entries(query).filter(([, value]) => value !== undefined) as [string, string][]
    return await app.inject({ url, query: Object.fromEntries(given) }) as unknown as Answer
  }
  return {
    register: async (request, headers = {}) => await app.inject({
      method: 'POST', url: '/models', headers: { 'content-type': 'application/json', ...headers }, payload: JSON.stringify(request)
    }) as unknown as Answer,
    list: async (query) => await get('/models', query),
    versions: async (name, query) => await get(`/models/${encodeURIComponent(name)}`, query),
    find: async (name, version) => await get(`/models/${encodeURIComponent(name)}/versions/${encodeURIComponent(version)}`),
    at: async (location) => await get(String(location))
  }
}

export const validModel = {
  model_name: 'sales-lead-scorer',
  version: '3',
  token_id: 'sales-lead',
  metric_name: 'auroc',
  baseline_value: 0.71,
  current_value: 0.83
}
