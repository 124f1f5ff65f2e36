import { randomBytes } from 'node:crypto'
import { deadLetter } from '../../queue/dead-letter.ts'
import { ConsumerOptionInvalid, MessagePoisonous } from '../errors.ts'
import { queueKeys } from './keys.ts'
import type { QueueKeys } from './keys.ts'
import { ACKNOWLEDGE, BURY, HAND_BACK, RENEW, RESUME, RETRY, SEIZE, TAKE } from './list-scripts.ts'
import { RECOVER, SWEEP } from './recover-scripts.ts'
import { command } from '../redis-script.ts'
import type { RedisCommands, RedisScript } from '../redis-script.ts'
import type { Delivery, Recovered, Source } from '../source.ts'
import { UntaggedLeftovers } from './untagged-leftovers.ts'

export interface ListSourceOptions {
  /**
   * An ioredis client or cluster with `enableOfflineQueue: false` and `autoResendUnfulfilledCommands: false`: a take that is sent twice
   * takes twice.
   */
  client: RedisCommands
  /** Another connection to the same Redis, for the call that waits for messages. */
  blocking: RedisCommands
  queue: string
  /** Default false. True: `…:processing` and `…:dlq` are tagged, because a script reaches only one slot. */
  cluster?: boolean
  /** How long a claim lasts unless it is renewed; the same for all consumers of a queue. Default 30 000 ms. */
  visibilityMs?: number
  /** Deadline of each command. Default 2000 ms. */
  commandTimeoutMs?: number
}

/** The digest of the bytes and the token: what the scripts need to find the claim. */
const RECEIPT = /^([0-9a-f]{40}):(.+)$/
const MOST_RECOVERIES = 3
const RECOVERIES_WITHIN_HOURS = 72
const HOUR_MS = 3_600_000
const WINDOW = 200
const MAX_WINDOWS = 50
const SWEEP_EVERY = 50
/** Lost takes that are still looked for. */
const MAX_LOST = 16

/**
 * A Redis list with `…:processing` beside it (PROTOCOL.md; Redis ≥ 6.2 or Valkey), shared with consumers that know nothing of claims.
 *
 * One script moves and claims, so nothing is ever in processing without the claim of whoever moved it. What blocks is a `BLMOVE` of the
 * rightmost element onto itself: it changes nothing, so a reply that is lost, or a server that answers a consumer long dead, loses nothing.
 */
export class ListSource implements Source {
  readonly visibilityMs: number
  readonly queue: string
  readonly #client: RedisCommands
  readonly #blocking: RedisCommands
  readonly #keys: QueueKeys
  readonly #commandTimeoutMs: number
  readonly #leftovers: UntaggedLeftovers | null
  /** Takes whose reply was lost, and until when (monotonic ms) what they claimed may still be ours. */
  readonly #lost = new Map<string, number>()
  readonly #interrupted = Promise.withResolvers<void>()
  #ended = false
  #recoverCalls = 0
  #sweepCursors: string[] = ['0', '0', '0']

