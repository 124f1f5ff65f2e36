import type { Problems } from '../problems.ts'
import { Secret } from '../secret.ts'

/** Nothing but characters that an encoder leaves alone and escapes, at least one of them. */
const LOOKS_ENCODED = /^(?:[\w\-.~!*'()]|%[\da-f]{2})*$/i

/**
 * REDIS_AUTH_TOKEN comes raw or percent-encoded and does not say which. It counts as encoded when it has an escape, every
 * escape is well-formed, and no character is left that an encoder would have escaped. Everything else is taken literally.
 */
export function readToken (text: string, problems: Problems): Secret {
  const decoded = text.includes('%') && LOOKS_ENCODED.test(text) ? decode(text) : null
  if (decoded !== null) {
    problems.add('FST_BRK_CONFIG_TOKEN_DECODED', 'REDIS_AUTH_TOKEN',
      'REDIS_AUTH_TOKEN has percent escapes and no character that encoding would have removed, so it was percent-decoded.')
    return new Secret(decoded)
  }
  if (text !== text.trim()) {
    problems.add('FST_BRK_CONFIG_TOKEN_SPACES', 'REDIS_AUTH_TOKEN', 'REDIS_AUTH_TOKEN begins or ends with white space, which was kept as part of the token.')
  }
  return new Secret(text)
}

/** User or token of a URL: percent-encoded by rule, literal where that cannot be. */
export function readUrlCredential (text: string, problems: Problems): string {
  const decoded = decode(text)
  if (decoded !== null) return decoded
  problems.add('FST_BRK_CONFIG_TOKEN_LITERAL', 'REDIS_URL', 'The credentials in REDIS_URL have a % that does not start an escape, so they were taken literally.')
  return text
}

/** Null where the text is not well-formed. */
export function decode (text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}
