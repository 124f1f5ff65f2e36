import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import type { RedisOptions } from 'ioredis'

/** What a test needs of tap's `t`: a place to hang the clean-up. */
export interface Teardown { teardown (fn: () => unknown): void }

export interface RedisServerOptions {
  /** Extra `redis-server` arguments, for example `['--requirepass', 'x']`. */
  args?: string[]
  /** Listen here instead of on a free port. */
  port?: number
  /** Listen with TLS on `port` (no plain-text port then). */
  tls?: { certFile: string, keyFile: string, caFile: string }
  /** Connection options that the readiness check and `cli` need, such as a password. */
  client?: RedisOptions
  /** Return as soon as the process accepts connections, without waiting for a PONG. */
  skipReady?: boolean
}

/** A real Redis of the test's own: it can be killed, frozen and restarted without disturbing anybody. */
export interface RedisServer {
  readonly host: string
  readonly port: number
  readonly url: string
  readonly socketPath: string
  readonly directory: string
  /** `kill -9`; the port stays reserved for `restart()`. */
  kill (): Promise<void>
  /** SIGSTOP: the port accepts connections, nothing is answered. */
  freeze (): void
  thaw (): void
  /** Starts again on the same port with the same data directory. */
  restart (extraArgs?: string[]): Promise<void>
  stop (): Promise<void>
  /** One command on a connection of its own. */
  cli (...command: (string | number)[]): Promise<any>
}

const READY_TIMEOUT_MS = 10_000

/** The server binary on the PATH, or null where there is none. */
export function findRedisBinary (): string | null {
  for (const name of ['redis-server', 'valkey-server']) {
    if (spawnSync(name, ['--version']).status === 0) return name
  }
  return null
}

/** A port that was free a moment ago on the loopback interface. */
export async function freePort (): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Several at once, so that no two are the same. */
export async function freePorts (count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => once(server.close(), 'close')))
  return ports
}

export async function startRedis (t: Teardown, options: RedisServerOptions = {}): Promise<RedisServer> {
  const binary = findRedisBinary()
  if (binary === null) {
    // Imported only here: loading testcontainers takes longer than most tests.
    const { startRedisContainer } = await import('./redis-container.ts')
    return await startRedisContainer(t, options)
  }
  const directory = await mkdtemp(join(tmpdir(), 'breakwater-redis-'))
  const port = options.port ?? await freePort()
  const server = new LocalRedis(binary, port, directory, options)
  t.teardown(async () => {
    await server.stop()
    await rm(directory, { recursive: true, force: true })
  })
  await server.restart()
  return server
}

class LocalRedis implements RedisServer {
  readonly host = '127.0.0.1'
  readonly port: number
  readonly directory: string
  readonly #binary: string
  readonly #options: RedisServerOptions
  #process: ChildProcess | null = null

  constructor (binary: string, port: number, directory: string, options: RedisServerOptions) {
    this.#binary = binary
    this.port = port
    this.directory = directory
    this.#options = options
  }

  get url (): string { return `${this.#options.tls ? 'rediss' : 'redis'}://${this.host}:${this.port}` }

  get socketPath (): string { return join(this.directory, 'redis.sock') }

  async restart (extraArgs: string[] = []): Promise<void> {
    const { tls, args = [] } = this.#options
    const listen = tls
      ? ['--port', '0', '--tls-port', String(this.port), '--tls-cert-file', tls.certFile,
          '--tls-key-file', tls.keyFile, '--tls-ca-cert-file', tls.caFile, '--tls-auth-clients', 'no']
      : ['--port', String(this.port)]
    this.#process = spawn(this.#binary, [
      ...listen, '--bind', this.host, '--unixsocket', this.socketPath, '--dir', this.directory,
      '--save', '', '--appendonly', 'no', '--daemonize', 'no', ...args, ...extraArgs
    ], { stdio: 'ignore' })
    if (!this.#options.skipReady) await this.#untilReady()
  }

  async #untilReady (): Promise<void> {
    const deadline = Date.now() + READY_TIMEOUT_MS
    while (Date.now() < deadline) {
      if (this.#process?.exitCode !== null) throw new Error(`${this.#binary} exited with ${this.#process?.exitCode}`)
      try {
        await this.cli('ping')
        return
      } catch (err) {
        // An error reply is an answer: a server that demands a password or is loading is up.
        if (err instanceof Error && err.name === 'ReplyError') return
        await delay(10)
      }
    }
    throw new Error(`${this.#binary} on port ${this.port} did not answer within ${READY_TIMEOUT_MS} ms`)
  }

  async kill (): Promise<void> { await this.#end('SIGKILL') }

  async stop (): Promise<void> {
    this.thaw()
    await this.#end('SIGKILL')
  }

  freeze (): void { this.#process?.kill('SIGSTOP') }

  thaw (): void { this.#process?.kill('SIGCONT') }

  async #end (signal: NodeJS.Signals): Promise<void> {
    const child = this.#process
    this.#process = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill(signal)
    await exited
  }

  async cli (...command: (string | number)[]): Promise<any> {
    const tls = this.#options.tls ? { tls: { rejectUnauthorized: false } } : {}
    return await runCommand({ host: this.host, port: this.port, ...tls, ...this.#options.client }, command)
  }
}

/** Runs one command on a fresh connection, and gives up at the first failure. */
export async function runCommand (options: RedisOptions, command: (string | number)[]): Promise<any> {
  const client = new Redis({
    ...options,
    lazyConnect: true,
    enableReadyCheck: false,
    connectTimeout: 2000,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null
  })
  client.on('error', () => {})
  try {
    await client.connect()
    return await client.call(...command as [string, ...string[]])
  } finally {
    client.disconnect()
  }
}
