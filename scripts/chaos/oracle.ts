import type { Element, Elements } from './elements.ts'
import type { Age, History } from './history.ts'
import type { Ledger } from './ledger.ts'

/** Everything that is known once the world is at rest, after the crash of all of it. */
export interface Evidence {
  ledger: Ledger
  history: Pick<History, 'ages' | 'elements' | 'problems'>
  /** `key(writer, version)` of every poisonous registration that was tried. */
  poison: Set<string>
  /** The queue itself, oldest first, with `<queue>:processing`, its dead letters and its delayed messages. */
  inRedis: { queue: Element[], elsewhere: Element[] }
  /** What consumers said they had handled, by `key`, with how often. Null where nobody consumed: the queue must equal its history. */
  handled: Map<string, number> | null
  /** May a message be handled twice: did anything happen to a consumer, to Redis, or to the line between them? */
  redeliveryExplained: boolean
  /** Of the model rows, read through the API: `key` → short id. */
  rows: Map<string, number>
  deadLetters: string[]
  pendingRows: number
}

export interface Verdict {
  problems: string[]
  delivered: number
  /** Messages whose answer was lost and that are in the queue after later ones: nobody was promised an order. */
  late: number
  handledTwice: number
  replayed: number
}

const SHOWN = 10

export function key (writer: number, version: number): string { return `w${writer}/${version}` }

/** Holds the evidence against every promise. Not one problem is allowed. */
export function judge (evidence: Evidence): Verdict {
  const { ledger, history } = evidence
  const problems = new Problems(history.problems)
  let late = 0
  for (const age of history.ages) {
    const end = history.ages[history.ages.indexOf(age) + 1]?.start ?? history.elements.length
    late += judgeAge(age, end, evidence, problems)
    judgeTerms(age, evidence.poison.size, problems)
  }
  const delivered = lastAge(evidence)
  const known = new Set(delivered.map(({ writer, version }) => key(writer, version)))
  ledger.forEachAccepted((writer, version) => {
    const name = key(writer, version)
    if (!known.has(name) && !evidence.poison.has(name)) problems.add('lost', name)
    if (evidence.rows.get(name) !== ledger.id(writer, version)) problems.add('201 without its row', name)
  })
  if (evidence.pendingRows > 0) problems.add('still in the journal', String(evidence.pendingRows))
  judgeDeadLetters(evidence, known, problems)
  const handledTwice = evidence.handled === null ? judgeAtRest(delivered, evidence, problems) : judgeHandled(delivered, evidence, problems)
  const replayed = history.elements.length - delivered.length
  return { problems: problems.lines, delivered: delivered.length, late, handledTwice, replayed }
}

/** Collects by kind, so that ten thousand lost messages are one line. */
class Problems {
  readonly #byKind = new Map<string, string[]>()
  readonly #others: string[]

  constructor (others: string[]) { this.#others = others }

  add (kind: string, name: string): void {
    const names = this.#byKind.get(kind)
    if (names === undefined) this.#byKind.set(kind, [name])
    else names.push(name)
  }

  get lines (): string[] {
    const lines = [...this.#byKind].map(([kind, names]) =>
      `${kind}: ${names.length} (${names.slice(0, SHOWN).join(', ')}${names.length > SHOWN ? ', …' : ''})`)
    return [...this.#others.slice(0, SHOWN), ...lines]
  }
}

function lastAge ({ history: { ages, elements } }: Evidence): Element[] {
  return slice(elements, ages.at(-1)!.start, elements.length)
}

function slice (elements: Elements, start: number, end: number): Element[] {
  return Array.from({ length: end - start }, (_, index) => elements.at(start + index))
}

/** Uniqueness, order and ghosts, in the order in which the queue received. Returns how many unanswered messages came late. */
function judgeAge (age: Age, end: number, { ledger, history, rows, poison }: Evidence, problems: Problems): number {
  const seen = new Set<string>()
  const newest: number[] = []
  let late = 0
  for (let index = age.start; index < end; index++) {
    const { writer, version, id } = history.elements.at(index)
    const name = key(writer, version)
    const fate = ledger.fate(writer, version)
    if (seen.has(name)) problems.add('doubled', name)
    seen.add(name)
    if (fate === 'untried' || poison.has(name)) problems.add('ghost: nobody sent', name)
    if (fate === 'refused') problems.add('delivered though refused', name)
    if (rows.get(name) !== id) problems.add('message differs from the model row', name)
    if (version < (newest[writer] ?? 0)) {
      // The writer went on without an answer, so nothing was promised of this one.
      if (fate === 'accepted') problems.add('out of order', name)
      else late++
    }
    newest[writer] = Math.max(newest[writer] ?? 0, version)
  }
  return late
}

/** Fencing: once a later term has begun, none comes back, and numbers leave no gap but where a message was buried. */
function judgeTerms ({ publishes }: Age, buried: number, problems: Problems): void {
  const over = new Set<string>()
  let current = ''
  for (const { term, before, last, count } of publishes) {
    if (term !== current && over.has(term)) problems.add('a term wrote after its successor', `${term} ${last}`)
    if (last <= before) problems.add('a watermark went back', `${term} ${before} → ${last}`)
    const missing = last - before - count
    if (missing < 0 || missing > buried) problems.add('numbers and messages differ', `${term} ${before} → ${last} with ${count}`)
    over.add(current)
    current = term
  }
}

function judgeDeadLetters ({ ledger, poison, deadLetters }: Evidence, delivered: Set<string>, problems: Problems): void {
  const letters = new Set<string>()
  for (const name of deadLetters) {
    if (letters.has(name)) problems.add('dead letter twice', name)
    if (!poison.has(name)) problems.add('dead letter without reason', name)
    letters.add(name)
  }
  for (const name of poison) {
    const [writer, version] = name.slice(1).split('/').map(Number)
    if (delivered.has(name)) problems.add('poison in the queue', name)
    if (ledger.fate(writer!, version!) === 'accepted' && !letters.has(name)) problems.add('poison is nowhere', name)
  }
}

/** Nobody took anything, so the queue is its own history. */
function judgeAtRest (delivered: Element[], { inRedis }: Evidence, problems: Problems): number {
  const { queue, elsewhere } = inRedis
  const at = delivered.findIndex((element, index) => !same(element, queue[index]))
  if (at !== -1) problems.add('the queue is not its history', `from message ${at} on`)
  else if (queue.length !== delivered.length) problems.add('the queue is not its history', `${queue.length} messages, not ${delivered.length}`)
  if (elsewhere.length > 0) problems.add('moved, though nobody consumes', String(elsewhere.length))
  return 0
}

function same (a: Element, b: Element | undefined): boolean {
  return b !== undefined && a.writer === b.writer && a.version === b.version && a.id === b.id
}

/** At least once: handled, or still somewhere. Returns how many were handled more than once. */
function judgeHandled (delivered: Element[], { inRedis, handled, ledger, redeliveryExplained }: Evidence, problems: Problems): number {
  const present = new Set([...inRedis.queue, ...inRedis.elsewhere].map(({ writer, version }) => key(writer, version)))
  for (const { writer, version } of delivered) {
    const name = key(writer, version)
    if (!handled!.has(name) && !present.has(name)) problems.add('taken and lost', name)
  }
  let twice = 0
  for (const [name, times] of handled!) {
    const [writer, version] = name.slice(1).split('/').map(Number)
    if (ledger.fate(writer!, version!) === 'untried') problems.add('ghost: handled, but nobody sent', name)
    if (times > 1) twice++
  }
  if (twice > 0 && !redeliveryExplained) problems.add('handled twice without a reason', String(twice))
  return twice
}
