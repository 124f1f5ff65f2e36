import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { Evidence } from '../../services/deployment/verification/event-watch.ts'
import { readSmokeFile, readSmokeLine } from '../../services/deployment/verification/read-smoke-checks.ts'
import type { SmokeCheck } from '../../services/deployment/verification/smoke.ts'

export const USAGE = `Checks a deployment from outside: four health routes, the registration of a throwaway model, its event, and what you add.

  breakwater verify URL [options]

  --api-key-env NAME    environment variable that holds an API key with the scope write; a key on the command line would be seen by all
  --timeout S           of each request; default 5
  --no-register         no registration, hence no event: health and added checks only
  --token-id ID         of the throwaway model; default breakwater-verify
  --event HOW           redis: see it in Redis; api: ask GET /queue; auto (default): Redis where it can be reached from here, else the API
  --redis-url URL       default: REDIS_URL or REDIS_HOST and its companions; without a password, which belongs into REDIS_AUTH_TOKEN
  --queue NAME          default QUEUE_NAME, else hokusai:model_ready_queue
  --event-timeout S     default 30
  --check CHECK         'name=METHOD URL {json} -> STATUS body~regex'; METHOD, body, STATUS and regex can be left out; may be repeated
  --checks FILE         a JSON list of such checks
  --drill-begin COMMAND with --drill-end: an outage of Redis on purpose. This one cuts the service off from Redis,
  --drill-end COMMAND   this one ends that, whatever happened in between
  --drill-timeout S     for each command, for health to notice, and for the recovery; default 60
  --yes                 do not ask before a drill; needed where there is no terminal
  --json                one JSON document on standard output, and nothing else
  --help

The registered model stays: there is no way to delete one. Nothing is taken from the queue.
Exit code: 0 good, 1 bad or wrong usage, 2 warnings, such as degraded health.
`

const options = {
  'api-key-env': { type: 'string' },
  timeout: { type: 'string', default: '5' },
  'no-register': { type: 'boolean', default: false },
  'token-id': { type: 'string', default: 'breakwater-verify' },
  event: { type: 'string', default: 'auto' },
  'redis-url': { type: 'string' },
  queue: { type: 'string' },
  'event-timeout': { type: 'string', default: '30' },
  check: { type: 'string', multiple: true, default: [] as string[] },
  checks: { type: 'string' },
  'drill-begin': { type: 'string' },
  'drill-end': { type: 'string' },
  'drill-timeout': { type: 'string', default: '60' },
  yes: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false }
} as const

export interface VerifyFlags {
  url: string
  apiKey: string | null
  timeoutMs: number
  register: boolean
  tokenId: string
  evidence: Evidence
  redisUrl: string | null
  queue: string | null
  eventTimeoutMs: number
  checks: SmokeCheck[]
  drill: { begin: string, end: string, timeoutMs: number } | null
  yes: boolean
  json: boolean
}

const MAX_SECONDS = 86_400

/** The flags, `help`, or what is wrong with them. Reads the file of checks and the key. */
export function readFlags (args: string[], env: NodeJS.ProcessEnv): VerifyFlags | 'help' | { wrong: string } {
  try {
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true })
    if (values.help) return 'help'
    const seconds = (['timeout', 'event-timeout', 'drill-timeout'] as const).map((name) => milliseconds(name, values[name]))
    return {
      url: serviceUrl(positionals),
      apiKey: apiKey(values['api-key-env'], env),
      timeoutMs: seconds[0]!,
      register: !values['no-register'],
      tokenId: matching('--token-id', values['token-id'], /^[a-z0-9-]{1,64}$/),
      evidence: matching('--event', values.event, /^(auto|redis|api)$/) as Evidence,
      redisUrl: redisUrl(values['redis-url']),
      queue: values.queue ?? null,
      eventTimeoutMs: seconds[1]!,
      checks: [...values.check.map(readSmokeLine), ...values.checks === undefined ? [] : readSmokeFile(readFileSync(values.checks, 'utf8'), values.checks)],
      drill: drill(values['drill-begin'], values['drill-end'], seconds[2]!, values['no-register']),
      yes: values.yes,
      json: values.json
    }
  } catch (err) {
    return { wrong: (err as Error).message }
  }
}

function serviceUrl ([text, ...more]: string[]): string {
  if (text === undefined || more.length > 0) throw new Error('Give one URL: that of the service.')
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol)) throw new Error(`${JSON.stringify(text)} is no http or https URL.`)
  if (url.username !== '' || url.password !== '') throw new Error('The URL must hold no credentials: use --api-key-env.')
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '')
}

function apiKey (variable: string | undefined, env: NodeJS.ProcessEnv): string | null {
  if (variable === undefined) return null
  const key = env[variable]?.trim()
  if (key === undefined || key === '') throw new Error('--api-key-env must name an environment variable that holds the key; the one it names is not set.')
  return key
}

function redisUrl (text: string | undefined): string | null {
  if (text === undefined) return null
  if (text.includes('@')) throw new Error('--redis-url must hold no credentials: everybody on this machine can see a command line. Set REDIS_AUTH_TOKEN, or REDIS_URL.')
  return text
}

function matching (flag: string, text: string, form: RegExp): string {
  if (!form.test(text)) throw new Error(`${flag} must match ${form.source}.`)
  return text
}

function milliseconds (name: string, text: string): number {
  const seconds = Number(text)
  if (!(seconds > 0 && seconds <= MAX_SECONDS)) throw new Error(`--${name} must be a number of seconds above 0, at most ${MAX_SECONDS}.`)
  return seconds * 1000
}

function drill (begin: string | undefined, end: string | undefined, timeoutMs: number, noRegister: boolean): VerifyFlags['drill'] {
  if (begin === undefined && end === undefined) return null
  if (!begin || !end) throw new Error('A drill needs both --drill-begin and --drill-end: an outage that nothing ends is none to practise.')
  if (noRegister) throw new Error('A drill registers models: it does not go with --no-register.')
  return { begin, end, timeoutMs }
}
