import { DeadLetterCursorInvalid } from './errors.ts'

/** Where a walk through one list stands. */
export interface ListState {
  /** Position, from the oldest, of the next letter; 0: at the end. */
  next: number
  /** Beginnings of the ids shown last, newest first. */
  shown: string[]
  /** The time that letters without one inherit from the letter before. */
  time: number | null
}

/** Where a walk through all dead letters stands; null: not begun. */
export interface WalkState {
  /** The last journal id; empty: at the end. */
  journal: string | null
  lists: Record<string, ListState>
}

export const beginning: WalkState = { journal: null, lists: {} }

const MAX_LISTS = 4
const MAX_SHOWN = 16

export function writeCursor ({ journal, lists }: WalkState): string {
  const parts = Object.entries(lists).map(([name, { next, shown, time }]) => [name, next, time, ...shown])
  return Buffer.from(JSON.stringify([journal, ...parts])).toString('base64url')
}

/** @throws FST_BRK_DEAD_LETTER_CURSOR */
export function readCursor (cursor: string | undefined): WalkState {
  if (cursor === undefined) return beginning
  try {
    const [journal, ...parts] = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as [unknown, ...unknown[][]]
    if ((journal !== null && typeof journal !== 'string') || parts.length > MAX_LISTS) throw new DeadLetterCursorInvalid()
    return { journal, lists: Object.fromEntries(parts.map(readList)) }
  } catch {
    throw new DeadLetterCursorInvalid()
  }
}

function readList ([name, next, time, ...shown]: unknown[]): [string, ListState] {
  const sane = typeof name === 'string' && Number.isSafeInteger(next) && Number(next) >= 0 &&
    (time === null || Number.isFinite(time)) && shown.length <= MAX_SHOWN && shown.every((id) => typeof id === 'string')
  if (!sane) throw new DeadLetterCursorInvalid()
  return [name, { next: Number(next), time: time as number | null, shown: shown as string[] }]
}
