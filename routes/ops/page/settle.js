import { requestJson } from './api.js'

/** Of one command; each batch handles up to 1000 letters. */
const MAX_BATCHES = 200
const WORDS = { replayed: 'replayed', purged: 'purged', not_found: 'gone already', not_replayable: 'not replayable', failed: 'failed' }

/** Replays or purges, batch after batch until nothing remains. Resolves to the outcome in words. @throws RequestFailed */
export async function settle (action, selection) {
  const outcomes = new Map()
  const reasons = new Set()
  let cursor = null
  for (let batch = 0; batch < MAX_BATCHES; batch++) {
    const body = cursor === null ? selection : { ...selection, cursor }
    const answer = await requestJson(`/queue/dead-letters/${action}`, { method: 'POST', body })
    for (const { outcome, reason } of answer.results) {
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
      if (reason !== null) reasons.add(reason)
    }
    for (const { side, reason } of answer.unavailable) reasons.add(`the ${side} side cannot be reached (${reason})`)
    cursor = answer.next_cursor
    if (!answer.remaining || cursor === null) break
  }
  const counted = [...outcomes].map(([outcome, number]) => `${number} ${WORDS[outcome] ?? outcome}`)
  return `${[...counted, ...[...reasons].slice(0, 3)].join(', ') || 'There was nothing to do'}.`
}
