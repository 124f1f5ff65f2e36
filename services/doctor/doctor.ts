import { parseArgs } from 'node:util'
import type { Variables } from '../config/environment.ts'
import { asText as configurationAsText, examine } from '../config/report.ts'
import { examineConnection } from './connect/connect.ts'
import { connectionAsText } from './connect/text.ts'
import { examineFiles } from './examine.ts'
import { exitCodeOf } from './findings.ts'
import { asAnnotations, asText, reportOf } from './report.ts'

export const USAGE = `Finds what is wrong with a configuration before it is deployed. Secrets are never shown.

  doctor --print [--json]
      the configuration that the environment gives, and the variable behind every value (the default)
  doctor --task-definition FILE… [--ssm FILE…] [--service FILE…] [--container NAME] [--parameter NAME=VALUE…] [--json | --github]
      task definitions: input of register-task-definition, output of describe-task-definition, or a CloudFormation template (cdk synth)
      --ssm        parameters: output of aws ssm get-parameters or get-parameters-by-path
      --service    output of aws ecs describe-services or aws elbv2 describe-target-groups
      --container  the container that runs the service, where it does not have its variables or its name
      --parameter  value of a parameter of the template; without it the parameter's default
  doctor --connect [--json]
      connects to Redis as the environment says: DNS, TCP, TLS, AUTH, PING, role and permissions, each timed

  --json    as JSON, with nothing else on standard output
  --github  as annotations of GitHub Actions
  --help

Exit code: 0 good, 1 bad or wrong usage, 2 good with warnings. docs/doctor.md explains every finding.
`

export interface DoctorOutput {
  exitCode: 0 | 1 | 2
  stdout: string
  stderr: string
}

const options = {
  print: { type: 'boolean', default: false },
  connect: { type: 'boolean', default: false },
  'task-definition': { type: 'string', multiple: true, default: [] as string[] },
  ssm: { type: 'string', multiple: true, default: [] as string[] },
  service: { type: 'string', multiple: true, default: [] as string[] },
  container: { type: 'string' },
  parameter: { type: 'string', multiple: true, default: [] as string[] },
  json: { type: 'boolean', default: false },
  github: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false }
} as const

type Flags = ReturnType<typeof parseArgs<{ options: typeof options }>>['values']

/** Everything `doctor` does, without a process around it. */
export async function doctor (args: string[], env: Variables): Promise<DoctorOutput> {
  const flags = readFlags(args)
  if (typeof flags === 'string') return { exitCode: 1, stdout: '', stderr: `${flags}\n\n${USAGE}` }
  if (flags.help) return { exitCode: 0, stdout: USAGE, stderr: '' }
  if (hasFiles(flags)) return await examineFlags(flags)
  if (flags.connect) return await connect(flags.json, env)
  return print(flags.json, env)
}

function readFlags (args: string[]): Flags | string {
  try {
    const { values } = parseArgs({ args, options })
    return conflict(values) ?? values
  } catch (error) {
    return (error as Error).message
  }
}

function hasFiles (flags: Flags): boolean {
  return flags['task-definition'].length + flags.ssm.length + flags.service.length > 0
}

function conflict (flags: Flags): string | null {
  const files = hasFiles(flags)
  if ([flags.print, flags.connect, files].filter(Boolean).length > 1) return 'One of --print, --connect and files at a time.'
  if (flags.json && flags.github) return 'Either --json or --github.'
  if (!files && (flags.github || flags.container !== undefined || flags.parameter.length > 0)) return '--github, --container and --parameter go with --task-definition, --ssm or --service.'
  const wrong = flags.parameter.find((parameter) => !/^[A-Za-z0-9]+=/.test(parameter))
  return wrong === undefined ? null : '--parameter takes NAME=VALUE.'
}

function print (json: boolean, env: Variables): DoctorOutput {
  const report = examine(env)
  const exitCode = !report.valid ? 1 : report.warnings.length > 0 ? 2 : 0
  return { exitCode, stdout: json ? asJson(report) : configurationAsText(report), stderr: '' }
}

async function connect (json: boolean, env: Variables): Promise<DoctorOutput> {
  const report = await examineConnection(env)
  const exitCode = !report.valid ? 1 : report.steps.some(({ state }) => state === 'warning') ? 2 : 0
  return { exitCode, stdout: json ? asJson(report) : connectionAsText(report), stderr: '' }
}

async function examineFlags (flags: Flags): Promise<DoctorOutput> {
  const findings = await examineFiles({
    taskDefinitions: flags['task-definition'],
    parameters: flags.ssm,
    services: flags.service,
    container: flags.container ?? null,
    templateParameters: Object.fromEntries(flags.parameter.map((parameter) => [parameter.slice(0, parameter.indexOf('=')), parameter.slice(parameter.indexOf('=') + 1)]))
  })
  const report = reportOf(findings)
  const stdout = flags.json ? asJson(report) : flags.github ? asAnnotations(report) : asText(report)
  return { exitCode: exitCodeOf(findings), stdout, stderr: '' }
}

function asJson (report: unknown): string {
  return `${JSON.stringify(report, null, 2)}\n`
}
