import type { Socket } from 'node:net'

/**
 * - `pass`: as if the proxy were not there.
 * - `refuse`: nobody listens, and what was connected is reset.
 * - `reset`: each connection is reset, and each new one as soon as it is made.
 * - `blackhole`: connections stay open and new ones are accepted, but nothing arrives, nowhere.
 * - `swallow-replies`: the server hears everything, the client nothing.
 * - `swallow-requests`: what the server says arrives, what the client says does not.
 * - `stall`, `stall-replies`: nothing (no reply) passes for now; what was said meanwhile arrives later, even where its speaker has hung up.
 * - `accept-silent`: what was connected is cut; new connections are accepted, lead nowhere and stay silent for ever.
 * - `hang-up`: each connection is closed properly, and each new one as soon as it is made.
 * - `drip`: replies arrive byte by byte, {@link DRIP_MS} apart.
 * - `corrupt`: each chunk of replies begins with a byte that no reply begins with.
 */
export type Fault = 'pass' | 'refuse' | 'reset' | 'blackhole' | 'swallow-replies' | 'swallow-requests' | 'stall' | 'stall-replies' |
  'accept-silent' | 'hang-up' | 'drip' | 'corrupt'

export const DRIP_MS = 100
const GARBAGE = 0x07

/** What becomes of bytes. */
type Treatment = 'deliver' | 'hold' | 'drop' | 'drip' | 'corrupt'

interface Manners {
  there: Treatment
  back: Treatment
  refuses?: boolean
  /** New connections; without it they are joined. */
  accepts?: 'reset' | 'close' | 'silent'
  /** Connections of now; without it they stay. */
  ends?: 'reset' | 'close'
}

const nothing = { there: 'drop', back: 'drop' } as const
const mannersOf: Record<Fault, Manners> = {
  pass: { there: 'deliver', back: 'deliver' },
  refuse: { ...nothing, refuses: true, accepts: 'reset', ends: 'reset' },
  reset: { ...nothing, accepts: 'reset', ends: 'reset' },
  blackhole: nothing,
  'swallow-replies': { there: 'deliver', back: 'drop' },
  'swallow-requests': { there: 'drop', back: 'deliver' },
  stall: { there: 'hold', back: 'hold' },
  'stall-replies': { there: 'deliver', back: 'hold' },
  'accept-silent': { ...nothing, accepts: 'silent', ends: 'close' },
  'hang-up': { ...nothing, accepts: 'close', ends: 'close' },
  drip: { there: 'deliver', back: 'drip' },
  corrupt: { there: 'deliver', back: 'corrupt' }
}

export function manners (fault: Fault): Manners {
  return mannersOf[fault]
}

export interface LinkOptions {
  fault: Fault
  replyDelayMs: () => number
  /** The reply at hand is lost together with its connection. */
  dropsReply: () => boolean
  heard: () => void
  request: (bytes: Buffer) => void
  closed: () => void
}

/** One connection through the proxy. */
export class Link {
  readonly #options: LinkOptions
  readonly #client: Socket
  readonly #upstream: Socket | null
  readonly #there: Way | null
  readonly #back: Way
  #open: number

  constructor (client: Socket, upstream: Socket | null, options: LinkOptions) {
    this.#options = options
    this.#client = client
    this.#upstream = upstream
    this.#there = upstream === null ? null : new Way(upstream, options.request)
    this.#back = new Way(client)
    this.#open = upstream === null ? 1 : 2
    // One that is made in the trouble was let in to suffer it, not to be ended by it.
    this.#treat(options.fault)
    this.#watch(client, this.#there)
    client.on('data', (bytes) => {
      options.heard()
      this.#there?.say(bytes)
    })
    if (upstream === null) return
    this.#watch(upstream, this.#back)
    upstream.on('data', (bytes) => this.#reply(bytes, upstream))
  }

  /** What this connection suffers from now on, whatever the others do. */
  suffer (fault: Fault): void {
    const { ends } = manners(fault)
    if (ends === 'reset') this.#reset()
    else if (ends === 'close') this.#hangUp()
    else this.#treat(fault)
  }

  destroy (): void {
    for (const way of [this.#there, this.#back]) way?.forget()
    this.#client.destroy()
    this.#upstream?.destroy()
  }

  #treat (fault: Fault): void {
    const { there, back } = manners(fault)
    if (this.#there !== null) this.#there.treatment = there
    this.#back.treatment = back
  }

  #reset (): void {
    this.#client.resetAndDestroy()
    this.destroy()
  }

  #hangUp (): void {
    this.#back.forget()
    this.#client.end()
    this.#upstream?.destroy()
  }

  #reply (bytes: Buffer, upstream: Socket): void {
    // Nobody is there any more: a host that hears of a connection it has forgotten resets it.
    if (this.#client.destroyed && this.#back.treatment === 'deliver') upstream.destroy()
    else if (this.#back.treatment !== 'drop' && this.#options.dropsReply()) this.destroy()
    else this.#back.sayIn(this.#options.replyDelayMs(), bytes)
  }

  #watch (socket: Socket, way: Way | null): void {
    // Otherwise a reply waits for the acknowledgement of the one before.
    socket.setNoDelay(true)
    socket.on('error', () => {})
    socket.on('close', () => {
      way?.end()
      if (--this.#open === 0) this.#options.closed()
    })
  }
}

/** One direction of a connection, with what is held back for now. */
class Way {
  readonly #to: Socket
  readonly #delivered: (bytes: Buffer) => void
  #treatment: Treatment = 'deliver'
  #held: Buffer[] = []
  #late: Buffer[] = []
  #ended = false
  #drip: NodeJS.Timeout | undefined

  constructor (to: Socket, delivered: (bytes: Buffer) => void = () => {}) {
    this.#to = to
    this.#delivered = delivered
  }

  get treatment (): Treatment { return this.#treatment }

  set treatment (treatment: Treatment) {
    clearInterval(this.#drip)
    this.#treatment = treatment
    if (treatment === 'drip') this.#drip = setInterval(() => this.#dripOne(), DRIP_MS)
    for (const bytes of this.#held.splice(0)) this.say(bytes)
    if (this.#ended) this.end()
  }

  say (bytes: Buffer): void {
    const treatment = this.#treatment
    if (treatment === 'hold') this.#held.push(bytes)
    else if (treatment === 'drip') this.#held.push(...Array.from(bytes, (_, index) => bytes.subarray(index, index + 1)))
    else if (treatment === 'corrupt') this.#write(Buffer.concat([Buffer.of(GARBAGE), bytes.subarray(1)]))
    else if (treatment === 'deliver') this.#write(bytes)
  }

  /** In its turn: what was said before arrives before. */
  sayIn (delayMs: number, bytes: Buffer): void {
    if (delayMs <= 0 && this.#late.length === 0) return this.say(bytes)
    this.#late.push(bytes)
    setTimeout(() => { this.say(this.#late.shift()!) }, delayMs)
  }

  /** Its speaker has hung up. What is held back is still to be delivered, and a dead line does not deliver the news of its death. */
  end (): void {
    this.#ended = true
    if (this.#treatment !== 'drop' && this.#held.length === 0 && this.#treatment !== 'hold') this.#to.end()
  }

  forget (): void {
    clearInterval(this.#drip)
    this.#held = []
  }

  #dripOne (): void {
    if (this.#to.destroyed) return this.forget()
    const byte = this.#held.shift()
    if (byte !== undefined) this.#write(byte)
    else if (this.#ended) this.#to.end()
  }

  #write (bytes: Buffer): void {
    this.#delivered(bytes)
    if (this.#to.writable) this.#to.write(bytes)
  }
}
