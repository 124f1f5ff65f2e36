import { JournalFull, LeaseLost, StoreUnavailable } from '../errors.ts'
import type { Outcome } from './group.ts'

const coded: Record<string, () => Error> = {
  FST_BRK_JOURNAL_FULL: () => new JournalFull(0, 0),
  FST_BRK_LEASE_LOST: () => new LeaseLost()
}

/** The error as it was thrown in the worker; what is not one of the journal's own means that the database failed. */
export function revive ({ code, message }: Outcome & { ok: false }): Error {
  const make = coded[code ?? '']
  return make === undefined ? new StoreUnavailable(message) : Object.assign(make(), { message })
}
