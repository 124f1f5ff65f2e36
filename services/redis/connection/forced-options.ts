import type { RedisOptions } from 'ioredis'

/** Forced on every client: with these, and only with these, nothing is sent twice, sent late or left hanging (docs/redis-client.md). */
export const forcedOptions: RedisOptions = {
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
  // LOADING is an answer that the breaker understands; ioredis would poll in silence.
  enableReadyCheck: false,
  disconnectTimeout: 100,
  // One watchdog bounds TCP, TLS and handshake; ioredis' own leaves the handshake unbounded.
  connectTimeout: 0,
  // Every command has a deadline already, and this one would not say whether it was sent.
  commandTimeout: undefined
}

/** Where it asks for the command to be sent again (2), the connection is replaced, and the caller gets the server's error, which says whether repeating is safe. */
export function withoutResending (decide: RedisOptions['reconnectOnError']): RedisOptions['reconnectOnError'] {
  return decide && ((error) => Boolean(decide(error)))
}
