import { parseArgs } from 'node:util'

export const USAGE = `Deploys an earlier revision of an ECS service, waits until it is stable and healthy, or returns to what ran before.

  breakwater rollback --cluster NAME --service NAME --revision REVISION [options]

  --cluster NAME        name or ARN
  --service NAME        name or ARN
  --revision REVISION   41, family:41, the ARN of a task definition, or previous: what completed before that which runs
  --region REGION       default: AWS_REGION, or the profile's
  --health-url URL      asked after the deployment until it is good three times in a row; best the load balancer's /health/alb
  --health-timeout S    default 60
  --timeout S           for the deployment to become stable, and once more for a return; default 900
  --interval S          between two looks; default 5
  --dry-run             show what would change, and change nothing
  --yes                 do not ask; needed where there is no terminal
  --json                one JSON document on standard output; progress stays on standard error
  --help

Credentials come from where the AWS CLI finds them. Interrupted, it changes nothing more and says what is left; run again, it goes on.
Exit code: 0 good, 1 bad, or not rolled back, or wrong usage, 2 rolled back with warnings.
`

const options = {
  cluster: { type: 'string' },
  service: { type: 'string' },
  revision: { type: 'string' },
  region: { type: 'string' },
  'health-url': { type: 'string' },
  'health-timeout': { type: 'string', default: '60' },
  timeout: { type: 'string', default: '900' },
  interval: { type: 'string', default: '5' },
  'dry-run': { type: 'boolean', default: false },
  yes: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false }
} as const

export interface RollbackFlags {
  cluster: string
  service: string
  revision: string
  region: string | undefined
  healthUrl: string | null
  healthTimeoutMs: number
  timeoutMs: number
  intervalMs: number
  dryRun: boolean
  yes: boolean
  json: boolean
}

/** A day: more would be no bound. */
const MAX_SECONDS = 86_400

/** The flags, `help`, or what is wrong with them. */
export function readFlags (args: string[]): RollbackFlags | 'help' | { wrong: string } {
  try {
    const { values } = parseArgs({ args, options })
    if (values.help) return 'help'
    const { cluster, service, revision, region, yes, json, 'health-url': healthUrl = null, 'dry-run': dryRun } = values
    if (!cluster || !service || !revision) return { wrong: 'A rollback needs --cluster, --service and --revision.' }
    if (healthUrl !== null && !/^https?:\/\//.test(URL.parse(healthUrl)?.href ?? '')) return { wrong: '--health-url must be an http or https URL.' }
    const seconds = ['timeout', 'health-timeout', 'interval'] as const
    const wrong = seconds.find((name) => !(Number(values[name]) > 0 && Number(values[name]) <= MAX_SECONDS))
    if (wrong !== undefined) return { wrong: `--${wrong} must be a number of seconds above 0, at most ${MAX_SECONDS}.` }
    const [timeoutMs, healthTimeoutMs, intervalMs] = seconds.map((name) => Number(values[name]) * 1000) as [number, number, number]
    return { cluster, service, revision, region, healthUrl, healthTimeoutMs, timeoutMs, intervalMs, dryRun, yes, json }
  } catch (err) {
    return { wrong: (err as Error).message }
  }
}
