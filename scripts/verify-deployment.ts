import { readFileSync } from 'node:fs'
import { resolveRedisTarget } from '../services/config/redis/redis-target.ts'
import { failed, skipped, warned } from '../services/deployment/verification/check.ts'
import type { Check, Target } from '../services/deployment/verification/check.ts'
import { runDrill } from '../services/deployment/verification/drill.ts'
import { EventWatch } from '../services/deployment/verification/event-watch.ts'
import { checkHealth } from '../services/deployment/verification/health-checks.ts'
import { QueueView } from '../services/deployment/verification/queue-view.ts'
import { THROWAWAY_PREFIX, registerThrowaway } from '../services/deployment/verification/registration.ts'
import { runSmokeChecks } from '../services/deployment/verification/smoke.ts'
import { confirm } from './confirm.ts'
import { asJson, printable, say } from './text.ts'
import { USAGE, readFlags } from './verify/flags.ts'
import type { VerifyFlags } from './verify/flags.ts'
import { runCommand } from './verify/run-command.ts'

const DEFAULT_QUEUE = 'hokusai:model_ready_queue'
const EVENT_LOOK_MS = 250
const MARKS = { pass: 'ok  ', warn: 'WARN', fail: 'FAIL', skip: 'skip' }

/** @returns the exit code: 0 good, 1 bad, 2 warnings. */
export async function verify (args: string[], env: NodeJS.ProcessEnv): Promise<number> {
  const flags = readFlags(args, env)
  if (flags === 'help') return say(process.stdout, USAGE, 0)
  if ('wrong' in flags) return say(process.stderr, `${flags.wrong}\n\n${USAGE}`, 1)
  const interruption = new AbortController()
  const stop = () => interruption.abort()
  process.once('SIGINT', stop).once('SIGTERM', stop)
  try {
    if (!await drillAgreed(flags, interruption.signal)) return say(process.stderr, 'Nothing was done.\n', 1)
    return report(flags, await new Verification(flags, env, interruption.signal).run(), interruption.signal.aborted)
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop)
  }
}

/** One run; checks that need another one that failed are skipped, and say so. */
class Verification {
  readonly #flags: VerifyFlags
  readonly #env: NodeJS.ProcessEnv
  readonly #target: Target
  readonly #checks: Check[] = []

  constructor (flags: VerifyFlags, env: NodeJS.ProcessEnv, signal: AbortSignal) {
    this.#flags = flags
    this.#env = env
    this.#target = { url: flags.url, apiKey: flags.apiKey, timeoutMs: flags.timeoutMs, signal }
  }

  async run (): Promise<Check[]> {
    this.#add(...await checkHealth(this.#target))
    const alive = this.#checks.some(({ latencyMs }) => latencyMs !== null)
    if (!alive) this.#add(skipped('everything else', 'the service does not answer'))
    else {
      if (this.#flags.register) await this.#registration()
      this.#add(...await runSmokeChecks(this.#target, this.#flags.checks, this.#env))
    }
    return this.#checks
  }

  /** The listener stands before the model is registered: a consumer can be faster than any look. */
  async #registration (): Promise<void> {
    const { evidence, eventTimeoutMs, tokenId } = this.#flags
    const view = await this.#openView()
    if (view === 'unusable') return
    try {
      const watch = new EventWatch({ target: this.#target, view, evidence, timeoutMs: eventTimeoutMs, intervalMs: EVENT_LOOK_MS })
      const { check, registered } = await registerThrowaway(this.#target, { tokenId })
      this.#add(check, registered === null ? skipped('event', 'nothing was registered') : await watch.see(registered))
      if (this.#flags.drill !== null) await this.#drill(this.#flags.drill, watch)
    } finally {
      view?.close()
    }
  }

  async #drill ({ begin, end, timeoutMs }: NonNullable<VerifyFlags['drill']>, watch: EventWatch): Promise<void> {
    if (this.#checks.some(({ verdict }) => verdict === 'fail') || this.#target.signal.aborted) {
      this.#add(skipped('drill', 'no outage on top of what failed already'))
      return
    }
    const run = async (command: string) => await runCommand(command, timeoutMs)
    this.#add(...await runDrill({ target: this.#target, begin, end, run, timeoutMs, tokenId: this.#flags.tokenId, watch, onProgress: progress }))
  }

  async #openView (): Promise<QueueView | null | 'unusable'> {
    const { evidence, redisUrl, queue } = this.#flags
    if (evidence === 'api') return null
    const env = redisUrl === null ? this.#env : { ...this.#env, REDIS_HOST: undefined, REDIS_URL: redisUrl }
    const { target, errors } = resolveRedisTarget(env)
    if (target === null && evidence === 'auto' && errors.length === 0) return null
    if (target === null) {
      this.#add(failed('redis', errors.length === 0 ? '--event redis needs REDIS_URL or REDIS_HOST, or --redis-url' : errors.map(({ message }) => message).join(' ')))
      return 'unusable'
    }
    let view: QueueView | null = null
    try {
      const tls = env.REDIS_TLS_CA_FILE === undefined ? {} : { ca: readFileSync(env.REDIS_TLS_CA_FILE) }
      view = new QueueView({ target, queueName: queue ?? env.QUEUE_NAME ?? DEFAULT_QUEUE, tls }, THROWAWAY_PREFIX)
      await view.open()
      return view
    } catch (err) {
      view?.close()
      const reason = `cannot be reached from here: ${(err as Error).message}`
      if (evidence === 'redis') {
        this.#add(failed('redis', reason))
        return 'unusable'
      }
      this.#add(warned('redis', `${reason}; the journal's word is taken instead`))
      return null
    }
  }

  #add (...checks: Check[]): void {
    this.#checks.push(...checks)
    if (!this.#flags.json) for (const check of checks) process.stdout.write(line(check))
  }
}

async function drillAgreed ({ drill, yes, url }: VerifyFlags, signal: AbortSignal): Promise<boolean> {
  if (drill === null || yes) return true
  if (!process.stdin.isTTY) {
    process.stderr.write('Without a terminal to ask, a drill needs --yes.\n')
    return false
  }
  return await confirm(`Cut Redis off from ${url} now?`, signal)
}

function line ({ name, verdict, detail, latencyMs }: Check): string {
  const took = latencyMs === null ? '' : ` (${Math.round(latencyMs)} ms)`
  return `${MARKS[verdict]} ${printable(name)}: ${printable(detail)}${took}\n`
}

function report ({ url, json }: VerifyFlags, checks: Check[], interrupted: boolean): number {
  const has = (verdict: Check['verdict']) => checks.some((check) => check.verdict === verdict)
  const exitCode = has('fail') || interrupted ? 1 : has('warn') ? 2 : 0
  const verdict = interrupted ? 'interrupted' : ['good', 'bad', 'warnings'][exitCode]!
  const rows = checks.map(({ latencyMs, ...check }) => ({ ...check, latency_ms: latencyMs === null ? null : Math.round(latencyMs) }))
  return json ? say(process.stdout, asJson({ url, verdict, exit_code: exitCode, checks: rows }), exitCode) : say(process.stdout, `${url}: ${verdict}\n`, exitCode)
}

function progress (text: string): void {
  process.stderr.write(`${printable(text)}\n`)
}

if (import.meta.main) process.exitCode = await verify(process.argv.slice(2), process.env)
