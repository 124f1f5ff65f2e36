import { createHash } from 'node:crypto'
import { isUtf8 } from 'node:buffer'
import type { DeadLetter } from '../journal/journal.ts'
import { readDeadLetter } from '../queue/read-dead-letter.ts'
import type { DeadLetterPlace } from './consumer-side/keys.ts'

/** Where a message died: on its way into the queue, or with a consumer. */
export type Side = 'publish' | 'consume'

export interface Letter {
  /** `p-…`: of the journal. `c-…`: made of the element's content, with `-2`, `-3`… for further copies of the very same bytes. */
  id: string
  side: Side
  /** The exact bytes of the message. */
  original: Buffer
  /** False where nobody knows what the message was. */
  replayable: boolean
  error: string | null
  /** Epoch ms; null where nobody wrote it down. */
  failedAt: number | null
  attempts: number | null
  queue: string | null
  /** Its ordering key: the model. */
  key: string | null
  modelId: string | null
  messageId: string | null
  messageType: string | null
  /** Consumer side: where it lies. */
  at: ElementPlace | null
}

export interface ElementPlace {
  place: DeadLetterPlace
  element: Buffer
  /** Counted from the oldest, which is 1: arrivals do not change it. */
  position: number
  /** Whether the newest element is nearer than the oldest. */
  nearNewest: boolean
  /** The letter exists while the list holds at least so many copies of its bytes. */
  copies: number
}

export function journalLetter ({ id, key, body, reason, attempts, failedAt }: DeadLetter): Letter {
  const original = Buffer.from(body)
  return {
    id: `p-${id}`,
    side: 'publish',
    original,
    replayable: true,
    error: reason,
    failedAt,
    attempts,
    queue: null,
    ...readAddress(original),
    key,
    at: null
  }
}

export function elementLetter (at: ElementPlace): Letter {
  const { form, original, error, failedAt, queue } = readDeadLetter(at.element)
  return {
    id: elementId(at.element),
    side: 'consume',
    original,
    replayable: form !== 'unknown',
    error,
    failedAt: epochMs(failedAt),
    attempts: null,
    queue,
    ...readAddress(original),
    at
  }
}

/** 128 bits of SHA-256: the same element has the same id wherever and whenever it is read. */
export function elementId (element: Buffer): string {
  return `c-${createHash('sha256').update(element).digest('hex').slice(0, 32)}`
}

export interface LetterId { side: Side, base: string, copies: number }

/** Null where no letter can have this id. */
export function parseLetterId (id: string): LetterId | null {
  const [, journalId] = /^p-(.+)$/s.exec(id) ?? []
  if (journalId !== undefined) return { side: 'publish', base: journalId, copies: 1 }
  const [, base, copies = '1'] = /^(c-[0-9a-f]{32})(?:-([1-9]\d{0,6}))?$/.exec(id) ?? []
  return base === undefined ? null : { side: 'consume', base, copies: Number(copies) }
}

function readAddress (original: Buffer): Pick<Letter, 'key' | 'modelId' | 'messageId' | 'messageType'> {
  const envelope = parseObject(original)
  const payload = Object(envelope.payload) as Record<string, unknown>
  return {
    key: text(payload.model_name),
    modelId: text(payload.model_id),
    messageId: text(envelope.message_id),
    messageType: text(envelope.message_type)
  }
}

function parseObject (bytes: Buffer): Record<string, unknown> {
  try {
    return isUtf8(bytes) ? Object(JSON.parse(bytes.toString())) as Record<string, unknown> : {}
  } catch {
    return {}
  }
}

function text (value: unknown): string | null {
  return typeof value === 'string' ? value : null
}

/** Writers of dead letters state naive UTC (PROTOCOL.md), with microseconds; some state a zone. */
function epochMs (timestamp: string | null): number | null {
  if (timestamp === null) return null
  const zoned = /(?:Z|[+-]\d\d:?\d\d)$/i.test(timestamp) ? timestamp : `${timestamp}Z`
  const ms = Date.parse(zoned)
  return Number.isNaN(ms) ? null : ms
}
