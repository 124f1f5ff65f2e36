import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import type { Teardown } from './redis-server.ts'

/** Stands before a server and holds back its replies for a while, in their order, also while the delay changes. Returns its port. */
export async function startSlowProxy (t: Teardown, target: number, delayMs: () => number): Promise<number> {
  const server = createServer((client) => {
    const upstream = connect(target, '127.0.0.1')
    const held: Buffer[] = []
    upstream.on('data', (bytes) => {
      held.push(bytes)
      setTimeout(() => { client.write(held.shift()!) }, delayMs())
    })
    client.on('data', (bytes) => { upstream.write(bytes) })
    for (const [socket, other] of [[client, upstream], [upstream, client]] as const) {
      // Otherwise a reply waits for the acknowledgement of the one before, and the proxy is slower than it was asked to be.
      socket.setNoDelay(true)
      socket.on('error', () => {})
      socket.on('close', () => { other.destroy() })
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.close() })
  return (server.address() as AddressInfo).port
}
