import { attempt, docker, inspect, stop, until } from './docker.ts'
import type { Report } from './report.ts'
import { Service } from './service.ts'
import { strict } from './world.ts'
import type { World } from './world.ts'

/** It runs with nothing writable but its volume, and stops as it should: with Redis, without Redis, and with everything kept. */
export async function running (world: World, report: Report): Promise<void> {
  const volume = await world.volume()
  const service = new Service(world)
  await service.startRedis()
  report.figure('milliseconds from docker run to the first answer', await service.start(volume))
  const answering = performance.now()
  await until('healthy', async () => (await inspect(service.name)).State.Health.Status === 'healthy')
  report.check('Docker calls it healthy', true)
  report.figure('milliseconds from the first answer to healthy', Math.round(performance.now() - answering))

  const first = await service.register('1')
  report.check('a model is registered', first.status === 201, first)
  report.check('its event is consumed by the image\'s own command', (await service.consume(1))[0] === first.id)
  await look(service, report)
  report.check('logs hold no secret', !(await docker(['logs', service.name])).includes(service.token))
  told('with Redis', await stop(service.name), report)

  await service.start(volume)
  report.check('the volume keeps what was registered', (await service.get('/models/verified/versions/1')).status === 200)
  await docker(['stop', service.redis])
  const second = await service.register('2')
  report.check('without Redis a model is registered', second.status === 201, second)
  told('without Redis', await stop(service.name), report)

  await docker(['start', service.redis])
  await service.start(volume)
  report.check('the event that had to wait arrives', (await service.consume(1))[0] === second.id)
}

function told (when: string, { exitCode, ms }: { exitCode: number, ms: number }, report: Report): void {
  report.check(`docker stop ${when}: exit code 0, not killed`, exitCode === 0, { exitCode })
  report.figure(`milliseconds to stop ${when}, of which 5000 are DRAIN_MS`, ms)
}

/** From inside, as the user of the service. */
async function look ({ name }: Service, report: Report): Promise<void> {
  const script = `
    const { writeFileSync, readFileSync } = require('node:fs')
    const tries = file => { try { writeFileSync(file, 'x'); return true } catch (err) { return err.code } }
    const status = readFileSync('/proc/self/status', 'utf8')
    console.log(JSON.stringify({ uid: process.getuid(), data: tries('/data/probe'), app: tries('/app/probe'), tmp: tries('/tmp/probe'),
      capabilities: /CapEff:\\s*(\\w+)/.exec(status)[1], noNewPrivileges: /NoNewPrivs:\\s*(\\d)/.exec(status)[1] }))`
  const seen = JSON.parse(await docker(['exec', name, 'node', '--eval', script]))
  report.check('its user writes /data and nothing else, and has no capability', JSON.stringify(seen) === JSON.stringify({
    uid: 10001, data: true, app: 'EROFS', tmp: 'EROFS', capabilities: '0000000000000000', noNewPrivileges: '1'
  }), seen)
  const memory = await docker(['stats', '--no-stream', '--format', '{{.MemUsage}}', name])
  report.figure('memory, idle', memory.split(' / ')[0]!)
}

/** What tini is for: signals to a process that handles none, and orphans. */
export async function firstProcess (world: World, report: Report): Promise<void> {
  const silent = await world.run(world.images.service, ['--network-alias', 'silent'], ['node', '--eval', "require('node:net').createServer(() => {}).listen(5432)"])
  const starting = await world.run(world.images.service, [...strict, '--env', 'AUTH_DISABLED=true', '--env', 'DATABASE_URL=postgres://x@silent/x'])
  await until('it starts', async () => (await docker(['logs', starting])).includes('Redis is disabled'))
  const during = await stop(starting)
  report.check('docker stop while it waits for its database: at once', during.exitCode === 143 && during.ms < 5000, during)
  const command = await stop(silent)
  report.check('docker stop of a command that handles no signal: at once', command.exitCode === 143 && command.ms < 5000, command)

  const parent = await world.run(world.images.service, strict, ['node', '--eval', 'setInterval(() => {}, 1000)'])
  const count = async () => Number(await docker(['exec', parent, 'node', '--print', "require('node:fs').readdirSync('/proc').filter(name => /^[0-9]+$/.test(name)).length"]))
  const before = await count()
  // The child outlives the process that started it, and ends a moment later.
  await docker(['exec', parent, 'node', '--eval', "require('node:child_process').spawn('sleep', ['3'], { detached: true, stdio: 'ignore' }).unref()"])
  const besides = await count()
  await until('the orphan is gone', async () => await count() === before, 10_000)
  report.check('an orphan that ended is reaped', besides > before, { before, besides })
  await attempt(['kill', parent])
}

/** The commands of the image. */
export async function commands (world: World, report: Report): Promise<void> {
  const run = async (...args: string[]) => await attempt(['run', '--rm', ...strict, ...args])
  const { service } = world.images
  report.check('breakwater --version', (await run(service, 'breakwater', '--version')).code === 0)
  const good = await run('--env', 'REDIS_URL=rediss://:token@cache.example.com', '--env', 'AUTH_DISABLED=true', service, 'breakwater', 'doctor', '--json')
  report.check('breakwater doctor: good', good.code === 0, { code: good.code })
  const bad = await run('--env', 'REDIS_URL=http://cache.example.com', '--env', 'AUTH_DISABLED=true', service, 'breakwater', 'doctor', '--json')
  report.check('breakwater doctor: bad', bad.code === 1 && (JSON.parse(bad.stdout) as { valid: boolean }).valid === false, { code: bad.code })
  const open = await run(service)
  report.check('without keys the service refuses to start', open.code === 1 && open.stdout.includes('FST_BRK_CONFIG_AUTH_REQUIRED'), { code: open.code })
}
