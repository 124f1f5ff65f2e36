import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import type { Teardown } from './redis-server.ts'

/**
 * Stands between a client and a server.
 * - `pass`: as if it were not there.
 * - `blackhole`: connections stay open and new ones are accepted, but nothing arrives, nowhere.
 * - `swallow-replies`: the server hears everything, the client nothing.
 * - `swallow-requests`: what the server says arrives, what the client says does not.
 * - `stall`: nothing passes for now; what was said meanwhile arrives later, even where its speaker has hung up.
 * - `hang-up`: each connection is closed as soon as it is made or speaks.
 */
export type Fault = 'pass' | 'blackhole' | 'swallow-replies' | 'swallow-requests' | 'stall' | 'hang-up'

/** One direction of a connection, with what is held back for now. */
interface Way { to: Socket, held: Buffer[], late: boolean, ended: boolean }

export class FaultProxy {
  /** Called with all that clients send on. */
  onRequest: (bytes: Buffer) => void = () => {}
  connections = 0
  #fault: Fault = 'pass'
  #target: number
  #repliesToDrop = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #ways = new Set<Way>()

  constructor (targetPort: number) {
    this.#target = targetPort
    this.#server = createServer((client) => {
      this.connections++
      client.on('error', () => {})
      if (this.#fault === 'hang-up') client.resetAndDestroy()
      else this.#join(client, connect(this.#target, '127.0.0.1'))
    })
  }

  get port (): number { return (this.#server.address() as AddressInfo).port }

  get fault (): Fault { return this.#fault }

  set fault (fault: Fault) {
    this.#fault = fault
    if (fault === 'pass') this.release()
  }

  async listen (): Promise<void> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  /** Breaks every connection. */
  cut (): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Cuts every connection; new ones reach `targetPort`. */
  switchTo (targetPort: number): void {
    this.#target = targetPort
    this.cut()
  }

  /** The next `count` replies are lost together with their connections, after the server has executed what was asked. */
  dropReplies (count: number): void {
    this.#repliesToDrop = count
  }

  /** Holds back what the connections of now say from now on, until {@link FaultProxy.release}; those that are made meanwhile pass. */
  holdConnections (): void {
    for (const way of this.#ways) way.late = true
  }

  /** Delivers what was held back: to a server, commands whose sender has long sent them again on another connection. */
  release (): void {
    for (const way of this.#ways) {
      way.late = false
      for (const bytes of way.held.splice(0)) way.to.write(bytes)
      if (!way.ended) continue
      this.#ways.delete(way)
      way.to.end()
    }
  }

  close (): void {
    this.#server.close()
    this.cut()
  }

  #join (client: Socket, upstream: Socket): void {
    upstream.setNoDelay(true)
    client.setNoDelay(true)
    const there: Way = { to: upstream, held: [], late: false, ended: false }
    const back: Way = { to: client, held: [], late: false, ended: false }
    client.on('data', (bytes) => this.#request(bytes, client, there))
    upstream.on('data', (bytes) => this.#reply(bytes, upstream, back))
    this.#watch(client, there)
    this.#watch(upstream, back)
  }

  #request (bytes: Buffer, client: Socket, way: Way): void {
    if (this.#fault === 'hang-up') client.resetAndDestroy()
    else if (this.#fault === 'stall' || way.late) way.held.push(bytes)
    else if (this.#fault !== 'blackhole' && this.#fault !== 'swallow-requests') {
      this.onRequest(bytes)
      way.to.write(bytes)
    }
  }

  #reply (bytes: Buffer, upstream: Socket, way: Way): void {
    const waits = this.#fault === 'stall' || way.late
    if (waits) way.held.push(bytes)
    if (waits || this.#fault === 'blackhole' || this.#fault === 'swallow-replies') return
    if (this.#repliesToDrop === 0) {
      way.to.write(bytes)
      return
    }
    this.#repliesToDrop--
    way.to.destroy()
    upstream.destroy()
  }

  #watch (socket: Socket, way: Way): void {
    this.#sockets.add(socket)
    this.#ways.add(way)
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#sockets.delete(socket)
      // What is held back is still to be delivered, and a dead line does not deliver the news of its death.
      way.ended = this.#fault === 'stall' || way.late
      if (way.ended) return
      this.#ways.delete(way)
      if (this.#fault !== 'blackhole' && this.#fault !== 'swallow-replies') way.to.destroy()
    })
  }
}

export async function startFaultProxy (t: Teardown, targetPort: number): Promise<FaultProxy> {
  const proxy = new FaultProxy(targetPort)
  await proxy.listen()
  t.teardown(() => proxy.close())
  return proxy
}
