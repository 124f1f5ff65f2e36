import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'

/** One address whose server can change, as a DNS name or a virtual address does in a failover. */
export class Switchboard {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #target: number

  constructor (target: number) {
    this.#target = target
    this.#server = createServer((client) => {
      const server = connect(this.#target, '127.0.0.1')
      for (const [from, to] of [[client, server], [server, client]] as const) {
        this.#sockets.add(from)
        from.on('error', () => {})
        from.on('close', () => {
          this.#sockets.delete(from)
          to.destroy()
        })
        from.pipe(to)
      }
    })
  }

  get port (): number { return (this.#server.address() as AddressInfo).port }

  async listen (): Promise<void> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  /** Connections stay open, but nothing passes any more; what is on its way is lost with the next switch. */
  stall (): void {
    for (const socket of this.#sockets) socket.unpipe().pause()
  }

  /** Cuts every connection; new ones reach `target`. */
  switchTo (target: number): void {
    this.#target = target
    for (const socket of this.#sockets) socket.destroy()
  }

  async close (): Promise<void> {
    this.#server.close()
    this.switchTo(0)
    await once(this.#server, 'close')
  }
}
