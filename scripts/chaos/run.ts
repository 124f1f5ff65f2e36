import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Random } from '../../test/helpers/random.ts'
import { freePort, startRedis } from '../../test/helpers/redis-server.ts'
import type { RedisServer, Teardown } from '../../test/helpers/redis-server.ts'
import { Switchboard } from '../../test/helpers/switchboard.ts'
import { temporaryDirectory } from '../../test/helpers/temporary.ts'
import { until } from '../../test/helpers/until.ts'
import { Account } from './account.ts'

export interface ChaosOptions {
  seed: number
  rounds: number
  /** Writers post one registration after the other, each for itself. Default 6. */
  writers?: number
  say?: (line: string) => void
}

export interface ChaosResult {
  accepted: number
  queued: number
  faults: Record<string, number>
  problems: string[]
}

const FAULTS = ['kill service', 'kill Redis', 'kill both', 'freeze Redis', 'flush Redis', 'Redis returns empty', 'failover', 'none'] as const
type Fault = typeof FAULTS[number]

const QUEUE = 'hokusai:model_ready_queue'
const SCRIPT = join(import.meta.dirname, 'service.ts')
const AOF = ['--appendonly', 'yes', '--appendfsync', 'no', '--repl-diskless-sync-delay', '0']
const DRAIN_TIMEOUT_MS = 30_000

/** Rounds of traffic and one random fault each, on real processes; then an exact account of every message. */
export async function chaos (t: Teardown, { seed, rounds, writers = 6, say = () => {} }: ChaosOptions): Promise<ChaosResult> {
  const run = new ChaosRun(new Random(seed), await temporaryDirectory(t), say)
  t.teardown(() => run.end())
  await run.start(t)
  for (let round = 1; round <= rounds; round++) await run.round(round, writers)
  return await run.settle()
}

class ChaosRun {
  readonly #random: Random
  readonly #directory: string
  readonly #say: (line: string) => void
  readonly #account = new Account()
  readonly #versions = new Map<string, number>()
  readonly #faults: Record<string, number> = {}
  #redis!: RedisServer
  #teardown!: Teardown
  #switchboard!: Switchboard
  #service: ChildProcess | null = null
  #url = ''

  constructor (random: Random, directory: string, say: (line: string) => void) {
    this.#random = random
    this.#directory = directory
    this.#say = say
  }

  async start (t: Teardown): Promise<void> {
    this.#teardown = t
    this.#redis = await startRedis(t, { args: AOF })
    this.#switchboard = new Switchboard(this.#redis.port)
    await this.#switchboard.listen()
    await this.#startService()
  }

  async #startService (): Promise<void> {
    const port = await freePort()
    this.#url = `http://127.0.0.1:${port}`
    this.#service = spawn(process.execPath, [SCRIPT], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: {
        ...process.env,
        PORT: String(port),
        REDIS_URL: `redis://127.0.0.1:${this.#switchboard.port}`,
        DATABASE_URL: `sqlite:${join(this.#directory, 'chaos.db')}`,
        REDIS_COMMAND_TIMEOUT_MS: '300',
        REDIS_CONNECT_TIMEOUT_MS: '300',
        REDIS_BOOT_BUDGET_MS: '0'
      }
    })
    await until(() => fetch(this.#url).then(() => true, () => false))
  }

  async #killService (): Promise<void> {
    const exited = once(this.#service!, 'exit')
    this.#service!.kill('SIGKILL')
    await exited
  }

  async round (number: number, writers: number): Promise<void> {
    const fault = this.#random.pick(FAULTS)
    this.#faults[fault] = (this.#faults[fault] ?? 0) + 1
    const traffic = new AbortController()
    const posting = Array.from({ length: writers }, (_, index) => this.#write(`w${index}`, traffic.signal))
    try {
      await delay(20 + this.#random.below(150))
      await this.#inflict(fault)
      await delay(this.#random.below(150))
    } finally {
      traffic.abort()
      await Promise.all(posting)
    }
    this.#say(`round ${number}: ${fault}, ${this.#account.accepted} accepted so far`)
  }

  /** Posts versions one after the other until told to stop; a request that a kill interrupts has an unknown fate. */
  async #write (writer: string, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const version = (this.#versions.get(writer) ?? 0) + 1
      this.#versions.set(writer, version)
      const status = await fetch(`${this.#url}/models`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model_name: writer, version: String(version), token_id: 'chaos', metric_name: 'auc', baseline_value: 1 }),
        signal: AbortSignal.timeout(10_000)
      }).then((response) => response.status, () => null)
      this.#account.record(writer, version, status === 201 ? 'accepted' : 'unknown')
      if (status !== 201) await delay(20)
    }
  }

  async #inflict (fault: Fault): Promise<void> {
    switch (fault) {
      case 'kill service':
        await this.#killService()
        return await this.#startService()
      case 'kill Redis':
        await this.#redis.kill()
        await delay(this.#random.below(200))
        return await this.#redis.restart()
      case 'kill both':
        await Promise.all([this.#killService(), this.#redis.kill()])
        await this.#redis.restart()
        return await this.#startService()
      case 'freeze Redis':
        this.#redis.freeze()
        await delay(100 + this.#random.below(600))
        return this.#redis.thaw()
      case 'flush Redis':
        return await this.#redis.cli('flushall')
      case 'Redis returns empty':
        await this.#redis.kill()
        await rm(join(this.#redis.directory, 'appendonlydir'), { recursive: true, force: true })
        return await this.#redis.restart()
      case 'failover':
        return await this.#failOver()
      case 'none':
    }
  }

  /** The primary dies while its replica lags: what only the primary knew is gone, though it was acknowledged to the relay. */
  async #failOver (): Promise<void> {
    const primary = this.#redis
    const replication = new Switchboard(primary.port)
    await replication.listen()
    const replica = await startRedis(this.#teardown, { args: AOF })
    await replica.cli('replicaof', primary.host, replication.port)
    await until(async () => /master_link_status:up/.test(await replica.cli('info', 'replication')))
    await delay(20)
    replication.stall()
    await delay(30 + this.#random.below(100))
    await primary.stop()
    await replication.close()
    await replica.cli('replicaof', 'no', 'one')
    this.#redis = replica
    this.#switchboard.switchTo(replica.port)
  }

  async settle (): Promise<ChaosResult> {
    const queued = await this.#queueAtRest()
    return { accepted: this.#account.accepted, queued: queued.length, faults: this.#faults, problems: this.#account.settle(queued) }
  }

  /** The queue once nothing has changed for longer than a takeover and a check of an idle queue take. */
  async #queueAtRest (): Promise<{ writer: string, version: number }[]> {
    let length = -1
    let since = performance.now()
    await until(async () => {
      const now = await this.#redis.cli('llen', QUEUE)
      if (now !== length) [length, since] = [now, performance.now()]
      return performance.now() - since > 6500
    }, DRAIN_TIMEOUT_MS)
    const elements: string[] = await this.#redis.cli('lrange', QUEUE, 0, -1)
    return elements.reverse().map((element) => {
      const { payload } = JSON.parse(element)
      return { writer: payload.model_name, version: Number(payload.model_version) }
    })
  }

  async end (): Promise<void> {
    if (this.#service?.exitCode === null) await this.#killService()
    await this.#switchboard.close()
  }
}
