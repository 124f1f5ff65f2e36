import { isUtf8 } from 'node:buffer'
import type { Letter, Side } from './letter.ts'

/** A letter as answers show it. */
export interface LetterSummary {
  id: string
  side: Side
  message_id: string | null
  message_type: string | null
  /** The model's name. */
  model: string | null
  error: string | null
  /** ISO 8601 with `Z`; null where its writer did not say. */
  failed_at: string | null
  /** Attempts to publish; null on the consumer side. */
  attempts: number | null
  original_queue: string | null
  size_bytes: number
  replayable: boolean
}

/** A summary and the message itself, or the element where the message is not known. */
export interface LetterDetail extends LetterSummary {
  original: string
  /** `base64` where the bytes are no UTF-8. */
  encoding: 'utf-8' | 'base64'
}

const MAX_ERROR_LENGTH = 1000
const MAX_NAME_LENGTH = 500

export function summary (letter: Letter): LetterSummary {
  return {
    id: letter.id,
    side: letter.side,
    message_id: short(letter.messageId),
    message_type: short(letter.messageType),
    model: short(letter.key),
    error: short(letter.error, MAX_ERROR_LENGTH),
    failed_at: letter.failedAt === null ? null : new Date(letter.failedAt).toISOString(),
    attempts: letter.attempts,
    original_queue: short(letter.queue),
    size_bytes: letter.original.length,
    replayable: letter.replayable
  }
}

export function detail (letter: Letter): LetterDetail {
  const encoding = isUtf8(letter.original) ? 'utf-8' : 'base64'
  return { ...summary(letter), error: letter.error, original: letter.original.toString(encoding), encoding }
}

/** Whoever wrote the letter chose the length. */
function short (text: string | null, length = MAX_NAME_LENGTH): string | null {
  return text === null || text.length <= length ? text : `${text.slice(0, length)}…`
}
