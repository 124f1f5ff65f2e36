import type { NodeAddress, SentinelTarget } from '../../config/redis/redis-target.ts'
import type { ConnectionSettings } from '../connection/bounded-client.ts'
import { classify } from '../classify.ts'
import { RedisConnectionFailed } from '../errors.ts'
import { translate } from '../cluster/slot-view.ts'
import type { NatMap } from '../cluster/slot-view.ts'
import { HealthConnection } from '../connection/health-connection.ts'
import { Listeners } from '../../resilience/listeners.ts'

export interface PrimaryResolverOptions {
  sentinel: SentinelTarget
  /** Of the connections to the sentinels: TLS and timeouts as for Redis, credentials of their own. */
  settings: ConnectionSettings
  commandTimeoutMs: number
  /** Where what they name can be reached from here. */
  natMap?: NatMap | undefined
}

const WATCH_MS = 1000
const OLDER_FOR_MS = 5000
/** What a sentinel is given that has answered before, beyond a multiple of what it took. */
const HASTE_MS = 150

interface Answer extends NodeAddress {
  readonly configEpoch: number
}

/**
 * Asks the sentinels where the primary is: all at once, on connections that stay. A sentinel that was cut off from the others may believe in
 * a primary that was deposed, so the newest configuration among a majority counts.
 */
export class PrimaryResolver {
  readonly #master: string
  readonly #natMap: NatMap | undefined
  readonly #sentinels: HealthConnection[]
  readonly #timeoutMs: number
  readonly #answerMs: number
  /** How long each took the last time; a connection that was good may be dead, and the next attempt makes a new one. */
  readonly #usualMs = new Map<HealthConnection, number>()
  readonly #clock: () => number
  readonly #random: () => number
  readonly #listeners = new Listeners<void>('A listener of the sentinels')
  #resolving: Promise<NodeAddress> | null = null
  #current: Answer | null = null
  #confirmedAt = 0
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor ({ sentinel, settings, commandTimeoutMs, natMap }: PrimaryResolverOptions) {
    this.#natMap = natMap
    this.#master = sentinel.master
    this.#timeoutMs = settings.connectTimeoutMs
    this.#answerMs = commandTimeoutMs
    this.#clock = settings.clock
    this.#random = settings.random
    this.#sentinels = sentinel.nodes.map(({ host, port }) => {
      const options = { ...settings.options, host, port, db: 0, username: sentinel.username ?? undefined }
      return new HealthConnection({ ...settings, options, credentials: undefined, password: () => sentinel.password?.reveal() ?? null }, commandTimeoutMs, () => {})
    })
  }

  /** Rejects within the connect timeout, with the kind of the failure. One question for all who ask at the same time. */
  resolve (): Promise<NodeAddress> {
    this.#resolving ??= this.#resolve().finally(() => { this.#resolving = null })
    return this.#resolving
  }

  /** The sentinels have made another server primary. */
  onMoved (listener: () => void): () => void {
    return this.#listeners.add(listener)
  }

  /** Looks every second: the old primary may be frozen, or cut off together with this client, and say nothing. */
  watch (): void {
    if (this.#closed) return
    this.#timer = setTimeout(() => {
      // Sentinels that are out do not matter while the primary works; when it does not, every attempt to connect says so.
      void this.resolve().catch(() => {}).finally(() => this.watch())
    }, WATCH_MS * (0.8 + 0.4 * this.#random()))
    this.#timer.unref()
  }

  async close (): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await Promise.all(this.#sentinels.map((sentinel) => sentinel.close()))
  }

  async #resolve (): Promise<NodeAddress> {
    const answers: Answer[] = []
    const failures: Error[] = []
    const majority = Math.floor(this.#sentinels.length / 2) + 1
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, this.#timeoutMs)
      const heard = (): void => {
        if (answers.length < majority && answers.length + failures.length < this.#sentinels.length) return
        clearTimeout(timer)
        resolve()
      }
      for (const sentinel of this.#sentinels) {
        this.#ask(sentinel).then((answer) => answers.push(answer), (error) => failures.push(error as Error)).finally(heard)
      }
    })
    const [newest] = answers.sort((one, other) => other.configEpoch - one.configEpoch)
    if (newest === undefined) throw explain(failures)
    return this.#accept(newest)
  }

  /** The order may spread slowly: what is older than what we know is not believed, unless nobody knows better for a while. */
  #accept (answer: Answer): NodeAddress {
    const before = this.#current
    const now = this.#clock()
    if (before !== null && answer.configEpoch < before.configEpoch && now - this.#confirmedAt < OLDER_FOR_MS) return before
    this.#confirmedAt = now
    this.#current = answer
    if (before !== null && (before.host !== answer.host || before.port !== answer.port)) this.#listeners.tell()
    return answer
  }

  async #ask (sentinel: HealthConnection): Promise<Answer> {
    const startedAt = this.#clock()
    const usualMs = this.#usualMs.get(sentinel)
    this.#usualMs.delete(sentinel)
    const timer = usualMs === undefined ? undefined : setTimeout(() => sentinel.renew(), Math.min(this.#answerMs, HASTE_MS + 4 * usualMs))
    timer?.unref()
    const reply = await sentinel.ask((client) => client.call('SENTINEL', 'MASTER', this.#master)).finally(() => clearTimeout(timer)) as string[]
    this.#usualMs.set(sentinel, this.#clock() - startedAt)
    const field = (name: string) => reply[reply.indexOf(name) + 1] ?? ''
    return { ...translate({ host: field('ip'), port: Number(field('port')) }, this.#natMap), configEpoch: Number(field('config-epoch')) }
  }
}

/** What most likely is the reason: a sentinel that answers and refuses says more than one that is out of reach. */
function explain (failures: Error[]): RedisConnectionFailed {
  const told = failures.find(({ message }) => /No such master/i.test(message))
  if (told !== undefined) return new RedisConnectionFailed('configuration', 'NO_SUCH_MASTER', told)
  const refusal = failures.find((error) => ['auth', 'configuration'].includes(classify(error).kind)) ?? failures[0]
  if (refusal === undefined) return new RedisConnectionFailed('timeout', 'SENTINEL_TIMEOUT')
  const { kind, reason } = classify(refusal)
  return new RedisConnectionFailed(kind === 'caller' ? 'configuration' : kind, `SENTINEL_${reason}`, refusal)
}
