import { join } from 'node:path'
import { attempt, docker } from './docker.ts'
import type { Report } from './report.ts'
import type { World } from './world.ts'

const root = join(import.meta.dirname, '../..')
const UP_DEADLINE_MS = 600_000

/** `docker compose up` ends with a registered model consumed, twice in a row, and Redis speaks TLS to those with the token only. */
export async function compose (world: World, report: Report, runtimeImage: string | null): Promise<void> {
  const { service, redis, postgres } = world.images
  const options = {
    deadlineMs: UP_DEADLINE_MS,
    env: { BREAKWATER_IMAGE: service, REDIS_IMAGE: redis, POSTGRES_IMAGE: postgres, BREAKWATER_PORT: '0', ...runtimeImage === null ? {} : { RUNTIME_IMAGE: runtimeImage } }
  }
  const run = async (...args: string[]) => await docker(['compose', '--project-directory', root, '--project-name', world.name, ...args], options)
  try {
    for (const time of ['first', 'second']) {
      const start = performance.now()
      await run('up', '--detach')
      const id = await run('ps', '--all', '--quiet', 'demo')
      report.check(`${time} docker compose up: the model is registered and consumed`, await docker(['wait', id]) === '0')
      report.figure(`milliseconds of the ${time} docker compose up, images being there`, Math.round(performance.now() - start))
    }
    const printed = (await run('logs', '--no-log-prefix', '--no-color', 'consumer')).split('\n').filter(line => line.includes('"model_ready_to_deploy"'))
    report.check('the consumer printed both events', printed.length === 2, { events: printed.length })
    await secrets(run, report)
    const start = performance.now()
    await run('stop')
    report.figure('milliseconds of docker compose stop', Math.round(performance.now() - start))
    for (const name of ['service', 'consumer']) {
      const exitCode = await docker(['inspect', '--format', '{{.State.ExitCode}}', await run('ps', '--all', '--quiet', name)])
      report.check(`the ${name} ended with exit code 0`, exitCode === '0', { exitCode })
    }
  } finally {
    await attempt(['compose', '--project-directory', root, '--project-name', world.name, 'down', '--volumes', '--timeout', '5'], options)
  }
}

/** The generated values are in no container's description and in no log, and Redis insists on them. */
async function secrets (run: (...args: string[]) => Promise<string>, report: Report): Promise<void> {
  const cat = async (service: string, file: string) => await run('exec', '-T', service, 'node', '--print', `require('node:fs').readFileSync('/run/breakwater/${file}', 'utf8')`)
  const values = [...(await cat('service', 'service.env')).matchAll(/=(\S+)/g)].map(([, value]) => value!.replace(/^postgres:\/\/\w+:(\w+)@.*/, '$1'))
  const ids = (await run('ps', '--all', '--quiet')).split('\n')
  const told = [await docker(['inspect', ...ids]), await run('logs', '--no-color')].join('\n')
  report.check('no secret in descriptions of containers or in logs', values.length === 3 && !values.some(value => told.includes(value)), { secrets: values.length })
  const tls = ['redis-cli', '--tls', '--cacert', '/run/breakwater/ca.crt', '-h', 'redis']
  const ask = async (...command: string[]) => await run('exec', '-T', 'redis', 'sh', '-c', `${command.join(' ')} 2>&1 || true`)
  report.check('Redis refuses those without the token', /NOAUTH/.test(await ask(...tls, 'ping')))
  report.check('Redis refuses those without TLS', !/PONG|NOAUTH/.test(await ask('timeout', '3', 'redis-cli', '-h', 'redis', 'ping')))
}
