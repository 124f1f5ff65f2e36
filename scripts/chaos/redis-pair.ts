import { mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { FaultProxy } from '../../test/helpers/fault-proxy.ts'
import { startRedis } from '../../test/helpers/redis-server.ts'
import type { RedisServer, Teardown } from '../../test/helpers/redis-server.ts'
import { until } from '../../test/helpers/until.ts'
import { AGE_KEY, PROMOTED_KEY } from './history.ts'

/**
 * The append-only file is the record that the account is made of: commands from the first byte (no preamble), never rewritten by itself.
 * `no` fsync: what the server has written survives its kill, and only a power cut would show the difference.
 */
const ARGUMENTS = ['--appendonly', 'yes', '--appendfsync', 'no', '--aof-use-rdb-preamble', 'no', '--auto-aof-rewrite-percentage', '0',
  '--repl-diskless-sync-delay', '0', '--proto-max-bulk-len', '1mb']
const SYNC_TIMEOUT_MS = 15_000

/** A server's record: `fresh` where it began with nothing, after others had something. */
export interface Segment { directory: string, fresh: boolean }

/** Master and replica, with a line of its own, that faults can befall, for each who speaks to the master. */
export class RedisPair {
  readonly #t: Teardown
  readonly #lines: FaultProxy[] = []
  #segments: Segment[] = []
  #master!: RedisServer
  #replica: RedisServer | null = null
  #replication: FaultProxy | null = null
  #ages = 0

  private constructor (t: Teardown) { this.#t = t }

  static async start (t: Teardown): Promise<RedisPair> {
    const pair = new RedisPair(t)
    pair.#master = await startRedis(t, { args: ARGUMENTS })
    pair.#segments = [{ directory: pair.#master.directory, fresh: false }]
    t.teardown(() => pair.#close())
    await pair.attachReplica()
    return pair
  }

  get master (): RedisServer { return this.#master }

  /** The records of the line of servers that survived, oldest first. */
  get segments (): readonly Segment[] { return this.#segments }

  async newLine (): Promise<FaultProxy> {
    const line = new FaultProxy(this.#master.port)
    await line.listen()
    this.#lines.push(line)
    return line
  }

  async attachReplica (): Promise<void> {
    this.#replication?.close()
    this.#replication = new FaultProxy(this.#master.port)
    await this.#replication.listen()
    this.#replica = await startRedis(this.#t, { args: ARGUMENTS })
    await this.#replica.cli('replicaof', '127.0.0.1', this.#replication.port)
  }

  /** The replica is in step, and its own record is in one piece. */
  async #inStep (): Promise<boolean> {
    const replication = await this.#replica!.cli('info', 'replication')
    const persistence = await this.#replica!.cli('info', 'persistence')
    return /master_link_status:up/.test(replication) && /aof_rewrite_in_progress:0/.test(persistence) &&
      /aof_rewrite_scheduled:0/.test(persistence) && /aof_last_bgrewrite_status:ok/.test(persistence)
  }

  /** The replica has everything that the master has. For moments without traffic. */
  async caughtUp (): Promise<void> {
    const offset = async (server: RedisServer, name: string) => new RegExp(`${name}:(\\d+)`).exec(await server.cli('info', 'replication'))?.[1]
    await until(async () => await this.#inStep() && await offset(this.#master, 'master_repl_offset') === await offset(this.#replica!, 'slave_repl_offset'), SYNC_TIMEOUT_MS)
  }

  /**
   * The master dies while its replica lags: what only the master knew is gone, though it was acknowledged to the relay.
   * `meanwhile` is what happens during the lag.
   */
  async failOver (lagMs: number, meanwhile: () => Promise<void> = async () => {}): Promise<void> {
    await until(() => this.#inStep(), SYNC_TIMEOUT_MS)
    this.#replication!.fault = 'blackhole'
    await Promise.all([delay(lagMs), meanwhile()])
    await this.#master.kill()
    this.#replication!.close()
    await this.#replica!.cli('replicaof', 'no', 'one')
    await this.#replica!.cli('set', PROMOTED_KEY, 1)
    this.#master = this.#replica!
    this.#segments.push({ directory: this.#master.directory, fresh: false })
    for (const line of this.#lines) line.switchTo(this.#master.port)
    await this.attachReplica()
  }

  async flush (): Promise<void> {
    await this.#master.cli('eval', "redis.call('FLUSHALL') redis.call('SET', KEYS[1], ARGV[1])", 1, AGE_KEY, ++this.#ages)
  }

  /** Master and replica come back with nothing, as a cache without persistence does. */
  async returnEmpty (): Promise<void> {
    await Promise.all([this.#master.kill(), this.#replica!.stop()])
    const { directory } = this.#master
    const kept = join(directory, `lost-${++this.#ages}`)
    await mkdir(kept)
    await rename(join(directory, 'appendonlydir'), join(kept, 'appendonlydir'))
    this.#segments.at(-1)!.directory = kept
    this.#segments.push({ directory, fresh: true })
    await this.#master.restart()
    await this.#master.cli('set', AGE_KEY, this.#ages)
    await rm(join(this.#replica!.directory, 'appendonlydir'), { recursive: true, force: true })
    await this.attachReplica()
  }

  /** Background saves fail, so the server refuses writes (MISCONF) until one succeeds or nobody asks for saves. */
  async breakSaves (): Promise<void> {
    const file = join(this.#master.directory, 'dump.rdb')
    // One that was saved before the fault may lie there.
    await rm(file, { recursive: true, force: true })
    await mkdir(file)
    await this.#master.cli('config', 'set', 'save', '3600 1')
    await this.#master.cli('bgsave', 'schedule')
  }

  async mendSaves (): Promise<void> {
    await this.#master.cli('config', 'set', 'save', '')
    await rm(join(this.#master.directory, 'dump.rdb'), { recursive: true, force: true })
  }

  /** Loads its record slowly enough to be met while it does. */
  async restartLoading (loadingMs: number): Promise<void> {
    await this.#master.kill()
    await this.#master.restart(['--key-load-delay', '500', '--loading-process-events-interval-bytes', '1024'])
    await delay(loadingMs)
    await this.#master.cli('config', 'set', 'key-load-delay', '0')
    await until(() => this.#master.cli('ping').then(() => true, () => false))
  }

  /** All lines pass again. */
  heal (): void {
    for (const line of this.#lines) line.fault = 'pass'
  }

  #close (): void {
    this.#replication?.close()
    for (const line of this.#lines) line.close()
  }
}
