import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import type { PostgresServer } from './postgres-server.ts'
import type { Teardown } from './redis-server.ts'

const QUERY = 0x51
const SYNC = 0x53
const TERMINATE = 0x58
const READY = 0x5a
const IDLE = 0x49

/**
 * A pooler in transaction mode, as small as it can be: after each transaction the client's next one goes to another server
 * connection, and what a connection still remembers is discarded. It knows trust authentication only.
 */
export async function startPooler (t: Teardown, server: PostgresServer, connections = 3): Promise<{ url: string, switches: () => number }> {
  const idle: Backend[] = []
  const waiting: ((backend: Backend) => void)[] = []
  const sockets = new Set<Socket>()
  let switches = 0
  const release = (backend: Backend) => {
    const next = waiting.shift()
    if (next === undefined) idle.push(backend)
    else next(backend)
  }
  // The one that has rested longest: never the one that was just given back, while there is another.
  const acquire = async () => {
    switches++
    return idle.shift() ?? await new Promise<Backend>((resolve) => { waiting.push(resolve) })
  }
  for (let index = 0; index < connections; index++) idle.push(await Backend.open(server, sockets))
  const listener = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    void new Session(socket, acquire, release).run()
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  t.teardown(() => {
    listener.close()
    for (const socket of sockets) socket.destroy()
  })
  const { port } = listener.address() as AddressInfo
  return { url: server.url.replace(`:${server.port}/`, `:${port}/`), switches: () => switches }
}

/** Cuts a stream into the protocol's messages: a type, a length that counts itself, and the rest. */
class Messages {
  #rest: Buffer = Buffer.alloc(0)

  take (chunk: Buffer): Buffer[] {
    this.#rest = Buffer.concat([this.#rest, chunk])
    const messages: Buffer[] = []
    while (this.#rest.length >= 5 && this.#rest.length > this.#rest.readUInt32BE(1)) {
      const end = 1 + this.#rest.readUInt32BE(1)
      messages.push(this.#rest.subarray(0, end))
      this.#rest = this.#rest.subarray(end)
    }
    return messages
  }
}

function query (text: string): Buffer {
  const message = Buffer.alloc(6 + text.length)
  message[0] = QUERY
  message.writeUInt32BE(5 + text.length, 1)
  message.write(text, 5)
  return message
}

/** One connection to the server. */
class Backend {
  readonly #socket: Socket
  readonly #messages = new Messages()
  onMessage: (message: Buffer) => void = () => {}

  private constructor (socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk) => { for (const message of this.#messages.take(chunk)) this.onMessage(message) })
    socket.on('error', () => {})
  }

  static async open ({ host, port }: PostgresServer, sockets: Set<Socket>): Promise<Backend> {
    const socket = connect({ port, host, noDelay: true })
    sockets.add(socket)
    await once(socket, 'connect')
    const backend = new Backend(socket)
    const parameters = Buffer.from('\0\0\0\0\0\x03\0\0user\0postgres\0database\0postgres\0client_encoding\0UTF8\0\0')
    parameters.writeUInt32BE(parameters.length, 0)
    await backend.#untilReady(parameters)
    return backend
  }

  send (message: Buffer): void {
    this.#socket.write(message)
  }

  async discardAll (): Promise<void> {
    await this.#untilReady(query('DISCARD ALL'))
  }

  async #untilReady (message: Buffer): Promise<void> {
    await new Promise<void>((resolve) => {
      this.onMessage = (reply) => { if (reply[0] === READY) resolve() }
      this.send(message)
    })
  }
}

/** One client, which holds a server connection from the first message of a transaction to its end. */
class Session {
  readonly #client: Socket
  readonly #acquire: () => Promise<Backend>
  readonly #release: (backend: Backend) => void
  readonly #messages = new Messages()
  #backend: Backend | null = null
  #unanswered = 0

  constructor (client: Socket, acquire: () => Promise<Backend>, release: (backend: Backend) => void) {
    this.#client = client
    this.#acquire = acquire
    this.#release = release
  }

  async run (): Promise<void> {
    const chunks = this.#client.iterator()
    const first = await chunks.next().catch(() => ({ done: true }))
    if (first.done) return
    // AuthenticationOk, ReadyForQuery: who it is does not matter here.
    this.#client.write(Buffer.from('R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I', 'latin1'))
    try {
      for await (const chunk of chunks) {
        for (const message of this.#messages.take(chunk)) await this.#forward(message)
      }
    } catch { /* the client is gone */ }
  }

  async #forward (message: Buffer): Promise<void> {
    if (message[0] === TERMINATE) {
      this.#client.destroy()
      return
    }
    if (this.#backend === null) {
      this.#backend = await this.#acquire()
      this.#backend.onMessage = (reply) => this.#answer(reply)
    }
    if (message[0] === QUERY || message[0] === SYNC) this.#unanswered++
    this.#backend.send(message)
  }

  #answer (reply: Buffer): void {
    this.#client.write(reply)
    if (reply[0] !== READY || --this.#unanswered > 0 || reply[5] !== IDLE) return
    const backend = this.#backend!
    this.#backend = null
    void backend.discardAll().then(() => this.#release(backend))
  }
}
