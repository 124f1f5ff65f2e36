import { answered, reasonOf } from './consumer-side/client.ts'
import { findElements } from './consumer-side/find-elements.ts'
import type { Found } from './consumer-side/find-elements.ts'
import { parseLetterId } from './letter.ts'
import type { Letter, LetterId } from './letter.ts'
import { done, result } from './outcome.ts'
import type { Action, LetterResult } from './outcome.ts'
import type { Settlement } from './consumer-side/settlement.ts'
import type { WalkOptions } from './walk.ts'

export interface Parts {
  sources: WalkOptions
  settlement: Settlement | null
  action: Action
}

const ROWS_PER_TRANSACTION = 200

/** Letters that a walk has found, newest first. Never rejects. */
export async function settleLetters (parts: Parts, letters: Letter[]): Promise<LetterResult[]> {
  const rows = letters.filter(({ side }) => side === 'publish').map(({ id }) => id.slice(2)).reverse()
  const elements = letters.filter(({ side }) => side === 'consume')
  return [...await settleRows(parts, rows), ...await settleElements(parts, elements)]
}

/** One result for each id, in the order given; an id given twice counts once. Never rejects. */
export async function settleIds (parts: Parts, ids: string[]): Promise<LetterResult[]> {
  const wanted = new Map([...new Set(ids)].map((id) => [id, parseLetterId(id)]))
  const rows = [...wanted.values()].filter((id) => id?.side === 'publish').map((id) => id!.base)
  const elements = [...wanted].filter((entry): entry is [string, LetterId] => entry[1]?.side === 'consume')
  const results = [...await settleRows(parts, rows.sort(byAge)), ...await settleFound(parts, elements)]
  const byId = new Map(results.map((one) => [one.id, one]))
  return [...wanted.keys()].map((id) => byId.get(id) ?? result(id, 'not_found'))
}

async function settleFound (parts: Parts, wanted: [string, LetterId][]): Promise<LetterResult[]> {
  if (wanted.length === 0) return []
  const fail = (reason: string) => wanted.map(([id]) => result(id, 'failed', reason))
  if (parts.settlement === null) return fail('Redis is disabled')
  let finished: Set<string>
  let found: Found
  try {
    finished = new Set(await parts.settlement.finishMoves())
    found = await findElements(parts.sources, new Set(wanted.map(([, { base }]) => base)))
  } catch (err) {
    return fail(reasonOf(err))
  }
  const letters = wanted.flatMap(([id, { base, copies }]) => {
    const letter = found.letters.get(base)
    return letter === undefined ? [] : [{ ...letter, id, at: { ...letter.at!, copies } }]
  })
  const missing = wanted.filter(([, { base }]) => !found.letters.has(base)).map(([id, { base }]) => {
    if (finished.has(base)) return result(id, 'replayed', 'An interrupted replay of this letter was finished')
    return found.complete ? result(id, 'not_found') : result(id, 'failed', 'The letter is too old to be found by its id: select it by a filter')
  })
  return [...missing, ...await settleElements(parts, letters)]
}

async function settleElements ({ settlement, action }: Parts, letters: Letter[]): Promise<LetterResult[]> {
  if (letters.length === 0 || settlement === null) return []
  const possible = letters.filter(({ replayable }) => action === 'purge' || replayable)
  const impossible = letters.filter((letter) => !possible.includes(letter))
  return [
    ...impossible.map(({ id }) => result(id, 'not_replayable', 'Nobody knows what the message was: its bytes have none of the known forms')),
    ...await settlement.settle(possible, action)
  ]
}

/** Oldest first. Each transaction takes all of its rows or none; repeating it finds them gone. */
async function settleRows ({ sources: { journal, timeoutMs }, action }: Parts, rows: string[]): Promise<LetterResult[]> {
  const results: LetterResult[] = []
  for (let start = 0; start < rows.length; start += ROWS_PER_TRANSACTION) {
    const some = rows.slice(start, start + ROWS_PER_TRANSACTION)
    try {
      if (journal === null) throw new Error('There is no journal at hand')
      const call = action === 'replay' ? journal.replayDeadLetters(some) : journal.purgeDeadLetters(some)
      const settled = new Set(await answered(call, timeoutMs))
      results.push(...some.map((id) => settled.has(id) ? done(`p-${id}`, action) : result(`p-${id}`, 'not_found')))
    } catch (err) {
      results.push(...some.map((id) => result(`p-${id}`, 'failed', reasonOf(err))))
    }
  }
  return results
}

/** The journal's ids grow with time. */
function byAge (a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : 1)
}
