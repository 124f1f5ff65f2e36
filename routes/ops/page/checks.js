import { byId, element, table } from './dom.js'
import { milliseconds } from './format.js'

const SYMBOLS = { ok: '✓', disabled: '–', unknown: '?', failed: '✕' }

export function renderChecks ({ state: { checks } }) {
  const rows = Object.entries(checks).map(([name, check]) => [
    name,
    element('span', { className: 'badge', 'data-state': check.status }, `${SYMBOLS[check.status] ?? ''} ${check.status}`),
    check.critical ? 'critical' : 'soft',
    check.kind ?? '',
    milliseconds(check.latency_ms),
    milliseconds(check.age_ms),
    details(check.details)
  ])
  byId('checks').replaceChildren(table('Health checks', ['Check', 'State', 'Weight', 'Trouble', 'Latency', 'Age', 'Details'], rows))
}

function details (facts) {
  return Object.entries(facts).map(([name, value]) => `${name} ${shown(value)}`).join(', ')
}

function shown (value) {
  if (typeof value === 'number') return String(Math.round(value * 100) / 100)
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}
