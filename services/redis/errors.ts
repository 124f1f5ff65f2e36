import createError from '@fastify/error'

/** `caller`: the command itself is wrong. `configuration`: neither waiting nor repeating helps. */
export type FailureKind = 'transport' | 'timeout' | 'overload' | 'auth' | 'configuration' | 'caller'

/** What every error of a guarded command tells. */
export interface RedisFailure {
  readonly code: string
  readonly kind: FailureKind
  /** Certainly not executed: safe to repeat, whatever the command. */
  readonly notApplied: boolean
  /** Written and not answered: executed once or not at all. */
  readonly ambiguous: boolean
  readonly retryAfterMs: number
}

const NotConnectedBase = createError<[reason: string, cause?: ErrorOptions]>('FST_BRK_REDIS_NOT_CONNECTED',
  'There is no connection to Redis (%s); the command was not sent. Retry after error.retryAfterMs; docs/redis-client.md lists the causes.', 503, Error, false)
const ClosedBase = createError<[]>('FST_BRK_REDIS_CLOSED',
  'The Redis client was closed; the command was not sent. Send nothing after closing the guard or its Fastify instance.', 503, Error, false)
const TimeoutBase = createError<[command: string, timeoutMs: number]>('FST_BRK_REDIS_TIMEOUT',
  'Redis did not answer %s within %s ms; whether it was executed is unknown. Repeat it only if twice is as good as once.', 503, Error, false)
const NotSentBase = createError<[command: string, timeoutMs: number]>('FST_BRK_REDIS_NOT_SENT',
  'The deadline of %s (%s ms) passed before it could be sent, and it never will be. It is safe to repeat.', 503, Error, false)
const ConnectionLostBase = createError<[command: string, cause?: ErrorOptions]>('FST_BRK_REDIS_CONNECTION_LOST',
  'The connection to Redis was lost before %s was answered; whether it was executed is unknown. Repeat it only if twice is as good as once.', 503, Error, false)
const ConnectionBase = createError<[reason: string, cause?: ErrorOptions]>('FST_BRK_REDIS_CONNECTION',
  'A connection to Redis failed (%s). It is tried again at least once a second; docs/redis-client.md lists the causes.', 503, Error, false)

/** There is no connection to send the command on. */
export class RedisNotConnected extends NotConnectedBase implements RedisFailure {
  readonly notApplied = true
  readonly ambiguous = false
  readonly kind: FailureKind
  readonly retryAfterMs: number

  constructor (reason: string, kind: FailureKind, retryAfterMs: number) {
    super(reason)
    this.kind = kind
    this.retryAfterMs = retryAfterMs
  }
}

export class RedisClosed extends ClosedBase implements RedisFailure {
  readonly notApplied = true
  readonly ambiguous = false
  readonly kind = 'transport'
  readonly retryAfterMs = 0
}

/** Sent, and not answered within its deadline. */
export class RedisTimeout extends TimeoutBase implements RedisFailure {
  readonly notApplied = false
  readonly ambiguous = true
  readonly kind = 'timeout'
  readonly retryAfterMs = 0
}

/** Its deadline passed while it waited for the connection. */
export class RedisNotSent extends NotSentBase implements RedisFailure {
  readonly notApplied = true
  readonly ambiguous = false
  readonly kind = 'timeout'
  readonly retryAfterMs = 0
}

/** Sent on a connection that broke before the reply came. */
export class RedisConnectionLost extends ConnectionLostBase implements RedisFailure {
  readonly notApplied = false
  readonly ambiguous = true
  readonly kind = 'transport'
  readonly retryAfterMs = 0

  /** `cause`: where something arrived that was no reply. */
  constructor (command: string, cause?: Error) {
    const options: [ErrorOptions?] = cause === undefined ? [] : [{ cause }]
    super(command, ...options)
  }
}

/** What the `error` event of a client carries: why an attempt to connect failed, or why a connection broke. */
export class RedisConnectionFailed extends ConnectionBase implements RedisFailure {
  readonly notApplied = true
  readonly ambiguous = false
  readonly retryAfterMs = 0
  readonly kind: FailureKind
  /** Of the cause: `ECONNREFUSED`, `WRONGPASS`, `DEPTH_ZERO_SELF_SIGNED_CERT`… */
  readonly reason: string

  constructor (kind: FailureKind, reason: string, cause?: Error) {
    super(reason, { cause })
    this.kind = kind
    this.reason = reason
  }
}

// Outages are when these are made by the thousand, so no stack is captured; but who prints one expects a text.
for (const { prototype } of [RedisNotConnected, RedisClosed, RedisTimeout, RedisNotSent, RedisConnectionLost, RedisConnectionFailed]) {
  Object.defineProperty(prototype, 'stack', {
    configurable: true,
    get (this: Error) { return String(this) },
    // ioredis writes it where `showFriendlyErrorStack` is on, as other libraries do; a rejection that throws would never settle.
    set (this: Error, stack: string) { Object.defineProperty(this, 'stack', { value: stack, writable: true, configurable: true }) }
  })
}

export const RedisGuardOption = createError<[reason: string]>('FST_BRK_REDIS_OPTION', 'The Redis client was not made: %s.', 500)
