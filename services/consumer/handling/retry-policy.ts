import { readEnvelope } from '../../queue/read-envelope.ts'
import type { ReceivedMessage } from '../../queue/read-envelope.ts'
import { fullJitter } from '../../resilience/backoff.ts'
import { MessageUnrecoverable, PostponeMessage } from '../errors.ts'

export interface RetrySettings {
  /** Null: what the envelope allows. */
  maxAttempts: number | null
  backoffBaseMs: number
  backoffCapMs: number
  random: () => number
}

export type Verdict =
  /** To come again, as `body`; `counted`: a failed attempt was noted in it. */
  | { again: true, body: Buffer, delayMs: number, counted: boolean }
  | { again: false }

/** What becomes of a message whose handler failed: another attempt after a pause with full jitter, or the dead letters. */
export function judge (message: ReceivedMessage, body: Buffer, error: unknown, settings: RetrySettings): Verdict {
  if (error instanceof PostponeMessage) return { again: true, body, delayMs: error.delayMs, counted: false }
  if (error instanceof MessageUnrecoverable) return { again: false }
  const failures = message.retry_count + 1
  if (failures >= (settings.maxAttempts ?? message.max_retries + 1)) return { again: false }
  const delayMs = fullJitter(message.retry_count, settings.backoffBaseMs, settings.backoffCapMs, settings.random)
  return { again: true, body: Buffer.from(withRetryCount(body.toString(), failures)), delayMs, counted: true }
}

/** The same text but for this number: written anew, numbers that JavaScript cannot hold would change. */
export function withRetryCount (body: string, retryCount: number): string {
  for (const { 0: field, 1: name, index } of body.matchAll(/("retry_count"\s*:\s*)[\d.eE+-]+/g)) {
    const changed = body.slice(0, index) + name + retryCount + body.slice(index + field.length)
    // The payload may have a field of that name.
    if (readEnvelope(changed).retry_count === retryCount) return changed
  }
  return JSON.stringify({ ...readEnvelope(body), retry_count: retryCount })
}
