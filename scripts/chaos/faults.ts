import { setTimeout as delay } from 'node:timers/promises'
import type { Fault } from '../../test/helpers/fault-proxy.ts'
import type { FaultName, PlannedFault } from './plan.ts'
import type { ServiceProcess } from './service-process.ts'
import type { World } from './world.ts'

type Inflict = (world: World, fault: PlannedFault) => Promise<void>

/** What each fault of the plan does. It ends with the world as it was, but for what was lost. */
const INFLICT: Record<FaultName, Inflict> = {
  'kill service': async (world, { target }) => await restart(world.service(target)),
  'kill leader': async (world, { target }) => await restart(await world.leader(target)),
  'kill all services': async ({ services }) => {
    await Promise.all(services.map((service) => service.kill()))
    await Promise.all(services.map((service) => service.start()))
  },
  'freeze service': async (world, { target, durationMs }) => await freeze(world.service(target), durationMs),
  'freeze leader': async (world, { target, durationMs }) => await freeze(await world.leader(target), durationMs),
  'drain service': async (world, { target }) => await drain(world, world.service(target)),
  'rolling restart': async (world) => {
    for (const service of world.services) await drain(world, service)
  },
  'clock step': async (world, { target, amount, durationMs }) => {
    const service = world.service(target)
    await service.stepClock(Math.round((amount * 6 - 3) * world.plan.leaseMs))
    await delay(durationMs)
    if (amount < 0.5) await service.stepClock(0)
  },
  'disk full': async (world, { target, durationMs }) => {
    const service = world.service(target)
    await service.fillDisk()
    await delay(durationMs)
    await service.emptyDisk()
  },
  'kill Redis': async ({ redis }, { durationMs }) => {
    const { master } = redis
    await master.kill()
    await delay(durationMs / 4)
    await master.restart()
  },
  'freeze Redis': async ({ redis }, { durationMs }) => await freeze(redis.master, durationMs),
  'failover with lag': async ({ redis }, { amount }) => await redis.failOver(150 + amount * 250),
  'read-only Redis': async ({ redis: { master } }, { durationMs }) => {
    await master.cli('replicaof', '127.0.0.1', 1)
    await delay(durationMs)
    await master.cli('replicaof', 'no', 'one')
  },
  'out of memory': async ({ redis: { master } }, { durationMs }) => await configured(master, 'maxmemory', '1mb', '0', durationMs),
  'scripts flushed': async ({ redis: { master } }) => await master.cli('script', 'flush'),
  'loading Redis': async ({ redis }, { durationMs }) => await redis.restartLoading(durationMs),
  'saves fail': async ({ redis }, { durationMs }) => {
    await redis.breakSaves()
    await delay(durationMs)
    await redis.mendSaves()
  },
  'replicas missing': async ({ redis: { master } }, { durationMs }) => await configured(master, 'min-replicas-to-write', '5', '0', durationMs),
  'flush Redis': async ({ redis }) => await redis.flush(),
  'Redis returns empty': async ({ redis }) => await redis.returnEmpty(),
  'replies dropped': async (world, { target, amount, durationMs }) => {
    const line = await world.line(target)
    line.dropReplies(1 + Math.floor(amount * 8))
    await delay(durationMs)
    line.dropReplies(0)
  },
  blackhole: onLine('blackhole'),
  'replies swallowed': onLine('swallow-replies'),
  'requests swallowed': onLine('swallow-requests'),
  stall: onLine('stall'),
  'commands arrive late': async (world, { target, durationMs }) => {
    const line = await world.line(target)
    line.holdConnections()
    await delay(400 + durationMs)
    line.release()
  },
  'hang up': onLine('hang-up'),
  'kill database': async ({ database }, { durationMs }) => {
    await database!.kill()
    await delay(durationMs / 2)
    await database!.restart()
  },
  'freeze database': async ({ database }, { durationMs }) => await freeze(database!, durationMs),
  'kill consumer': async (world, { target }) => {
    const consumer = world.consumer(target)
    await consumer.kill()
    consumer.start()
  },
  'freeze consumer': async (world, { target, durationMs }) => await freeze(world.consumer(target), durationMs),
  'drain consumer': async (world, { target }) => {
    const consumer = world.consumer(target)
    await consumer.drain()
    consumer.start()
  }
}

/** Lets one fault happen, and returns when it is over. */
export async function inflict (world: World, fault: PlannedFault): Promise<void> {
  await INFLICT[fault.name](world, fault)
}

async function restart (service: ServiceProcess): Promise<void> {
  await service.kill()
  await service.start()
}

async function drain (world: World, service: ServiceProcess): Promise<void> {
  if (!await service.drain()) world.complain(`${service.name} did not end within 10 s of SIGTERM`)
  await service.start()
}

async function freeze (target: { freeze (): void, thaw (): void }, durationMs: number): Promise<void> {
  target.freeze()
  await delay(durationMs)
  target.thaw()
}

async function configured (
  master: { cli (...command: (string | number)[]): Promise<unknown> }, name: string, during: string, after: string, durationMs: number
): Promise<void> {
  await master.cli('config', 'set', name, during)
  await delay(durationMs)
  await master.cli('config', 'set', name, after)
}

function onLine (fault: Fault): Inflict {
  return async (world, { target, durationMs }) => {
    const line = await world.line(target)
    line.fault = fault
    await delay(durationMs)
    line.fault = 'pass'
  }
}
