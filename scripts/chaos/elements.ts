import { readEnvelope } from '../../services/queue/read-envelope.ts'
import { shortId } from './ledger.ts'
import { payloadProblem, writerOf } from './models.ts'

/** What the account keeps of a message. */
export interface Element { writer: number, version: number, id: number }

/** Reads a message and checks every value against what its writer must have said. A text is what is wrong with it. */
export function readElement (body: string): Element | string {
  try {
    const { message_id: messageId, payload } = readEnvelope(body)
    const writer = writerOf(String(payload.model_name))
    const version = Number(payload.model_version)
    if (writer === null || !Number.isSafeInteger(version)) return `nobody's message ${body.slice(0, 200)}`
    const problem = payloadProblem(payload, writer, version)
    return problem === null ? { writer, version, id: shortId(messageId) } : `w${writer} ${version}: ${problem}`
  } catch (err) {
    return `${(err as Error).message} ${body.slice(0, 200)}`
  }
}

const FIELDS = 3

/** Messages in an order, in twelve bytes each. */
export class Elements {
  #packed = new Uint32Array(FIELDS * 1024)
  #length = 0

  get length (): number { return this.#length }

  push ({ writer, version, id }: Element): void {
    if ((this.#length + 1) * FIELDS > this.#packed.length) {
      const larger = new Uint32Array(this.#packed.length * 2)
      larger.set(this.#packed)
      this.#packed = larger
    }
    this.#packed.set([writer, version, id], this.#length++ * FIELDS)
  }

  at (index: number): Element {
    const [writer, version, id] = this.#packed.subarray(index * FIELDS, (index + 1) * FIELDS)
    return { writer: writer!, version: version!, id: id! }
  }

  truncate (length: number): void {
    this.#length = Math.min(this.#length, length)
  }
}
