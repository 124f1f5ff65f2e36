import { Type } from '@sinclair/typebox'
import type { Static, TSchema } from '@sinclair/typebox'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { RedisDeduplication } from '../services/consumer/deduplication.ts'
import { ListSource } from '../services/consumer/list/list-source.ts'
import type { Journal } from '../services/journal/journal.ts'
import { QueueTracing } from '../services/observability/tracing/queue-tracing.ts'
import type { Tracing } from '../services/observability/tracing/tracing.ts'
import type { RedisGuard } from '../services/redis/guard.ts'
import { openStore } from '../services/registry/store.ts'
import type { StoreOptions } from '../services/registry/store.ts'
import { RedisTransport } from '../services/relay/transport/redis-transport.ts'
import { defineTask } from '../services/tasks/define-task.ts'
import type { TaskHandler, TaskOptions } from '../services/tasks/define-task.ts'
import { TaskQueue } from '../services/tasks/task-queue.ts'
import type { Task, TaskQueueOptions } from '../services/tasks/task-queue.ts'
import type {} from './config.ts'
import { parsePluginOptions } from './options.ts'
import type {} from './redis.ts'

export { MessageUnrecoverable, PostponeMessage } from '../services/consumer/errors.ts'
export { defineTask } from '../services/tasks/define-task.ts'
export type { TaskContext, TaskDefinition, TaskHandler, TaskOptions } from '../services/tasks/define-task.ts'
export { TaskQueue } from '../services/tasks/task-queue.ts'
export type { Enqueued, EnqueueOptions, Task, TaskQueueOptions } from '../services/tasks/task-queue.ts'

export interface Tasks {
  /** Defines a task, before the application is ready. @throws FST_BRK_TASK_INVALID */
  define<Schema extends TSchema> (name: string, handler: TaskHandler<Static<Schema>>, options: TaskOptions<Schema>): Task<Static<Schema>>
  /** What relay and worker did; null where Redis is disabled, or where this process does not work. */
  stats (): TaskQueue['stats']
}

declare module 'fastify' {
  interface FastifyInstance {
    tasks: Tasks
  }
}

const Milliseconds = (minimum: number, description: string) => Type.Integer({ minimum, maximum: 2 ** 31 - 1, description })

export const TasksOptionsSchema = Type.Object({
  queueName: Type.String({ minLength: 1, description: 'The Redis list of the tasks. Default: QUEUE_NAME with `:tasks` added.' }),
  journal: Type.Object({}, { description: 'A journal that nothing else relays. Default: one of its own beside DATABASE_URL: the file with `-tasks` added, or the schema `breakwater_tasks`.' }),
  work: Type.Boolean({ description: 'Whether this process does tasks. Default true.' }),
  concurrency: Type.Integer({ minimum: 1, maximum: 1000, description: 'Tasks in hand at the same time. Default 1.' }),
  backoffBaseMs: Milliseconds(0, 'Upper bound of the first pause; doubles with each. Default 1000.'),
  backoffCapMs: Type.Integer({ minimum: 0, maximum: 600_000, description: 'The longest pause. Default 600 000.' }),
  deduplicationTtlMs: Milliseconds(0, 'How long tasks that were done are remembered; 0: not at all. Default 86 400 000.'),
  visibilityMs: Milliseconds(100, 'How long a task of a dead worker is left alone. Default 30 000.'),
  stopTimeoutMs: Milliseconds(0, 'How long closing waits for running tasks. Default 10 000.'),
  commandTimeoutMs: Milliseconds(1, 'Deadline of each command. Default 2000.'),
  cluster: Type.Boolean({ description: 'Processing and dead letters get hash tags. Default: whether the Redis client is one of a cluster.' })
}, { additionalProperties: false })

export type TasksOptions = Partial<Omit<Static<typeof TasksOptionsSchema>, 'journal'>> & { journal?: Journal }

/** Background tasks: journaled first, carried to a queue of their own, and done here or elsewhere. */
const plugin: FastifyPluginAsync<TasksOptions> = async (fastify, options) => {
  const given = parsePluginOptions('tasks', TasksOptionsSchema, options) as TasksOptions
  const config = fastify.hasDecorator('config') ? fastify.config.publisher : null
  const queue = given.queueName ?? `${config?.queueName ?? 'hokusai:model_ready_queue'}:tasks`
  const journal = given.journal ?? await openJournal(fastify)
  const { tracing } = fastify as { tracing?: Tracing | null }
  const tasks = new TaskQueue({
    journal,
    tracing: tracing ? new QueueTracing(tracing, queue) : null,
    ...connect(fastify.redisGuard, queue, given),
    relay: { retentionMs: config?.retentionMs ?? 900_000, emptyPolicy: config?.emptyRedisPolicy ?? 'replay' },
    logger: fastify.log.child({ component: 'tasks' })
  })
  fastify.decorate('tasks', {
    define: (name, handler, options) => tasks.add(defineTask(name, handler, options)),
    stats: () => tasks.stats
  } satisfies Tasks)
  // Not before all tasks are defined: what is unknown becomes a dead letter.
  fastify.addHook('onReady', async () => tasks.start())
  fastify.addHook('onClose', () => tasks.stop())
}

/** Closed after the queue has stopped: hooks run in the reverse order. */
async function openJournal (fastify: FastifyInstance): Promise<Journal> {
  const config = fastify.hasDecorator('config') ? fastify.config : null
  const database: StoreOptions['database'] = config?.database ?? { kind: 'sqlite', path: ':memory:', connection: { reveal: () => '' } }
  const { maxRows = 1_000_000, maxBytes = 1024 ** 3, maxAgeMs, highRatio } = config?.publisher ?? {}
  const path = database.path === ':memory:' ? ':memory:' : `${database.path}-tasks`
  const store = await openStore({
    database: { ...database, path, schema: 'breakwater_tasks' },
    limits: { maxRows, maxBytes, maxAgeMs, highRatio },
    logger: fastify.log.child({ component: 'tasks' })
  })
  fastify.addHook('onClose', () => store.close())
  return store.journal
}

function connect (guard: RedisGuard | null, queue: string, given: TasksOptions): Pick<TaskQueueOptions, 'transport' | 'source' | 'worker'> {
  if (guard === null) return { transport: null, source: null }
  const { work = true, commandTimeoutMs = 2000, visibilityMs = 30_000, cluster = guard.cluster !== null, deduplicationTtlMs: ttlMs = 86_400_000 } = given
  const { concurrency, backoffBaseMs, backoffCapMs, stopTimeoutMs } = given
  const transport = new RedisTransport(guard.spawn('tasks-relay', { commandTimeoutMs }), queue)
  if (!work) return { transport, source: null }
  const { client } = guard.spawn('tasks', { commandTimeoutMs })
  const blocking = guard.spawn('tasks-wait', { commandTimeoutMs, blocking: true }).client
  // The guard's own deadline comes first.
  const list = { client, blocking, queue, cluster, visibilityMs, commandTimeoutMs: commandTimeoutMs + 500 }
  const deduplication = ttlMs > 0 ? new RedisDeduplication({ ...list, ttlMs }) : undefined
  return { transport, source: new ListSource(list), worker: { concurrency, backoffBaseMs, backoffCapMs, stopTimeoutMs, deduplication } }
}

export default fp(plugin, {
  name: 'breakwater-tasks',
  fastify: '5.x',
  dependencies: ['breakwater-redis'],
  decorators: { fastify: ['redisGuard'] }
})
