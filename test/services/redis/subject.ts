import Fastify from 'fastify'
import redis from '../../../plugins/redis.ts'
import type { RedisPluginOptions } from '../../../plugins/redis.ts'

/**
 * A process with nothing but the plugin, driven by its parent. It has to end by itself after `close`: whatever is left running,
 * keeps it alive.
 */
const { command, ...options } = JSON.parse(process.env.SUBJECT!) as RedisPluginOptions & { command: [string, ...string[]] }
const app = Fastify()

async function timed<T extends object> (run: () => Promise<T>): Promise<{ ms: number } & T> {
  const startedAt = performance.now()
  const result = await run()
  return { ms: performance.now() - startedAt, ...result }
}

async function attempt () {
  try {
    await app.redis.call(...command)
    return { code: null }
  } catch (error) {
    const { code, kind, notApplied, ambiguous } = error as Record<string, unknown>
    return { code, kind, notApplied, ambiguous, text: JSON.stringify(error) + String(error) }
  }
}

const tasks: Record<string, () => Promise<object>> = {
  async boot () {
    await app.register(redis, options)
    await app.ready()
    return { has: app.hasPlugin('@fastify/redis') }
  },
  attempt,
  async close () {
    await app.close()
    setImmediate(() => process.disconnect())
    return {}
  }
}

process.on('message', (task: string) => {
  void timed(tasks[task]!).then((result) => process.send!(result))
})
