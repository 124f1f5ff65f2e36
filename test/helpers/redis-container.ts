import { GenericContainer } from 'testcontainers'
import { ContainerControl } from './container-control.ts'
import type { RedisServer, RedisServerOptions, Teardown } from './redis-server.ts'
import { freePort, runCommand } from './redis-server.ts'
import { until } from './until.ts'

/** Where no server is installed: the same real Redis, in a container. `REDIS_TEST_IMAGE` chooses another image. */
export async function startRedisContainer (t: Teardown, options: RedisServerOptions): Promise<RedisServer> {
  if (options.tls) throw new Error('TLS tests need a redis-server or valkey-server on the PATH')
  const host = '127.0.0.1'
  const port = options.port ?? await freePort()
  const started = await new GenericContainer(process.env.REDIS_TEST_IMAGE ?? 'redis:7')
    .withExposedPorts({ container: 6379, host: port })
    .withCommand(['redis-server', '--save', '', '--appendonly', 'no', ...options.args ?? []])
    .start()
  const container = new ContainerControl(started.getId())
  t.teardown(() => container.remove())
  const cli = async (...command: (string | number)[]) => await runCommand({ host, port, ...options.client }, command)

  return {
    host,
    port,
    url: `redis://${host}:${port}`,
    socketPath: '',
    directory: '',
    kill: async () => container.kill(),
    freeze: () => container.freeze(),
    thaw: () => container.thaw(),
    restart: async (extraArgs = []) => {
      if (extraArgs.length > 0) throw new Error('other arguments after a restart need a redis-server or valkey-server on the PATH')
      container.kill()
      container.start()
      await until(async () => await cli('ping').then(() => true, (err: Error) => err.name === 'ReplyError'))
    },
    stop: async () => container.kill(),
    cli
  }
}
