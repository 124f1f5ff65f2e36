/** Turns values into text and back. What either throws is counted, and no caller sees it. */
export interface Codec {
  encode (value: unknown): string
  decode (text: string): unknown
}

/** `undefined`, which JSON does not know, is kept without it. */
export const jsonCodec: Codec = {
  encode: (value) => JSON.stringify(value),
  decode: (text) => JSON.parse(text)
}

/** A value as it is kept, in Redis and in memory. */
export interface Entry {
  /** Milliseconds since 1970, jitter included. */
  readonly freshUntil: number
  /** What the codec made; null stands for `undefined`. */
  readonly payload: string | null
}

/** Of its text before the payload; the first character changes with the form. */
const HEADER = /^1:([0-9a-z]{1,11})([=-])/

export function entryText ({ freshUntil, payload }: Entry): string {
  const header = `1:${Math.max(0, Math.round(freshUntil)).toString(36)}`
  return payload === null ? `${header}-` : `${header}=${payload}`
}

/** Null where the text was not written by {@link entryText}. */
export function parseEntry (text: string): Entry | null {
  const header = HEADER.exec(text)
  if (header === null) return null
  const [{ length }, freshUntil, kind] = header
  if (kind === '-' && text.length > length) return null
  return { freshUntil: parseInt(freshUntil!, 36), payload: kind === '=' ? text.slice(length) : null }
}

/** So that what was written together does not expire together. `share` 0.1: up to a tenth more or less. */
export function jittered (ttlMs: number, share: number, random: () => number): number {
  return Math.max(1, ttlMs * (1 + share * (2 * random() - 1)))
}
