import { byId, element, setText } from './dom.js'
import { bytes, clock, count, duration, milliseconds, rate } from './format.js'

const WORDS = { healthy: 'Healthy', degraded: 'Degraded', unhealthy: 'Unhealthy' }
const SYMBOLS = { healthy: '✓', degraded: '!', unhealthy: '✕' }
const tiles = new Map()

/** The state in words and colour, and the figures that matter first. */
export function renderOverview (model) {
  const { state } = model
  const { status, since, ready, reason } = state.overall
  byId('state').dataset.state = status
  setText(byId('state-symbol'), SYMBOLS[status] ?? '?')
  setText(byId('state-word'), WORDS[status] ?? status)
  setText(byId('state-since'), `since ${clock(since)} (${duration(model.now() - since)})`)
  setText(byId('state-reason'), explain(state.checks, ready, reason))
  setText(byId('queue-name'), state.queue)
  for (const [label, value, note = '', alarming = false] of figures(model)) renderTile(label, value, note, alarming)
}

function explain (checks, ready, reason) {
  const bad = Object.entries(checks).filter(([, { status }]) => status === 'failed' || status === 'unknown')
  const troubles = bad.map(([name, { status, kind }]) => `${name} ${status}${kind === null ? '' : ` (${kind})`}`)
  if (!ready) troubles.push(`takes no new work: ${reason}`)
  return troubles.length === 0 ? 'All checks pass.' : `${troubles.join(' · ')}.`
}

function figures (model) {
  const { breaker, journal, relay } = model.state
  const dead = [model.last('journal_dead'), model.last('queue_dead')]
  const total = dead[0] + dead[1]
  const pending = model.last('pending_rows')
  return [
    ['Circuit breaker', breaker === null ? 'not in use' : breaker.state, breakerNote(breaker, model.now()), breaker !== null && breaker.state !== 'closed'],
    ['Waiting in the journal', count(pending), `${bytes(model.last('pending_bytes'))}, oldest ${duration(model.last('oldest_pending_age_ms'))}`, (journal?.pressure ?? 'none') !== 'none'],
    ['Waiting in the queue', count(model.last('waiting')), `${count(model.last('processing'))} in processing, ${count(model.last('delayed'))} delayed`],
    ['Relayed', rate(model.last('published_per_second')), relay === null ? 'no relay' : relay.last_error === null ? (relay.leader ? 'this process leads' : 'another process leads') : `failing: ${relay.last_error.kind}`, relay !== null && relay.last_error !== null],
    ['Command latency', milliseconds(model.last('latency_p99_ms')), `99th percentile; median ${milliseconds(model.last('latency_p50_ms'))}`],
    ['Dead letters', dead.includes(null) ? atLeast(total) : count(total), `publish ${count(dead[0])}, consume ${count(dead[1])}`, total > 0]
  ]
}

/** While one side cannot be read, nothing found is no news of nothing there. */
function atLeast (number) {
  return number > 0 ? `at least ${count(number)}` : count(null)
}

function breakerNote (breaker, now) {
  const last = breaker?.changes.at(-1)
  return last === undefined ? '' : `for ${duration(now - last.at)}: ${last.reason}`
}

function renderTile (label, value, note, alarming) {
  let tile = tiles.get(label)
  if (tile === undefined) {
    tile = { value: element('dd', { className: 'value' }), note: element('dd', { className: 'muted' }) }
    tile.root = element('div', { className: 'card' }, element('dt', {}, label), tile.value, tile.note)
    tiles.set(label, tile)
    byId('tiles').append(tile.root)
  }
  tile.root.classList.toggle('alarming', alarming)
  setText(tile.value, value)
  setText(tile.note, note)
}
