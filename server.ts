import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import { buildApp } from './app.ts'
import { loadConfig } from './services/config/load.ts'

/** The process ends by itself within this after a signal, drain time not included, whatever hangs. */
export const CLOSE_CAP_MS = 10_000

/** Starts the service from the environment. Ends the process with code 1 when the configuration forbids a start. */
export async function serve (env: NodeJS.ProcessEnv): Promise<void> {
  const loaded = loadConfig(env)
  const logger = pino({ level: loaded.config.process.logLevel })
  let app: FastifyInstance | null = null
  try {
    app = await buildApp({ env, loaded, loggerInstance: logger })
    await listen(app)
  } catch (err) {
    logger.fatal({ err }, 'the service cannot start')
    process.exitCode = 1
    await app?.close()
  }
}

async function listen (app: FastifyInstance): Promise<void> {
  const { host, port } = app.config.process
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => { void shutDown(app, signal) })
  await app.listen({ host, port })
}

/** Readiness goes first, so that the load balancer stops sending; then what is in flight finishes; then everything closes. */
async function shutDown (app: FastifyInstance, signal: NodeJS.Signals): Promise<void> {
  const { drainMs } = app.config.process
  app.log.info({ signal, drainMs }, 'draining')
  app.health.drain()
  setTimeout(() => process.exit(1), drainMs + CLOSE_CAP_MS).unref()
  await delay(drainMs)
  await app.close().catch((err) => app.log.error({ err }, 'close failed'))
  app.log.info('closed')
}

if (import.meta.main) await serve(process.env)
