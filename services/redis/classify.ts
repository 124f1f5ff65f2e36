import type { Outcome } from '../resilience/circuit-breaker.ts'
import type { FailureKind } from './errors.ts'

export type { FailureKind } from './errors.ts'

export interface Classification {
  kind: FailureKind
  /** What it means to the circuit breaker. */
  breaker: Outcome
  /** Certainly not executed. */
  notApplied: boolean
  /** May or may not have been executed. */
  ambiguous: boolean
  /** First token of the server's message, or the error's own code: short, and free of addresses and secrets. */
  reason: string
}

type Meaning = readonly [kind: FailureKind, breaker: Outcome]

const overload: Meaning = ['overload', 'failure']
const caller: Meaning = ['caller', 'neutral']

/** By the first token of the server's message. Everything that is not here is the caller's mistake. */
const replies: Readonly<Record<string, Meaning>> = {
  NOAUTH: ['auth', 'fatal'],
  WRONGPASS: ['auth', 'fatal'],
  NOPERM: ['configuration', 'neutral'],
  MOVED: ['configuration', 'neutral'],
  ASK: ['configuration', 'neutral'],
  DENIED: ['configuration', 'fatal'],
  // No command can succeed until it is over: that needs no vote.
  LOADING: ['overload', 'fatal'],
  MASTERDOWN: overload,
  READONLY: overload,
  OOM: overload,
  MISCONF: overload,
  NOREPLICAS: overload,
  BUSY: overload,
  CLUSTERDOWN: overload,
  TRYAGAIN: overload,
  UNBLOCKED: overload,
  MAXCLIENTS: ['overload', 'fatal']
}

const certificateCodes = /CERT|ISSUER|CRL|SIGNATURE|SELF_SIGNED|HOSTNAME_MISMATCH|^ERR_SSL|^ERR_TLS|^EPROTO$/

/** What an error of a command or of a connection means. Never throws. */
export function classify (error: unknown): Classification {
  const { name, message, code, kind } = Object(error) as { name?: unknown, message?: unknown, code?: unknown, kind?: unknown }
  if (name === 'ReplyError' || name === 'SimpleError' || name === 'BlobError') return classifyReply(String(message))
  if (typeof kind === 'string') return classifyOwn(error as Classification & { code?: string })
  return classifySystem(typeof code === 'string' ? code : 'ECONNECTION')
}

function classifyReply (message: string): Classification {
  const token = firstToken(message)
  const [kind, breaker] = Object.hasOwn(replies, token) ? replies[token]! : caller
  // A script may have written before the command that failed inside it.
  const ambiguous = message.includes('script: ')
  return { kind, breaker, ambiguous, notApplied: !ambiguous, reason: token }
}

function firstToken (message: string): string {
  if (message.startsWith('ERR max number of clients')) return 'MAXCLIENTS'
  if (/^ERR (invalid password|AUTH|.*NOAUTH)/i.test(message)) return 'WRONGPASS'
  return /^[A-Z][A-Z0-9_]*/.exec(message)?.[0] ?? 'ERR'
}

/** Errors of this project state themselves what they mean. */
function classifyOwn (error: { kind: FailureKind, code?: string, reason?: string, notApplied?: boolean, ambiguous?: boolean }): Classification {
  const { kind, code = kind, reason = code, notApplied = false, ambiguous = false } = error
  const breaker = kind === 'caller' ? 'neutral' : kind === 'timeout' ? 'timeout' : kind === 'overload' ? 'failure' : 'fatal'
  return { kind, breaker, notApplied, ambiguous, reason }
}

function classifySystem (code: string): Classification {
  const kind = code === 'EACCES' || certificateCodes.test(code) ? 'configuration' : code === 'ETIMEDOUT' ? 'timeout' : 'transport'
  return { kind, breaker: 'fatal', notApplied: false, ambiguous: true, reason: code }
}

/**
 * ioredis hangs the command's arguments on a reply error, and whoever logs the error would log them: passwords among them.
 * The name stays.
 */
export function withoutArguments (error: unknown): void {
  const { command } = Object(error) as { command?: { name?: unknown } }
  if (command !== undefined) Object.assign(error as object, { command: { name: command.name } })
}
