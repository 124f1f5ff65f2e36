import { monitorEventLoopDelay } from 'node:perf_hooks'
import { RedisTransport } from '../../services/relay/transport/redis-transport.ts'
import { plainConnection } from '../../test/helpers/plain-connection.ts'
import type { Teardown } from '../../test/helpers/redis-server.ts'
import { until } from '../../test/helpers/until.ts'
import { readBuried, readHandled, readHistory, readRedis, readRows } from './evidence.ts'
import type { History } from './history.ts'
import type { Ledger } from './ledger.ts'
import { judge } from './oracle.ts'
import type { Verdict } from './oracle.ts'
import { QUEUE } from './world.ts'
import type { World } from './world.ts'
import type { Writers } from './writers.ts'

export interface SettleOptions {
  t: Teardown
  world: World
  writers: Writers
  ledger: Ledger
  poison: Set<string>
  redeliveryExplained: boolean
}

export interface Settlement extends Verdict {
  /** From the end of the last fault until the queue had a fresh event and all before it. */
  recoveryMs: number
  recoveryBoundMs: number
  /** How far behind the queue was when the faults ended. */
  backlog: number
  /** From the acknowledgement of one more event until the queue had it, nothing else being under way. */
  freshMs: number
  freshBoundMs: number
  ages: number
  terms: number
  failovers: number
  /** By consumers, into the queue. */
  returned: number
  /** Lost by failovers, and repaired. */
  forgotten: number
  buried: number
  handled: number
}

const FRESH_MS = 2000
const DRAIN_PER_MS = 5
/** On a machine without time to spare even this process waits: the bounds grow by so many times its longest wait. */
const HICCUPS = 10
const PATIENCE_MS = 30_000
/** Clocks of the plan are off by up to so many leases, and a lease row keeps what it was given by such a clock. */
const SKEW_LEASES = 3

/** Ends all faults, measures the recovery, crashes everything once more, and holds what is found then against every promise. */
export async function settle ({ t, world, writers, ledger, poison, redeliveryExplained }: SettleOptions): Promise<Settlement> {
  await world.heal()
  const recovery = await recover(world, writers)
  for (const consumer of world.consumers) {
    if (!await consumer.drain()) world.complain(`${consumer.name} did not end within 10 s of SIGTERM`)
  }
  await world.crash()
  const { url } = world.services[0]!
  const pendingRows = await emptied(world)
  const problems = [...world.complaints, ...ended(world), ...timing(recovery)]
  const history = readHistory(world.redis.segments)
  const [rows, deadLetters, inRedis, handled] = [
    await readRows(world.services.map((service) => service.url), ledger), poison.size === 0 ? [] : await readBuried(url),
    await readRedis(world.redis.master, problems), await readHandled(world.handledFile)
  ]
  await lateBatch(t, world, history, problems)
  const verdict = judge({
    ledger, history, poison, inRedis, handled: world.plan.consumers ? handled : null, redeliveryExplained, rows, deadLetters, pendingRows
  })
  return {
    ...verdict,
    problems: [...problems, ...verdict.problems],
    ...recovery,
    ages: history.ages.length,
    terms: new Set(history.age.publishes.map(({ term }) => term)).size,
    failovers: world.redis.segments.filter(({ fresh: wiped }) => !wiped).length - 1,
    returned: history.returned,
    forgotten: history.forgotten,
    buried: deadLetters.length,
    handled: handled.size
  }
}

/** Nothing but the plan ends a process. */
function ended (world: World): string[] {
  return [...world.services, ...world.consumers].filter(({ crashes }) => crashes > 0).map(({ name, crashes }) => `${name} ended by itself, ${crashes} times`)
}

type Recovery = Pick<Settlement, 'recoveryMs' | 'recoveryBoundMs' | 'backlog' | 'freshMs' | 'freshBoundMs'>

async function recover (world: World, writers: Writers): Promise<Recovery> {
  const hiccups = monitorEventLoopDelay({ resolution: 10 })
  hiccups.enable()
  const begun = performance.now()
  await until(() => writers.fresh(), PATIENCE_MS)
  const backlog = await pending(world) ?? 0
  await emptied(world)
  const recoveryMs = Math.round(performance.now() - begun)
  await until(() => writers.fresh(), PATIENCE_MS)
  const acknowledged = performance.now()
  await emptied(world)
  const freshMs = Math.round(performance.now() - acknowledged)
  hiccups.disable()
  const freshBoundMs = FRESH_MS + Math.round(HICCUPS * hiccups.max / 1e6)
  const recoveryBoundMs = Math.round(freshBoundMs + world.plan.leaseMs * (4 / 3 + SKEW_LEASES) + backlog / DRAIN_PER_MS)
  return { recoveryMs, recoveryBoundMs, backlog, freshMs, freshBoundMs }
}

function timing ({ recoveryMs, recoveryBoundMs, freshMs, freshBoundMs }: Recovery): string[] {
  return [
    ...recoveryMs > recoveryBoundMs ? [`liveness: the queue was complete ${recoveryMs} ms after the faults, not ${recoveryBoundMs}`] : [],
    ...freshMs > freshBoundMs ? [`liveness: a fresh event took ${freshMs} ms, not ${freshBoundMs}`] : []
  ]
}

/** Waits until the journal says that everything is in the queue; what is still pending when patience ends. */
async function emptied (world: World): Promise<number> {
  const deadline = performance.now() + PATIENCE_MS
  let left: number | null = null
  await until(async () => {
    left = await pending(world)
    return left === 0 || performance.now() > deadline
  }, PATIENCE_MS + 5000)
  return left ?? -1
}

async function pending (world: World): Promise<number | null> {
  const states = await Promise.all(world.services.map((service) => service.state()))
  return states.find((state) => state !== null)?.pendingRows ?? null
}

/** What a leader that slept through its lease would still send: a batch of numbers that are taken. It must change nothing. */
async function lateBatch (t: Teardown, { redis: { master } }: World, { age }: History, problems: string[]): Promise<void> {
  const publish = age.publishes.find(({ count }) => count > 0)
  if (publish === undefined) return
  const connection = plainConnection(t, master.port)
  await until(() => connection.isHealthy())
  const before: number = await master.cli('llen', QUEUE)
  const { term, last } = publish
  const accepted = await new RedisTransport(connection, QUEUE).publish({ term, first: last, last, bodies: ['{"late":true}'], previous: null })
  const after: number = await master.cli('llen', QUEUE)
  if (!accepted || after !== before) problems.push(`fencing: a late batch of term ${term} changed the queue from ${before} to ${after} messages`)
}
