import { JournalFull, LeaseLost, StoreUnavailable, TransactionUnsupported } from '../../errors.ts'

interface ServerError extends Error {
  code?: string
  severity?: string
  constraint?: string
}

/**
 * The caller's mistake or the data's: the database is well and its transaction could be tried again with other values.
 * `code` is the SQLSTATE, such as 23505 for a unique violation.
 */
export class StatementRejected extends Error {
  readonly code: string
  readonly constraint: string | null

  constructor (code: string, message: string, constraint: string | null) {
    super(message)
    this.name = 'StatementRejected'
    this.code = code
    this.constraint = constraint
  }
}

const passedOn = [StatementRejected, StoreUnavailable, JournalFull, LeaseLost, TransactionUnsupported]

/** SQLSTATE classes that say something about the values sent: data exception, integrity violation, program limit. */
const REJECTED = /^(22|23|54)...$/

const reasons: [pattern: RegExp, reason: string][] = [
  [/^28...$/, 'it refused the credentials'],
  [/^57014$/, 'a statement took too long'],
  [/^57P0.$/, 'it is shutting down or starting up'],
  [/^53300$/, 'it has no connection left'],
  [/^53...$/, 'it has no disk or memory left'],
  [/^25006$/, 'it is read-only, a standby perhaps'],
  [/^42501$/, 'the role lacks a right, see docs/postgresql.md']
]

/** Turns what the driver throws into errors that callers know and that carry nothing of the connection's credentials. */
export class FailureTranslator {
  readonly #secrets: string[]

  constructor (secrets: (string | null | undefined)[]) {
    this.#secrets = secrets.filter((secret) => typeof secret === 'string' && secret !== '') as string[]
  }

  /** The driver's error as one of ours; ours stay as they are, and so do errors that no database made. */
  translate (err: unknown): Error {
    if (passedOn.some((known) => err instanceof known)) return err as Error
    const { code = '', message, constraint } = err as ServerError
    if (REJECTED.test(code)) return new StatementRejected(code, this.scrub(message), constraint ?? null)
    const reason = reasons.find(([pattern]) => pattern.test(code))?.[1]
    return new StoreUnavailable(reason ?? this.scrub(describe(err as ServerError)))
  }

  /** Everything but the server's word on one statement; a read-only server is a standby now, and the new primary is elsewhere. */
  endsConnection (err: unknown): boolean {
    const { code, severity } = err as ServerError
    return severity !== 'ERROR' || code === '25006'
  }

  scrub (text: string): string {
    return this.#secrets.reduce((scrubbed, secret) => scrubbed.replaceAll(secret, '***'), text)
  }
}

function describe (err: ServerError & { errors?: Error[] }): string {
  // A name with several addresses fails with one error for each, and no message of its own.
  const message = err.message === '' ? (err.errors ?? []).map((each) => each.message).join(', ') : err.message
  if (/timeout/.test(message)) return 'it did not answer in time'
  if (/terminated|ECONNRESET|EPIPE|not queryable|closed/.test(message)) return 'the connection broke'
  return message === '' ? err.code ?? err.name : message
}
