export interface Question {
  url: string
  method?: string
  headers?: Record<string, string>
  body?: string | undefined
  /** For the whole answer, body included. */
  timeoutMs: number
  signal?: AbortSignal | undefined
}

export interface Reply {
  status: number
  headers: Headers
  /** The first mebibyte. */
  body: string
  latencyMs: number
}

const MAX_BODY_BYTES = 1024 * 1024

/**
 * One HTTP request with a deadline. Redirects are not followed: a key must not travel to another place, and a health route that
 * redirects is none. Rejects with a sentence for people.
 */
export async function ask ({ url, method = 'GET', headers = {}, body, timeoutMs, signal }: Question): Promise<Reply> {
  const startedAt = performance.now()
  const deadline = AbortSignal.timeout(timeoutMs)
  try {
    const response = await fetch(url, {
      method,
      headers: { ...body === undefined ? {} : { 'content-type': 'application/json' }, ...headers },
      ...body === undefined ? {} : { body },
      redirect: 'manual',
      signal: signal === undefined ? deadline : AbortSignal.any([deadline, signal])
    })
    return { status: response.status, headers: response.headers, body: await readBody(response), latencyMs: performance.now() - startedAt }
  } catch (err) {
    throw new Error(deadline.aborted ? `no answer within ${timeoutMs} ms` : reasonOf(err as Error), { cause: err })
  }
}

async function readBody (response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk)
    size += chunk.length
    if (size >= MAX_BODY_BYTES) break
  }
  return Buffer.concat(chunks).subarray(0, MAX_BODY_BYTES).toString()
}

/** fetch says "fetch failed", and why in the cause, which for an attempt at several addresses has no message but a code. */
function reasonOf ({ message, cause }: Error): string {
  const { code, message: why } = (cause ?? {}) as { code?: string, message?: string }
  return [why, code].find((text) => text !== undefined && text !== '') ?? message
}

/** The JSON object that a body is, or null. */
export function jsonOf (body: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === 'object' && value !== null ? value as Record<string, unknown> : null
  } catch {
    return null
  }
}
