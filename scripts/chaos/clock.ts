import { readFileSync } from 'node:fs'

/**
 * Loaded before everything else, in every thread: a clock that can be set from outside. A file holds how far it is off, in
 * milliseconds; `Date.now()` is what leases are measured with.
 */
const file = process.env.CHAOS_CLOCK_FILE ?? ''
const rightNow = Date.now
let offsetMs = 0

function read (): void {
  try {
    offsetMs = Number(readFileSync(file, 'utf8')) || 0
  } catch {
    offsetMs = 0
  }
}

if (file !== '') {
  read()
  setInterval(read, 50).unref()
  Date.now = () => rightNow() + offsetMs
}
