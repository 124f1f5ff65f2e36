import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import type { FaultProxy } from '../../test/helpers/fault-proxy.ts'
import type { Teardown } from '../../test/helpers/redis-server.ts'
import { ManagedProcess } from './managed-process.ts'
import type { Plan } from './plan.ts'
import { RedisPair } from './redis-pair.ts'
import { ServiceProcess } from './service-process.ts'

export const QUEUE = 'hokusai:model_ready_queue'

/** A database server that can be killed and frozen. */
export interface DatabaseServer {
  readonly url: string
  kill (): Promise<void>
  restart (): Promise<void>
  freeze (): void
  thaw (): void
}

const SCRIPTS = join(import.meta.dirname, '..')
const HANDLER = join(import.meta.dirname, 'handler.ts')
const REDIS_PY = join(import.meta.dirname, 'redis_py_consumer.py')

/** All processes of an episode: Redis master and replica, database, services, consumers. */
export class World {
  readonly plan: Plan
  readonly directory: string
  readonly redis: RedisPair
  readonly database: DatabaseServer | null
  readonly services: ServiceProcess[] = []
  readonly consumers: ManagedProcess[] = []
  readonly handledFile: string
  readonly complaints: string[] = []
  #consumerLine!: FaultProxy

  private constructor (plan: Plan, directory: string, redis: RedisPair, database: DatabaseServer | null) {
    this.plan = plan
    this.directory = directory
    this.redis = redis
    this.database = database
    this.handledFile = join(directory, 'handled.log')
  }

  static async start (t: Teardown, plan: Plan, directory: string): Promise<World> {
    const [redis, database] = await Promise.all([RedisPair.start(t), plan.world === 'postgres' ? startDatabase(t) : null])
    const world = new World(plan, directory, redis, database)
    t.teardown(() => world.#end())
    await world.#startServices()
    if (plan.consumers) await world.#startConsumers()
    return world
  }

  async #startServices (): Promise<void> {
    const { plan: { leaseMs, retentionMs }, directory } = this
    for (let index = 1; index <= this.plan.services; index++) {
      const line = await this.redis.newLine()
      const databaseUrl = this.database?.url ?? `sqlite:${join(directory, 'chaos.db')}`
      this.services.push(new ServiceProcess({ index, directory, databaseUrl, line, leaseMs, retentionMs }))
    }
    await Promise.all(this.services.map((service) => service.start()))
  }

  async #startConsumers (): Promise<void> {
    this.#consumerLine = await this.redis.newLine()
    const url = `redis://127.0.0.1:${this.#consumerLine.port}`
    const logFile = (name: string) => join(this.directory, `${name}.log`)
    this.consumers.push(new ManagedProcess({
      name: 'consumer',
      command: process.execPath,
      args: [join(SCRIPTS, 'consume.ts'), '--handler', HANDLER, '--concurrency', '8', '--attempts', '3'],
      env: { REDIS_URL: url, CHAOS_HANDLED: this.handledFile },
      logFile: logFile('consumer')
    }))
    const python = findPython()
    if (python === null) this.complain('no python3 with redis-py here: apt-get install python3-redis')
    else {
      this.consumers.push(new ManagedProcess({
        name: 'redis-py', command: python, args: [REDIS_PY, url, QUEUE, this.handledFile], logFile: logFile('redis-py')
      }))
    }
    for (const consumer of this.consumers) consumer.start()
  }

  service (target: number): ServiceProcess { return this.services[target % this.services.length]! }

  consumer (target: number): ManagedProcess { return this.consumers[target % this.consumers.length]! }

  /** A line to Redis: three times of four the leader's, else of any service, or of the consumers. */
  async line (target: number): Promise<FaultProxy> {
    if (target % 4 > 0) return (await this.leader(target)).line
    const lines = [...this.services.map(({ line }) => line), ...this.consumers.length > 0 ? [this.#consumerLine] : []]
    return lines[(target >> 2) % lines.length]!
  }

  /** The service whose relay holds the lease, as far as it says so itself; else any. */
  async leader (target: number): Promise<ServiceProcess> {
    const states = await Promise.all(this.services.map((service) => service.state(200)))
    const index = states.findIndex((state) => state?.leader === true)
    return index === -1 ? this.service(target) : this.services[index]!
  }

  /** Something that should not have happened, whatever the account says. */
  complain (problem: string): void { this.complaints.push(problem) }

  /** No fault lasts: every line passes, every process runs, every clock is right. */
  async heal (): Promise<void> {
    this.redis.heal()
    this.redis.master.thaw()
    this.database?.thaw()
    for (const each of [...this.services, ...this.consumers]) each.thaw()
    for (const service of this.services) {
      await service.emptyDisk()
      await service.stepClock(0)
    }
    await this.revive()
  }

  /** What ended by itself runs again. Only a consumer may do that: where nobody handles its errors, that is how it behaves. */
  async revive (): Promise<void> {
    await Promise.all(this.services.map((service) => service.revive()))
    for (const consumer of this.consumers) if (!consumer.running) consumer.start()
  }

  /** kill -9 of everything that keeps anything; then Redis, the database and the services again. */
  async crash (): Promise<void> {
    await Promise.all([...this.services.map((service) => service.kill()), this.database?.kill(), this.redis.master.kill()])
    await Promise.all([this.database?.restart(), this.redis.master.restart()])
    await Promise.all(this.services.map((service) => service.start()))
  }

  async #end (): Promise<void> {
    await Promise.all([...this.services, ...this.consumers].map((each) => each.kill()))
  }
}

async function startDatabase (t: Teardown): Promise<DatabaseServer> {
  const { startPostgres } = await import('../../test/helpers/postgres-server.ts')
  // What the server has acknowledged must have left its own memory, or its kill would lose it: the page cache is enough.
  return await startPostgres(t)
}

export function findPython (): string | null {
  return ['/usr/bin/python3', 'python3'].find((name) => spawnSync(name, ['-c', 'import redis']).status === 0) ?? null
}
