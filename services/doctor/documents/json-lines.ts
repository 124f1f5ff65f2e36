import type { Path } from './field.ts'

const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+|\n/g

interface Level { list: boolean, step: string | number, expectsKey: boolean }

/** Lines of the values of a JSON text that is known to be correct: path → line, from 1. */
export function jsonLines (text: string): (path: Path) => number | null {
  const lines = new Map<string, number>()
  const levels: Level[] = []
  let line = 1
  const place = () => JSON.stringify(levels.map(({ step }) => step))
  for (const [token] of text.matchAll(TOKENS)) {
    const level = levels.at(-1)
    if (token === '\n') line++
    else if (token === ':') level!.expectsKey = false
    else if (token === ',') next(level!)
    else if (token === '}' || token === ']') levels.pop()
    else if (level?.expectsKey === true) level.step = JSON.parse(token) as string
    else {
      lines.set(place(), line)
      if (token === '{') levels.push({ list: false, step: '', expectsKey: true })
      if (token === '[') levels.push({ list: true, step: 0, expectsKey: false })
    }
  }
  return (path) => lines.get(JSON.stringify(path)) ?? null
}

function next (level: Level): void {
  if (level.list) level.step = level.step as number + 1
  else level.expectsKey = true
}
