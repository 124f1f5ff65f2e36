import { createCharts } from './charts.js'
import { renderChecks } from './checks.js'
import { renderConfiguration } from './configuration.js'
import { askForKey, wireDialogs } from './dialogs.js'
import { byId, setText } from './dom.js'
import { clock, duration } from './format.js'
import { watchLetters, wireLetters } from './letters.js'
import { Model } from './model.js'
import { renderOverview } from './overview.js'
import { follow } from './stream.js'
import { renderTimelines } from './timeline.js'

/** Samples come every two seconds. */
const STALE_MS = 6000

const model = new Model()
const drawCharts = createCharts()
let lost = null
let keyRefused = false

function render () {
  renderOverview(model)
  renderTimelines(model)
  drawCharts(model)
  renderChecks(model)
  watchLetters(model)
}

function renderBanner () {
  const text = bannerText()
  const banner = byId('banner')
  banner.hidden = text === ''
  setText(banner, text)
  document.body.classList.toggle('stale', text !== '' && model.state !== null)
  if (model.state !== null) renderOverview(model)
}

/** Without the seconds that pass: each change of this text is read aloud. */
function bannerText () {
  const age = model.state === null ? '' : ` What is shown is from ${clock(model.receivedAt)}.`
  if (keyRefused) return `An API key with the scope "read" is needed.${age}`
  if (lost !== null) return `No connection to the service: ${lost.message} Trying again.${age}`
  if (model.state !== null && Date.now() - model.receivedAt > STALE_MS) return `No data for more than ${duration(STALE_MS)}.${age}`
  return ''
}

/** A dialog that was closed without a key must not come back by itself: the banner and the button stay. */
async function keyNeeded (error) {
  keyRefused = true
  renderBanner()
  if (await askForKey(error.message)) return
  await new Promise((resolve) => { newKey = resolve })
}

let newKey = () => {}

byId('change-key').addEventListener('click', () => { void changeKey() })
async function changeKey () {
  if (await askForKey('The key is sent with every request of this page.')) newKey()
}
byId('span').addEventListener('change', ({ target }) => {
  model.spanMs = Number(target.value)
  if (model.state !== null) render()
})
wireDialogs()
wireLetters()
setInterval(renderBanner, 1000)

void follow({
  onConnected () {
    lost = null
    keyRefused = false
  },
  onEvent (name, data) {
    if (name === 'state') {
      model.replace(data)
      renderConfiguration(model)
    } else {
      model.extend(data)
    }
    render()
    renderBanner()
  },
  onLost (error) {
    lost = error
    renderBanner()
  },
  onKeyNeeded: keyNeeded
})
