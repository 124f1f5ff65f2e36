import type { Batch } from '../../journal/journal.ts'
import type { QueueTracing } from '../../observability/tracing/queue-tracing.ts'
import type { Transport } from './transport.ts'

/** Each batch on its way to the queue gets a span. */
export class TracedTransport implements Transport {
  readonly #transport: Transport
  readonly #tracing: QueueTracing

  constructor (transport: Transport, tracing: QueueTracing) {
    this.#transport = transport
    this.#tracing = tracing
  }

  get epoch (): number { return this.#transport.epoch }

  get available (): boolean { return this.#transport.available }

  async publish (batch: Batch): Promise<boolean> {
    return await this.#tracing.relay(batch.bodies, () => this.#transport.publish(batch))
  }

  async watermarks (terms: string[]): Promise<(number | null)[]> { return await this.#transport.watermarks(terms) }

  async rebase (term: string, expected: number, to: number): Promise<boolean> { return await this.#transport.rebase(term, expected, to) }

  async forget (terms: string[]): Promise<void> { await this.#transport.forget(terms) }

  onAvailable (listener: () => void): () => void { return this.#transport.onAvailable(listener) }
}
