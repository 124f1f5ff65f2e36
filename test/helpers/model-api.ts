import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import errors, { problemServerOptions } from '../../plugins/errors.ts'
import store from '../../plugins/store.ts'
import modelRoutes from '../../routes/models/index.ts'

/** What a test needs of tap's `t`. */
interface Teardown { teardown (fn: () => unknown): void }

export interface ModelApi {
  app: FastifyInstance
  /** Envelopes in the journal, oldest first, parsed. */
  events (): Promise<any[]>
}

/** The registration API on a real SQLite store; nothing relays, so every event stays to be looked at. */
export async function startModelApi (t: Teardown, { maxRows = 10_000 } = {}): Promise<ModelApi> {
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
  return { app, events }
}

export const validModel = {
  model_name: 'sales-lead-scorer',
  version: '3',
  token_id: 'sales-lead',
  metric_name: 'auroc',
  baseline_value: 0.71,
  current_value: 0.83
}
