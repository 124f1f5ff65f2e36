import { Client } from 'pg'
import { GenericContainer, Wait } from 'testcontainers'
import type { PostgresServer, PostgresServerOptions } from './postgres-server.ts'
import { freePort } from './redis-server.ts'
import type { Teardown } from './redis-server.ts'

/** Where no server is installed: the same real PostgreSQL, in a container. `POSTGRES_TEST_IMAGE` chooses another image. */
export async function startPostgresContainer (t: Teardown, options: PostgresServerOptions): Promise<PostgresServer> {
  const host = '127.0.0.1'
  const port = await freePort()
  const { password, fsync = false, settings = {} } = options
  const args = Object.entries({ fsync: fsync ? 'on' : 'off', ...settings }).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const container = await new GenericContainer(process.env.POSTGRES_TEST_IMAGE ?? 'postgres:17')
    .withExposedPorts({ container: 5432, host: port })
    .withEnvironment(password === undefined ? { POSTGRES_HOST_AUTH_METHOD: 'trust' } : { POSTGRES_PASSWORD: password })
    .withCommand(['postgres', ...args])
    .withWaitStrategy(Wait.forLogMessage(/ready to accept connections/, 2))
    .start()
  t.teardown(async () => { await container.stop({ timeout: 0 }) })
  const signal = (name: string) => { container.exec(['sh', '-c', `kill -${name} -1; kill -${name} 1`]).catch(() => {}) }
  const credentials = password === undefined ? 'postgres' : `postgres:${encodeURIComponent(password)}`
  const url = `postgres://${credentials}@${host}:${port}/postgres`

  return {
    host,
    port,
    url,
    kill: async () => { await container.stop({ timeout: 0, remove: false }) },
    freeze: () => signal('STOP'),
    thaw: () => signal('CONT'),
    restart: async () => { await container.restart() },
    stop: async () => { await container.stop({ remove: false }) },
    query: async (text, values = []) => {
      const client = new Client({ connectionString: url, connectionTimeoutMillis: 5000 })
      client.on('error', () => {})
      await client.connect()
      try {
        return (await client.query(text, values)).rows
      } finally {
        await client.end()
      }
    }
  }
}
