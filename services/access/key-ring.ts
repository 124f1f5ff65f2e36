import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import type { ApiKey, Scope } from '../config/api-keys.ts'

const RANK: Record<Scope, number> = { read: 1, write: 2, admin: 3 }
/** Longer than any key of ours; what is longer is not hashed. */
const MAX_KEY_LENGTH = 512

/** Who a request comes from. */
export interface Caller { name: string, scope: Scope }

/** The keys that open the service. Several may be valid at once, so that a key can be replaced without a gap. */
export class KeyRing {
  readonly #keys: { caller: Caller, digest: Buffer }[]

  constructor (keys: readonly ApiKey[]) {
    this.#keys = keys.map(({ name, scope, sha256 }) => ({ caller: { name, scope }, digest: Buffer.from(sha256, 'hex') }))
  }

  /** The owner of the key in these headers, or null. Takes equally long whichever key matches, or none. */
  identify (headers: IncomingHttpHeaders): Caller | null {
    const key = presentedKey(headers)
    if (key === null || key.length > MAX_KEY_LENGTH) return null
    const digest = createHash('sha256').update(key).digest()
    let found: Caller | null = null
    for (const candidate of this.#keys) {
      if (timingSafeEqual(candidate.digest, digest)) found = candidate.caller
    }
    return found
  }
}

export function opens ({ scope }: Caller, needed: Scope): boolean {
  return RANK[scope] >= RANK[needed]
}

function presentedKey ({ authorization, 'x-api-key': apiKey }: IncomingHttpHeaders): string | null {
  const [, bearer] = /^bearer +(\S+)$/i.exec(authorization ?? '') ?? []
  return bearer ?? (typeof apiKey === 'string' && apiKey !== '' ? apiKey : null)
}
