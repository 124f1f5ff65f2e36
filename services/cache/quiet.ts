import type { Redis } from 'ioredis'

export interface QuietOptions {
  /** Longest wait in ms; the command itself goes on. Default: the command's own deadline. */
  waitMs?: number | undefined
}

/**
 * The result of a command of a guarded client, or the fallback if Redis does not give one. The caller's own mistakes (WRONGTYPE and
 * the like) are not covered up: those reject.
 */
export async function quietly<Result, Fallback> (command: Promise<Result>, fallback: Fallback, { waitMs }: QuietOptions = {}): Promise<Result | Fallback> {
  const covered = command.catch((error: Error & { kind?: string }) => {
    if (error.kind === 'caller') throw error
    return fallback
  })
  if (waitMs === undefined) return await covered
  const { promise: waited, resolve } = Promise.withResolvers<Fallback>()
  const timer = setTimeout(resolve, waitMs, fallback)
  // Whoever is not waited for any more must not become an unhandled rejection.
  covered.catch(() => {})
  try {
    return await Promise.race([covered, waited])
  } finally {
    clearTimeout(timer)
  }
}

/** `GET`, with the fallback for a key that is absent too. */
export async function getOr<Fallback> (client: Pick<Redis, 'get'>, key: string, fallback: Fallback, options?: QuietOptions): Promise<string | Fallback> {
  return await quietly(client.get(key), fallback, options) ?? fallback
}

/** `SET`, for `ttlMs` if given. Resolves to whether Redis has confirmed it. */
export async function setQuietly (
  client: Pick<Redis, 'set'>, key: string, value: string | Buffer | number, { ttlMs, ...options }: QuietOptions & { ttlMs?: number | undefined } = {}
): Promise<boolean> {
  const sent = ttlMs === undefined ? client.set(key, value) : client.set(key, value, 'PX', Math.max(1, Math.ceil(ttlMs)))
  return await quietly(sent, null, options) === 'OK'
}
