import { Client } from 'pg'
import { GenericContainer, Wait } from 'testcontainers'
import { ContainerControl } from './container-control.ts'
import type { PostgresServer, PostgresServerOptions } from './postgres-server.ts'
import { freePort } from './redis-server.ts'
import type { Teardown } from './redis-server.ts'
import { until } from './until.ts'

/** Where no server is installed: the same real PostgreSQL, in a container. `POSTGRES_TEST_IMAGE` chooses another image. */
export async function startPostgresContainer (t: Teardown, options: PostgresServerOptions): Promise<PostgresServer> {
  const host = '127.0.0.1'
  const port = await freePort()
  const { password, fsync = false, settings = {} } = options
  const args = Object.entries({ fsync: fsync ? 'on' : 'off', ...settings }).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const started = await new GenericContainer(process.env.POSTGRES_TEST_IMAGE ?? 'postgres:17')
    .withExposedPorts({ container: 5432, host: port })
    .withEnvironment(password === undefined ? { POSTGRES_HOST_AUTH_METHOD: 'trust' } : { POSTGRES_PASSWORD: password })
    .withCommand(['postgres', ...args])
    .withWaitStrategy(Wait.forLogMessage(/ready to accept connections/, 2))
    .start()
  const container = new ContainerControl(started.getId())
  t.teardown(() => container.remove())
  const credentials = password === undefined ? 'postgres' : `postgres:${encodeURIComponent(password)}`
  const url = `postgres://${credentials}@${host}:${port}/postgres`

  const query = async (text: string, values: unknown[] = []) => {
    const client = new Client({ connectionString: url, connectionTimeoutMillis: 5000 })
    client.on('error', () => {})
    await client.connect()
    try {
      return (await client.query(text, values)).rows
    } finally {
      await client.end()
    }
  }

  return {
    host,
    port,
    url,
    kill: async () => container.kill(),
    freeze: () => container.freeze(),
    thaw: () => container.thaw(),
    restart: async () => {
      container.kill()
      container.start()
      await until(async () => await query('SELECT 1').then(() => true, () => false))
    },
    stop: async () => container.stop(),
    query
  }
}
