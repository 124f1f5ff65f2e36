import { Socket } from 'node:net'
import { Client } from 'pg'
import type { ClientConfig } from 'pg'

/**
 * A connection whose socket is ours, so that it can be cut however the server behaves. Statements are pipelined: what is sent
 * without waiting for the answer before it costs one round trip together.
 */
export class PostgresClient extends Client {
  readonly #socket: Socket

  constructor (config: ClientConfig) {
    const socket = new Socket()
    super({ ...config, stream: () => socket })
    this.#socket = socket
    // While it is lent out nobody else listens, and an error event without a listener ends the process.
    this.on('error', () => {})
  }

  get open (): boolean { return !this.#socket.destroyed }

  /** Cuts the connection at once: whatever waits for an answer rejects. */
  destroy (): void {
    this.#socket.destroy()
  }
}
