import type { Outcome } from './options.ts'

/** The two arguments of `promise.then()` for a call. */
export interface Settlers {
  readonly fulfilled: <T>(value: T) => T
  readonly rejected: (error: unknown) => never
}

/** What `classify` says; a classifier that throws must not hide the error it was asked about. */
export function classifySafely (classify: (error: unknown) => Outcome | null, error: unknown): Outcome | null {
  try {
    return classify(error)
  } catch {
    return 'failure'
  }
}
