import { isUtf8 } from 'node:buffer'

/**
 * The bytes to queue again so that consumers give the message all its attempts: `retry_count` set to 0 where it is above, not one other
 * byte changed. What is no envelope comes back as it is.
 */
export function withFreshAttempts (original: Buffer): Buffer {
  const text = isUtf8(original) ? original.toString() : ''
  const envelope = parse(text)
  if (envelope === null || !Number.isInteger(envelope.retry_count) || Number(envelope.retry_count) <= 0) return original
  const wanted = JSON.stringify({ ...envelope, retry_count: 0 })
  // The field's name may occur inside the payload too: the right place is the one that changes this field and nothing else.
  for (const { index, 0: whole, 1: before = '' } of text.matchAll(/("retry_count"\s*:\s*)[-+.\deE]+/g)) {
    const candidate = `${text.slice(0, index)}${before}0${text.slice(index + whole.length)}`
    if (JSON.stringify(parse(candidate)) === wanted) return Buffer.from(candidate)
  }
  return Buffer.from(wanted)
}

function parse (text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Record<string, unknown> : null
  } catch {
    return null
  }
}
