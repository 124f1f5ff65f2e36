import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import type { Teardown } from './redis-server.ts'

/**
 * Stands between a client and a server. `pass`: as if it were not there. `blackhole`: connections stay open and new ones are accepted,
 * but nothing arrives, nowhere. `swallow-replies`: the server hears everything, the client nothing.
 */
export type Fault = 'pass' | 'blackhole' | 'swallow-replies'

export class FaultProxy {
  fault: Fault = 'pass'
  /** Called with all that clients send on. */
  onRequest: (bytes: Buffer) => void = () => {}
  connections = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  constructor (targetPort: number) {
    this.#server = createServer((client) => {
      this.connections++
      const upstream = connect(targetPort, '127.0.0.1')
      this.#pair(client, upstream)
      client.on('data', (bytes) => {
        if (this.fault === 'blackhole') return
        this.onRequest(bytes)
        upstream.write(bytes)
      })
      upstream.on('data', (bytes) => { if (this.fault === 'pass') client.write(bytes) })
    })
  }

  get port (): number { return (this.#server.address() as AddressInfo).port }

  async listen (): Promise<void> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  /** Breaks every connection. */
  cut (): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  close (): void {
    this.#server.close()
    this.cut()
  }

  #pair (client: Socket, upstream: Socket): void {
    for (const [socket, other] of [[client, upstream], [upstream, client]] as const) {
      this.#sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        this.#sockets.delete(socket)
        // A dead line does not deliver the news of its death.
        if (this.fault === 'pass') other.destroy()
      })
    }
  }
}

export async function startFaultProxy (t: Teardown, targetPort: number): Promise<FaultProxy> {
  const proxy = new FaultProxy(targetPort)
  await proxy.listen()
  t.teardown(() => proxy.close())
  return proxy
}
