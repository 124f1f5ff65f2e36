import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { Link, manners } from './fault-link.ts'
import type { Fault } from './fault-link.ts'
import type { Teardown } from './redis-server.ts'

export type { Fault } from './fault-link.ts'

/** The kernel does not give these to others who connect, so that a port can be refused for a while and listened on again. */
const FIRST_PORT = 10_240
const PORTS = 22_000

/** Stands between a client and a server, and does to their connections what networks do: see {@link Fault}. */
export class FaultProxy {
  /** Called with all that clients send on. */
  onRequest: (bytes: Buffer) => void = () => {}
  connections = 0
  /** Chunks that clients have said, whether they went on or not. */
  heard = 0
  /** How long a reply takes more than without the proxy, in ms; replies keep their order. */
  replyDelayMs: () => number = () => 0
  #fault: Fault = 'pass'
  #target: number
  #diverted: number | null = null
  #repliesToDrop = 0
  #closed = false
  #host = '127.0.0.1'
  #port = 0
  #server: Server
  readonly #links = new Set<Link>()

  constructor (targetPort: number) {
    this.#target = targetPort
    this.#server = this.#makeServer()
  }

  get port (): number { return this.#port }

  get fault (): Fault { return this.#fault }

  /** For all connections, those that have a fault of their own included. */
  set fault (fault: Fault) {
    const before = this.#fault
    this.#fault = fault
    if (manners(fault).refuses) this.#server.close()
    for (const link of [...this.#links]) link.suffer(fault)
    if (manners(before).refuses && !manners(fault).refuses) this.#listenAgain()
  }

  async listen (): Promise<void> {
    for (;;) {
      this.#server.listen(FIRST_PORT + Math.floor(Math.random() * PORTS), this.#host)
      try {
        await once(this.#server, 'listening')
        this.#port = (this.#server.address() as AddressInfo).port
        return
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
      }
    }
  }

  /** The same port at another address, for example 127.0.0.2: nobody listens at the old one any more. */
  moveTo (host: string): void {
    this.#server.close()
    this.cut()
    this.#host = host
    if (!manners(this.#fault).refuses) this.#listenAgain()
  }

  /** Only the connections of now; those that are made later have the proxy's fault. */
  afflict (fault: Fault): void {
    for (const link of [...this.#links]) link.suffer(fault)
  }

  /** Breaks every connection. */
  cut (): void {
    for (const link of [...this.#links]) link.destroy()
  }

  /** Cuts every connection; new ones reach `targetPort`. */
  switchTo (targetPort: number): void {
    this.#target = targetPort
    this.cut()
  }

  /** As {@link FaultProxy.switchTo}, for a while: null leads back. */
  divert (targetPort: number | null): void {
    this.#diverted = targetPort
    this.cut()
  }

  /** The next `count` replies are lost together with their connections, after the server has executed what was asked. */
  dropReplies (count: number): void {
    this.#repliesToDrop = count
  }

  /** Holds back what the connections of now say from now on, until {@link FaultProxy.release}; those that are made meanwhile pass. */
  holdConnections (): void {
    this.afflict('stall')
  }

  /** Delivers what was held back: to a server, commands whose sender has long sent them again on another connection. */
  release (): void {
    this.afflict('pass')
  }

  close (): void {
    this.#closed = true
    this.#server.close()
    this.cut()
  }

  #takeDrop (): boolean {
    if (this.#repliesToDrop === 0) return false
    this.#repliesToDrop--
    return true
  }

  #makeServer (): Server {
    return createServer((client) => {
      this.connections++
      client.on('error', () => {})
      const { accepts } = manners(this.#fault)
      if (accepts === 'reset') client.resetAndDestroy()
      else if (accepts === 'close') client.end().resume()
      else this.#join(client, accepts === 'silent' ? null : connect(this.#diverted ?? this.#target, '127.0.0.1'))
    })
  }

  #join (client: Socket, upstream: Socket | null): void {
    const link: Link = new Link(client, upstream, {
      fault: this.#fault,
      replyDelayMs: () => this.replyDelayMs(),
      dropsReply: () => this.#takeDrop(),
      heard: () => { this.heard++ },
      request: (bytes) => this.onRequest(bytes),
      closed: () => this.#links.delete(link)
    })
    this.#links.add(link)
  }

  #listenAgain (): void {
    const server = this.#server = this.#makeServer()
    const attempt = () => server.listen(this.#port, this.#host)
    // The kernel may take a moment to see that the port is free again.
    server.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' && this.#server === server && !this.#closed) setTimeout(attempt, 1)
    })
    attempt()
  }
}

/** `targetPort` 0: there is no server, for a proxy that never lets anything pass. */
export async function startFaultProxy (t: Teardown, targetPort: number, fault: Fault = 'pass'): Promise<FaultProxy> {
  const proxy = new FaultProxy(targetPort)
  await proxy.listen()
  proxy.fault = fault
  t.teardown(() => proxy.close())
  return proxy
}
