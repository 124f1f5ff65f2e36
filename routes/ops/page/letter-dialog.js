import { ask } from './dialogs.js'
import { byId, element } from './dom.js'
import { bytes } from './format.js'

/** Shows one dead letter. Resolves to `replay`, `purge` or null when the dialog closes. */
export async function openLetter (letter) {
  const { original, encoding, replayable } = letter
  let wish = null
  byId('letter-facts').replaceChildren(factsOf(letter))
  byId('letter-payload').textContent = encoding === 'utf-8' ? readable(original) : `base64: ${original}`
  const dialog = byId('letter-dialog')
  const choose = (choice) => () => {
    wish = choice
    dialog.close()
  }
  byId('letter-replay').disabled = !replayable
  byId('letter-replay').onclick = choose('replay')
  byId('letter-purge').onclick = choose('purge')
  await ask(dialog)
  return wish
}

function factsOf (letter) {
  const facts = {
    Error: letter.error,
    Model: letter.model,
    Message: letter.message_id,
    Type: letter.message_type,
    Side: letter.side,
    Failed: letter.failed_at,
    Attempts: letter.attempts,
    Queue: letter.original_queue,
    Size: bytes(letter.size_bytes)
  }
  const known = Object.entries(facts).filter(([, value]) => value !== null)
  return element('dl', { className: 'facts' }, known.flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, String(value))]))
}

/** For reading only: numbers that JavaScript cannot hold keep their text, because then the original is shown. */
function readable (text) {
  try {
    const indented = JSON.stringify(JSON.parse(text), null, 2)
    return indented.replace(/\s/g, '') === text.replace(/\s/g, '') ? indented : text
  } catch {
    return text
  }
}
