import { GenericContainer } from 'testcontainers'
import type { RedisServer, RedisServerOptions, Teardown } from './redis-server.ts'
import { freePort, runCommand } from './redis-server.ts'

/** Where no server is installed: the same real Redis, in a container. `REDIS_TEST_IMAGE` chooses another image. */
export async function startRedisContainer (t: Teardown, options: RedisServerOptions): Promise<RedisServer> {
  if (options.tls) throw new Error('TLS tests need a redis-server or valkey-server on the PATH')
  const host = '127.0.0.1'
  const port = options.port ?? await freePort()
  const container = await new GenericContainer(process.env.REDIS_TEST_IMAGE ?? 'redis:7')
    .withExposedPorts({ container: 6379, host: port })
    .withCommand(['redis-server', '--save', '', '--appendonly', 'no', ...options.args ?? []])
    .start()
  t.teardown(async () => { await container.stop({ timeout: 0 }) })
  const signal = (name: string) => { container.exec(['kill', `-${name}`, '1']).catch(() => {}) }

  return {
    host,
    port,
    url: `redis://${host}:${port}`,
    socketPath: '',
    directory: '',
    kill: async () => { await container.stop({ timeout: 0, remove: false }) },
    freeze: () => signal('STOP'),
    thaw: () => signal('CONT'),
    restart: async () => { await container.restart() },
    stop: async () => { await container.stop({ timeout: 0 }) },
    cli: async (...command) => await runCommand({ host, port, ...options.client }, command)
  }
}
