import { byId, element, setText, table } from './dom.js'
import { clock, duration } from './format.js'

/** The states of the service and of its circuit breaker, as strips over the same time as the charts, and the changes as a table. */
export function renderTimelines (model) {
  const { breaker, history } = model.state
  const range = model.range()
  const strips = [strip('Service', runs(history.at, history.status, range), range)]
  if (breaker !== null) strips.push(strip('Circuit breaker', fromChanges(breaker, range), range))
  const scale = element('p', { className: 'scale muted', 'aria-hidden': 'true' }, element('span', {}, clock(range.from)), element('span', {}, clock(range.to)))
  byId('strips').replaceChildren(...strips, scale)
  byId('breaker-changes').hidden = breaker === null
  if (breaker !== null) renderChanges(breaker)
}

/** Equal neighbours become one segment. */
function runs (times, states, { from, to }) {
  const segments = []
  for (const [index, state] of states.entries()) {
    if (times[index] < from) continue
    if (segments.at(-1)?.state !== state) segments.push({ state, from: times[index] })
  }
  return withEnds(segments, to)
}

/** Exact to the millisecond, where samples would miss what is shorter than two seconds. */
function fromChanges ({ changes, state }, { from, to }) {
  const inside = changes.filter(({ at }) => at > from && at <= to)
  const before = inside[0]?.from ?? state
  return withEnds([{ state: before, from }, ...inside.map((change) => ({ state: change.to, from: change.at }))], to)
}

function withEnds (segments, to) {
  return segments.map((segment, index) => ({ ...segment, to: segments[index + 1]?.from ?? to }))
}

/** Of a strip: a word does not fit into less, and every change has its line in the table. */
const SMALLEST_NAMED = 0.1

function strip (label, segments, { from, to }) {
  const summary = segments.slice(-6).map(({ state, from, to }) => `${state} for ${duration(to - from)}`).join(', then ')
  const bars = segments.map((segment) => {
    const bar = element('span', { title: `${segment.state}, ${clock(segment.from)} to ${clock(segment.to)}`, 'data-state': segment.state },
      segment.to - segment.from < (to - from) * SMALLEST_NAMED ? null : segment.state)
    bar.style.flexGrow = Math.max(0, segment.to - segment.from)
    return bar
  })
  // Before the first sample nothing is known.
  const gap = element('span', { 'data-state': 'none' })
  gap.style.flexGrow = Math.max(0, (segments[0]?.from ?? to) - from)
  return element('div', { className: 'timeline' },
    element('span', { className: 'label' }, label),
    element('div', { className: 'strip', role: 'img', 'aria-label': `${label}: ${summary}` }, gap, bars))
}

function renderChanges ({ changes }) {
  const rows = changes.toReversed().slice(0, 50).map(({ at, from, to, reason }) => [clock(at), from, to, reason])
  const content = rows.length === 0
    ? element('p', { className: 'muted' }, 'The breaker has not changed its state in the last half hour.')
    : table('Changes of the circuit breaker, newest first', ['Time', 'From', 'To', 'Reason'], rows)
  setText(byId('breaker-changes-summary'), `Breaker changes (${changes.length})`)
  byId('breaker-changes-table').replaceChildren(content)
}
