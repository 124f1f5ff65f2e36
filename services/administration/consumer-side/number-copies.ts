import { answered } from './client.ts'
import type { Letter } from '../letter.ts'
import { COPIES_SCRIPT } from './scripts.ts'
import type { WalkOptions } from '../walk.ts'

/** Beyond this position, counted from the oldest, identical letters share one id: counting copies would hold up Redis. */
const MAX_POSITION = 10_000
const CHUNK = 25

/**
 * Gives identical letters ids of their own: the n-th copy, counted from the oldest, ends in `-n`. An arrival changes no number.
 * Where Redis does not answer, copies share the id of the first; either names one of them.
 */
export async function numberCopies ({ redis, timeoutMs }: WalkOptions, letters: Letter[]): Promise<void> {
  const near = letters.filter(({ at }) => at !== null && at.position <= MAX_POSITION)
  for (const group of Map.groupBy(near, ({ at }) => at!.place.list).values()) {
    for (let start = 0; start < group.length; start += CHUNK) {
      const chunk = group.slice(start, start + CHUNK)
      const args = chunk.flatMap(({ at }) => [at!.element, at!.position])
      const call = redis!.eval(COPIES_SCRIPT, 1, chunk[0]!.at!.place.list, ...args)
      const copies = await answered(call, timeoutMs).catch(() => []) as number[]
      chunk.forEach((letter, index) => { if (copies[index]! > 1) letter.id += `-${copies[index]}` })
    }
  }
}

/** How many copies of a letter's bytes its list holds. */
export async function countCopies ({ redis, timeoutMs }: WalkOptions, { at }: Letter): Promise<number> {
  const [copies] = await answered(redis!.eval(COPIES_SCRIPT, 1, at!.place.list, at!.element, 0), timeoutMs) as [number]
  return copies
}
