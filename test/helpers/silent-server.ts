import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import type { Teardown } from './redis-server.ts'

/** `answer-nothing`: accepts and stays silent, as a half-dead load balancer does. `hang-up`: accepts and closes. */
export type Manners = 'answer-nothing' | 'hang-up'

/** A server that is no Redis; returns its port. */
export async function startSilentServer (t: Teardown, manners: Manners): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    socket.on('error', () => {})
    if (manners === 'hang-up') {
      socket.destroy()
      return
    }
    sockets.add(socket)
    socket.resume()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}
