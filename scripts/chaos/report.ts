import type { EpisodeResult } from './episode.ts'

export interface Report {
  episodes: EpisodeResult[]
  accepted: number
  seconds: number
  perSecond: number
  problems: string[]
}

export function summarise (episodes: EpisodeResult[]): Report {
  const sum = (field: 'accepted' | 'wholeSeconds') => episodes.reduce((total, episode) => total + episode[field], 0)
  const seconds = Math.round(sum('wholeSeconds'))
  return {
    episodes,
    accepted: sum('accepted'),
    seconds,
    perSecond: Math.round(sum('accepted') / Math.max(1, seconds)),
    problems: episodes.flatMap(({ seed, world, problems }) => problems.map((problem) => `seed ${seed}, ${world}: ${problem}`))
  }
}

const COLUMNS: [title: string, value: (episode: EpisodeResult) => string | number][] = [
  ['seed', ({ seed }) => seed],
  ['world', ({ world }) => world],
  ['queue', ({ settings }) => settings.endsWith('at rest') ? 'at rest' : 'consumed'],
  ['acknowledged', ({ accepted }) => accepted],
  ['per second', ({ accepted, seconds }) => Math.round(accepted / Math.max(1, seconds))],
  ['in the queue', ({ delivered }) => delivered],
  ['without a 201', ({ tried, accepted }) => tried - accepted],
  ['faults', ({ faults }) => Object.values(faults).reduce((sum, count) => sum + count, 0)],
  ['failovers', ({ failovers }) => failovers],
  ['lost by them, repaired', ({ forgotten }) => forgotten],
  ['emptied', ({ ages }) => ages - 1],
  ['terms', ({ terms }) => terms],
  ['recovery ms', ({ recoveryMs }) => recoveryMs],
  ['fresh ms', ({ freshMs }) => freshMs],
  ['RSS MiB', ({ maxRssMib }) => maxRssMib],
  ['problems', ({ problems }) => problems.length]
]

/** The account as a Markdown table, what was counted below it, and every problem. */
export function render (report: Report): string {
  const row = (cells: (string | number)[]) => `| ${cells.join(' | ')} |`
  const total = (field: (episode: EpisodeResult) => number) => report.episodes.reduce((sum, episode) => sum + field(episode), 0)
  return [
    row(COLUMNS.map(([title]) => title)),
    row(COLUMNS.map(() => '---')),
    ...report.episodes.map((episode) => row(COLUMNS.map(([, value]) => value(episode)))),
    '',
    `${report.accepted} events acknowledged in ${report.seconds} s (${report.perSecond} per second, everything included), ${report.episodes.length} episodes.`,
    `Handled by consumers: ${total(({ handled }) => handled)}, of these more than once ${total(({ handledTwice }) => handledTwice)}; sent again after Redis came back empty: ${total(({ replayed }) => replayed)}.`,
    `Unanswered, yet delivered after later ones: ${total(({ late }) => late)}; poison buried: ${total(({ buried }) => buried)}.`,
    `Faults: ${faultList(report.episodes)}.`,
    ...report.episodes.flatMap(({ seed, world, skipped }) => skipped.map((line) => `Skipped: seed ${seed}, ${world}, ${line}`)),
    '',
    report.problems.length === 0 ? 'Every message is accounted for.' : `PROBLEMS\n${report.problems.join('\n')}`,
    ...report.episodes.flatMap(({ seed, world, directory }) => directory === null ? [] : [`Logs of seed ${seed}, ${world}: ${directory}`])
  ].join('\n')
}

function faultList (episodes: EpisodeResult[]): string {
  const counts = new Map<string, number>()
  for (const { faults } of episodes) {
    for (const [name, count] of Object.entries(faults)) counts.set(name, (counts.get(name) ?? 0) + count)
  }
  return [...counts].sort(([, a], [, b]) => b - a).map(([name, count]) => `${name} ${count}`).join(', ')
}
