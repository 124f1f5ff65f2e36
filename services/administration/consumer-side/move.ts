import { randomUUID } from 'node:crypto'
import { readDeadLetter } from '../../queue/read-dead-letter.ts'
import { answered } from './client.ts'
import type { QueueClient } from './client.ts'
import { withFreshAttempts } from './fresh-attempts.ts'
import type { DeadLetterPlace, QueueKeys } from './keys.ts'
import { elementId } from '../letter.ts'
import type { Letter } from '../letter.ts'
import { done, result } from '../outcome.ts'
import type { LetterResult } from '../outcome.ts'
import { CLAIM_SCRIPT, DELIVER_SCRIPT, FINISH_SCRIPT, FORGET_SCRIPT } from './scripts.ts'

type Evaluate = (script: string, keys: string[], args: (string | number | Buffer)[]) => Promise<unknown>

/** How long tokens stay: longer than a command that was given up can be under way. */
const TOKEN_SECONDS = 86_400

/**
 * A replay between two slots of a cluster, where no script can touch both lists. Three steps, each atomic and each safe to repeat under the
 * letter's token: out of the list into the hash of letters on their way; into the queue, unless it has had this token; out of the hash.
 * A letter is always in the list, in the hash or in the queue, and whoever comes next finishes what was interrupted.
 */
export class Move {
  readonly #eval: Evaluate
  readonly #redis: QueueClient
  readonly #keys: QueueKeys
  readonly #place: DeadLetterPlace
  readonly #timeoutMs: number

  constructor (evaluate: Evaluate, redis: QueueClient, keys: QueueKeys, place: DeadLetterPlace, timeoutMs: number) {
    this.#eval = evaluate
    this.#redis = redis
    this.#keys = keys
    this.#place = place
    this.#timeoutMs = timeoutMs
  }

  async replay (letters: Letter[]): Promise<LetterResult[]> {
    const results: LetterResult[] = []
    for (const letter of letters) results.push(await this.#replayOne(letter))
    return results
  }

  /** Returns the ids of the letters that are in the queue now. */
  async finishInterrupted (): Promise<string[]> {
    const moving = await answered(this.#redis.hgetallBuffer(this.#place.moving), this.#timeoutMs)
    const tokens = Object.keys(moving)
    for (const token of tokens) await this.#finish(token, readDeadLetter(moving[token]!).original)
    await this.#eval(FORGET_SCRIPT, [this.#keys.arrived], [TOKEN_SECONDS, ...tokens])
    return tokens.map((token) => elementId(moving[token]!))
  }

  async #replayOne ({ id, original, at }: Letter): Promise<LetterResult> {
    const token = randomUUID()
    const { list, moving, moved } = this.#place
    const args = [token, at!.element, at!.copies, at!.nearNewest ? 1 : -1]
    if (await this.#eval(CLAIM_SCRIPT, [list, moving, moved], args) !== 1) return result(id, 'not_found')
    await this.#finish(token, original)
    return done(id, 'replay')
  }

  async #finish (token: string, original: Buffer): Promise<void> {
    await this.#eval(DELIVER_SCRIPT, [this.#keys.target, this.#keys.arrived], [token, withFreshAttempts(original), this.#keys.transport])
    await this.#eval(FINISH_SCRIPT, [this.#place.moving, this.#place.moved], [token, TOKEN_SECONDS])
  }
}
