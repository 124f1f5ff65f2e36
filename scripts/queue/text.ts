import type { Overview } from '../../services/administration/overview.ts'
import type { LetterDetail } from '../../services/administration/present.ts'
import type { LetterPage } from '../../services/administration/queue-administration.ts'
import type { SettledAll } from './settle-all.ts'

const MAX_CELL = 60

export function statusText (overview: Overview): string {
  const { queue, waiting, stream, processing, delayed, dead_letters: dead, journal } = overview
  const lines: [string, unknown][] = [
    ['queue', queue],
    ['waiting', waiting],
    ...stream === null || stream === 0 ? [] : [['stream', stream] satisfies [string, unknown]],
    ['processing', processing],
    ['delayed', delayed],
    ['dead letters, publish', dead.publish],
    ['dead letters, consume', dead.consume],
    ['interrupted replays', dead.interrupted],
    ['journal, pending', journal === null ? null : `${journal.pending_rows} (${journal.pending_bytes} bytes), oldest ${Math.round(journal.oldest_pending_age_ms / 1000)} s`],
    ['journal, retained', journal === null ? null : `${journal.retained_rows} (${journal.retained_bytes} bytes)`],
    ['journal, pressure', journal?.pressure ?? null]
  ]
  return lines.map(([name, value]) => `${name.padEnd(23)}${value === null ? 'unknown' : printable(String(value))}\n`).join('')
}

export function listText ({ items, next_cursor: next }: LetterPage): string {
  const rows = items.map((letter) => [
    letter.id, letter.failed_at ?? 'unknown', letter.message_type ?? '?', letter.model ?? '?', String(letter.size_bytes), letter.error ?? '',
  ].map(cell))
  const table = items.length === 0 ? 'No dead letters here.\n' : columns([['ID', 'FAILED', 'TYPE', 'MODEL', 'BYTES', 'ERROR'], ...rows])
  return next === null ? table : `${table}\nMore: --cursor ${next}\n`
}

export function showText ({ original, encoding, ...fields }: LetterDetail): string {
  const lines = Object.entries(fields).map(([name, value]) => `${name.padEnd(16)}${value === null ? 'unknown' : printable(String(value))}\n`)
  return `${lines.join('')}\n${encoding === 'base64' ? `(base64)\n${original}` : printable(original)}\n`
}

export function settledText ({ counts, results, results_truncated: truncated, remaining }: SettledAll): string {
  const exceptions = results.filter(({ outcome }) => outcome !== 'replayed' && outcome !== 'purged')
  const lines = exceptions.map(({ id, outcome, reason }) => `${id}  ${outcome}${reason === null ? '' : `: ${printable(reason)}`}\n`)
  const summary = Object.entries(counts).map(([outcome, count]) => `${count} ${outcome.replace('_', ' ')}`).join(', ')
  return [
    ...lines,
    ...truncated ? ['…\n'] : [],
    summary === '' ? 'No dead letters match.\n' : `${summary}\n`,
    ...remaining ? ['Stopped before the end: run it again.\n'] : []
  ].join('')
}

function columns (rows: string[][]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows.map((row) => `${row.map((text, column) => text.padEnd(widths[column]!)).join('  ').trimEnd()}\n`).join('')
}

function cell (text: string): string {
  const safe = printable(text)
  return safe.length <= MAX_CELL ? safe : `${safe.slice(0, MAX_CELL - 1)}…`
}

/** Whoever wrote the letter must not steer the reader's terminal. */
function printable (text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\u{fffd}')
}
