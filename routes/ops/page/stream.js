import { RequestFailed, request } from './api.js'

const FIRST_RETRY_MS = 500
const MAX_RETRY_MS = 15_000
/** A sample comes every two seconds: a line that is silent for so long is dead. */
const SILENCE_MS = 10_000

/**
 * Follows the service for as long as the page is open. It reads the events itself, because EventSource cannot send a key in a header.
 * `onEvent(name, data)`, `onConnected()`, `onLost(error, retryInMs)`; `onKeyNeeded(error)` resolves when there may be a new key.
 */
export async function follow (handlers) {
  let failures = 0
  for (;;) {
    try {
      await readEvents({ ...handlers, onEvent: (name, data) => { failures = 0; handlers.onEvent(name, data) } })
      throw new RequestFailed(0, 'The service ended the connection.')
    } catch (err) {
      if (err.status === 401 || err.status === 403) {
        await handlers.onKeyNeeded(err)
        continue
      }
      const delayMs = backoff(failures++)
      handlers.onLost(err, delayMs)
      await pause(delayMs)
    }
  }
}

async function readEvents ({ onEvent, onConnected }) {
  const abort = new AbortController()
  const giveUp = () => abort.abort(new RequestFailed(0, 'The service has been silent.'))
  let watchdog = setTimeout(giveUp, SILENCE_MS)
  try {
    const { body } = await request('/ops/events', { signal: abort.signal })
    onConnected()
    const parse = parser(onEvent)
    const reader = body.pipeThrough(new TextDecoderStream()).getReader()
    // Not `for await`: older Safari cannot iterate over a stream.
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      clearTimeout(watchdog)
      watchdog = setTimeout(giveUp, SILENCE_MS)
      parse(part.value)
    }
  } finally {
    clearTimeout(watchdog)
    abort.abort()
  }
}

/** Takes pieces of an event stream, cut anywhere. */
function parser (onEvent) {
  let rest = ''
  return (text) => {
    const blocks = (rest + text).split('\n\n')
    rest = blocks.pop()
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split('\n').map((line) => {
        const colon = line.indexOf(': ')
        return [line.slice(0, colon), line.slice(colon + 2)]
      }))
      if (fields.event !== undefined) onEvent(fields.event, JSON.parse(fields.data))
    }
  }
}

/** Full jitter above a half: pages that lost the same service do not come back all at once. */
function backoff (failures) {
  const limit = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** failures)
  return limit * (0.5 + Math.random() / 2)
}

function pause (delayMs) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, delayMs)
    window.addEventListener('online', done)
    function done () {
      clearTimeout(timer)
      window.removeEventListener('online', done)
      resolve()
    }
  })
}
