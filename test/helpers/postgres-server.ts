import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Client } from 'pg'
import { freePort } from './redis-server.ts'
import type { Teardown } from './redis-server.ts'

export interface PostgresServerOptions {
  /** Demanded of every connection (SCRAM); default none is. */
  password?: string
  /** Commits reach the disk. Default false: tests that kill the server kill a process, not a machine. */
  fsync?: boolean
  /** More settings, such as `{ max_connections: '20' }`. */
  settings?: Record<string, string>
}

/** A real PostgreSQL of the test's own: it can be killed, frozen and restarted without disturbing anybody. */
export interface PostgresServer {
  readonly host: string
  readonly port: number
  /** With the password, where there is one. */
  readonly url: string
  /** SIGKILL to the server and all its children; resolves when they are gone. */
  kill (): Promise<void>
  /** SIGSTOP to all its processes: connections are accepted by the kernel, nothing is answered. */
  freeze (): void
  thaw (): void
  /** Starts again on the same port with the same data. */
  restart (): Promise<void>
  stop (): Promise<void>
  /** One statement, or several without values, on a connection of its own. Returns the rows. */
  query (text: string, values?: unknown[]): Promise<any[]>
}

const READY_TIMEOUT_MS = 20_000
const HOST = '127.0.0.1'
const ROLE = 'postgres'
const QUICK = { fsync: 'off', full_page_writes: 'off' }
const SMALL = { shared_buffers: '32MB', max_connections: '60', autovacuum_naptime: '5s', log_min_messages: 'panic' }

export async function startPostgres (t: Teardown, options: PostgresServerOptions = {}): Promise<PostgresServer> {
  const binaries = findPostgresBinaries()
  if (binaries === null) {
    // Imported only here: loading testcontainers takes longer than most tests.
    const { startPostgresContainer } = await import('./postgres-container.ts')
    return await startPostgresContainer(t, options)
  }
  const directory = await temporaryFolder()
  const server = new LocalPostgres(binaries, await freePort(), directory, options)
  t.teardown(async () => {
    await server.kill()
    await rm(directory, { recursive: true, force: true })
  })
  await cp(await template(binaries), join(directory, 'data'), { recursive: true, preserveTimestamps: true })
  own(directory)
  await server.restart()
  if (options.password !== undefined) await server.demandPassword(options.password)
  return server
}

/** The folder of `postgres` and `initdb`: on the PATH, or where Debian puts them, the newest first. Null where there is none. */
export function findPostgresBinaries (): string | null {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : []
  const folders = [...(process.env.PATH ?? '').split(':'), ...versions.map((version) => join(debian, version, 'bin'))]
  return folders.find((folder) => ['postgres', 'initdb'].every((name) => existsSync(join(folder, name)))) ?? null
}

/** PostgreSQL refuses to run as root: then it runs as `postgres`, or as `nobody`. */
const identity = process.getuid?.() === 0 ? userIds() : {}

function userIds (): { uid?: number, gid?: number } {
  const users = readFileSync('/etc/passwd', 'utf8').split('\n').map((line) => line.split(':'))
  const [, , uid, gid] = users.find(([name]) => name === 'postgres') ?? users.find(([name]) => name === 'nobody')!
  return { uid: Number(uid), gid: Number(gid) }
}

async function temporaryFolder (): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'breakwater-postgres-'))
  own(directory)
  return directory
}

function own (directory: string): void {
  if (identity.uid !== undefined) run('chown', ['-R', `${identity.uid}:${identity.gid}`, directory])
}

function run (command: string, args: string[], options = {}): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', ...options })
  if (status !== 0) throw new Error(`${command} failed: ${error?.message ?? stderr}`)
  return stdout
}

let templateFolder: Promise<string> | null = null

/** An empty cluster, made once in this process and copied for each server: a copy is ten times as fast. */
function template (binaries: string): Promise<string> {
  templateFolder ??= (async () => {
    const directory = await temporaryFolder()
    process.once('exit', () => { spawnSync('rm', ['-rf', directory]) })
    const data = join(directory, 'data')
    run(join(binaries, 'initdb'), ['-D', data, '-U', ROLE, '-A', 'trust', '-E', 'UTF8', '--no-locale', '--no-sync', '--no-instructions'],
      { ...identity, cwd: directory })
    return data
  })()
  return templateFolder
}

