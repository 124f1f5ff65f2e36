import Plot from './uplot.js'
import { byId, element, setText } from './dom.js'
import { count, duration, milliseconds, rate } from './format.js'

const HEIGHT_PX = 170
/** Title, format, the least that the scale spans, figures with their names. */
const CHARTS = [
  ['Journal and queue depth', count, 4, { pending_rows: 'in the journal', waiting: 'in the queue', processing: 'in processing', delayed: 'delayed' }],
  ['Messages per second', rate, 1, { accepted_per_second: 'accepted', published_per_second: 'relayed', repaired_per_second: 'sent again' }],
  ['Redis commands per second that failed', rate, 1, { failures_per_second: 'failed', rejected_per_second: 'refused by the breaker' }],
  ['Command latency', milliseconds, 1, { latency_p50_ms: 'median', latency_p99_ms: '99th percentile' }],
  ['Age of the oldest message in the journal', duration, 5000, { oldest_pending_age_ms: 'oldest' }],
  ['Dead letters', count, 4, { journal_dead: 'publish side', queue_dead: 'consumer side' }]
]
/** Lines differ in more than colour. */
const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3]]
const CURSOR = { sync: { key: 'history' }, drag: { x: false, y: false } }

/** Draws the charts into the page. Returns what refreshes them. */
export function createCharts () {
  const charts = CHARTS.map(([title, format, least, series]) => new Chart(title, format, least, series))
  const redraw = (model) => { for (const chart of charts) chart.draw(model) }
  // Canvas knows no style sheet: its colours are read once.
  window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    for (const chart of charts) chart.restyle()
  })
  return redraw
}

class Chart {
  constructor (title, format, least, series) {
    Object.assign(this, { title, format, least, series, plot: null, data: null })
    this.host = element('div', { role: 'img' })
    this.values = Object.keys(series).map(() => element('b', {}))
    const legend = Object.values(series).map((label, index) =>
      element('li', {}, element('i', { className: `line line-${index + 1}`, 'aria-hidden': 'true' }), `${label} `, this.values[index]))
    byId('charts').append(element('figure', { className: 'card chart' },
      element('figcaption', {}, title), this.host, element('ul', { className: 'legend' }, legend)))
    new window.ResizeObserver(() => this.plot?.setSize({ width: this.host.clientWidth, height: HEIGHT_PX })).observe(this.host)
  }

  draw (model) {
    const { history } = model.state
    this.range = model.range()
    this.data = [history.at.map((at) => at / 1000), ...Object.keys(this.series).map((name) => history[name] ?? [])]
    if (this.plot === null) this.restyle()
    else this.plot.setData(this.data)
    this.showValues(this.plot.cursor.idx)
  }

  restyle () {
    if (this.data === null) return
    this.plot?.destroy()
    this.plot = new Plot(this.options(), this.data, this.host)
  }

  /** Of the moment under the pointer, else of the last one. */
  showValues (index) {
    const texts = this.data.slice(1).map((column) => this.format(index === null || index === undefined ? column.at(-1) : column[index]))
    for (const [position, text] of texts.entries()) setText(this.values[position], text)
    const last = Object.values(this.series).map((label, position) => `${label} ${this.format(this.data[position + 1].at(-1))}`)
    this.host.setAttribute('aria-label', `${this.title}, now: ${last.join(', ')}`)
  }

  options () {
    const style = window.getComputedStyle(document.documentElement)
    const color = (name) => style.getPropertyValue(name).trim()
    const axis = { stroke: color('--muted'), grid: { stroke: color('--grid'), width: 1 }, ticks: { show: false }, font: '11px system-ui, sans-serif' }
    return {
      width: this.host.clientWidth,
      height: HEIGHT_PX,
      padding: [10, 12, 0, 0],
      legend: { show: false },
      cursor: CURSOR,
      scales: {
        x: { range: () => [this.range.from / 1000, this.range.to / 1000] },
        y: { range: (_plot, _low, high) => [0, Math.max(this.least, (high ?? 0) * 1.15)] }
      },
      axes: [
        { ...axis, size: 28, space: 70, values: (_plot, splits) => splits.map((at) => new Date(at * 1000).toLocaleTimeString('en-GB', timeFormat(this.range))) },
        { ...axis, size: 62, values: (_plot, splits) => splits.map((value) => this.format(value)) }
      ],
      series: [{}, ...Object.keys(this.series).map((name, index) => ({ stroke: color(`--line-${index + 1}`), width: 2, dash: DASHES[index], points: { show: false } }))],
      hooks: { setCursor: [({ cursor }) => this.showValues(cursor.idx)] }
    }
  }
}

function timeFormat ({ from, to }) {
  return to - from < 180_000 ? { timeStyle: 'medium' } : { timeStyle: 'short' }
}
