import { createHash, randomBytes } from 'node:crypto'
import { docker, inspect, until } from './docker.ts'
import { strict } from './world.ts'
import type { World } from './world.ts'

/** The service in a container as strict as can be, with a Redis that asks for a token. */
export class Service {
  readonly world: World
  readonly token = randomBytes(24).toString('hex')
  readonly #key = `brk_${randomBytes(24).toString('base64url')}`
  redis = ''
  name = ''
  #url = ''

  constructor (world: World) {
    this.world = world
  }

  async startRedis (): Promise<void> {
    this.redis = await this.world.run(this.world.images.redis, [], ['redis-server', '--requirepass', this.token, '--appendonly', 'yes'])
  }

  get environment (): string[] {
    return ['--env', `REDIS_URL=redis://${this.redis}:6379`, '--env', `REDIS_AUTH_TOKEN=${this.token}`]
  }

  /** @returns milliseconds from `docker run` to the first answer. */
  async start (volume: string): Promise<number> {
    const start = performance.now()
    const digest = createHash('sha256').update(this.#key).digest('hex')
    this.name = await this.world.run(this.world.images.service, [
      ...strict, ...this.environment, '--env', `API_KEYS=verify:write:${digest}`, '--volume', `${volume}:/data`, '--publish', '127.0.0.1::3000'
    ])
    const { NetworkSettings } = await inspect(this.name)
    this.#url = `http://127.0.0.1:${NetworkSettings.Ports['3000/tcp'][0].HostPort}`
    await until('an answer', async () => (await this.get('/health/live')).ok)
    return Math.round(performance.now() - start)
  }

  async get (path: string): Promise<Response> {
    return await fetch(`${this.#url}${path}`, { headers: { 'x-api-key': this.#key }, signal: AbortSignal.timeout(2000) })
  }

  /** @returns the answer's status and the `message_id` of the event. */
  async register (version: string): Promise<{ status: number, id: string }> {
    const body = { model_name: 'verified', version, token_id: 'verified', metric_name: 'auroc', baseline_value: 0.7, current_value: 0.8 }
    const answer = await fetch(`${this.#url}/models`, {
      method: 'POST', headers: { 'x-api-key': this.#key, 'content-type': 'application/json' }, body: JSON.stringify(body), signal: AbortSignal.timeout(10_000)
    })
    const { event } = await answer.json() as { event?: { message_id: string } }
    return { status: answer.status, id: event?.message_id ?? '' }
  }

  /** What one run of the image's own `breakwater consume` takes. */
  async consume (count: number): Promise<string[]> {
    const output = await docker(['run', '--rm', '--network', this.world.name, ...strict, ...this.environment, this.world.images.service,
      'breakwater', 'consume', '--count', String(count)], { deadlineMs: 30_000 })
    return output.split('\n').map(line => (JSON.parse(line) as { message_id: string }).message_id)
  }
}
