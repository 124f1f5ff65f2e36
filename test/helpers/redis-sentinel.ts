import { writeFile, mkdtemp, rm } from 'node:fs/promises'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findRedisBinary, freePort, runCommand, startRedis } from './redis-server.ts'
import type { RedisServer, RedisServerOptions, Teardown } from './redis-server.ts'
import { until } from './until.ts'

export const MASTER = 'main'

export interface Sentinel {
  readonly host: string
  readonly port: number
  kill (): Promise<void>
  restart (): Promise<void>
  cli (...command: (string | number)[]): Promise<any>
}

/** Real servers and real sentinels, which find out about each other and agree before this resolves (about 3 s). */
export interface SentinelWorld {
  readonly servers: RedisServer[]
  readonly sentinels: Sentinel[]
  /** Who is primary, as the sentinels see it. */
  primary (): Promise<RedisServer>
}

export interface SentinelOptions {
  /** For every server and, with a password, for what the sentinels present to them. */
  server?: RedisServerOptions & { password?: string }
  /** Demanded by the sentinels. */
  sentinelPassword?: string
  downAfterMs?: number
}

export async function startSentinels (t: Teardown, { server = {}, sentinelPassword, downAfterMs = 500 }: SentinelOptions = {}): Promise<SentinelWorld> {
  const { password, args = [], ...options } = server
  const auth = password === undefined ? [] : ['--requirepass', password, '--masterauth', password]
  const client = password === undefined ? {} : { password }
  const start = (extra: string[]) => startRedis(t, { ...options, args: [...args, ...auth, '--repl-diskless-sync-delay', '0', ...tlsForReplication(options), ...extra], client })
  const primary = await start([])
  const servers = [primary, await start(['--replicaof', primary.host, String(primary.port)]), await start(['--replicaof', primary.host, String(primary.port)])]
  await until(async () => /connected_slaves:2/.test(await primary.cli('info', 'replication')))
  const sentinels: LocalSentinel[] = []
  for (let index = 0; index < 3; index++) {
    const sentinel = new LocalSentinel(await freePort(), sentinelPassword, options.tls)
    t.teardown(() => sentinel.remove())
    await sentinel.prepare([
      `sentinel monitor ${MASTER} ${primary.host} ${primary.port} 2`,
      `sentinel down-after-milliseconds ${MASTER} ${downAfterMs}`,
      `sentinel failover-timeout ${MASTER} 3000`,
      ...password === undefined ? [] : [`sentinel auth-pass ${MASTER} ${password}`]
    ])
    sentinels.push(sentinel)
  }
  for (const sentinel of sentinels) {
    await until(async () => {
      const facts = await sentinel.facts()
      return facts.get('num-other-sentinels') === '2' && facts.get('num-slaves') === '2'
    })
  }
  return {
    servers,
    sentinels,
    async primary () {
      const counts = new Map<string, number>()
      for (const sentinel of sentinels) {
        const port = await sentinel.facts().then((facts) => facts.get('port')!, () => '')
        counts.set(port, (counts.get(port) ?? 0) + 1)
      }
      const [port] = [...counts].sort(([, one], [, other]) => other - one)[0]!
      return servers.find((one) => String(one.port) === port)!
    }
  }
}

function tlsForReplication ({ tls }: RedisServerOptions): string[] {
  return tls === undefined ? [] : ['--tls-replication', 'yes']
}

class LocalSentinel implements Sentinel {
  readonly host = '127.0.0.1'
  readonly port: number
  readonly #password: string | undefined
  readonly #tls: RedisServerOptions['tls']
  #directory = ''
  #process: ChildProcess | null = null

  constructor (port: number, password: string | undefined, tls: RedisServerOptions['tls']) {
    this.port = port
    this.#password = password
    this.#tls = tls
  }

  async prepare (lines: string[]): Promise<void> {
    this.#directory = await mkdtemp(join(tmpdir(), 'breakwater-sentinel-'))
    const listen = this.#tls === undefined
      ? [`port ${this.port}`]
      : ['port 0', `tls-port ${this.port}`, `tls-cert-file ${this.#tls.certFile}`, `tls-key-file ${this.#tls.keyFile}`, `tls-ca-cert-file ${this.#tls.caFile}`, 'tls-auth-clients no', 'tls-replication yes']
    const own = this.#password === undefined ? [] : [`requirepass ${this.#password}`, `sentinel sentinel-pass ${this.#password}`]
    await writeFile(join(this.#directory, 'sentinel.conf'), [...listen, `bind ${this.host}`, `dir ${this.#directory}`, ...lines, ...own, ''].join('\n'))
    await this.restart()
  }

  async restart (): Promise<void> {
    this.#process = spawn(findRedisBinary()!, [join(this.#directory, 'sentinel.conf'), '--sentinel'], { stdio: 'ignore' })
    await until(() => this.cli('ping').then(() => true, () => false))
  }

  async kill (): Promise<void> {
    const child = this.#process
    this.#process = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }

  async remove (): Promise<void> {
    await this.kill()
    await rm(this.#directory, { recursive: true, force: true })
  }

  async cli (...command: (string | number)[]): Promise<any> {
    return await runCommand({ host: this.host, port: this.port, ...this.#tls === undefined ? {} : { tls: { rejectUnauthorized: false } }, ...this.#password === undefined ? {} : { password: this.#password } }, command)
  }

  async facts (): Promise<Map<string, string>> {
    const reply = await this.cli('sentinel', 'master', MASTER) as string[]
    return new Map(reply.flatMap((name, index) => index % 2 === 0 ? [[name, reply[index + 1]!] as const] : []))
  }
}
