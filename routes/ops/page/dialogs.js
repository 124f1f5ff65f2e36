import { key } from './api.js'
import { byId } from './dom.js'

/**
 * Opens a dialog and resolves when it closes: true where its form was submitted. The browser keeps the focus inside and gives it back.
 */
export function ask (dialog) {
  const form = dialog.querySelector('form')
  return new Promise((resolve) => {
    let agreed = false
    const submit = (event) => {
      event.preventDefault()
      agreed = true
      dialog.close()
    }
    form?.addEventListener('submit', submit)
    dialog.addEventListener('close', () => {
      form?.removeEventListener('submit', submit)
      resolve(agreed)
    }, { once: true })
    if (!dialog.open) dialog.showModal()
  })
}

export function wireDialogs () {
  for (const button of document.querySelectorAll('dialog [data-close]')) {
    button.addEventListener('click', () => button.closest('dialog').close())
  }
  byId('key-forget').addEventListener('click', () => {
    key.forget()
    byId('key-dialog').close()
  })
}

let asking = null

/** Asks for a key; resolves to whether there is a new one. Whoever asks meanwhile gets the same answer. */
export function askForKey (reason) {
  asking ??= readKey(reason).finally(() => { asking = null })
  return asking
}

async function readKey (reason) {
  const input = byId('key-input')
  byId('key-reason').textContent = reason
  input.value = ''
  const agreed = await ask(byId('key-dialog'))
  const value = input.value.trim()
  input.value = ''
  if (!agreed || value === '') return false
  key.set(value)
  return true
}

/** `expected`: what has to be written for the button to work. */
export async function confirm ({ heading, text, action, danger = false, expected = null }) {
  const [input, yes] = [byId('confirm-input'), byId('confirm-yes')]
  byId('confirm-heading').textContent = heading
  byId('confirm-text').textContent = text
  byId('confirm-label').hidden = expected === null
  byId('confirm-expected').textContent = expected ?? ''
  yes.textContent = action
  yes.className = danger ? 'danger' : 'primary'
  input.value = ''
  const check = () => { yes.disabled = expected !== null && input.value !== expected }
  check()
  input.addEventListener('input', check)
  const agreed = await ask(byId('confirm-dialog'))
  input.removeEventListener('input', check)
  return agreed
}
