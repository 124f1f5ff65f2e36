import type { Writable } from 'node:stream'
import { StreamRefused } from './errors.ts'

export interface EventFeedOptions {
  /** Readers at once. Default 20. */
  maxReaders?: number | undefined
  /** A reader that lags further behind is cut off. Default 4 MiB, which is several full states. */
  maxBufferedBytes?: number | undefined
  /** Between two comments that keep proxies from closing a silent line. Default 15 000. */
  heartbeatMs?: number | undefined
  /** What a reader has to take its last bytes when the feed closes. Default 250. */
  goodbyeMs?: number | undefined
}

/** Server-sent events for a bounded number of readers. */
export class EventFeed {
  readonly #maxReaders: number
  readonly #maxBufferedBytes: number
  readonly #goodbyeMs: number
  readonly #readers = new Set<Writable>()
  readonly #heartbeat: NodeJS.Timeout
  #closed = false

  constructor ({ maxReaders = 20, maxBufferedBytes = 4 * 1024 * 1024, heartbeatMs = 15_000, goodbyeMs = 250 }: EventFeedOptions = {}) {
    this.#maxReaders = maxReaders
    this.#maxBufferedBytes = maxBufferedBytes
    this.#goodbyeMs = goodbyeMs
    this.#heartbeat = setInterval(() => { this.#write(': heartbeat\n\n') }, heartbeatMs).unref()
  }

  get size (): number { return this.#readers.size }

  /** @throws FST_BRK_OPERATIONS_STREAM_REFUSED (503) when there is no place for one more */
  assertRoom (): void {
    if (this.#closed) throw new StreamRefused('the service is about to close')
    if (this.#readers.size >= this.#maxReaders) throw new StreamRefused(`there are ${this.#maxReaders} already`)
  }

  /**
   * One more reader, which leaves when it closes.
   * @throws FST_BRK_OPERATIONS_STREAM_REFUSED (503)
   */
  add (reader: Writable): void {
    this.assertRoom()
    this.#readers.add(reader)
    reader.once('close', () => { this.#readers.delete(reader) })
    // Whoever leaves in the middle of a word is no news.
    reader.on('error', () => {})
  }

  send (event: string, data: unknown): void {
    if (this.#readers.size > 0) this.#write(serverSentEvent(event, data))
  }

  /** Ends every reader, cuts off those that do not listen, and refuses new ones. */
  close (): void {
    if (this.#closed) return
    this.#closed = true
    clearInterval(this.#heartbeat)
    for (const reader of this.#readers) reader.end()
    setTimeout(() => { for (const reader of this.#readers) reader.destroy() }, this.#goodbyeMs).unref()
  }

  #write (text: string): void {
    if (this.#closed) return
    for (const reader of this.#readers) {
      if (reader.writableLength > this.#maxBufferedBytes) reader.destroy()
      else reader.write(text)
    }
  }
}

/** JSON has no line breaks of its own, so one `data:` line is enough. */
export function serverSentEvent (event: string, data: unknown): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`
}
