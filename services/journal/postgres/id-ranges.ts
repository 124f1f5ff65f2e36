/** Ids as ascending ranges, both ends included: rows that were inserted together make one range however many they are. */
export type IdRanges = [first: number, last: number][]

/** From PostgreSQL's multirange text, such as `{[1,5),[7,8)}`. */
export function parseRanges (text: string): IdRanges {
  return Array.from(text.matchAll(/\[(-?\d+),(-?\d+)\)/g), ([, first, end]) => [Number(first), Number(end) - 1])
}

export function formatRanges (ranges: IdRanges): string {
  return `{${ranges.map(([first, last]) => `[${first},${last + 1})`).join(',')}}`
}

/** @param ids ascending */
export function rangesOf (ids: number[]): IdRanges {
  const ranges: IdRanges = []
  for (const id of ids) {
    const last = ranges.at(-1)
    if (last !== undefined && id === last[1] + 1) last[1] = id
    else ranges.push([id, id])
  }
  return ranges
}

/** What is left of `ranges` without `removed`. */
export function subtractRanges (ranges: IdRanges, removed: IdRanges): IdRanges {
  const left: IdRanges = []
  let next = 0
  for (const [first, last] of ranges) {
    let from = first
    while (next < removed.length && removed[next]![1] < from) next++
    for (let index = next; index < removed.length && removed[index]![0] <= last; index++) {
      const [start, end] = removed[index]!
      if (start > from) left.push([from, start - 1])
      from = Math.max(from, end + 1)
    }
    if (from <= last) left.push([from, last])
  }
  return left
}

/** The ids from the one at `offset` on, `count` at most. */
export function idsFrom (ranges: IdRanges, offset: number, count: number): number[] {
  const ids: number[] = []
  for (const [first, last] of ranges) {
    const length = last - first + 1
    for (let id = first + offset; id <= last && ids.length < count; id++) ids.push(id)
    offset = Math.max(0, offset - length)
  }
  return ids
}
