import { isUtf8 } from 'node:buffer'
import { naiveTimestamp } from './envelope.ts'

/**
 * The list element that tells why `original` could not be handled, in the second form of the protocol.
 * Bytes that are no UTF-8 cannot live inside JSON unharmed: they are kept as they are, which is the first form.
 */
export function deadLetter (original: Buffer, reason: unknown, queue: string, now = new Date()): Buffer {
  if (!isUtf8(original)) return original
  return Buffer.from(JSON.stringify({
    original_message: original.toString(),
    error: describe(reason),
    failed_at: naiveTimestamp(now),
    original_queue: queue
  }))
}

function describe (reason: unknown): string {
  return reason instanceof Error ? `${reason.name}: ${reason.message}` : String(reason)
}
