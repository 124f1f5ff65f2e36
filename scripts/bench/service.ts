import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join, resolve } from 'node:path'
import { freePort } from '../../test/helpers/redis-server.ts'
import type { Teardown } from '../../test/helpers/redis-server.ts'
import { temporaryDirectory } from '../../test/helpers/temporary.ts'
import { until } from '../../test/helpers/until.ts'

const ROOT = resolve(import.meta.dirname, '../..')

/** What a benchmark started, and how it ends: last come, first gone. */
export class Cleanup implements Teardown {
  readonly #tasks: (() => unknown)[] = []

  teardown (task: () => unknown): void {
    this.#tasks.unshift(task)
  }

  async run (): Promise<void> {
    for (const task of this.#tasks.splice(0)) await task()
  }
}

/** A server script in a process of its own; returns its URL once it answers. */
export async function startServer (cleanup: Cleanup, script: string, redisUrl: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const port = await freePort()
  const directory = await temporaryDirectory(cleanup)
  const child: ChildProcess = spawn(process.execPath, [join(ROOT, script)], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      ...process.env,
      PORT: String(port),
      REDIS_URL: redisUrl,
      DATABASE_URL: `sqlite:${join(directory, 'bench.db')}`,
      LOG_LEVEL: 'error',
      DRAIN_MS: '0',
      ...env
    }
  })
  cleanup.teardown(async () => {
    if (child.exitCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    await exited
  })
  const url = `http://127.0.0.1:${port}`
  await until(() => fetch(url).then(() => true, () => false))
  return url
}

export function median (values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!
}
