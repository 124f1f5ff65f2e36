import type { WalkOptions } from '../walk.ts'
import type { Letter } from '../letter.ts'
import { ListSource } from './list-source.ts'

/** Letters looked at for one request: the work of a request stays bounded whatever lies in the lists. */
export const MAX_SEARCHED = 50_000

export interface Found {
  letters: Map<string, Letter>
  /** False: the lists are longer than what one request looks through. */
  complete: boolean
}

/** Finds elements by the id of their content, from the newest on. Rejects as the client does. */
export async function findElements ({ redis, places, timeoutMs }: WalkOptions, ids: ReadonlySet<string>): Promise<Found> {
  const letters = new Map<string, Letter>()
  if (redis === null || ids.size === 0) return { letters, complete: true }
  let searched = 0
  for (const place of places) {
    const source = new ListSource(redis, place, null, timeoutMs)
    for (let letter = await source.peek(); letter !== null; letter = await source.peek()) {
      if (letters.size === ids.size) return { letters, complete: true }
      if (searched++ === MAX_SEARCHED) return { letters, complete: false }
      source.take()
      if (ids.has(letter.id) && !letters.has(letter.id)) letters.set(letter.id, letter)
    }
  }
  return { letters, complete: true }
}
