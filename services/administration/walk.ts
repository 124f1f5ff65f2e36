import { reasonOf } from './consumer-side/client.ts'
import type { QueueClient } from './consumer-side/client.ts'
import type { WalkState } from './cursor.ts'
import { DeadLettersUnavailable } from './errors.ts'
import { JournalSource } from './journal-source.ts'
import type { DeadLetterJournal } from './journal-source.ts'
import type { DeadLetterPlace } from './consumer-side/keys.ts'
import type { Letter, Side } from './letter.ts'
import { ListSource } from './consumer-side/list-source.ts'
import type { LetterSource } from './consumer-side/list-source.ts'

export interface Unavailable { side: Side, reason: string }

export interface WalkOptions {
  journal: DeadLetterJournal | null
  redis: QueueClient | null
  places: DeadLetterPlace[]
  timeoutMs: number
}

export interface WalkLimits {
  side?: Side | undefined
  letters: number
  /** Letters looked at, whether they match or not. */
  scanned: number
  /** Bytes of the letters returned. */
  bytes: number
  /** The caller removes what it has seen. */
  removing?: boolean
}

export interface Walked {
  letters: Letter[]
  /** Where the next walk begins; null: there is nothing more. */
  state: WalkState | null
  unavailable: Unavailable[]
}

/** Goes through all dead letters from the newest to the oldest, merged by the time of their failure, in bounded steps. */
export async function walk (
  { journal, redis, places, timeoutMs }: WalkOptions, from: WalkState, matches: (letter: Letter) => boolean, limits: WalkLimits
): Promise<Walked> {
  const { side } = limits
  const unavailable = missing(journal, redis, side)
  const journalSource = journal === null || side === 'consume' ? null : new JournalSource(journal, from.journal, timeoutMs)
  const listSources = redis === null || side === 'publish'
    ? []
    : places.map((place) => new ListSource(redis, place, from.lists[place.list] ?? null, timeoutMs))
  const sources: Sources = { publish: journalSource === null ? [] : [journalSource], consume: listSources }
  const letters = await collect(sources, unavailable, matches, limits)
  if (unavailable.length === (side === undefined ? 2 : 1)) throw new DeadLettersUnavailable(unavailable.map(({ reason }) => reason.replace(/\.$/, '')).join('; '))

  if (limits.removing) listSources.forEach((source) => source.forget())
  const state: WalkState = {
    journal: journalSource?.state ?? from.journal,
    lists: { ...from.lists, ...Object.fromEntries(listSources.flatMap(({ name, state }) => state === null ? [] : [[name, state]])) }
  }
  const more = sources.publish.length > 0 && journalSource?.state !== ''
  return { letters, state: more || sources.consume.some((source) => (source as ListSource).state?.next !== 0) ? state : null, unavailable }
}

type Sources = Record<Side, LetterSource[]>

async function collect (sources: Sources, unavailable: Unavailable[], matches: (letter: Letter) => boolean, limits: WalkLimits): Promise<Letter[]> {
  const letters: Letter[] = []
  let bytes = 0
  for (let scanned = 0; scanned < limits.scanned && letters.length < limits.letters && bytes < limits.bytes; scanned++) {
    const next = await newest(sources, unavailable)
    if (next === null) break
    next.source.take()
    if (!matches(next.letter)) continue
    letters.push(next.letter)
    bytes += next.letter.at?.element.length ?? next.letter.original.length
  }
  // Tells the sources whether there is more.
  await newest(sources, unavailable)
  return letters
}

/** The newest of what the sources have next. A source that fails leaves the walk, with its side. */
async function newest (sources: Sources, unavailable: Unavailable[]): Promise<{ source: LetterSource, letter: Letter } | null> {
  let best: { source: LetterSource, letter: Letter, time: number } | null = null
  for (const side of ['publish', 'consume'] as const) {
    try {
      for (const source of sources[side]) {
        const letter = await source.peek()
        if (letter === null) continue
        const time = source.time ?? Infinity
        if (best === null || time > best.time) best = { source, letter, time }
      }
    } catch (err) {
      sources[side] = []
      unavailable.push({ side, reason: reasonOf(err) })
      return await newest(sources, unavailable)
    }
  }
  return best
}

function missing (journal: object | null, redis: object | null, side: Side | undefined): Unavailable[] {
  const unavailable: Unavailable[] = []
  if (journal === null && side !== 'consume') unavailable.push({ side: 'publish', reason: 'There is no journal at hand' })
  if (redis === null && side !== 'publish') unavailable.push({ side: 'consume', reason: 'Redis is disabled' })
  return unavailable
}
