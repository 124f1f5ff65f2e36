const NAME = 'breakwater-key'

/** Only here, and only in a header: never in an address, which logs and histories keep. */
export const key = {
  get: () => window.sessionStorage.getItem(NAME),
  set: (value) => window.sessionStorage.setItem(NAME, value),
  forget: () => window.sessionStorage.removeItem(NAME)
}

/** An answer other than 2xx. `status` 0: there was none. */
export class RequestFailed extends Error {
  constructor (status, message) {
    super(message)
    this.status = status
  }
}

const TIMEOUT_MS = 15_000

/** @throws RequestFailed */
export async function request (url, options = {}) {
  const current = key.get()
  const headers = { ...options.headers, ...current === null ? {} : { authorization: `Bearer ${current}` } }
  let response
  try {
    response = await fetch(url, { cache: 'no-store', credentials: 'omit', redirect: 'error', ...options, headers })
  } catch (err) {
    throw err instanceof RequestFailed ? err : new RequestFailed(0, 'The service cannot be reached.')
  }
  if (!response.ok) throw await failure(response)
  return response
}

/** @throws RequestFailed */
export async function requestJson (url, { body, ...options } = {}) {
  const content = body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
  const response = await request(url, { signal: AbortSignal.timeout(TIMEOUT_MS), ...options, ...content })
  return await response.json()
}

async function failure (response) {
  const problem = await response.json().catch(() => ({}))
  return new RequestFailed(response.status, problem.detail ?? `The service answered ${response.status}.`)
}
