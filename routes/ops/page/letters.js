import { requestJson } from './api.js'
import { askForKey, confirm } from './dialogs.js'
import { byId, element, table } from './dom.js'
import { bytes, clock } from './format.js'
import { openLetter } from './letter-dialog.js'
import { settle } from './settle.js'

const PAGE_SIZE = 50
const selected = new Set()
let letters = []
let cursor = null
let queueName = ''
/** Of the service's own counts: when they change, the list does too. */
let seen = null
let loads = 0

export function wireLetters () {
  byId('letters-refresh').addEventListener('click', () => { void refresh() })
  byId('letters-more').addEventListener('click', () => { void load(cursor) })
  byId('replay-selected').addEventListener('click', () => { void replay({ ids: [...selected] }, several(selected.size)) })
  byId('purge-selected').addEventListener('click', () => { void purge({ ids: [...selected] }, several(selected.size)) })
  byId('replay-all').addEventListener('click', () => { void replay({ all: true }, 'all dead letters') })
  byId('purge-all').addEventListener('click', () => { void purge({ all: true, confirm: queueName }, 'all dead letters', queueName) })
}

/** Loads the list again when the number of dead letters changed. */
export function watchLetters (model) {
  queueName = model.state.queue
  const now = `${model.last('journal_dead')}/${model.last('queue_dead')}`
  if (now === seen) return
  seen = now
  void refresh()
}

async function refresh () {
  await load(null)
}

async function load (from) {
  const query = new URLSearchParams({ limit: PAGE_SIZE, ...from === null ? {} : { cursor: from } })
  const mine = ++loads
  try {
    const page = await requestJson(`/queue/dead-letters?${query}`)
    // A later list is on its way, or here already.
    if (mine !== loads) return
    letters = from === null ? page.items : [...letters, ...page.items]
    cursor = page.next_cursor
    for (const id of selected) if (!letters.some((letter) => letter.id === id)) selected.delete(id)
    render(page.unavailable)
  } catch (err) {
    byId('letters').replaceChildren(element('p', { className: 'muted' }, `The dead letters cannot be listed: ${err.message}`))
  }
}

function render (unavailable) {
  const notes = unavailable.map(({ side, reason }) => element('p', { className: 'muted' }, `The ${side} side cannot be read: ${reason}.`))
  const content = letters.length === 0
    ? element('p', { className: 'muted' }, unavailable.length === 0 ? 'There are no dead letters.' : 'No others are known.')
    : table('Dead letters, newest first', [selectAll(), 'Model', 'Side', 'Error', 'Failed', 'Size', 'Actions'], letters.map(row))
  replaceKeepingFocus(byId('letters'), [...notes, content])
  byId('letters-more').hidden = cursor === null
  showSelection()
}

/** The list changes by itself: whoever stands on a button of it should stay there. */
function replaceKeepingFocus (root, nodes) {
  const label = root.contains(document.activeElement) ? document.activeElement.getAttribute('aria-label') : null
  root.replaceChildren(...nodes)
  if (label !== null) [...root.querySelectorAll('[aria-label]')].find((node) => node.getAttribute('aria-label') === label)?.focus()
}

function row (letter) {
  const name = letter.model ?? letter.message_id ?? letter.id
  return [
    checkbox(`Select ${name}`, selected.has(letter.id), (checked) => { checked ? selected.add(letter.id) : selected.delete(letter.id) }),
    element('strong', {}, name),
    letter.side,
    letter.error ?? '–',
    letter.failed_at === null ? '–' : clock(Date.parse(letter.failed_at)),
    bytes(letter.size_bytes),
    element('span', { className: 'buttons' },
      action('Show', name, () => show(letter.id)),
      action('Replay', name, () => replay({ ids: [letter.id] }, name), { disabled: !letter.replayable }),
      action('Purge', name, () => purge({ ids: [letter.id] }, name), { className: 'danger' }))
  ]
}

function action (label, name, onClick, properties = {}) {
  const button = element('button', { type: 'button', 'aria-label': `${label} ${name}`, ...properties }, label)
  button.addEventListener('click', onClick)
  return button
}

function checkbox (label, checked, onChange) {
  const box = element('input', { type: 'checkbox', checked, 'aria-label': label })
  box.addEventListener('change', () => {
    onChange(box.checked)
    showSelection()
  })
  return box
}

function selectAll () {
  return checkbox('Select all that are listed', false, (checked) => {
    selected.clear()
    if (checked) for (const { id } of letters) selected.add(id)
    for (const box of document.querySelectorAll('#letters tbody input')) box.checked = checked
  })
}

function showSelection () {
  for (const id of ['replay-selected', 'purge-selected']) byId(id).disabled = selected.size === 0
}

async function show (id) {
  try {
    const letter = await requestJson(`/queue/dead-letters/${encodeURIComponent(id)}`)
    const wish = await openLetter(letter)
    if (wish === 'replay') await replay({ ids: [id] }, letter.model ?? id)
    if (wish === 'purge') await purge({ ids: [id] }, letter.model ?? id)
  } catch (err) {
    say(err.message)
  }
}

async function replay (selection, what) {
  const agreed = await confirm({ heading: 'Replay', text: `Put ${what} back into the queue?`, action: 'Replay' })
  if (agreed) await perform('replay', selection)
}

async function purge (selection, what, expected = null) {
  const agreed = await confirm({ heading: 'Purge', text: `Delete ${what} for good? Nobody can bring it back.`, action: 'Purge', danger: true, expected })
  if (agreed) await perform('purge', selection)
}

async function perform (action, selection) {
  try {
    say('Working…')
    say(await settle(action, selection))
    selected.clear()
  } catch (err) {
    const refused = err.status === 403 || err.status === 401
    say(refused ? `Not allowed. ${err.message}` : err.message)
    if (refused && await askForKey(err.message)) say('The key was changed. Try again.')
  }
  await refresh()
  // The button that was pressed may be gone with its row.
  if (document.activeElement === document.body) byId('letters-heading').focus()
}

function say (text) {
  byId('letters-message').textContent = text
}

function several (number) {
  return number === 1 ? 'one dead letter' : `${number} dead letters`
}
