import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { compose } from './verify-image/compose.ts'
import { contents } from './verify-image/contents.ts'
import { docker } from './verify-image/docker.ts'
import { Report } from './verify-image/report.ts'
import { commands, firstProcess, running } from './verify-image/running.ts'
import { World } from './verify-image/world.ts'

const USAGE = `Builds the image and proves what docs/container.md says of it. Needs Docker; nothing that it starts is left behind.

  npm run verify:image -- [options]

  --base local     stand-ins made by scripts/verify-image/make-base-images.sh, where no image can be pulled
  --image NAME     look at this image instead of building one
  --ca FILE        certificate authority of a proxy, for the build
  --no-compose     leave out compose.yaml
  --json           the result as JSON, nothing else on standard output
  --help

DOCKER names another command than docker. Exit code: 0 good, 1 bad.
`

const options = {
  base: { type: 'string' },
  image: { type: 'string' },
  ca: { type: 'string' },
  'no-compose': { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false }
} as const

const root = join(import.meta.dirname, '..')
const local = { node: 'local/node:24-bookworm-slim', runtime: 'local/debian:bookworm-slim', redis: 'local/redis', postgres: 'local/postgres' }
const BUILD_DEADLINE_MS = 900_000

/** @returns the exit code: 0 good, 1 bad. */
export async function verifyImage (args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options })
  if (values.help) return say(USAGE, 0)
  const report = new Report(line => { (values.json ? process.stderr : process.stdout).write(`${line}\n`) })
  const isLocal = values.base === 'local'
  const image = values.image ?? 'breakwater:verify'
  const world = new World({ service: image, redis: isLocal ? local.redis : 'redis:7', postgres: isLocal ? local.postgres : 'postgres:17' })
  try {
    if (values.image === undefined) await report.part('Build', async () => { await build(image, isLocal, values.ca, report) })
    await world.open()
    await report.part('Contents', async () => { await contents(world, report) })
    await report.part('Commands', async () => { await commands(world, report) })
    await report.part('First process', async () => { await firstProcess(world, report) })
    await report.part('Running, and stopping', async () => { await running(world, report) })
    if (!values['no-compose']) await report.part('compose.yaml', async () => { await compose(world, report, isLocal ? local.runtime : null) })
  } finally {
    await world.close()
  }
  const { checks, figures, failed } = report
  return say(values.json ? `${JSON.stringify({ good: !failed, checks, figures })}\n` : `\n${failed ? 'bad' : 'good'}\n`, failed ? 1 : 0)
}

async function build (tag: string, isLocal: boolean, ca: string | undefined, report: Report): Promise<void> {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  const bases = isLocal ? { NODE_IMAGE: local.node, RUNTIME_IMAGE: local.runtime } : {}
  const args = Object.entries({ ...bases, VERSION: version, CREATED: new Date().toISOString() }).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`])
  const secret = ca === undefined ? [] : ['--secret', `id=ca,src=${ca}`]
  const start = performance.now()
  await docker(['build', ...args, ...secret, '--tag', tag, root], { deadlineMs: BUILD_DEADLINE_MS, env: { DOCKER_BUILDKIT: '1' } })
  report.check('it builds', true)
  report.figure('seconds to build', Math.round((performance.now() - start) / 1000))
}

function say (text: string, exitCode: number): number {
  process.stdout.write(text)
  return exitCode
}

if (import.meta.main) process.exitCode = await verifyImage(process.argv.slice(2))
