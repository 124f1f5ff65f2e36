import { setTimeout as delay } from 'node:timers/promises'
import type { ChainableCommander } from 'ioredis'
import { until } from '../../../helpers/until.ts'
import type { Call } from './account.ts'
import type { Subject } from './subject.ts'

/** What the client is doing when it happens. */
export interface Situation {
  name: string
  /** Sends something that is on its way when the fault begins; called twice, so that one has been executed and the other not. */
  launch? (subject: Subject): Call[]
  /** Before that. */
  arrange? (subject: Subject): Promise<unknown>
  /** From the end of the fault on, while the recovery is measured. Returns what is wrong. */
  conclude? (subject: Subject, endedAt: number): Promise<string[]>
}

/** A subscription may take its time: it has a connection of its own to restore. */
const DELIVERY_LIMIT_MS = 5000

function launchPipeline ({ account, guard }: Subject): Call[] {
  const ids = Array.from({ length: 5 }, () => account.nextId())
  const pipeline = guard.client.pipeline()
  for (const id of ids) pipeline.rpush(account.key, id)
  const results = replies(pipeline)
  return ids.map((id, index) => account.track('a write of a pipeline', results.then((all) => unwrap(all[index]!)), { ids: [id] }))
}

/** Neither rejects as a whole in the same way, so both are brought to the form of a pipeline's. */
async function replies (chain: ChainableCommander): Promise<[Error | null, unknown][]> {
  return await chain.exec() as [Error | null, unknown][]
}

function unwrap ([error, value]: [Error | null, unknown]): unknown {
  if (error !== null) throw error
  return value
}

function launchTransaction ({ account, guard }: Subject): Call[] {
  const ids = [account.nextId(), account.nextId()]
  const chain = guard.client.multi()
  for (const id of ids) chain.rpush(account.key, id)
  return [account.track('a transaction', replies(chain).then((all) => all.map(unwrap)), { ids })]
}

export const situations: readonly Situation[] = [
  { name: 'idle' },
  { name: 'read', launch: ({ account, guard }) => [account.track('a read', guard.client.lrange(account.key, 0, 3))] },
  { name: 'write', launch: (subject) => [subject.write(), subject.write()] },
  { name: 'pipeline', launch: launchPipeline },
  { name: 'MULTI', launch: launchTransaction },
  {
    name: 'blocking',
    async arrange (subject) {
      const { account, guard, world, commandTimeoutMs } = subject
      const forEver = guard.spawn('for-ever', { blocking: true })
      const bounded = guard.spawn('bounded', { blocking: true })
      await until(() => forEver.isHealthy() && bounded.isHealthy())
      subject.blocked = [
        account.track('BLPOP 0', forEver.client.blpop(`${account.key}:for-ever`, 0), { limitMs: null }),
        account.track('BLPOP 0.3', bounded.client.blpop(`${account.key}:bounded`, 0.3), { limitMs: 300 + commandTimeoutMs })
      ]
      const server = await world.primary()
      await until(async () => /blocked_clients:2/.test(await server.cli('info', 'clients')))
    },
    async conclude (subject) {
      const { account, world, guard } = subject
      const [forEver] = subject.blocked as [Call]
      subject.blockedAtEnd = forEver.endedAt !== null
      await subject.recovered
      const server = await world.primary()
      const again = guard.spawn('again', { blocking: true })
      // In a cluster one shard may be well before this one is.
      await until(() => again.client.exists(`${account.key}:for-ever`).then(() => true, () => false))
      const next = forEver.endedAt === null ? forEver : account.track('BLPOP 0 again', again.client.blpop(`${account.key}:for-ever`, 0), { limitMs: null })
      // What the server gives to a connection that is dead without its knowledge is lost, and the caller knows that it may be.
      const startedAt = performance.now()
      for (let element = 0; next.endedAt === null && performance.now() - startedAt < 1000; element++) {
        await server.cli('rpush', `${account.key}:for-ever`, element)
        await delay(20)
      }
      return next.failure === null && next.endedAt !== null ? [] : [`a blocking call gets nothing after the fault: ${next.failure?.code ?? 'it still waits'}`]
    }
  },
  {
    name: 'subscribed',
    async arrange (subject) {
      const { account, guard } = subject
      const client = guard.client.duplicate()
      subject.subscriber = client
      client.on('message', (_channel: string, message: string) => { subject.heard = message })
      await client.subscribe(`${account.key}:channel`)
      await until(async () => {
        await guard.client.publish(`${account.key}:channel`, 'before')
        return subject.heard === 'before'
      })
    },
    async conclude (subject, endedAt) {
      const { account, world } = subject
      const server = await world.primary()
      while (subject.heard !== 'after' && performance.now() - endedAt < DELIVERY_LIMIT_MS) {
        await server.cli('publish', `${account.key}:channel`, 'after').catch(() => {})
        await delay(5)
      }
      subject.deliveredMs = performance.now() - endedAt
      return subject.heard === 'after' ? [] : ['the subscription is lost']
    }
  }
]
