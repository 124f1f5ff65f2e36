import { cpus, totalmem, type as system, release } from 'node:os'

export interface Figure { what: string, target: string, value: string, pass: boolean | null }

/** A figure beside its target; `atLeast` and `atMost` decide, where there is a target. */
export function figure (what: string, value: number, unit: string, bound: { atLeast?: number, atMost?: number } = {}): Figure {
  const { atLeast, atMost } = bound
  const target = atLeast !== undefined ? `≥ ${format(atLeast)} ${unit}` : atMost !== undefined ? `≤ ${format(atMost)} ${unit}` : '–'
  const pass = atLeast !== undefined ? value >= atLeast : atMost !== undefined ? value <= atMost : null
  return { what, target, value: `${format(value)} ${unit}`, pass }
}

export function format (value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(2)
}

export function table (heads: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`
  return [line(heads), line(heads.map(() => '---')), ...rows.map(line)].join('\n')
}

export function verdicts (figures: Figure[]): string {
  return table(['', 'target', 'figure', ''], figures.map(({ what, target, value, pass }) =>
    [what, target, value, pass === null ? '' : pass ? 'PASS' : 'MISS']))
}

export function machine (): string {
  const processors = cpus()
  return `${processors.length} × ${processors[0]?.model.trim()}, ${Math.round(totalmem() / 1024 ** 3)} GiB, ${system()} ${release()}, Node ${process.version}`
}
