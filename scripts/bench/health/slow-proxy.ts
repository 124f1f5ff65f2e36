import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import type { Teardown } from '../../../test/helpers/redis-server.ts'

/** Stands before a server and holds back each of its replies for a while. Returns its port. */
export async function startSlowProxy (t: Teardown, target: number, delayMs: () => number): Promise<number> {
  const server = createServer((client) => {
    const upstream = connect(target, '127.0.0.1').setNoDelay(true)
    client.setNoDelay(true)
    upstream.on('data', (bytes) => { setTimeout(() => { client.write(bytes) }, delayMs()) })
    client.on('data', (bytes) => { upstream.write(bytes) })
    for (const [socket, other] of [[client, upstream], [upstream, client]] as const) {
      socket.on('error', () => {})
      socket.on('close', () => { other.destroy() })
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.close() })
  return (server.address() as AddressInfo).port
}
