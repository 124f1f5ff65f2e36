import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { pino } from 'pino'
import { loadConfig } from '../services/config/load.ts'
import { Consumer } from '../services/consumer/consumer.ts'
import type { Handler } from '../services/consumer/consumer.ts'
import { RedisDeduplication } from '../services/consumer/deduplication.ts'
import { ListSource } from '../services/consumer/list/list-source.ts'
import { tracedHandler } from '../services/consumer/traced-handler.ts'
import { openTracing } from '../services/observability/tracing/open-tracing.ts'
import { QueueTracing } from '../services/observability/tracing/queue-tracing.ts'
import { RedisGuard } from '../services/redis/guard.ts'

const USAGE = `Takes messages from the queue and prints one JSON line for each.

  npm run consume -- [options]

  --count N        stop after N messages
  --once           stop after one message
  --drain          stop when the queue is empty
  --queue NAME     default QUEUE_NAME, else hokusai:model_ready_queue
  --handler FILE   a module whose export handle(message, body, context) does the work; what it throws makes a dead letter
  --attempts N     repeat what the handler throws, with growing pauses, until N attempts have failed; default 1
  --concurrency N  so many messages at the same time, those of one model one after another; default 1
  --timeout MS     time for one attempt; default 30000
  --deduplicate    skip messages that were handled in the last 24 h, by message_id
  --recover        first put back everything in <queue>:processing at once, whoever has it (let no other one run)
  --help

What a consumer that died left behind comes back by itself, 30 s after its last sign of life. Redis comes from REDIS_URL or REDIS_HOST and its companions. Lines go to standard output, logs to standard error.
`

const options = {
  count: { type: 'string' },
  once: { type: 'boolean', default: false },
  drain: { type: 'boolean', default: false },
  queue: { type: 'string' },
  handler: { type: 'string' },
  attempts: { type: 'string', default: '1' },
  concurrency: { type: 'string', default: '1' },
  timeout: { type: 'string', default: '30000' },
  deduplicate: { type: 'boolean', default: false },
  recover: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false }
} as const

const COMMAND_TIMEOUT_MS = 2000

/** @returns the exit code: 0 good, 1 bad. */
export async function consume (args: string[], env: NodeJS.ProcessEnv): Promise<number> {
  const flags = readFlags(args)
  if (typeof flags === 'string') return say(process.stderr, flags, 1)
  if (flags.help) return say(process.stdout, USAGE, 0)
  // It listens nowhere and opens no database: what is wrong with those does not matter here, and an image sets both.
  const { config, errors } = loadConfig({ ...env, HOST: '', DATABASE_URL: '', ECS_CONTAINER_METADATA_URI_V4: '' })
  const { target } = config.redis.resolution
  if (errors.length > 0) return say(process.stderr, errors.map(e => `${e.message} ${e.remedy}\n`).join(''), 1)
  if (target === null) return say(process.stderr, 'There is no Redis to consume from: set REDIS_URL.\n', 1)

  const logger = pino({ name: 'consume', level: config.process.logLevel }, pino.destination({ dest: 2, sync: true }))
  const handler = await loadHandler(flags.handler)
  const { connectTimeoutMs, tlsCaFile } = config.redis
  const guard = new RedisGuard({ target, name: 'consume', commandTimeoutMs: COMMAND_TIMEOUT_MS, connectTimeoutMs, tls: tlsCaFile === null ? {} : { ca: readFileSync(tlsCaFile) }, logger })
  const clients = { client: guard.client, blocking: guard.spawn('wait', { blocking: true }).client }
  const queue = flags.queue ?? config.publisher.queueName
  const session = config.tracing === null ? null : await openTracing({ ...config.tracing, logger })
  // Without a server the consumer waits for one; the connections keep trying.
  await Promise.race([new Promise<void>(resolve => { guard.onReady(resolve) }), delay(connectTimeoutMs)])
  const source = new ListSource({ ...clients, queue, cluster: guard.cluster !== null })
  const consumer = new Consumer({
    source,
    handler: session === null ? handler : tracedHandler(handler, new QueueTracing(session.tracing, queue)),
    concurrency: flags.concurrency,
    maxAttempts: flags.attempts,
    timeoutMs: flags.timeout,
    ...flags.deduplicate ? { deduplication: new RedisDeduplication({ client: clients.client, queue }) } : {},
    logger
  })
  const stop = () => { void consumer.stop() }
  process.once('SIGINT', stop).once('SIGTERM', stop)
  try {
    if (flags.recover) logger.info({ recovered: await source.seize() }, 'put back into the queue')
    await consumer.run({ count: flags.count, untilEmpty: flags.drain })
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop)
    await Promise.all([guard.close(), session?.close()])
  }
  return 0
}

function readFlags (args: string[]) {
  try {
    const { values } = parseArgs({ args, options })
    const count = values.once ? 1 : Number(values.count ?? Infinity)
    const numbers = { count, attempts: Number(values.attempts), concurrency: Number(values.concurrency), timeout: Number(values.timeout) }
    for (const [name, number] of Object.entries(numbers)) {
      if (!(number > 0)) return `--${name} must be a number above 0\n\n${USAGE}`
    }
    return { ...values, ...numbers }
  } catch (err) {
    return `${(err as Error).message}\n\n${USAGE}`
  }
}

async function loadHandler (file: string | undefined): Promise<Handler> {
  if (file === undefined) return printLine
  const { handle } = await import(pathToFileURL(resolve(file)).href)
  return async (message, context) => {
    await handle(message, context.body, context)
    await printLine(message, context)
  }
}

/** Line breaks in JSON stand between tokens only, so a space says the same. */
async function printLine (_message: unknown, { body }: { body: string }): Promise<void> {
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
