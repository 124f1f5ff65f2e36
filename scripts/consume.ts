import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Redis } from 'ioredis'
import { pino } from 'pino'
import { loadConfig } from '../services/config/load.ts'
import type { Config } from '../services/config/load.ts'
import type { RedisTarget } from '../services/config/redis-target.ts'
import { Consumer } from '../services/queue/consumer.ts'
import type { ConsumerOptions } from '../services/queue/consumer.ts'
import { clientOptions } from '../services/redis/client-options.ts'

const USAGE = `Takes messages from the queue and prints one JSON line for each.

  npm run consume -- [options]

  --count N        stop after N messages
  --once           stop after one message
  --drain          stop when the queue is empty
  --queue NAME     default QUEUE_NAME, else hokusai:model_ready_queue
  --handler FILE   a module whose export handle(message, body) does the work; what it throws makes a dead letter
  --recover        first put back what a consumer that died left in <queue>:processing (let no other one run)
  --help

Redis comes from REDIS_URL or REDIS_HOST and its companions. Lines go to standard output, logs to standard error.
`

const options = {
  count: { type: 'string' },
  once: { type: 'boolean', default: false },
  drain: { type: 'boolean', default: false },
  queue: { type: 'string' },
  handler: { type: 'string' },
  recover: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false }
} as const

/** @returns the exit code: 0 good, 1 bad. */
export async function consume (args: string[], env: NodeJS.ProcessEnv): Promise<number> {
  const flags = readFlags(args)
  if (typeof flags === 'string') return say(process.stderr, flags, 1)
  if (flags.help) return say(process.stdout, USAGE, 0)
  const { config, errors } = loadConfig(env)
  const { target } = config.redis.resolution
  if (errors.length > 0) return say(process.stderr, errors.map(e => `${e.message} ${e.remedy}\n`).join(''), 1)
  if (target === null) return say(process.stderr, 'There is no Redis to consume from: set REDIS_URL.\n', 1)

  const logger = pino({ name: 'consume', level: config.process.logLevel }, pino.destination({ dest: 2, sync: true }))
  const handler = await loadHandler(flags.handler)
  const client = connect(target, config.redis)
  client.on('error', err => logger.debug({ err }, 'connection failed'))
  // Without a server the consumer waits for one; the connection keeps trying.
  await Promise.race([client.connect().catch(() => {}), delay(config.redis.connectTimeoutMs)])
  const consumer = new Consumer({
    client,
    queue: flags.queue ?? config.publisher.queueName,
    handler,
    logger
  })
  const stop = () => { void consumer.stop() }
  process.once('SIGINT', stop).once('SIGTERM', stop)
  try {
    if (flags.recover) logger.info({ recovered: await consumer.recover() }, 'put back into the queue')
    await consumer.run({ count: flags.count, untilEmpty: flags.drain })
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop)
    client.disconnect()
  }
  return 0
}

function readFlags (args: string[]) {
  try {
    const { values } = parseArgs({ args, options })
    const count = values.once ? 1 : Number(values.count ?? Infinity)
    if (!(count > 0)) return `--count must be a number above 0\n\n${USAGE}`
    return { ...values, count }
  } catch (err) {
    return `${(err as Error).message}\n\n${USAGE}`
  }
}

function connect (target: RedisTarget, { connectTimeoutMs, tlsCaFile }: Config['redis']): Redis {
  return new Redis({
    ...clientOptions(target, 'consumer', tlsCaFile === null ? {} : { ca: readFileSync(tlsCaFile) }),
    ...(target.password === null ? {} : { password: target.password.reveal() }),
    lazyConnect: true,
    connectTimeout: connectTimeoutMs,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: attempt => Math.min(50 * attempt, 1000)
  })
}

async function loadHandler (file: string | undefined): Promise<ConsumerOptions['handler']> {
  if (file === undefined) return printLine
  const { handle } = await import(pathToFileURL(resolve(file)).href)
  return async (message, body) => {
    await handle(message, body)
    await printLine(message, body)
  }
}

/** Line breaks in JSON stand between tokens only, so a space says the same. */
async function printLine (_message: unknown, body: string): Promise<void> {
  await new Promise<void>(resolve => {
    process.stdout.write(`${body.replaceAll(/[\r\n]/g, ' ')}\n`, err => {
      // Nobody reads any more. Ending here leaves the message in processing: it is neither done nor a dead letter.
      if (err) process.exit(1)
      resolve()
    })
  })
}

function say (stream: NodeJS.WriteStream, text: string, exitCode: number): number {
  stream.write(text)
  return exitCode
}

if (import.meta.main) process.exitCode = await consume(process.argv.slice(2), process.env)
