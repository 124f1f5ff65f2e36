const THRESHOLD_PERCENT = 95

interface Figure { total: number, covered: number }
interface Coverage { lines: Figure, branches: Figure }

/** tap knows only "100 %" and "off", so the gate is here: lines and branches of the whole. */
export function coverageProblems (report: string): string[] {
  const { total } = JSON.parse(report) as { total: Coverage }
  return (['lines', 'branches'] as const)
    .map(kind => ({ kind, percent: percent(total[kind]) }))
    .filter(({ percent }) => percent < THRESHOLD_PERCENT)
    .map(({ kind, percent }) => `coverage of ${kind}: ${percent.toFixed(2)} %, must be at least ${THRESHOLD_PERCENT} %`)
}

/** An empty report is no coverage at all: tap writes one when its run broke. */
function percent ({ total, covered }: Figure): number {
  return total === 0 ? 0 : covered / total * 100
}
