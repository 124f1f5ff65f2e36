const NONE = '–'

export function count (number) {
  return number === null || number === undefined ? NONE : number.toLocaleString('en')
}

export function rate (perSecond) {
  return perSecond === null || perSecond === undefined ? NONE : `${decimal(perSecond)}/s`
}

export function milliseconds (ms) {
  if (ms === null || ms === undefined) return NONE
  return ms < 1000 ? `${decimal(ms)} ms` : duration(ms)
}

export function bytes (number) {
  if (number === null || number === undefined) return NONE
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = number < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(number) / 10))
  return `${decimal(number / 1024 ** power)} ${units[power]}`
}

/** `3 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`. */
export function duration (ms) {
  if (ms === null || ms === undefined) return NONE
  const seconds = Math.max(0, Math.round(ms / 1000))
  const parts = [['d', 86_400], ['h', 3600], ['min', 60], ['s', 1]]
  const first = parts.findIndex(([, size]) => seconds >= size)
  if (first === -1) return '0 s'
  const [unit, size] = parts[first]
  const whole = `${Math.floor(seconds / size)} ${unit}`
  const [nextUnit, nextSize] = parts[first + 1] ?? []
  const rest = nextSize === undefined ? 0 : Math.floor(seconds % size / nextSize)
  return rest === 0 ? whole : `${whole} ${rest} ${nextUnit}`
}

/** Of today: the time; of another day: the date too. */
export function clock (epochMs) {
  const date = new Date(epochMs)
  const time = date.toLocaleTimeString('en-GB')
  return date.toDateString() === new Date().toDateString() ? time : `${date.toLocaleDateString('en-CA')} ${time}`
}

function decimal (number) {
  return number.toLocaleString('en', { maximumFractionDigits: number < 10 ? 2 : number < 100 ? 1 : 0 })
}
