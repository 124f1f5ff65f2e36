import { isUtf8 } from 'node:buffer'

/**
 * `described`: the second form of PROTOCOL.md, with the reason. `original`: the first form, the message itself.
 * `unknown`: neither, so nobody knows what the message was.
 */
export type DeadLetterForm = 'described' | 'original' | 'unknown'

export interface ReadDeadLetter {
  form: DeadLetterForm
  /** The exact bytes that could not be handled; those of the element itself where no form is recognised. */
  original: Buffer
  error: string | null
  /** As its writer wrote it. */
  failedAt: string | null
  /** The queue that it came from. */
  queue: string | null
}

/** Reads an element of `<queue>:dlq`, whoever wrote it. Never throws: bytes of no known form are a dead letter too. */
export function readDeadLetter (element: Buffer): ReadDeadLetter {
  const unexplained = { original: element, error: null, failedAt: null, queue: null }
  const value = parseObject(element)
  if (value === null) return { form: 'unknown', ...unexplained }
  const { original_message: original, error, failed_at: failedAt, original_queue: queue } = value
  if (typeof original === 'string') {
    return { form: 'described', original: Buffer.from(original), error: text(error), failedAt: text(failedAt), queue: text(queue) }
  }
  return { form: typeof value.message_id === 'string' ? 'original' : 'unknown', ...unexplained }
}

function parseObject (bytes: Buffer): Record<string, unknown> | null {
  if (!isUtf8(bytes)) return null
  try {
    const value: unknown = JSON.parse(bytes.toString())
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Record<string, unknown> : null
  } catch {
    return null
  }
}

function text (value: unknown): string | null {
  return typeof value === 'string' ? value : null
}
