import { DeadlineOptionError } from './errors.ts'
import { booleanRule, functionRule, numberRule, parseOptions } from './options.ts'

/**
 * A place in the list of `Deadlines`. Extend it with what the call needs to know, and a call costs one object:
 * `class PendingCommand extends Deadline { expire () { … } }`.
 */
export abstract class Deadline {
  /** By the list's clock; meaningful while pending. */
  dueAt = 0
  /** Not for users of the class: links of the list. */
  list: Deadlines | null = null
  previous: Deadline | null = null
  next: Deadline | null = null

  get pending (): boolean {
    return this.list !== null
  }

  /**
   * Called once when the time is up. `explainedByLag`: our own event loop was so late that the reply may well have come in
   * time, so this says little about the dependency. `lateMs`: how late.
   */
  abstract expire (explainedByLag: boolean, lateMs: number): void

  /** True if it was still pending: it will not expire any more. */
  cancel (): boolean {
    return this.list !== null && this.list.remove(this)
  }
}

class CallbackDeadline extends Deadline {
  readonly #onExpire: (explainedByLag: boolean, lateMs: number) => void

  constructor (onExpire: (explainedByLag: boolean, lateMs: number) => void) {
    super()
    this.#onExpire = onExpire
  }

  expire (explainedByLag: boolean, lateMs: number): void {
    this.#onExpire(explainedByLag, lateMs)
  }
}

export interface DeadlinesOptions {
  /** A timer later than this, in ms, means that our event loop was busy. Default 20. */
  lagToleranceMs?: number | undefined
  /** Whether a pending deadline keeps the process alive. Default false. */
  ref?: boolean | undefined
  /** Monotonic time in ms. Default `performance.now`. */
  clock?: (() => number) | undefined
}

const rules = {
  timeoutMs: numberRule(undefined, 1, 2 ** 31 - 1, 'Give milliseconds, for example 500.'),
  lagToleranceMs: numberRule(20, 0, 86_400_000, 'Give milliseconds, for example 20.'),
  ref: booleanRule(false, 'Use true only if nothing else keeps the process alive.'),
  clock: functionRule(() => performance.now(), 'It returns milliseconds that never go back, as performance.now does.')
}

/**
 * Pending deadlines that all have the same timeout, so they expire in the order they were added: a linked list and one timer
 * for all of them, instead of a timer for each. Adding and removing are O(1).
 *
 * Nothing expires in the timer itself, but one poll phase later: after a stall of the event loop timers run before sockets are
 * read, and a reply that lies in the socket already must win.
 *
 * @throws FST_BRK_DEADLINE_OPTION from the constructor.
 */
export class Deadlines {
  readonly timeoutMs: number
  readonly #lagToleranceMs: number
  readonly #ref: boolean
  readonly #clock: () => number
  #head: Deadline | null = null
  #tail: Deadline | null = null
  #size = 0
  #timer: NodeJS.Timeout | null = null
  #immediate: NodeJS.Immediate | null = null

  constructor (timeoutMs: number, options: DeadlinesOptions = {}) {
    const parsed = parseOptions(rules, { ...options, timeoutMs }, DeadlineOptionError, ['timeoutMs'])
    this.timeoutMs = timeoutMs
    this.#lagToleranceMs = parsed.lagToleranceMs as number
    this.#ref = parsed.ref as boolean
    this.#clock = parsed.clock as () => number
  }

  get size (): number {
    return this.#size
  }

  /** Calls back in `timeoutMs`, unless cancelled. */
  add (onExpire: (explainedByLag: boolean, lateMs: number) => void): Deadline {
    return this.insert(new CallbackDeadline(onExpire))
  }

  /** Puts a deadline of your own at the end. One that is pending already, here or elsewhere, starts anew. */
  insert<D extends Deadline> (deadline: D): D {
    deadline.cancel()
    deadline.list = this
    deadline.dueAt = this.#clock() + this.timeoutMs
    deadline.previous = this.#tail
    if (this.#tail === null) this.#head = deadline
    else this.#tail.next = deadline
    this.#tail = deadline
    this.#size++
    if (this.#timer === null && this.#immediate === null) this.#arm(this.timeoutMs)
    return deadline
  }

  remove (deadline: Deadline): boolean {
    if (deadline.list !== this) return false
    if (deadline.previous === null) this.#head = deadline.next
    else deadline.previous.next = deadline.next
    if (deadline.next === null) this.#tail = deadline.previous
    else deadline.next.previous = deadline.previous
    deadline.list = deadline.previous = deadline.next = null
    this.#size--
    // An unreferenced timer may run out unused: setting one for each call is what this class avoids.
    if (this.#size === 0 && this.#ref) this.#disarm()
    return true
  }

  /** Forgets all deadlines without expiring them. The list can be used again. */
  clear (): void {
    while (this.#head !== null) this.remove(this.#head)
    this.#disarm()
  }

  #arm (delayMs: number): void {
    this.#timer = setTimeout(this.#onTimer, Math.max(1, Math.ceil(delayMs)))
    if (!this.#ref) this.#timer.unref()
  }

  #disarm (): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    if (this.#immediate !== null) clearImmediate(this.#immediate)
    this.#timer = this.#immediate = null
  }

  readonly #onTimer = (): void => {
    this.#timer = null
    if (this.#head === null) return
    const now = this.#clock()
    if (this.#head.dueAt > now) return this.#arm(this.#head.dueAt - now)
    const lateMs = now - this.#head.dueAt
    // Referenced: the loop does not turn for an unreferenced one, it would sleep in the poll phase until some other event.
    this.#immediate = setImmediate(this.#onPolled, now, lateMs)
  }

  /** Expires what was due when the timer fired. */
  readonly #onPolled = (firedAt: number, lateMs: number): void => {
    const explainedByLag = lateMs > this.#lagToleranceMs
    try {
      for (let due = this.#head; due !== null && due.dueAt <= firedAt; due = this.#head) {
        this.remove(due)
        due.expire(explainedByLag, Math.max(0, firedAt - due.dueAt))
      }
    } finally {
      // Also when expire() throws: that surfaces as an uncaught exception, as from any timer, and the others get their turn.
      this.#immediate = null // only now, so that what expire() inserts does not set the timer past an earlier deadline
      if (this.#head !== null) this.#arm(this.#head.dueAt - this.#clock())
    }
  }
}
