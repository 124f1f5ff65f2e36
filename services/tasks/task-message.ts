import { naiveTimestamp, sealEnvelope } from '../queue/envelope.ts'
import type { Envelope, Origin } from '../queue/envelope.ts'
import type { ReceivedMessage } from '../queue/read-envelope.ts'

/** A task in the payload of an envelope, which is closed around it: what is not the task's own goes beside it. */
export interface TaskMessage {
  input: unknown
  correlationId: string | null
  traceparent: string | null
  /** Epoch ms; null: at once. */
  notBefore: number | null
}

interface SealOptions {
  maxAttempts: number
  origin: Origin
  delayMs: number
  now: Date
}

export function sealTask (name: string, input: unknown, { maxAttempts, origin, delayMs, now }: SealOptions): Envelope {
  const { correlationId, traceparent } = origin
  const payload = {
    input,
    ...delayMs > 0 ? { not_before: naiveTimestamp(new Date(now.getTime() + delayMs)) } : {},
    tags: { correlation_id: correlationId, ...traceparent === undefined ? {} : { traceparent } }
  }
  return sealEnvelope(name, payload, { now, maxRetries: maxAttempts - 1 })
}

export function openTask ({ payload }: ReceivedMessage): TaskMessage {
  const { input, not_before: notBefore } = payload
  const tags = Object(payload.tags) as Record<string, unknown>
  return {
    input,
    correlationId: text(tags.correlation_id),
    traceparent: text(tags.traceparent),
    notBefore: typeof notBefore === 'string' ? Date.parse(`${notBefore}Z`) : null
  }
}

function text (value: unknown): string | null {
  return typeof value === 'string' ? value : null
}
