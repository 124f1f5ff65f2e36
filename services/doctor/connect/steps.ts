import { classify } from '../../redis/classify.ts'

export type StepName = 'configuration' | 'sentinel' | 'dns' | 'tcp' | 'tls' | 'auth' | 'ping' | 'role' | 'cluster' | 'permissions'

export interface Step {
  name: StepName
  /** `skipped`: there was nothing to do, or an earlier step failed. */
  state: 'ok' | 'warning' | 'failed' | 'skipped'
  /** How long it took; null where it was skipped. */
  ms: number | null
  detail: string
  /** What to do; null where nothing is to be done. */
  remedy: string | null
}

export type Outcome = Pick<Step, 'state' | 'detail'> & { remedy?: string | null }

/** A step that failed, with what to do about it. */
export class StepFailure extends Error {
  readonly remedy: string

  constructor (detail: string, remedy: string) {
    super(detail)
    this.remedy = remedy
  }
}

/** Runs one step after another; after one that failed, the others are skipped. */
export class Steps {
  readonly list: Step[] = []
  #failed = false

  get failed (): boolean { return this.#failed }

  async run (name: StepName, work: () => Promise<Outcome>): Promise<void> {
    if (this.#failed) return this.skip(name, 'an earlier step failed')
    const startedAt = performance.now()
    const { state, detail, remedy = null } = await work().catch(outcomeOf)
    this.#failed = state === 'failed'
    this.list.push({ name, state, ms: Math.round((performance.now() - startedAt) * 10) / 10, detail, remedy })
  }

  skip (name: StepName, detail: string): void {
    this.list.push({ name, state: 'skipped', ms: null, detail, remedy: null })
  }
}

function outcomeOf (err: unknown): Outcome {
  if (err instanceof StepFailure) return { state: 'failed', detail: err.message, remedy: err.remedy }
  const { kind, reason } = classify(err)
  return { state: 'failed', detail: `${kind}: ${reason}`, remedy: REMEDIES[kind] }
}

const REMEDIES: Record<ReturnType<typeof classify>['kind'], string> = {
  transport: 'The connection was closed. Check that the address is that of Redis, and whether it wants TLS (rediss://).',
  timeout: 'No answer in time. Check the security groups and whether Redis wants TLS (rediss://); raise REDIS_CONNECT_TIMEOUT_MS only for a far network.',
  overload: 'Redis is there and refuses work for now: it is loading, full, or has too many clients. Look at its metrics.',
  auth: 'Redis refuses the credentials. Compare REDIS_USERNAME and REDIS_AUTH_TOKEN with those of the cache; a token may have been rotated.',
  configuration: 'Neither waiting nor repeating helps; docs/redis-client.md lists the causes.',
  caller: 'Redis does not know the command. Check that the address is that of Redis 6.2 or newer, or Valkey.'
}

/** Rejects when `work` takes too long; what it opened must end by itself, or by `onExpiry`. */
export async function within<T> (timeoutMs: number, work: Promise<T>, expired: () => Error, onExpiry: () => void = () => {}): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const expiry = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      onExpiry()
      reject(expired())
    }, timeoutMs)
  })
  try {
    return await Promise.race([work, expiry])
  } finally {
    clearTimeout(timer)
    // Given up, it may still be rejected.
    work.catch(() => {})
  }
}