  constructor ({ client, blocking, queue, cluster = false, visibilityMs = 30_000, commandTimeoutMs = 2000 }: ListSourceOptions) {
    if (!(visibilityMs >= 100)) throw new ConsumerOptionInvalid('visibilityMs must be 100 or more.')
    if (client === blocking) throw new ConsumerOptionInvalid('"blocking" must be a connection of its own: what is sent behind a blocked call waits.')
    this.visibilityMs = visibilityMs
    this.queue = queue
    this.#client = client
    this.#blocking = blocking
    this.#keys = queueKeys(queue, cluster)
    this.#commandTimeoutMs = commandTimeoutMs
    this.#leftovers = this.#keys.untaggedProcessing === null
      ? null
      : new UntaggedLeftovers({ client, keys: this.#keys, visibilityMs, commandTimeoutMs })
  }

  async take (max: number, waitMs: number): Promise<Delivery[]> {
    const resumed = await this.#resume(max)
    if (resumed.length > 0) return resumed
    const [dueInMs, deliveries] = await this.#takeNow(max)
    if (deliveries.length > 0 || waitMs <= 0) return deliveries
    // Promise.race() listens to both, so what is left behind may fail unheard.
    await Promise.race([this.#wait(dueInMs < 0 ? waitMs : Math.min(waitMs, dueInMs)), this.#interrupted.promise])
    return this.#ended ? [] : (await this.#takeNow(max))[1]
  }

  /** The take that waits returns without messages, and no later one waits. What it waited with changes nothing, and is left behind. */
  interrupt (): void {
    this.#ended = true
    this.#interrupted.resolve()
  }

  async renew (deliveries: Delivery[]): Promise<Set<string>> {
    if (deliveries.length === 0) return new Set()
    const claims = deliveries.flatMap(({ receipt }) => parts(receipt))
    const reply = await this.#run(RENEW, ['claims'], [this.visibilityMs, ...claims]) as number[]
    return new Set(deliveries.filter((_delivery, index) => reply[index] === 1).map(({ receipt }) => receipt))
  }

  async acknowledge ({ body, receipt }: Delivery): Promise<boolean> {
    return await this.#run(ACKNOWLEDGE, ['processing', 'claims', 'recoveries'], [body, ...parts(receipt)]) === 1
  }

  async retry ({ body, receipt }: Delivery, next: Buffer, delayMs: number): Promise<boolean> {
    const args = [body, ...parts(receipt), next, Math.max(0, Math.round(delayMs))]
    return await this.#run(RETRY, ['processing', 'claims', 'recoveries', 'delayed'], args) === 1
  }

  async bury ({ body, receipt }: Delivery, letter: Buffer): Promise<boolean> {
    return await this.#run(BURY, ['processing', 'claims', 'recoveries', 'deadLetters'], [body, ...parts(receipt), letter]) === 1
  }

  /** Oldest first, as they were taken. */
  async handBack (deliveries: Delivery[]): Promise<number> {
    if (deliveries.length === 0) return 0
    const args = deliveries.flatMap(({ body, receipt }) => [body, ...parts(receipt)])
    return await this.#run(HAND_BACK, ['queue', 'processing', 'claims'], args) as number
  }

  async recover (): Promise<Recovered> {
    const recovered = { abandoned: 0, due: 0 }
    for (let window = 0; window < MAX_WINDOWS; window++) {
      const { found, due, full } = await this.#recoverWindow(window * WINDOW)
      recovered.abandoned += found
      recovered.due += due
      // What comes back goes before all that waits: more of it now would go before its elders.
      if (found > 0 || !full) break
    }
    recovered.abandoned += await this.#leftovers?.recover() ?? 0
    if (this.#recoverCalls++ % SWEEP_EVERY === 0) await this.#sweep()
    return recovered
  }

  /**
   * Puts everything in processing back, to be taken next in its old order, whoever may have it. Only for a queue without another live
   * consumer: its messages in hand would be handled twice.
   */
  async seize (): Promise<number> {
    for (let seized = 0; ;) {
      const count = await this.#run(SEIZE, ['queue', 'processing', 'claims', 'firstSeen'], [WINDOW]) as number
      seized += count
      if (count < WINDOW) return seized
    }
  }

  #takeNow (max: number): Promise<[dueInMs: number, deliveries: Delivery[]]> {
    return this.#claim(TAKE, ['queue', 'processing', 'claims', 'delayed', 'recoveries'], max, [])
  }

  /** A take without a reply may have been executed, even some time later. What it claimed is ours. */
  async #resume (max: number): Promise<Delivery[]> {
    for (const [nonce, until] of this.#lost) {
      const [, deliveries] = await this.#claim(RESUME, ['processing', 'claims', 'recoveries'], max, [nonce])
      const found = deliveries.length
      if ((found > 0 && found < max) || performance.now() > until) this.#lost.delete(nonce)
      if (found > 0) return deliveries
    }
    return []
  }

  async #claim (script: RedisScript, keys: (keyof QueueKeys)[], max: number, args: string[]): Promise<[dueInMs: number, deliveries: Delivery[]]> {
    const nonce = randomBytes(9).toString('base64url')
    try {
      return toDeliveries(await this.#run(script, keys, [nonce, max, this.visibilityMs, ...args]))
    } catch (err) {
      if (wasNotSent(err)) throw err
      this.#lost.set(nonce, performance.now() + this.visibilityMs)
      if (this.#lost.size > MAX_LOST) this.#lost.delete(this.#lost.keys().next().value!)
      throw err
    }
  }

  /** Until there is a message. Redis would block for ever on 0. */
  async #wait (waitMs: number): Promise<void> {
    if (waitMs < 1) return
    const { queue } = this.#keys
    const blockedMs = Math.max(10, waitMs)
    await command(this.#blocking, blockedMs + this.#commandTimeoutMs, 'wait', ['blmove', queue, queue, 'RIGHT', 'RIGHT', blockedMs / 1000])
  }

  async #recoverWindow (offset: number): Promise<{ found: number, due: number, full: boolean }> {
    const reply = await this.#run(RECOVER, ['queue', 'processing', 'claims', 'delayed', 'firstSeen', 'recoveries'], [
      this.visibilityMs, WINDOW, offset, randomBytes(9).toString('base64url'), MOST_RECOVERIES, RECOVERIES_WITHIN_HOURS * HOUR_MS
    ]) as [number, number, ...Buffer[]]
    const [found, due, ...poison] = reply
    const reason = new MessagePoisonous(MOST_RECOVERIES, RECOVERIES_WITHIN_HOURS)
    for (let i = 0; i < poison.length; i += 3) {
      const [digest, token, body] = poison.slice(i, i + 3) as [Buffer, Buffer, Buffer]
      await this.bury({ body, receipt: `${digest}:${token}`, deliveries: 1 }, deadLetter(body, reason, this.#keys.queue))
    }
    return { found, due, full: poison.length === 0 && await this.#isLonger(offset + WINDOW) }
  }

  async #isLonger (than: number): Promise<boolean> {
    return await command(this.#client, this.#commandTimeoutMs, 'llen', ['llen', this.#keys.processing]) as number > than
  }

  /** What remains of messages that others took out of processing. */
  async #sweep (): Promise<void> {
    const { claims, firstSeen, recoveries } = this.#keys
    const hashes: [string, number][] = [[claims, HOUR_MS], [firstSeen, HOUR_MS], [recoveries, RECOVERIES_WITHIN_HOURS * HOUR_MS]]
    for (const [index, [key, horizonMs]] of hashes.entries()) {
      const cursor = await SWEEP.run(this.#client, [key], [this.#sweepCursors[index]!, horizonMs], this.#commandTimeoutMs)
      this.#sweepCursors[index] = String(cursor)
    }
  }

  #run (script: RedisScript, keys: (keyof QueueKeys)[], args: (string | number | Buffer)[]): Promise<unknown> {
    return script.run(this.#client, keys.map((name) => this.#keys[name]!), args, this.#commandTimeoutMs)
  }
}

/** The guard says so; plain ioredis says it in words. */
function wasNotSent (err: unknown): boolean {
  const { notApplied, message = '' } = err as { notApplied?: boolean, message?: string }
  return notApplied === true || message.startsWith('Stream isn\'t writeable')
}

function parts (receipt: string): [digest: string, token: string] {
  const [, digest = '', token = ''] = RECEIPT.exec(receipt) ?? []
  return [digest, token]
}

function toDeliveries (reply: unknown): [dueInMs: number, deliveries: Delivery[]] {
  const [dueInMs, ...fields] = reply as [number, ...unknown[]]
  const deliveries: Delivery[] = []
  for (let i = 0; i < fields.length; i += 4) {
    const [digest, token, body, recoveries] = fields.slice(i, i + 4) as [Buffer, Buffer, Buffer, number]
    deliveries.push({ body, receipt: `${digest}:${token}`, deliveries: recoveries + 1 })
  }
  return [dueInMs, deliveries]
}