class LocalPostgres implements PostgresServer {
  readonly host = HOST
  readonly port: number
  readonly #binaries: string
  readonly #directory: string
  readonly #options: PostgresServerOptions
  #password: string | undefined
  #process: ChildProcess | null = null

  constructor (binaries: string, port: number, directory: string, options: PostgresServerOptions) {
    this.#binaries = binaries
    this.port = port
    this.#directory = directory
    this.#options = options
  }

  get url (): string {
    const password = this.#password === undefined ? '' : `:${encodeURIComponent(this.#password)}`
    return `postgres://${ROLE}${password}@${this.host}:${this.port}/postgres`
  }

  async restart (): Promise<void> {
    await this.kill()
    const settings = {
      ...SMALL,
      ...this.#options.fsync ? {} : QUICK,
      ...this.#options.settings,
      listen_addresses: this.host,
      port: String(this.port),
      unix_socket_directories: this.#directory
    }
    const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    const child = spawn(join(this.#binaries, 'postgres'), ['-D', join(this.#directory, 'data'), ...args],
      { ...identity, cwd: this.#directory, stdio: ['ignore', 'ignore', 'inherit'] })
    this.#process = child
    await this.#untilReady(child)
  }

  async #untilReady (child: ChildProcess): Promise<void> {
    const deadline = Date.now() + READY_TIMEOUT_MS
    for (;;) {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`postgres exited with ${child.exitCode ?? child.signalCode}`)
      try {
        await this.query('SELECT 1')
        return
      } catch (err) {
        if (Date.now() > deadline) throw err
        await delay(20)
      }
    }
  }

  /** The copy of the cluster trusts everybody: give the role a password, and ask for it from now on. */
  async demandPassword (password: string): Promise<void> {
    const client = await this.#connect()
    await client.query(`ALTER ROLE ${ROLE} PASSWORD ${client.escapeLiteral(password)}`)
    await client.query(`COPY (SELECT 'host all all ${this.host}/32 scram-sha-256') TO '${join(this.#directory, 'data', 'pg_hba.conf')}'`)
    await client.query('SELECT pg_reload_conf()')
    await client.end()
    this.#password = password
  }

  async kill (): Promise<void> {
    const child = this.#process
    this.#process = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    // Stopped first, so that it forks no more children while they are counted.
    child.kill('SIGSTOP')
    const children = childrenOf(child.pid!)
    for (const pid of [child.pid!, ...children]) signal(pid, 'SIGKILL')
    await exited
    const deadline = Date.now() + READY_TIMEOUT_MS
    while (children.some(isAlive)) {
      if (Date.now() > deadline) throw new Error('processes of the server do not end')
      await delay(5)
    }
  }

  async stop (): Promise<void> {
    const child = this.#process
    if (child === null) return
    this.thaw()
    const exited = once(child, 'exit')
    child.kill('SIGINT')
    await exited
    this.#process = null
  }

  freeze (): void {
    const pid = this.#process?.pid
    if (pid === undefined) return
    signal(pid, 'SIGSTOP')
    for (const child of childrenOf(pid)) signal(child, 'SIGSTOP')
  }

  thaw (): void {
    const pid = this.#process?.pid
    if (pid === undefined) return
    for (const child of [...childrenOf(pid), pid]) signal(child, 'SIGCONT')
  }

  async #connect (): Promise<Client> {
    const client = new Client({ connectionString: this.url, connectionTimeoutMillis: READY_TIMEOUT_MS })
    client.on('error', () => {})
    await client.connect()
    return client
  }

  async query (text: string, values: unknown[] = []): Promise<any[]> {
    const client = await this.#connect()
    try {
      return (await client.query(text, values)).rows
    } finally {
      await client.end()
    }
  }
}

/** Every backend leads a process group of its own, so signals go to each. */
function childrenOf (parent: number): number[] {
  const lines = run('ps', ['-A', '-o', 'pid=,ppid=']).trim().split('\n').map((line) => line.trim().split(/\s+/).map(Number))
  return lines.filter(([, ppid]) => ppid === parent).map(([pid]) => pid!)
}

function signal (pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'ESRCH') throw err
  }
}

/** A child whose parent died before it stays as a zombie where nobody reaps it; it holds nothing any more. */
function isAlive (pid: number): boolean {
  const { stdout } = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' })
  return stdout.trim() !== '' && !stdout.startsWith('Z')
}
