import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { freePort, startRedis } from './redis-server.ts'
import type { RedisServer, Teardown } from './redis-server.ts'
import { temporaryDirectory } from './temporary.ts'
import { until } from './until.ts'

export const root = resolve(import.meta.dirname, '../..')

export interface Block {
  language: string
  code: string
  /** What a comment before it says that it needs and a test has not: AWS, Docker… */
  needs: string | null
}

/** @param file from the root of the repository */
export function readDocument (file: string): string {
  return readFileSync(join(root, file), 'utf8')
}

export function blocksOf (document: string): Block[] {
  return [...document.matchAll(/(?:<!-- needs ([\w ]+) -->\n)?^```(\w*)\n(.*?)^```/gms)]
    .map(([, needs, language, code]) => ({ language: language!, code: code!, needs: needs ?? null }))
}

export function shellBlocks (document: string): Block[] {
  return blocksOf(document).filter(({ language }) => language === 'sh' || language === 'bash')
}

/** Shell that a test can run as it stands there. */
export function toRun (document: string): string[] {
  return shellBlocks(document).filter(({ needs }) => needs === null).map(({ code }) => code)
}

/** Links that lead nowhere: to no file, or to no heading of it. */
export function deadLinks (file: string): string[] {
  const document = readDocument(file).replaceAll(/^```.*?^```/gms, '')
  return [...document.matchAll(/\]\((?!https?:)([^)#\s]*)(#[^)\s]+)?\)/g)].flatMap(([, target, anchor]) => {
    const path = target === '' ? file : join(dirname(file), target!)
    if (!existsSync(join(root, path))) return [target!]
    return anchor === undefined || headingsOf(path).includes(anchor) ? [] : [`${target}${anchor}`]
  })
}

function headingsOf (file: string): string[] {
  return [...readDocument(file).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => `#${heading!.toLowerCase().replaceAll(/[^\w -]/g, '').replaceAll(' ', '-')}`)
}

/** In a shell where `npx breakwater` and `npm run` are the commands of this clone. @returns standard output; rejects unless every command ends with 0 */
export async function shell (code: string, cwd: string, env: Record<string, string>): Promise<string> {
  const functions = [
    'set -eu; unset NODE_OPTIONS',
    `npx () { shift; node '${root}/scripts/breakwater.ts' "$@"; }`,
    `npm () { [ "$1 $2" = 'run --silent' ]; local script="$3"; shift 3; [ "\${1-}" != -- ] || shift; node "${root}/scripts/$script.ts" "$@"; }`
  ]
  const child = spawn('bash', ['-c', `${functions.join('\n')}\n${code}`], { cwd, env: { PATH: process.env.PATH ?? '', HOME: cwd, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve))
  const [stdout, stderr, exitCode] = await Promise.all([text(child.stdout), text(child.stderr), exited])
  if (exitCode !== 0) throw new Error(`${code}\nended with ${exitCode}:\n${stdout}${stderr}`)
  return stdout
}

export interface World {
  redis: RedisServer
  cwd: string
  /** A command of the documents, with the addresses of this world. */
  local (code: string): string
}

/** The service with a key, its Redis, and a scorer beside it: what the documents call models.example.com and so on. */
export async function startWorld (t: Teardown, key: string): Promise<World> {
  const redis = await startRedis(t)
  const cwd = await temporaryDirectory(t)
  const url = await startService(t, { REDIS_URL: redis.url, DATABASE_URL: `sqlite:${cwd}/store.db`, API_KEYS: `deploy:write:${createHash('sha256').update(key).digest('hex')}` })
  const scorer = await startScorer(t)
  const local = (code: string) => code.replaceAll('https://models.example.com', url).replaceAll('redis://cache.example.com:6379', redis.url).replaceAll('https://scorer.example.com', scorer)
  return { redis, cwd, local }
}

async function startService (t: Teardown, env: Record<string, string>): Promise<string> {
  const port = await freePort()
  const child = spawn(process.execPath, [join(root, 'server.ts')], { env: { PATH: process.env.PATH ?? '', PORT: String(port), LOG_LEVEL: 'silent', DRAIN_MS: '0', ...env }, stdio: 'ignore' })
  const exit = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exit
  })
  const url = `http://127.0.0.1:${port}`
  await until(() => fetch(`${url}/health`).then(async (response) => (await response.json() as { status: string }).status === 'healthy', () => false))
  return url
}

async function startScorer (t: Teardown): Promise<string> {
  const scorer = createServer((_request, response) => response.end('{"score":0.93}'))
  scorer.listen(0, '127.0.0.1')
  await once(scorer, 'listening')
  t.teardown(() => {
    scorer.closeAllConnections()
    scorer.close()
  })
  return `http://127.0.0.1:${(scorer.address() as AddressInfo).port}`
}
