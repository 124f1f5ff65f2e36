import type { Action, LetterResult, Outcome } from '../../services/administration/outcome.ts'
import type { QueueAdministration, Selection, Settled } from '../../services/administration/queue-administration.ts'
import type { QueueFlags } from './flags.ts'

export interface SettledAll {
  action: Action
  counts: Partial<Record<Outcome, number>>
  /** At most the first 1000. */
  results: LetterResult[]
  results_truncated: boolean
  /** A failure ended it before the last letter. */
  remaining: boolean
  unavailable: Settled['unavailable']
}

const MAX_RESULTS = 1000
const MAX_IDS = 1000

/** Batch after batch, to the end or to the first failure. */
export async function settleAll (administration: QueueAdministration, action: Action, flags: QueueFlags): Promise<SettledAll> {
  const all: SettledAll = { action, counts: {}, results: [], results_truncated: false, remaining: false, unavailable: [] }
  for (let selection = first(flags); selection !== null;) {
    const settled = action === 'replay' ? await administration.replay(selection) : await administration.purge(selection)
    add(all, settled)
    selection = rest(selection, settled, flags)
    if ((all.counts.failed ?? 0) > 0) {
      all.remaining = selection !== null
      break
    }
  }
  return all
}

function first ({ ids, filtered, filter }: QueueFlags): Selection | null {
  if (ids.length > 0) return { ids: ids.slice(0, MAX_IDS) }
  return filtered ? { filter } : { all: true }
}

function rest (done: Selection, { next_cursor: next }: Settled, { ids }: QueueFlags): Selection | null {
  if (!('ids' in done)) return next === null ? null : { ...done, cursor: next }
  const remaining = ids.slice(ids.indexOf(done.ids.at(-1)!) + 1)
  return remaining.length === 0 ? null : { ids: remaining.slice(0, MAX_IDS) }
}

function add (all: SettledAll, { results, unavailable }: Settled): void {
  for (const { outcome } of results) all.counts[outcome] = (all.counts[outcome] ?? 0) + 1
  all.results_truncated ||= all.results.length + results.length > MAX_RESULTS
  all.results = [...all.results, ...results].slice(0, MAX_RESULTS)
  all.unavailable = unavailable
}

/** 0: everything asked for was done. 1: nothing was. 2: a part. */
export function exitCodeOf ({ counts, unavailable }: SettledAll): 0 | 1 | 2 {
  const { replayed = 0, purged = 0, ...others } = counts
  const exceptions = Object.values(others).some((count) => count > 0)
  if (!exceptions) return unavailable.length > 0 ? 2 : 0
  return replayed + purged > 0 ? 2 : 1
}
