export type Action = 'replay' | 'purge'

/** What became of a letter. `not_replayable`: nobody knows what the message was. `failed`: see the reason; it is safe to ask again. */
export type Outcome = 'replayed' | 'purged' | 'not_found' | 'not_replayable' | 'failed'

export interface LetterResult { id: string, outcome: Outcome, reason: string | null }

export function result (id: string, outcome: Outcome, reason: string | null = null): LetterResult {
  return { id, outcome, reason }
}

export function done (id: string, action: Action): LetterResult {
  return result(id, action === 'replay' ? 'replayed' : 'purged')
}
